package proxy

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strconv"
	"time"

	"tandem/internal/ledger"
	"tandem/internal/resp"
	"tandem/router"
)

const (
	// readAhead is how much is read of a client whose command blocks, to notice that it goes away.
	readAhead = 1 << 20
	// slice is for how long a command blocks at a time where the server does not let us take it back.
	slice = 300 * time.Millisecond
)

// blocking is one command that may block. Its session does nothing else meanwhile.
//
// First a form that does not block is tried in its place, so that a queue that is never empty is served like
// any other write. Only when there is nothing to take does it block, on a lane of the session's own, and owns
// nothing: others must be able to push what it waits for (see ledger.Blocked). A hold takes it back, and it is
// issued again: on the new primary, if that is what the hold was for.
type blocking struct {
	cmd     *router.Command
	args    [][]byte
	raw     []byte
	until   time.Time
	forever bool
	bounded bool // its timeout is known

	// under the shard's lock
	waits  bool // it is on its lane
	asked  bool // somebody else asked for the end of it (CLIENT UNBLOCK)
	taken  bool // a hold takes it back
	again  bool // ... has taken it
	served bool
}

// block runs a command that may block. False ends the session.
func (s *session) block(cmd *router.Command, raw []byte, args [][]byte) bool {
	if !s.submit() || !s.awaitAnswers() {
		return false
	}
	b := &blocking{cmd: cmd, raw: bytes.Clone(raw)}
	b.args = resp.Args(b.raw, nil)
	d, forever, ok := cmd.Timeout(b.args)
	b.forever, b.bounded = forever, ok
	b.until = time.Now().Add(d)
	if ok && !s.pinLastIDs(b) {
		return false
	}
	for !s.closed.Load() {
		if ok && s.sh.hints.Load().dual {
			served, alive := s.tryFirst(b)
			if served || !alive {
				return alive
			}
		}
		if done, alive := s.blockOnce(b); done || !alive {
			return alive
		}
	}
	return false
}

// tryFirst takes what is there without blocking.
func (s *session) tryFirst(b *blocking) (served, alive bool) {
	form, t, reshape, ok := b.cmd.Try(nil, b.args, s.sh.hints.Load().server)
	if !ok {
		return false, true
	}
	r := s.request()
	r.cmd, r.src, r.replies, r.own = t, form, 1, s.pins != 0
	r.then = func(reply []byte) []byte {
		var out []byte
		out, served = reshape(nil, reply)
		return out
	}
	args := resp.Args(form, nil)
	if r.writes = t.IsWrite(args); r.writes {
		s.plan(r, args, s.sh.hints.Load())
	}
	s.add(r)
	if !s.submit() || !s.awaitAnswers() {
		return false, false
	}
	return served, true
}

// blockOnce sends the command so that it blocks, and waits for what becomes of it. done is false when it was
// taken back.
func (s *session) blockOnce(b *blocking) (done, alive bool) {
	sh := s.sh
	raw := b.raw
	if b.bounded {
		left := time.Until(b.until)
		if !b.forever {
			raw = b.cmd.WithTimeout(nil, b.args, max(left, time.Millisecond))
		}
		if sh.sliced.Load() && (b.forever || left > slice) {
			raw, b.taken = b.cmd.WithTimeout(nil, b.args, slice), true
		}
	}
	if !s.pin(pinBlocked) {
		return false, false
	}
	b.asked = false
	r := s.request()
	r.cmd, r.src, r.replies, r.own = b.cmd, raw, 1, true
	r.blocking = b
	if b.cmd.IsWrite(b.args) {
		r.blocked = s.blockedOn(b)
	}
	r.then = func(reply []byte) []byte { return b.over(reply) }
	s.add(r)
	ok := s.submit() && s.awaitBlocked()
	sh.lock()
	done = !b.again
	b.again, b.taken = false, false
	s.pins &^= pinBlocked
	s.leavePin()
	sh.unlock()
	return done, ok
}

// blockedOn are the keys that the command names, for the ledger.
func (s *session) blockedOn(b *blocking) *ledger.Blocked {
	places, _ := b.cmd.AppendKeys(nil, b.args)
	k := &ledger.Blocked{}
	for _, p := range places {
		k.Keys = append(k.Keys, s.key(p, b.args))
	}
	return k
}

// over is told the reply. The client gets it, unless the command is to be issued again.
func (b *blocking) over(reply []byte) []byte {
	b.waits = false
	null := isNull(reply)
	b.served = !null && reply[0] != '-'
	late := !b.forever && !time.Now().Before(b.until)
	if null && b.taken && !b.asked && !late {
		b.again = true
		return nil
	}
	return reply
}

// isNull: nothing, in any form.
func isNull(reply []byte) bool {
	return bytes.HasPrefix(reply, []byte("*-1")) || bytes.HasPrefix(reply, []byte("$-1")) || reply[0] == '_'
}

// pinLastIDs makes "$" the id that it stands for now: the command may be issued more than once.
func (s *session) pinLastIDs(b *blocking) bool {
	for _, at := range b.cmd.Streams(b.args) {
		var id []byte
		r := s.request()
		r.cmd, r.replies, r.own = ownCommand, 1, s.pins != 0
		r.src = router.AppendLastIDRead(nil, b.args[at.Key])
		r.then = func(reply []byte) []byte {
			if last, ok := router.ReadLastID(reply); ok {
				id = bytes.Clone(last)
			}
			return nil
		}
		s.add(r)
		if !s.submit() || !s.awaitAnswers() {
			return false
		}
		if id != nil { // else the user may not ask for it, or the key is no stream: the server will tell
			b.args[at.ID] = id
			b.raw = resp.AppendArgs(nil, b.args)
		}
	}
	return true
}

// awaitBlocked waits for the answer while it watches the client's connection: for one that goes away the server
// must not go on to take things. False: the session has ended.
func (s *session) awaitBlocked() bool {
	s.watching.Store(true)
	defer func() {
		s.watching.Store(false)
		_ = s.conn.SetReadDeadline(time.Time{})
	}()
	for !s.closed.Load() {
		_ = s.conn.SetReadDeadline(time.Time{})
		switch {
		case s.inflight.Load() == 0:
			return true
		case s.srv.draining.Load():
			s.close(ShuttingDown)
			return false
		case s.w-s.r > readAhead:
			return s.awaitAnswers()
		}
		_, err := s.input.read(1)
		if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		s.close(ClientGone)
	}
	return false
}

// takeBack takes back, for a hold, all commands that block: it asks for the end of each until it is answered.
// The lock is held.
func (sh *Shard) takeBack() {
	waiting := false
	for ln := range sh.primary.pinned {
		if h := ln.queue.last(); h != nil && h.blocking != nil {
			h.blocking.taken, waiting = true, true
		}
	}
	if waiting && !sh.taking {
		sh.taking = true
		sh.work.Go(sh.unblockAll)
	}
}

func (sh *Shard) unblockAll() {
	defer func() {
		sh.lock()
		sh.taking = false
		sh.unlock()
	}()
	ctx, cancel := context.WithTimeout(sh.ctx, sh.opt.PrimaryWait+time.Second)
	defer cancel()
	conn, err := sh.Primary().Conn(ctx, sh.ConnName("unblock"), 0)
	if err != nil {
		sh.opt.Log.Warn("commands that block cannot be taken back", "error", err)
		return
	}
	defer conn.Close()
	for pause := time.Millisecond; ctx.Err() == nil; pause = min(2*pause, 20*time.Millisecond) {
		var ask [][]string
		sh.lock()
		for ln := range sh.primary.pinned {
			if h := ln.queue.last(); sh.held && h != nil && h.blocking != nil && ln.clientID != 0 {
				h.blocking.taken = true
				ask = append(ask, []string{"CLIENT", "UNBLOCK", strconv.FormatInt(ln.clientID, 10)})
			}
		}
		held := sh.held
		sh.unlock()
		if !held || len(ask) == 0 && pause > time.Millisecond {
			return
		}
		if len(ask) > 0 {
			replies, err := conn.Pipe(ctx, ask...)
			if err != nil {
				sh.opt.Log.Warn("commands that block cannot be taken back", "error", err)
				return
			}
			if replies[0].IsError() && sh.sliced.CompareAndSwap(false, true) {
				sh.opt.Log.Warn("the server refuses CLIENT UNBLOCK: commands block for short times only from now on, one after "+
					"the other, so that roles can change", "error", string(replies[0].Str))
			}
		}
		time.Sleep(pause)
	}
}
