package proxy

import (
	"context"
	"strconv"
	"strings"
	"time"

	"tandem/internal/instance"
	"tandem/router"
)

// How commands that block are ended before their time: by a hold, which takes all of them back, and by a client
// that asks for the end of another's. Both are a CLIENT UNBLOCK on another connection, so it may reach the server
// too early or too late, when its lane has another command, or another session. So a lane is not given to another
// session while a client's request for it is on the way, and what begins to block while a hold's are is taken to be
// hit by one.

// takeBack takes back, for a hold, all commands that block: it asks for the end of each until it is answered.
// The lock is held.
func (sh *Shard) takeBack() {
	waiting := false
	for ln := range sh.primary.pinned {
		if b := ln.blocks(); b != nil {
			b.taken, waiting = true, true
		}
	}
	if waiting && !sh.taking {
		sh.taking = true
		sh.work.Go(sh.unblockAll)
	}
}

// blocks is the command that blocks on the lane, or nil.
func (ln *lane) blocks() *blocking {
	for r := ln.queue.head; r != nil; r = r.next { // a few: the session sends nothing meanwhile
		if r.blocking != nil {
			return r.blocking
		}
	}
	return nil
}

func (sh *Shard) unblockAll() {
	// The hold is bounded by who asked for it; this is only so that nothing is left behind for ever.
	ctx, cancel := context.WithTimeout(sh.ctx, sh.opt.PrimaryWait+time.Second)
	defer cancel()
	conn, err := sh.Primary().Conn(ctx, sh.ConnName("unblock"), 0)
	if err == nil {
		err = sh.unblockUntilEmpty(ctx, conn)
		_ = conn.Close()
	}
	if err == nil {
		return
	}
	sh.opt.Log.Warn("commands that block cannot be taken back", "error", err)
	sh.lock()
	sh.taking, sh.strayed = false, sh.strayed || conn != nil
	sh.unlock()
}

// unblockUntilEmpty ends when nothing blocks any more, or the hold is over, with no request on the way.
func (sh *Shard) unblockUntilEmpty(ctx context.Context, conn *instance.Conn) error {
	byName := map[string]int64{}
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		var ask [][]string
		nameless := false
		sh.lock()
		for ln := range sh.primary.pinned {
			b := ln.blocks()
			if b == nil || !sh.held {
				continue
			}
			b.taken = true
			id := ln.clientID
			if id == 0 {
				id = byName[ln.name]
			}
			if nameless = nameless || id == 0; id != 0 {
				ask = append(ask, []string{"CLIENT", "UNBLOCK", strconv.FormatInt(id, 10)})
			}
		}
		if len(ask) == 0 && !nameless {
			sh.taking = false
			sh.unlock()
			return nil
		}
		sh.unlock()
		if nameless {
			// The server has not told, or does not tell this user, by what id it knows the lane.
			if v, err := conn.Do(ctx, "CLIENT", "LIST"); err == nil {
				byName = idsByName(string(v.Str))
			}
		}
		if len(ask) > 0 {
			replies, err := conn.Pipe(ctx, ask...)
			if err != nil {
				return err
			}
			if replies[0].IsError() {
				sh.slices(string(replies[0].Str))
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// idsByName reads CLIENT LIST.
func idsByName(list string) map[string]int64 {
	ids := map[string]int64{}
	for line := range strings.Lines(list) {
		var id int64
		for field := range strings.FieldsSeq(line) {
			switch key, value, _ := strings.Cut(field, "="); key {
			case "id":
				id, _ = strconv.ParseInt(value, 10, 64)
			case "name":
				ids[value] = id
			}
		}
	}
	return ids
}

// findSliced finds out, once for each primary, whether what blocks on it can be taken back. Where it cannot,
// commands block for short times only, one after the other, so that roles can change; several clients that wait
// for one key are served in no order then.
func (s *session) findSliced() {
	sh := s.sh
	sh.lock()
	u := sh.primary
	sh.unlock()
	if u.unblocksKnown.Load() {
		return
	}
	s.turn.StepAside()
	u.unblocks.Do(func() {
		ctx, cancel := sh.bounded()
		defer cancel()
		reply, err := sh.controlOf(ctx, u.inst, "CLIENT", "UNBLOCK", "0") // nobody's id
		if err == nil && reply[0] == '-' {
			sh.slices(strings.TrimSpace(string(reply[1:])))
		}
		u.unblocksKnown.Store(true)
	})
}

func (sh *Shard) slices(why string) {
	if sh.sliced.CompareAndSwap(false, true) {
		sh.opt.Log.Warn("the server refuses CLIENT UNBLOCK: from now on commands block for short times only, one after "+
			"the other, so that roles can change", "error", why)
	}
}

const errUnblocked = "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"

// parseUnblock is whom a CLIENT UNBLOCK is about, and how the command ends, TIMEOUT or ERROR; ok is false when the
// server must say what is wrong with it.
func parseUnblock(args [][]byte) (id int64, how string, ok bool) {
	if len(args) != 3 && len(args) != 4 {
		return 0, "", false
	}
	id, err := strconv.ParseInt(string(args[2]), 10, 64)
	how = "TIMEOUT"
	if len(args) == 4 {
		how = strings.ToUpper(string(args[3]))
	}
	return id, how, err == nil && (how == "TIMEOUT" || how == "ERROR")
}

// unblock is CLIENT UNBLOCK, of another session of the proxy.
func (s *session) unblock(cmd *router.Command, raw []byte, args [][]byte) bool {
	id, how, ok := parseUnblock(args)
	if !ok {
		return s.pass(cmd, raw)
	}
	return s.submit() && s.answer(s.unblockReply(id, how))
}

// unblockReply ends the command with which a client blocks, and returns the answer to that.
func (s *session) unblockReply(id int64, how string) []byte {
	done := false
	if other := s.srv.byID(id); other != nil {
		s.turn.StepAside() // the primary may be asked, on another connection
		var err error
		if done, err = s.sh.unblock(other, how); err != nil {
			return errorReply(nil, "CLIENT UNBLOCK could not be sent: %v", err)
		}
	}
	if done {
		return []byte(":1\r\n")
	}
	return []byte(":0\r\n")
}

// unblock ends the command with which another session blocks, if it does.
func (sh *Shard) unblock(other *session, how string) (done bool, err error) {
	sh.lock()
	defer sh.unlock()
	for b := other.blocks; b != nil && b.trying; b = other.blocks {
		news := sh.news.next()
		sh.unlock()
		<-news // it is being answered, or goes on waiting
		sh.lock()
	}
	b := other.blocks
	if b == nil {
		return false, nil
	}
	b.verdict = b.nothing()
	if how == "ERROR" {
		b.verdict = []byte(errUnblocked)
	}
	ln := b.lane
	if ln == nil {
		// It waits in the proxy: in line, or for a stream.
		other.nudge()
		return true, nil
	}
	inst, id, name := ln.of.inst, ln.clientID, ln.name
	ln.asked++
	sh.unlock()
	reply, err := sh.unblockOn(inst, id, name, how)
	sh.lock()
	ln.asked--
	if err != nil || string(reply) == ":1\r\n" {
		return true, err
	}
	// It was not blocked there: it was served, or its time was over, or a hold had taken it back just before.
	if !b.obeyed {
		b.verdict = nil
	}
	return b.obeyed, nil
}

func (sh *Shard) unblockOn(inst *instance.Instance, id int64, name, how string) ([]byte, error) {
	ctx, cancel := sh.bounded()
	defer cancel()
	if id == 0 {
		list, err := sh.controlOf(ctx, inst, "CLIENT", "LIST")
		if err != nil {
			return nil, err
		}
		id = idsByName(string(list))[name]
	}
	return sh.controlOf(ctx, inst, "CLIENT", "UNBLOCK", strconv.FormatInt(id, 10), how)
}

// bounded returns a context for a question to the primary.
func (sh *Shard) bounded() (context.Context, context.CancelFunc) {
	return context.WithTimeout(sh.ctx, max(sh.opt.PrimaryWait, time.Second))
}
