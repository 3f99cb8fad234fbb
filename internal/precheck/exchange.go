package precheck

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"tandem/internal/instance"
)

// sample is a small value of one type, made in the scratch key.
type sample struct {
	what string
	make []string
	// has: the server has such values; nil for every version.
	has func(instance.Facts) bool
}

// samples are one for each type byte that a payload of small values begins with. Payloads of one server all
// end in the same version number, which decides first.
var samples = []sample{
	{what: "string", make: []string{"SET {key} text"}},
	{what: "list", make: []string{"RPUSH {key} a b"}},
	{what: "set", make: []string{"SADD {key} a b"}},
	{what: "set of integers", make: []string{"SADD {key} 1 2"}},
	{what: "hash", make: []string{"HSET {key} a 1"}},
	{what: "hash with field expiry", make: []string{"HSET {key} a 1", "HPEXPIRE {key} 3600000 FIELDS 1 a"},
		has: func(f instance.Facts) bool { return f.Server.HasHashFieldTTL() }},
	{what: "sorted set", make: []string{"ZADD {key} 1 a"}},
	{what: "stream", make: []string{"XADD {key} 1-1 a 1", "XGROUP CREATE {key} g 0", "XREADGROUP GROUP g c STREAMS {key} >"}},
}

func dumpExchange(ctx context.Context, r *run, _ *side) finding {
	refused, made, err := exchange(ctx, r, r.source, r.target)
	switch {
	case err != nil:
		return broken(err)
	case made == 0:
		return failed("let the source's user write values of some type", "no DUMP could be tried: the source refuses to make values")
	case len(refused) > 0:
		return failed(fmt.Sprintf("choose a target of the source's version or newer, Redis for Redis and Valkey for Valkey "+
			"(the source is %s): this version copies keys by DUMP alone", r.source.info.Version),
			"%s to %s: %s", r.source.info.Version, r.target.info.Version, strings.Join(refused, "; "))
	}
	return success("%s to %s: all types", r.source.info.Version, r.target.info.Version)
}

func dumpReturn(ctx context.Context, r *run, _ *side) finding {
	refused, made, err := exchange(ctx, r, r.target, r.source)
	switch {
	case err != nil:
		return broken(err)
	case made == 0:
		return warning("let the target's user write values of some type", "no DUMP could be tried: the target refuses to make values")
	case len(refused) > 0:
		return warning("before the cutover be sure of the target; with a target of the source's version there is no such limit. "+
			"Writes reach the source all the same, but a key that needs a repair there stays a named blocker of the rollback",
			"%s to %s: %s", r.target.info.Version, r.source.info.Version, strings.Join(refused, "; "))
	}
	return success("%s to %s: all types", r.target.info.Version, r.source.info.Version)
}

// exchange makes a value of each type on one side and restores its DUMP on the other. refused says, by reason,
// which were not taken; made is how many could be tried.
func exchange(ctx context.Context, r *run, from, to *side) (refused []string, made int, err error) {
	types := map[string][]string{}
	var reasons []string
	for _, x := range samples {
		if x.has != nil && !x.has(from.info) {
			continue
		}
		payload, err := r.dump(ctx, from, x)
		if err != nil {
			return nil, 0, err
		}
		if payload == "" {
			continue
		}
		made++
		_, err = to.conn.Do(ctx, "RESTORE", r.scratch, scratchTTL, payload, "REPLACE")
		var reply *instance.ReplyError
		if err != nil && !errors.As(err, &reply) {
			return nil, 0, err
		}
		if err != nil {
			if types[reply.Text] == nil {
				reasons = append(reasons, reply.Text)
			}
			types[reply.Text] = append(types[reply.Text], x.what)
		}
	}
	for _, s := range []*side{from, to} {
		if err := r.remove(ctx, s); err != nil {
			return nil, 0, err
		}
	}
	for _, reason := range reasons {
		what := strings.Join(types[reason], ", ")
		if len(types[reason]) == made {
			what = "every type"
		}
		refused = append(refused, fmt.Sprintf("%s refused (%s)", what, reason))
	}
	return refused, made, nil
}

// dump makes the sample in the scratch key and returns its DUMP, or "" where a command for it is refused: that
// is the subject of the commands check. The expiry comes in the same block, so that nothing can stay behind.
func (r *run) dump(ctx context.Context, s *side, x sample) (string, error) {
	if err := r.remove(ctx, s); err != nil {
		return "", err
	}
	block := [][]string{{"MULTI"}}
	for _, command := range x.make {
		block = append(block, trial{args: command}.words(r.scratch, ""))
	}
	block = append(block, []string{"PEXPIRE", r.scratch, scratchTTL}, []string{"DUMP", r.scratch}, []string{"EXEC"})
	replies, err := s.conn.Pipe(ctx, block...)
	if err != nil {
		return "", err
	}
	results := replies[len(replies)-1].Elems
	if len(results) != len(x.make)+2 {
		return "", nil // EXECABORT, after one was refused
	}
	for i := range results {
		if results[i].IsError() {
			return "", nil
		}
	}
	return string(results[len(results)-1].Str), nil
}

// remove deletes the scratch key by whichever command is allowed.
func (r *run) remove(ctx context.Context, s *side) error {
	_, err := s.conn.Pipe(ctx, []string{"DEL", r.scratch}, []string{"UNLINK", r.scratch})
	return err
}
