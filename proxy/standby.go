package proxy

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"time"
)

// standby is a pinned lane to the primary to be, prepared for a session with standing state. It is brought to
// that state and deaf: what comes on it is dropped until the swap, when it becomes the session's own.
//
//	              Prepare          Hold, Answered, Ready            Swap
//	old lane   ── messages ──────── messages, fence ┐                closed
//	standby        connects, SUBSCRIBE ..., deaf    └─ up to date ── messages ──►
//
// A message published through the proxy before the hold is on the old lane ahead of the fence (see fenced); one
// published after the swap comes on the new lane. So each is heard once, in order.
//
// Everything here is under the shard's lock.
type standby struct {
	sess *session
	lane *lane // nil: none is open, or on the way

	begun       bool // it has been sent the state as of the two counters
	answered    bool // ... and has taken it, if not yet all that has changed since
	subs, state uint64
	has         subscriptions // what it has been sent

	again   time.Time // not to be tried before
	trouble string    // why the last one came to nothing
}

// tend opens the lane or brings it up to date, and reports whether nothing is left to do.
func (b *standby) tend(n *Next) bool {
	sh, s := n.sh, b.sess
	if ln := b.lane; ln != nil && (ln.laneKey != s.pinned.laneKey || b.begun && b.state != s.stateChanges || ln.refused != "") {
		// Another database, protocol or account, or something that is not taken back by a command: anew.
		if ln.refused != "" {
			b.failed(ln.refused)
		}
		b.drop(sh)
	}
	ln := b.lane
	switch {
	case ln == nil:
		if time.Now().After(b.again) {
			b.open(n)
		}
		return false
	case !ln.up || ln.clientID == 0 && !ln.nameless:
		return false
	case !b.begun:
		if !n.bring(b) {
			return false
		}
	case b.subs != s.subs.changes:
		for _, f := range s.subs.since(&b.has) {
			ln.subscribe(f)
		}
	default:
		return ln.queue.n == 0
	}
	b.begun, b.subs, b.state, b.has = true, s.subs.changes, s.stateChanges, s.subs.clone()
	sh.work.Go(ln.flush)
	return false
}

// open connects the lane, on a goroutine of its own.
func (b *standby) open(n *Next) {
	sh := n.sh
	if !sh.opt.Descriptors.room() {
		b.failed(errDescriptors.Error())
		return
	}
	ln := sh.newPin(n.u, b.sess.pinned.laneKey)
	ln.deaf = true
	b.lane, b.begun, b.answered, b.has = ln, false, false, subscriptions{}
	sh.work.Go(func() {
		ctx, cancel := context.WithTimeout(n.u.ctx, max(sh.opt.PrimaryWait, time.Second))
		defer cancel()
		up := make(chan error, 1)
		ln.runPinned(ctx, up)
		err := <-up
		sh.lock()
		defer sh.unlock()
		if b.lane == ln { // it could not be opened, or broke before the swap
			b.lane = nil
			if err != nil {
				b.failed(err.Error())
			}
		}
	})
}

// failed notes why a lane came to nothing, and lets some time pass before the next.
func (b *standby) failed(why string) {
	b.trouble, b.again = why, time.Now().Add(retryMin)
}

// drop closes the lane.
func (b *standby) drop(sh *Shard) {
	if b.lane != nil {
		sh.retire(b.lane)
		b.lane = nil
	}
}

// bring sends a fresh standby all of the session's state. It reports false as long as it is not known by which
// id the new primary knows the lane of another session that invalidations are redirected to.
func (n *Next) bring(b *standby) bool {
	s := b.sess
	for i := range s.state {
		id := s.state[i].redirect
		if id == 0 {
			continue
		}
		other := n.sh.standing(id)
		if other == nil {
			continue // it is gone: restore knows
		}
		if o := n.standbys[other]; o == nil || o.lane == nil || o.lane.clientID == 0 {
			return false
		}
	}
	s.restore(b.lane, func(id int64) int64 {
		if other := n.sh.standing(id); other != nil {
			return n.standbys[other].lane.clientID
		}
		return noClient
	})
	ln := b.lane
	ln.enqueue(&request{src: pingFrame, replies: 1, then: func([]byte) []byte {
		b.answered = b.lane == ln && ln.refused == ""
		return nil
	}})
	return true
}

// standing returns the session of that id if it has a lane of its own that is up, or nil.
func (sh *Shard) standing(id int64) *session {
	for ln := range sh.primary.pinned {
		if ln.up && ln.user != nil && ln.user.id == id && ln.user.pins&standing != 0 {
			return ln.user
		}
	}
	return nil
}

// tend sees to it that each session with standing state has its standby, and nobody else. Sessions come, go and
// change as long as there is no hold. It reports whether all are ready.
func (n *Next) tend() bool {
	for s, b := range n.standbys {
		if ln := s.pinned; ln == nil || s.pins&standing == 0 || ln.of != n.sh.primary || s.closed.Load() {
			b.drop(n.sh)
			delete(n.standbys, s)
		}
	}
	ready := true
	for ln := range n.sh.primary.pinned {
		s := ln.user
		if s == nil || s.pins&standing == 0 || !ln.up || s.closed.Load() {
			continue
		}
		b := n.standbys[s]
		if b == nil {
			b = &standby{sess: s}
			n.standbys[s] = b
		}
		ready = b.tend(n) && ready
	}
	return ready
}

// prepared reports whether every session with standing state has a lane that is connected. Some may be behind
// their sessions, which go on as long as there is no hold.
func (n *Next) prepared() bool {
	n.tend()
	for _, b := range n.standbys {
		if b.lane == nil || !b.answered {
			return false
		}
	}
	return true
}

// trouble says what keeps a standby from being ready, or is empty.
func (n *Next) trouble() string {
	for _, b := range n.standbys {
		if b.trouble != "" && (b.lane == nil || !b.answered) {
			return fmt.Sprintf("the subscriptions or the like of client %d could not be brought to %s: %s",
				b.sess.id, n.u.inst, b.trouble)
		}
	}
	return ""
}

// move gives each session with standing state its standby. One that has none that is ready, which can be after
// GiveUp only, is closed, as a failing server would.
func (n *Next) move(old *upstream) {
	var moved []*session
	var closing []net.Conn
	for ln := range old.pinned {
		s := ln.user
		if s == nil || s.pins&standing == 0 || s.closed.Load() || ln.conn == nil {
			continue
		}
		b := n.standbys[s]
		if b == nil || b.lane == nil || !b.lane.up || b.state != s.stateChanges || b.subs != s.subs.changes {
			s.close(PrimaryLost)
			continue
		}
		closing = append(closing, ln.conn)
		s.moveTo(b.lane)
		b.lane = nil
		moved = append(moved, s)
	}
	for _, b := range n.standbys {
		b.drop(n.sh)
	}
	clear(n.standbys)
	for _, s := range moved {
		s.goOn()
		s.invalidate()
	}
	// Not here: everybody waits for the lock, and with thousands of subscribers it takes its time.
	n.sh.work.Go(func() {
		for _, conn := range closing {
			_ = conn.Close()
		}
	})
}

// moveTo makes a prepared lane the session's own. The caller closes the connection of the one that it had.
func (s *session) moveTo(ln *lane) {
	old := s.pinned
	s.lostWatch = s.lostWatch || s.pins&pinWatch != 0
	if s.on == old {
		s.on = nil
	}
	s.pinned, ln.user, ln.deaf = ln, s, false
	old.user, old.retired = nil, true
}

// goOn brings the lane that the session was moved to into what is not standing. All have been moved.
func (s *session) goOn() {
	ln := s.pinned
	s.queueAgain(ln)
	if ln.queue.n > 0 {
		s.sh.work.Go(ln.flush)
	}
}

// queueAgain brings a lane that is in no transaction into the one that the session is in. What CLIENT CACHING has asked
// for holds for the next command, or for all of a transaction: so it goes first, for behind MULTI it would be queued.
func (s *session) queueAgain(ln *lane) {
	if s.caching != nil {
		ln.swallow(s.caching)
	}
	tx := s.tx
	if tx == nil || !tx.begun {
		return
	}
	// What was queued follows when this server is known to queue it: one that refuses MULTI, to this user say, would
	// execute it. Until then the session's commands wait (see send).
	ln.opening = true
	ln.enqueue(&request{src: multiFrame, replies: 1, then: func(reply []byte) []byte {
		s.opened(ln, tx, reply)
		return nil
	}})
	s.sh.work.Go(ln.flush) // nothing follows that would write it out
}

// opened goes on with queueAgain when MULTI is answered. The lock is held.
func (s *session) opened(ln *lane, tx *transaction, reply []byte) {
	ln.opening = false
	s.sh.news.tell()
	switch {
	case s.pinned != ln || s.tx != tx:
		return // it was given up meanwhile, and so is the lane
	case string(reply) != "+OK\r\n":
		tx.begun, tx.open, tx.unopened = false, false, bytes.Clone(reply)
		return
	}
	ln.multi = true
	for _, raw := range tx.asides {
		ln.swallow(raw)
	}
	if tx.spoilt {
		ln.swallow(echoNothing)
	}
	for i := range tx.sent {
		p := &tx.parts[i] // of which the session may be planning the rest, for EXEC
		raw := tx.block[p.from:p.to]
		if p.concern != nil && p.concern.again != nil {
			raw = p.concern.again(ln, raw)
		}
		ln.swallow(raw)
	}
	s.sh.work.Go(ln.flush)
}

// answerUnopened answers a command of a transaction that another primary would not begin. Nothing of it has run. False
// ends the session.
func (s *session) answerUnopened(r *request) bool {
	reply := r.tx.unopened
	switch {
	case r.ends && r.cmd.Name == "DISCARD":
		reply = []byte("+OK\r\n")
	case r.ends:
		reply = discardedFor(reply)
	}
	s.unsent(r)
	return s.answerInstead(r, bytes.Clone(reply))
}

// fenced reports whether all that the primary had to say on lanes of sessions' own, before the hold, is with the
// clients. To those that listen messages come unasked, so each of their lanes is sent something, once per hold,
// when nothing else is on the way any more. Nobody is told of the answers.
func (sh *Shard) fenced() bool {
	fenced := true
	for ln := range sh.primary.pinned {
		switch {
		case ln.user == nil || !ln.up:
		case ln.undelivered.Load():
			fenced = false // else a value that the client has read would reach it behind the word to forget all
		case !ln.listening && !ln.monitoring:
		case ln.fence != sh.holds:
			ln.fence = sh.holds
			ln.putFence()
			sh.work.Go(ln.flush)
			fenced = false
		}
	}
	return fenced
}

// putFence sends what changes nothing on the lane and is answered in every state that it can be in.
func (ln *lane) putFence() {
	s := ln.user
	switch {
	case s.tx != nil && s.tx.begun:
		// Whatever else there is would be queued, or abort the transaction: so it is begun anew. What was
		// watched is watched no longer, which EXEC says, as after any other loss of a watch.
		s.lostWatch = s.lostWatch || s.pins&pinWatch != 0
		ln.discard()
		s.queueAgain(ln)
	case !ln.resp3:
		ln.swallow(pingFrame) // answered while subscribed, as an array then
	default:
		ln.swallow(clientIDFrame) // unlike PING, it leaves standing what CLIENT CACHING has asked for
	}
}

var pingFrame = frame("PING")

// echoNothing is what every server refuses to queue.
var echoNothing = frame("ECHO")
