package proxy

import (
	"slices"
	"time"
)

// The line is where commands that block stand which are not on the server: those that a hold has taken back, and those
// that have come since. They go in the order of their arrival, each when the server has read the one before.
// Under the shard's lock.

// queueUp gives b its place in the order of arrival. It must wait in line while there is one.
func (sh *Shard) queueUp(b *blocking) {
	sh.lock()
	defer sh.unlock()
	sh.arrived++
	b.order = sh.arrived
	if sh.held || len(sh.line) > 0 {
		sh.standInLine(b)
	}
}

// standInLine puts b among those that wait to be issued, by the order of their arrival. The lock is held.
func (sh *Shard) standInLine(b *blocking) {
	i, found := slices.BinarySearchFunc(sh.line, b.order, func(x *blocking, order uint64) int {
		return int(int64(x.order) - int64(order))
	})
	if !found {
		sh.line = slices.Insert(sh.line, i, b)
	}
}

// sentOut is told that b is on its way to the server, or will not be. The next in line goes when the server has read it: what
// is written on two connections, one behind the other, may be read the other way around.
func (sh *Shard) sentOut(b *blocking) {
	sh.lock()
	defer sh.unlock()
	if !b.echo {
		sh.leaveLineAs(b)
	}
}

// leaveLineAs lets the next one go, unless b has come back already. The lock is held.
func (sh *Shard) leaveLineAs(b *blocking) {
	if !b.again {
		sh.leaveLine(b)
	}
}

// leaveLine lets the next one go. The lock is held.
func (sh *Shard) leaveLine(b *blocking) {
	i := slices.Index(sh.line, b)
	if i < 0 {
		return
	}
	sh.line = slices.Delete(sh.line, i, i+1)
	if i == 0 && len(sh.line) > 0 && !sh.held {
		sh.line[0].sess.wakeUp()
	}
}

// resume lets what waits for the end of a hold go on. The lock is held.
func (sh *Shard) resume() {
	for _, b := range sh.line {
		b.sess.wakeUp() // all, so that they open lanes of their own at the same time
	}
	for _, c := range sh.crowds {
		c.knock()
	}
	for _, g := range sh.takers {
		g.next()
	}
}

// awaitTurn waits until b may be issued. Its time may be over before, or a client ask for its end.
func (s *session) awaitTurn(b *blocking) (over, alive bool) {
	sh := s.sh
	sh.lock()
	for len(sh.line) > 0 && slices.Contains(sh.line, b) {
		switch {
		case s.closed.Load() || sh.stopping:
			sh.unlock()
			return false, false
		case b.issued && b.verdict != nil:
			b.obeyed = true
			fallthrough
		case b.issued && b.late():
			b.again = false
			reply := b.verdict
			if reply == nil {
				reply = b.nothing()
			}
			sh.unlock()
			return true, s.answer(reply)
		case !sh.held && sh.line[0] == b:
			sh.unlock()
			return false, true
		case !sh.held && b.issued && !b.prepared && sh.lanesOf(sh.primary, s.laneKey()).shared[0].up:
			b.prepared = true
			s.pins |= pinBlocked
			if s.pinned == nil || s.pinned.of != sh.primary || !s.pinned.up {
				_ = s.repin() // the lock was released; if it failed, that is told when the turn has come
				if ln := s.pinned; ln != nil {
					ln.flushLocked(s.turn) // its time may be over before anything else is written there
				}
			}
			continue
		}
		sh.unlock()
		s.turn.StepAside()
		limit := time.NewTimer(max(time.Until(b.until), time.Millisecond))
		if b.forever || !b.issued {
			limit.Stop()
		}
		select {
		case <-s.wake:
		case <-s.done:
		case <-limit.C:
		}
		limit.Stop()
		sh.lock()
	}
	sh.unlock()
	return false, true
}
