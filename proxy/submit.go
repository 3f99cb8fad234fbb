package proxy

import "time"

// submit puts the batch on the session's lane, command by command. A command that may not be sent yet makes
// the session wait, and with it everything behind it. False ends the session.
func (s *session) submit() bool {
	if len(s.batch) == 0 {
		return !s.closed.Load()
	}
	sh := s.sh
	sh.lock()
	sh.now = time.Now().UnixNano()
	var ln *lane
	ok := true
	for i, r := range s.batch {
		s.batch[i] = nil
		if !ok {
			continue // the session has ended
		}
		if len(r.canned) > 0 {
			ok = s.submitCanned(r)
			continue
		}
		ln, ok = s.send(r)
	}
	s.batch = s.batch[:0]
	if ln != nil && ok {
		ln.flushLocked()
	}
	direct := s.direct
	sh.unlock()
	if len(direct) > 0 {
		s.out.write(direct, true)
		s.direct = direct[:0]
	}
	return ok && !s.closed.Load()
}

// submitCanned gives an answer of our own: at once when nothing is before it, else behind what is.
func (s *session) submitCanned(r *request) bool {
	if s.inflight.Load() == 0 {
		s.direct = append(s.direct, r.canned...)
		s.sh.freeRequest(r)
		return true
	}
	if s.sh.gates.holds(s) {
		s.inflight.Add(1)
		s.sh.gates.add(s, r.canned, true, gate{})
		s.sh.freeRequest(r)
		return true
	}
	ln := s.on
	if ln == nil || ln.queue.n == 0 {
		// What was before it is being handed to the client just now.
		s.sh.unlock()
		alive := s.awaitAnswers()
		s.sh.lock()
		if !alive {
			return false
		}
		return s.submitCanned(r)
	}
	s.inflight.Add(1)
	ln.enqueue(r)
	return true
}

// send puts one command on the lane, when it may be. The lock is held, and released while waiting.
func (s *session) send(r *request) (*lane, bool) {
	sh := s.sh
	if len(s.direct) > 0 {
		// What is answered already must reach the client before a reply to this can.
		direct := s.direct
		sh.unlock()
		s.out.write(direct, true)
		s.direct = direct[:0]
		sh.lock()
	}
	var waited time.Time
	for {
		if s.closed.Load() || sh.stopping {
			return nil, false
		}
		if sh.held {
			s.pause()
			continue
		}
		if r.pinned && (s.pinned == nil || s.pinned.of != sh.primary || !s.pinned.up) {
			// The roles have changed since the transaction began: it begins anew on the new primary.
			if !s.repin() {
				return nil, false
			}
			continue
		}
		ln := s.lane(r)
		switch {
		case ln == nil || !ln.up:
			if waited.IsZero() {
				waited = time.Now()
				defer time.AfterFunc(sh.opt.PrimaryWait, sh.changed.Broadcast).Stop()
			}
			if left := sh.opt.PrimaryWait - time.Since(waited); left <= 0 {
				return nil, s.unreachable(r, ln)
			}
			s.pause()
			continue
		case ln.out.unsent > backlogLimit:
			s.pause()
			continue
		}
		if s.on != ln && s.inflight.Load() > 0 {
			// Another lane than before: the replies of that one must be with the client first.
			s.on.flushLocked()
			sh.unlock()
			alive := s.awaitAnswers()
			sh.lock()
			if !alive {
				return nil, false
			}
			continue
		}
		s.on = ln
		if s.pinned != nil && !r.pinned {
			s.unpin() // the transaction has ended
		}
		if r.cursor && r.epoch != sh.scanEpoch {
			sh.rescan(r)
		}
		if r.writes && sh.dual {
			if !r.planned || r.epoch != sh.scanEpoch {
				s.replan(r, sh.hints.Load())
			}
			sent, alive := s.sendWrite(ln, r)
			if !sent && alive {
				continue // taken back by a hold
			}
			return ln, alive
		}
		if !sh.dual {
			// Planned for a ledger that is no longer asked.
			r.follow, r.unkeyed, r.planned = 0, false, false
		}
		s.inflight.Add(1)
		ln.enqueue(r)
		return ln, true
	}
}

// pause waits for a change, once what the session has put on its lane so far is written out: the change may
// be the answer to it. The caller looks again at everything.
func (s *session) pause() {
	if s.on != nil && s.on.out.unsent > 0 && !s.on.writing && s.on.conn != nil {
		s.on.flushLocked()
		return
	}
	s.sh.changed.Wait()
}

// sendWrite asks the ledger, and waits for its grant if need be. alive is false when the session has ended;
// sent is false when a hold took the write back.
func (s *session) sendWrite(ln *lane, r *request) (sent, alive bool) {
	sh := s.sh
	s.inflight.Add(1)
	if r.unkeyed {
		ln.enqueue(r)
		return true, true
	}
	r.lane, r.write.Lane = ln, ln.id
	if sh.ledger.Acquire(&r.write) {
		r.acquired = true
		ln.enqueue(r)
		return true, true
	}
	// From the moment it is granted the request is the lane's: it may be answered, and reused for another
	// command, before this session looks again. So what happened to it is told to the session.
	s.ticket = ticketWaits
	// What is already on the lane must go out, or nothing would ever make room.
	ln.flushLocked()
	deadline := time.Now().Add(sh.opt.PrimaryWait)
	for s.ticket == ticketWaits {
		sh.unlock()
		select {
		case <-s.wake:
		case <-s.done:
		case <-time.After(time.Until(deadline)):
		}
		sh.lock()
		switch late := time.Now().After(deadline); {
		case s.ticket != ticketWaits:
		case s.closed.Load() || sh.stopping:
			sh.ledger.Cancel(&r.write)
			return false, false
		case late && !ln.up:
			sh.ledger.Cancel(&r.write)
			s.inflight.Add(-1)
			return true, s.unreachable(r, ln)
		case late:
			deadline = time.Now().Add(sh.opt.PrimaryWait)
		}
	}
	if s.ticket == ticketWithdrawn {
		s.inflight.Add(-1)
		return false, true
	}
	ln.flushLocked()
	return true, true
}

// ticket is what has become of a write that must wait.
type ticket uint8

const (
	ticketWaits     ticket = iota // in the ledger's queues
	ticketGranted                 // on its lane
	ticketWithdrawn               // taken back by a hold, to be submitted anew
)

// lane is the one that a command goes to.
func (s *session) lane(r *request) *lane {
	if r.pinned {
		return s.pinned
	}
	ls := s.sh.lanesOf(s.sh.primary, s.db)
	return ls[int(s.id)%len(ls)]
}

// unreachable answers that the primary is not there. It goes on.
func (s *session) unreachable(r *request, ln *lane) bool {
	why := ""
	if ln != nil {
		why = ln.lastErr
	}
	reply := errorReply(nil, "%s cannot be reached for %s; the command was not sent (%s)",
		s.sh.primary.inst, s.sh.opt.PrimaryWait, why)
	r.reset()
	r.sess = s
	r.canned = reply
	return s.submitCanned(r)
}
