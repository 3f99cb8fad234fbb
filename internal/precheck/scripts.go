package precheck

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tandem/internal/instance"
)

// scripting are the commands that scripts and functions are brought and repeated with. Each is asked for what
// cannot be done: a number of keys that is none, a source that does not compile, a name that nothing has. So
// nothing is run or kept, and a server that refuses the command refuses it before it looks at that.
var scripting = []trial{
	{name: "EVAL", args: "EVAL {key} none"},
	{name: "EVALSHA", args: "EVALSHA {key} none"},
	{name: "SCRIPT EXISTS", args: "SCRIPT EXISTS {key}"},
	{name: "SCRIPT LOAD", args: "SCRIPT LOAD ("},
	{name: "FUNCTION LIST", args: "FUNCTION LIST", has: hasFunctions},
	{name: "FUNCTION LOAD", args: "FUNCTION LOAD {key}", has: hasFunctions},
	{name: "FUNCTION DELETE", args: "FUNCTION DELETE {key}", has: hasFunctions},
	{name: "FCALL", args: "FCALL {key} none", has: hasFunctions},
}

// hasFunctions: they came with the version that brought PEXPIRETIME.
func hasFunctions(f instance.Facts) bool { return f.Server.HasPExpireTime() }

// scripts tries them on one side; the source comes first. What neither side knows is no matter: clients cannot
// use it.
func scripts(ctx context.Context, r *run, s *side) finding {
	refusals, err := s.tryScripting(ctx, r.scratch)
	if err != nil {
		return broken(err)
	}
	refusals = slices.DeleteFunc(refusals, func(f refusal) bool {
		return s.scripting[f.name] && (s.Role == instance.Source || s.other.scripting[f.name])
	})
	switch {
	case len(refusals) > 0:
		return warning(s.remedyFor(refusals)+"; else what clients load is not on the other server after a cutover", "%s", describe(refusals))
	case !hasFunctions(s.info) && s.other.libraries > 0:
		return warning("choose a target of version 7.0 or newer, or have clients do without functions before the cutover",
			"%s knows no functions, and the %s has %s", s.info.Version, s.other.Role, librariesIn(s.other.libraries))
	}
	loaded, err := s.loadedUnseen(ctx)
	switch {
	case err != nil:
		return broken(err)
	case loaded > 0:
		return warning("have clients load their scripts anew through Tandem before a cutover (most do when they start), or see to it that "+
			"they answer NOSCRIPT with EVAL", "clients may call loaded scripts by hash (there are %d), and the server does not show their sources", loaded)
	case !hasFunctions(s.info):
		return success("scripts are allowed; %s knows no functions", s.info.Version)
	}
	return success("scripts and functions are allowed; it has %s", librariesIn(s.libraries))
}

// tryScripting returns what is refused.
func (s *side) tryScripting(ctx context.Context, scratch string) (refusals []refusal, err error) {
	s.scripting = map[string]bool{}
	for _, t := range scripting {
		if t.has != nil && !t.has(s.info) {
			continue
		}
		v, err := s.conn.Do(ctx, t.words(scratch, "")...)
		var reply *instance.ReplyError
		switch {
		case err == nil:
			if t.name == "FUNCTION LIST" {
				s.libraries = len(v.Elems)
			}
		case !errors.As(err, &reply):
			return nil, err
		case errors.Is(err, instance.ErrCommandRefused):
			refusals = append(refusals, refusal{name: t.name, text: reply.Text})
			s.scripting[t.name] = strings.Contains(strings.ToLower(reply.Text), "unknown command")
		}
	}
	return refusals, nil
}

// loadedUnseen is how many scripts the source has that nobody could bring to the target. Valkey shows the source of
// a script to whoever knows its hash, from 8.0 on; what the target has is no matter.
func (s *side) loadedUnseen(ctx context.Context) (int, error) {
	if s.Role == instance.Target || s.info.Server.Valkey && s.info.Server.Version >= 80000 {
		return 0, nil
	}
	v, err := s.conn.Do(ctx, "INFO", "memory")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(v.Str)) {
		if n, ok := strings.CutPrefix(line, "number_of_cached_scripts:"); ok {
			return strconv.Atoi(strings.TrimSpace(n))
		}
	}
	return 0, nil
}

func librariesIn(n int) string {
	switch n {
	case 0:
		return "no libraries"
	case 1:
		return "1 library"
	}
	return fmt.Sprintf("%d libraries", n)
}
