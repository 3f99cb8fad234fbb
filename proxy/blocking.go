package proxy

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strconv"
	"time"

	"tandem/internal/ledger"
	"tandem/internal/resp"
	"tandem/router"
)

const (
	// readAhead is how much is read of a client whose command blocks; beyond it only its going away is noticed.
	readAhead = 1 << 20
	// slice is for how long a command blocks at a time where the server does not let us take it back.
	slice = 300 * time.Millisecond
	// unnoticed is how much longer than asked a command may block: one that is sent within that time is sent as it came.
	unnoticed = 20 * time.Millisecond
	// maxTried is the size of a command up to which a form of it is tried that does not block: the head of a large
	// reply, which that form's reply is recognised by, must hold all its keys.
	maxTried = maxUnit / 2
)

// blocking is one command that may block. Its session does nothing else meanwhile.
//
//	            ┌── nothing there ──► blocks, on a lane of the session's own ──► reply
//	try ────────┤                        │         ▲
//	 shared     └── served               │ a hold  │ in their old order, after it
//	 lane                                ▼         │
//	                                   the line of those taken back
//
// First a form that does not block is tried in its place, so that a queue that is never empty is served like
// any other write. Only when there is nothing to take does it block, and owns nothing: others must be able to push
// what it waits for (see ledger.Blocked). A hold takes it back, and it is issued again: on the new primary, if that
// is what the hold was for. (Readers of a stream's group wait otherwise: see crowd.)
//
// Nothing is popped twice or lost by this. A command is issued again only after a reply to it that is null, with
// which the server says that it gave nothing; a null that nobody but we can have caused, because neither its time is
// over nor has a client asked for it. If its connection breaks, the session ends, and what it was to write is dirty
// once the connection is known dead.
//
// Clients are served in the order in which the server has come to know that they block, which is the server's own
// rule. Two that come at the same time have no order; one that anybody has seen blocked (CLIENT LIST has its flag
// from the moment when it is sent) is ahead of one that comes later: while somebody blocks on a key, a try finds
// nothing there, for what is pushed is given to him in that moment. What a hold takes back stands in line, and is
// issued again in the order of before, each one written before the next, ahead of whatever has come since.
type blocking struct {
	sess    *session
	cmd     *router.Command
	args    [][]byte
	raw     []byte
	order   uint64 // its place among all that have come
	until   time.Time
	length  time.Duration // of its timeout
	forever bool
	bounded bool // its timeout is known
	acks    bool // it waits for replicas, and is answered with numbers

	// under the shard's lock
	lane     *lane  // on which it blocks; nil while it does not
	issued   bool   // the server has had it once, and found nothing wrong with it
	prepared bool   // a lane was opened for it while it stands in line
	echo     bool   // the server answers something when it has read it
	taken    bool   // a hold's request to take it back may be on the way
	again    bool   // ... was: it is to be issued again
	served   bool   // it was given something
	failed   []byte // the error that its try got
	trying   bool   // it takes its turn in a crowd
	acked    []byte // the acknowledgements there were when it was taken back
	verdict  []byte // what it answers because a client asked for its end (CLIENT UNBLOCK)
	obeyed   bool   // it has
	over     bool   // its session has done with it
}

// block runs a command that may block. False ends the session.
func (s *session) block(cmd *router.Command, raw []byte, args [][]byte) bool {
	if !s.submit() || !s.awaitAnswers() {
		return false
	}
	b := &blocking{sess: s, cmd: cmd, raw: bytes.Clone(raw), acks: cmd.Name == "WAIT" || cmd.Name == "WAITAOF"}
	b.args = resp.Args(b.raw, nil)
	d, forever, ok := cmd.Timeout(b.args)
	b.until, b.length, b.forever, b.bounded = time.Now().Add(d), d, forever, ok
	if ok {
		if over, alive := s.pinLastIDs(b); over || !alive {
			return alive
		}
	}
	s.sh.queueUp(b)
	alive := s.serveBlocking(b)
	s.endBlock(b) // not deferred: it takes the lock (see session.serve)
	return alive
}

// serveBlocking tries and blocks until the command is answered. False ends the session.
func (s *session) serveBlocking(b *blocking) bool {
	for !s.closed.Load() {
		if over, alive := s.awaitTurn(b); over || !alive {
			return alive
		}
		switch dual := s.sh.hints.Load().dual; {
		case s.sh.takes(b) && (!b.bounded || !b.readsGroup()):
			return s.take(b)
		case b.bounded && dual && !s.blocksOnStaying(b):
			switch {
			case b.readsGroup():
				return s.readGroup(b)
			case !b.issued:
				if served, alive := s.tryFirst(b); served || !alive {
					return alive
				}
			}
		}
		if done, alive := s.blockOnce(b); done || !alive {
			return alive
		}
	}
	return false
}

// tryFirst takes what is there without blocking. served is true if the client has an answer.
func (s *session) tryFirst(b *blocking) (served, alive bool) {
	b.failed = nil
	raw, cmd, reshape, ok := b.cmd.Try(nil, b.args, s.sh.hints.Load().server)
	if !ok || len(b.raw) > maxTried {
		return false, true
	}
	return s.tryForm(b, form{raw, cmd, reshape})
}

// tryForm is tryFirst by one form.
func (s *session) tryForm(b *blocking, f form) (served, alive bool) {
	r := s.request()
	r.cmd, r.src, r.replies, r.own, r.tries = f.cmd, f.raw, 1, s.pins != 0, b
	r.then = func(reply []byte) []byte {
		var out []byte
		if out, served = f.reshape(nil, reply); !served && reply[0] == '-' {
			b.failed = bytes.Clone(reply)
		}
		return out
	}
	r.writes = f.cmd.IsWrite(resp.Args(f.raw, nil)) // it is planned when it is sent
	s.add(r)
	s.refused = false
	if !s.submit() || !s.awaitAnswers() {
		return false, false
	}
	return served || s.refused, true
}

// blockOnce sends the command so that it blocks, and waits for what becomes of it. done is false when it was
// taken back.
func (s *session) blockOnce(b *blocking) (done, alive bool) {
	sh := s.sh
	if !s.pin(pinBlocked) {
		return false, false
	}
	s.findSliced()
	r := s.request()
	r.cmd, r.src, r.replies, r.own = b.cmd, b.raw, 1, true
	r.blocking = b
	if b.cmd.IsWrite(b.args) && !s.blocksOnStaying(b) {
		r.blocked = s.blockedOn(b)
	}
	r.then = b.answered
	s.add(r)
	s.refused = false
	ok := s.submit()
	refused := s.refused
	if !refused {
		sh.sentOut(b)
		ok = ok && s.awaitBlocked()
	}
	sh.lock()
	done = !b.again || refused
	s.pins &^= pinBlocked
	s.leavePin()
	sh.unlock()
	return done, ok
}

// blockedOn are the keys that the command names, for the ledger; none if they cannot be told.
func (s *session) blockedOn(b *blocking) *ledger.Blocked {
	k := &ledger.Blocked{}
	places, ok := b.cmd.AppendKeys(nil, b.args)
	if !ok {
		return k
	}
	for _, p := range places {
		if key := s.key(p, b.args); !key.Stays {
			k.Keys = append(k.Keys, key)
		}
	}
	return k
}

// sent is told that the command is being put on its lane. It gets its timeout now, when no more time can pass. The
// lock is held.
func (b *blocking) sent(ln *lane, r *request) {
	sh, first := ln.sh, !b.issued
	b.lane, b.issued, b.prepared, b.again = ln, true, false, false
	b.taken = sh.taking || sh.strayed
	b.sess.blocks = b
	if b.echo = slices.Contains(sh.line, b); b.echo {
		// The server reads both at once, and answers when it has executed both as far as it can.
		ln.enqueue(&request{src: pingFrame, replies: 1, then: func([]byte) []byte {
			sh.leaveLineAs(b)
			return nil
		}})
	}
	if b.acks {
		// What it waits for is as far as its connection has come by its own commands, and this one has none yet.
		ln.swallow(pingFrame)
	}
	if !b.bounded {
		return
	}
	left := time.Until(b.until)
	asSent := first && b.length-left < unnoticed || !b.cmd.KnownTo(sh.env.Primary)
	if !b.forever && !asSent {
		r.src = b.cmd.WithTimeout(nil, b.args, max(left, time.Millisecond))
	}
	if sh.sliced.Load() && (b.forever || left > slice) {
		r.src, b.taken = b.cmd.WithTimeout(nil, b.args, slice), true
	}
}

// answered is told the reply, or the head of a large one. The client gets it, unless the command is to be issued
// again. The lock is held.
func (b *blocking) answered(reply []byte) []byte {
	b.lane = nil
	empty := isNull(reply) || b.acks && b.tooFew(reply)
	b.served = !empty && reply[0] != '-' || !b.bounded // which replies of a learned one say so is not known
	if empty && b.taken && !b.late() && !b.over {
		if b.verdict == nil {
			b.again = true
			if b.acks {
				b.acked = bytes.Clone(reply)
			}
			b.sess.sh.standInLine(b)
			return nil
		}
		if b.obeyed = true; !b.acks || b.verdict[0] == '-' {
			reply = b.verdict
		}
	}
	b.sess.blocks = nil
	return reply
}

// late reports whether its time is over.
func (b *blocking) late() bool { return !b.forever && !time.Now().Before(b.until) }

// nothing is the reply that there was nothing in all that time, the same for every command and version; or how many
// had acknowledged when it was taken back.
func (b *blocking) nothing() []byte {
	switch {
	case b.acked != nil:
		return b.acked
	case b.sess.resp3:
		return []byte("_\r\n")
	}
	return []byte("*-1\r\n")
}

// isNull: nothing, in any form.
func isNull(reply []byte) bool {
	return bytes.HasPrefix(reply, []byte("*-1\r")) || bytes.HasPrefix(reply, []byte("$-1\r")) || reply[0] == '_'
}

// tooFew reports whether the reply to WAIT or WAITAOF has fewer acknowledgements than asked for.
func (b *blocking) tooFew(reply []byte) bool {
	if reply[0] == '*' {
		reply = reply[bytes.IndexByte(reply, '\n')+1:]
	}
	for _, asked := range b.args[1 : len(b.args)-1] {
		v, n, err := resp.Parse(reply)
		want, bad := strconv.ParseInt(string(asked), 10, 64)
		switch {
		case err != nil || bad != nil || v.Kind != ':':
			return false
		case v.Int < want:
			return true
		}
		reply = reply[n:]
	}
	return false
}

// inquire sends a read of our own in the session's place. told gets the reply, or the head of a large one, under
// the lock. over is true if the primary could not be asked: the client has been answered so.
func (s *session) inquire(raw []byte, told func(reply []byte)) (over, alive bool) {
	alive = s.askPrimary(ownCommand, raw, s.pins != 0, func(reply []byte) []byte {
		told(reply)
		return nil
	})
	return s.refused, alive
}

// awaitBlocked waits for the answer while it watches the client's connection: for one that goes away the server
// must not go on to take things. False: the session has ended.
func (s *session) awaitBlocked() bool {
	defer s.watch(time.Time{})()
	for !s.closed.Load() {
		_ = s.conn.SetReadDeadline(time.Time{})
		switch {
		case s.inflight.Load() == 0:
			return true
		case !s.listen():
			return false
		}
	}
	return false
}

// watch makes nudge wake the session from reading what its client sends; the returned function ends that.
func (s *session) watch(until time.Time) (end func()) {
	s.watching.Store(true)
	_ = s.conn.SetReadDeadline(until)
	return func() {
		s.watching.Store(false)
		_ = s.conn.SetReadDeadline(time.Time{})
	}
}

// awaitTurns waits for b's turns among those who wait for the same, and takes them, until b is over. look comes before each
// wait, and says when to look again by itself; zero is never. mine tells under the shard's lock whether it is b's turn.
// try takes it. False: the session has ended.
func (s *session) awaitTurns(b *blocking, look func() time.Time, mine func() bool, try func() (over, alive bool)) (alive bool) {
	for !s.closed.Load() {
		until := look()
		if !b.forever && (until.IsZero() || b.until.Before(until)) {
			until = b.until
		}
		end := s.watch(until)
		s.sh.lock()
		turn, verdict := mine(), b.verdict
		s.sh.unlock()
		switch {
		case turn:
			end()
			if over, alive := try(); over {
				return alive
			}
			continue
		case verdict != nil:
			end()
			return s.answer(verdict)
		case b.late():
			end()
			return s.answer(b.nothing())
		}
		alive := s.listen()
		end()
		if !alive {
			break
		}
	}
	return false
}

// listen reads some of what the client sends while its command blocks, until that comes, the deadline passes, or
// the session is nudged. False: the session has ended.
func (s *session) listen() bool {
	if s.srv.draining.Load() {
		s.close(ShuttingDown)
		return false
	}
	s.turn.StepAside()
	var err error
	if s.w-s.r <= readAhead {
		_, err = s.input.read(1)
	} else if err = s.input.awaitEnd(); errors.Is(err, errNoDescriptor) {
		pause := time.NewTimer(slice)
		select {
		case <-s.wake:
		case <-s.done:
		case <-pause.C:
		}
		pause.Stop()
		err = nil
	}
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		s.close(ClientGone)
	}
	return !s.closed.Load()
}

// nudge makes a session look again that waits with a command which blocks.
func (s *session) nudge() {
	s.wakeUp()
	if s.watching.Load() {
		_ = s.conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// endBlock forgets that b blocks.
func (s *session) endBlock(b *blocking) {
	s.sh.lock()
	defer s.sh.unlock()
	s.sh.leaveLine(b)
	b.over = true // a reply may still come, when the client has gone
	s.blocks = nil
	s.active.Store(time.Now().UnixNano())
	if s.pins&pinBlocked != 0 {
		s.pins &^= pinBlocked
		s.leavePin()
	}
}
