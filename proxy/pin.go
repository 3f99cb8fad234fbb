package proxy

import (
	"context"
	"time"
)

// pins are the reasons for which a session needs a lane of its own: what the server must keep for it, and would
// keep for all sessions of a shared lane. As long as there is one, all its commands travel on that lane. Under
// the shard's lock; only the session's goroutine adds one, and only with nothing on the way.
type pins uint8

const (
	pinTransaction pins = 1 << iota // MULTI was sent, and neither EXEC nor DISCARD
	pinWatch                        // keys are watched
	pinSubscribed                   // to channels or patterns
	pinMonitor                      // MONITOR
	pinState                        // what CLIENT TRACKING, CLIENT NO-TOUCH and their like have set
	pinBlocked                      // a command may block
	pinRedirected                   // others have had their invalidations redirected to it
)

// standing are the reasons that last beyond a command and concern what the server sends: the lane moves with a
// cutover, not with the session's next command.
const standing = pinSubscribed | pinMonitor | pinState | pinRedirected

// maxIdlePins is how many pinned lanes of a key are kept for the next session that needs one.
const maxIdlePins = 64

// pin gives the session a reason to have a lane of its own. It waits until nothing of its own is on the way.
// False: the session has ended.
func (s *session) pin(why pins) bool {
	if !s.submit() || !s.awaitAnswers() {
		return false
	}
	s.sh.lock()
	s.pins |= why
	s.sh.unlock()
	return true
}

// unpin takes the reason back.
func (s *session) unpin(why pins) {
	s.sh.lock()
	s.pins &^= why
	s.leavePin()
	s.sh.unlock()
}

// leavePin gives the pinned lane back for the next session, when there is no reason left to have one and
// nothing is on it. The lock is held.
func (s *session) leavePin() {
	ln := s.pinned
	if s.pins != 0 || ln == nil || ln.queue.n > 0 {
		return
	}
	s.pinned, ln.user = nil, nil
	if s.on == ln {
		s.on = nil
	}
	u := ln.of
	if ln.up && ln.clean() && ln.asked == 0 && u == s.sh.primary && len(u.idle[ln.laneKey]) < maxIdlePins {
		u.idle[ln.laneKey] = append(u.idle[ln.laneKey], ln)
		return
	}
	s.sh.retire(ln)
}

// repin gives the session a pinned lane to the present primary, and brings the server there to where it was
// with the old one. The caller looks again at everything. The lock is held, and released meanwhile.
func (s *session) repin() error {
	sh := s.sh
	if old := s.pinned; old != nil {
		if old.of == sh.primary && !old.up && s.pins&^pinBlocked != 0 {
			// Its connection broke with what the server kept.
			s.close(PrimaryLost)
			return nil
		}
		s.lostWatch = s.lostWatch || s.pins&pinWatch != 0
		sh.retire(old)
		s.pinned = nil
	}
	u := sh.primary
	if ln := u.takeIdle(s.laneKey()); ln != nil {
		s.pinned, ln.user = ln, s
	} else {
		ln, err := s.openPin(u)
		if err != nil {
			return err
		}
		s.pinned, ln.user = ln, s
		if u != sh.primary || !ln.up {
			return nil
		}
	}
	if s.pins&standing != 0 {
		s.restore(s.pinned, func(id int64) int64 {
			if other := sh.standing(id); other != nil && other.pinned.clientID != 0 {
				return other.pinned.clientID
			}
			return noClient
		})
		if s.trackingFrame() != nil {
			s.invalidateSoon()
		}
	}
	s.queueAgain(s.pinned)
	if sh.held {
		sh.work.Go(s.pinned.flush) // the command that would write this out is held
	}
	return nil
}

// takeIdle returns a lane that nobody uses, or nil.
func (u *upstream) takeIdle(k laneKey) *lane {
	for {
		idle := u.idle[k]
		if len(idle) == 0 {
			return nil
		}
		last := idle[len(idle)-1]
		idle[len(idle)-1] = nil
		u.idle[k] = idle[:len(idle)-1]
		if last.up {
			return last
		}
	}
}

// swallow sends something on a pinned lane whose reply nobody waits for.
func (ln *lane) swallow(raw []byte) {
	ln.enqueue(&request{src: raw, replies: 1})
}

// openPin connects a pinned lane, waiting for the primary as long as a command may. The lock is released
// meanwhile.
func (s *session) openPin(u *upstream) (*lane, error) {
	sh := s.sh
	if !sh.opt.Descriptors.room() {
		return nil, errDescriptors
	}
	ln := sh.newPin(u, s.laneKey())
	sh.unlock()
	defer sh.lock()
	ctx, cancel := s.bound(max(sh.opt.PrimaryWait, time.Second))
	defer cancel()
	up := make(chan error, 1)
	sh.work.Go(func() { ln.runPinned(ctx, up) })
	err := <-up
	if err != nil {
		sh.opt.Log.Warn("no connection of its own for a client", "instance", u.inst.String(), "error", err)
	}
	return ln, err
}

// newPin returns a pinned lane that is not connected yet. The lock is held.
func (sh *Shard) newPin(u *upstream, k laneKey) *lane {
	ln := sh.newLane(u, k)
	ln.pinned = true
	sh.opt.Descriptors.count()
	u.pinned[ln] = struct{}{}
	return ln
}

// runPinned is a pinned lane's life: one connection. What was unanswered when it broke is settled once it is
// known dead.
func (ln *lane) runPinned(dial context.Context, up chan<- error) {
	sh := ln.sh
	name := sh.ConnName(ln.what)
	conn, err := ln.dial(dial, name)
	if err != nil {
		sh.lock()
		ln.remove()
		sh.unlock()
		up <- err
		return
	}
	defer context.AfterFunc(sh.ctx, func() { _ = conn.Close() })()
	sh.lock()
	ln.name = name
	ln.begin(conn)
	ln.learnID()
	if ln.deaf {
		ln.flushLocked(nil) // no command follows
	}
	sh.unlock()
	up <- nil
	err = ln.read(conn)
	_ = conn.Close()
	sh.lock()
	ln.fail(err)
	alive := ln.stale
	sh.unlock()
	for pause := retryMin; alive && sh.ctx.Err() == nil; pause = min(2*pause, retryMax) {
		_, err := ln.of.inst.EnsureDead(sh.ctx, func(other string) bool { return other == name }, sh.opt.Settle)
		if err == nil {
			break
		}
		select {
		case <-sh.ctx.Done():
		case <-time.After(pause):
		}
	}
	sh.lock()
	ln.settleLost()
	ln.remove()
	sh.unlock()
}

// remove forgets a pinned lane on which nothing is any more.
func (ln *lane) remove() {
	ln.sh.opt.Descriptors.give()
	delete(ln.of.pinned, ln)
	ln.sh.ledger.RemoveLane(ln.id)
}

// dropPin closes the pinned lane, and with it whatever the server holds for it.
func (s *session) dropPin() {
	s.sh.lock()
	s.pins, s.lostWatch, s.subs, s.state, s.caching = 0, false, subscriptions{}, nil, nil
	if s.pinned != nil {
		s.sh.retire(s.pinned)
		if s.on == s.pinned {
			s.on = nil
		}
		s.pinned = nil
	}
	s.sh.unlock()
}

// retire closes a pinned lane. Its goroutine does the rest.
func (sh *Shard) retire(ln *lane) {
	ln.user, ln.retired = nil, true
	if ln.conn != nil {
		_ = ln.conn.Close()
	}
}
