package proxy

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	"tandem/internal/instance"
	"tandem/router"
)

// learned is what the primary has said of a command that the table does not have.
type learned struct {
	cmd   *router.Command
	until time.Time // when to ask again: a module may be loaded
	of    *upstream
}

const (
	// learnedFor is how long the primary's word on a command is taken, and unknownFor that it knows none.
	learnedFor = 5 * time.Minute
	unknownFor = 5 * time.Second
	// maxLearned bounds the names that are remembered, and maxName the bytes of each: no server has a longer one.
	maxLearned = 4096
	maxName    = 256
)

// nameless stands for every command whose name is longer than any.
var nameless = router.Unknown("?")

// learn finds out about a command that the table does not have: from the primary or, where that does not tell,
// from the configuration. It returns nil if neither knows. A command that the primary does not know either is
// passed on as a read: it says so itself.
func (s *session) learn(args [][]byte) *router.Command {
	sh := s.sh
	if len(args[0]) > maxName {
		return nameless
	}
	name := strings.ToUpper(string(args[0]))
	sh.lock()
	l := sh.learned[name]
	if l != nil && (l.of != sh.primary || time.Now().After(l.until)) {
		l = nil
	}
	sh.unlock()
	if l == nil {
		l = s.askAbout(name)
	}
	if l == nil {
		if len(args) > 1 {
			if cmd := sh.opt.Writes[name+" "+strings.ToUpper(string(args[1]))]; cmd != nil {
				return cmd
			}
		}
		return sh.opt.Writes[name]
	}
	return l.cmd.Resolve(args)
}

// askAbout asks the primary. It returns nil when that does not tell.
func (s *session) askAbout(name string) *learned {
	sh := s.sh
	if !s.submit() {
		return nil
	}
	ctx, cancel := s.bound(max(sh.opt.PrimaryWait, time.Second))
	defer cancel()
	sh.lock()
	u := sh.primary
	sh.unlock()
	l := &learned{of: u}
	reply, err := s.insist(ctx, func(i *instance.Instance) ([]byte, error) {
		return sh.controlOf(ctx, i, "COMMAND", "INFO", name)
	})
	element, isArray := bytes.CutPrefix(reply, []byte("*1\r\n"))
	switch {
	case err != nil || !isArray:
		return nil
	case isNull(element):
		l.cmd, l.until = router.Unknown(name), time.Now().Add(unknownFor)
		l.cmd.Unheard = true
	default:
		if l.cmd, err = router.Learn(element); err != nil {
			sh.opt.Log.Warn("the server's COMMAND INFO is not understood", "command", name, "error", err)
			return nil
		}
		if l.cmd = l.cmd.As(name); l.cmd.Unclear() {
			if missing, err := s.missingEssential(ctx); err != nil || missing {
				return nil
			}
		}
		l.until = time.Now().Add(learnedFor)
	}
	sh.lock()
	defer sh.unlock()
	if len(sh.learned) >= maxLearned {
		clear(sh.learned)
	}
	sh.learned[name] = l
	return l
}

// missingEssential reports whether the primary lacks, under its own name, a command that every server has: one of which
// little is known may be that one.
func (s *session) missingEssential(ctx context.Context) (bool, error) {
	reply, err := s.insist(ctx, func(i *instance.Instance) ([]byte, error) {
		return s.sh.controlOf(ctx, i, append([]string{"COMMAND", "INFO"}, router.Essential...)...)
	})
	if err != nil {
		return false, err
	}
	elements, ok := splitArray(reply, len(router.Essential))
	return !ok || slices.ContainsFunc(elements, isNull), nil
}

// control asks the primary for something on a connection of its own, with the proxy's credentials.
func (sh *Shard) control(ctx context.Context, args ...string) ([]byte, error) {
	return sh.controlOf(ctx, sh.Primary(), args...)
}

func (sh *Shard) controlOf(ctx context.Context, i *instance.Instance, args ...string) ([]byte, error) {
	conn, _, err := i.Open(ctx, sh.ConnName("control"), 0)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return ask(ctx, conn, frame(args...))
}
