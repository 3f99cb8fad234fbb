package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"tandem/internal/instance"
)

const (
	// backlogLimit is how many bytes may wait to be written to the primary, and queueLimit how many commands
	// to be answered by it, before sessions stop reading more. heldLimit is for all bytes of those: what is written
	// may still be needed, for its effect.
	backlogLimit = 8 << 20
	queueLimit   = 1 << 18
	heldLimit    = 64 << 20
)

// submit puts the batch on the session's lane, command by command. A command that may not be sent yet makes
// the session wait, and with it everything behind it. False ends the session.
func (s *session) submit() bool {
	if len(s.batch) == 0 {
		return !s.closed.Load()
	}
	sh := s.sh
	sh.lock()
	sh.now = time.Now().UnixNano()
	ok, n := true, len(s.batch)
	if sh.traces.left -= n; sh.traces.left < 0 {
		s.chooseTraced()
	}
	if sh.dual && n > 1 {
		for _, r := range s.batch {
			sh.ledger.Fetch(&r.write)
		}
	}
	for i, r := range s.batch {
		s.batch[i] = nil
		switch {
		case !ok: // the session has ended
		case len(r.canned) > 0:
			ok = s.submitCanned(r)
		default:
			ok = s.send(r)
		}
	}
	s.batch = s.batch[:0]
	if s.on != nil {
		// Also when the session has ended: what it has put there holds its keys until it is answered.
		s.on.flushSoon(s.turn)
	}
	s.restock(min(n, stockMax)) // as many as the next batch is likely to need
	sh.unlock()
	s.sayDirect()
	return ok && !s.closed.Load()
}

// sayDirect hands the client the answers of our own that had nothing before them.
func (s *session) sayDirect() {
	if len(s.direct) == 0 {
		return
	}
	s.out.write(s.direct, true)
	if s.direct = s.direct[:0]; cap(s.direct) > keptDirect {
		s.direct = nil
	}
}

// submitCanned gives an answer of our own: at once when nothing is before it, else behind what is. The lock
// is held, and released while waiting. False ends the session.
func (s *session) submitCanned(r *request) bool {
	for {
		ln := s.on
		switch {
		case s.inflight.Load() == 0:
			s.direct = append(s.direct, r.canned...)
			s.sh.freeRequest(r)
			return true
		case ln != nil && ln.queue.n >= queueLimit:
			ln.crowded = true
			s.pause(nil)
		case ln != nil && ln.queue.n > 0:
			s.inflight.Add(1)
			ln.enqueue(r)
			return true
		case s.sh.gates.holds(s): // and nothing of its own is on the lane any more
			s.inflight.Add(1)
			s.sh.gates.add(s.sh, s, r.canned, true, gate{})
			s.sh.freeRequest(r)
			return true
		default:
			// What was before it is being handed to the client just now.
			s.sh.unlock()
			s.awaitAnswers()
			s.sh.lock()
		}
		if s.closed.Load() {
			return false
		}
	}
}

// send puts one command on the lane, when it may be. The lock is held, and released while waiting. False ends
// the session.
func (s *session) send(r *request) bool {
	sh := s.sh
	if len(s.direct) > 0 {
		// What is answered already must reach the client before a reply to this can.
		sh.unlock()
		s.sayDirect()
		sh.lock()
	}
	var limit *time.Timer // of the wait for the primary
	defer func() {
		if limit != nil {
			limit.Stop()
		}
	}()
	for late := false; ; {
		if s.closed.Load() || sh.stopping {
			return false
		}
		if sh.held {
			s.pause(nil)
			continue
		}
		if r.blocked != nil && sh.opt.TwoWay && sh.dual {
			// It was to block on the server while that was nobody's concern; from now on it must not (see takers).
			r.blocking.again = true
			sh.freeRequest(r)
			return true
		}
		ln := s.lane(r)
		if !ln.up {
			if late {
				return s.unreachable(r, ln.lastErr)
			}
			if limit == nil {
				limit = time.NewTimer(sh.opt.PrimaryWait)
			}
			late = s.pause(limit.C)
			continue
		}
		if s.inflight.Load() == 0 && r.mayBeBusy() && sh.busy.holds() {
			return s.answerBusy(r)
		}
		if r.own {
			// A shared lane is up: older connections are dead, and it is known what server this is.
			if s.pinned == nil || s.pinned.of != sh.primary || !s.pinned.up {
				if s.inflight.Load() == 0 && sh.busy.holds() {
					return s.answerBusy(r) // it cannot be had now: a server that is busy takes no name
				}
				if limit == nil {
					limit = time.NewTimer(sh.opt.PrimaryWait)
				}
				switch err := s.repin(); {
				case err == nil:
				case !passing(err):
					return s.notSent(r, fmt.Sprintf("has no connection for this client alone; the command was not sent (%v)", err))
				case s.rest(limit.C):
					return s.unreachable(r, err.Error())
				}
				continue
			}
			ln = s.pinned
			if ln.opening {
				s.pause(nil)
				continue
			}
			if r.tx != nil && r.tx.unopened != nil {
				return s.answerUnopened(r)
			}
		}
		if ln.full() {
			ln.crowded = true
			s.pause(nil)
			continue
		}
		if s.on != ln && s.inflight.Load() > 0 {
			// Another lane than before: the replies of that one must be with the client first.
			if s.on != nil {
				s.on.flushLocked(s.turn)
			}
			sh.unlock()
			s.awaitAnswers()
			sh.lock()
			continue
		}
		s.on = ln
		if s.lostWatch && r.tx != nil && r.ends && r.runsTransaction() {
			return s.execLost(r, ln)
		}
		if r.cursor && r.epoch != sh.scanEpoch {
			sh.rescan(r)
		}
		if h := sh.hints.Load(); r.writes && sh.dual && r.planned != h {
			s.replan(r, h) // it may turn out that nothing of it moves
		}
		if r.writes && sh.dual {
			if !s.cover(r) {
				continue
			}
			sent, alive := s.sendWrite(ln, r)
			if !sent && alive {
				continue // taken back by a hold
			}
			return alive
		}
		if !sh.dual {
			// Planned for a ledger that is no longer asked.
			r.follow, r.unkeyed, r.planned = 0, false, nil
		} else if sh.shadows.odds > 0 {
			s.chooseShadow(ln, r)
		}
		s.inflight.Add(1)
		ln.enqueue(r)
		return true
	}
}

// full reports whether the primary must answer before it gets more. The lock is held.
func (ln *lane) full() bool {
	return ln.out.unsent > backlogLimit || ln.queue.n >= queueLimit || ln.held > heldLimit
}

// pause waits for a change, once what the session has put on its lane so far is written out: the change may
// be the answer to it. It returns true when the time limit, if there is one, has passed. The caller looks
// again at everything. The lock is held, and released meanwhile.
func (s *session) pause(limit <-chan time.Time) (late bool) {
	if s.on != nil && s.on.out.unsent > 0 && !s.on.writing && s.on.conn != nil {
		s.on.flushLocked(s.turn)
		return false
	}
	news := s.sh.news.next()
	s.sh.unlock()
	s.turn.StepAside()
	defer func() {
		s.sh.lock()
		s.sh.now = time.Now().UnixNano() // it was read before the wait, which is none of the time that commands take
	}()
	select {
	case <-news:
	case <-s.done:
	case <-limit:
		return true
	}
	return false
}

// passing reports whether a connection that did not come about may come about when it is tried again.
func passing(err error) bool {
	return (errors.Is(err, instance.ErrUnreachable) || errors.Is(err, instance.ErrNoAnswer)) && !errors.Is(err, instance.ErrTLS)
}

// rest waits before something that failed is tried again. It returns true when the time limit has passed. The lock is
// held, and released meanwhile.
func (s *session) rest(limit <-chan time.Time) (late bool) {
	s.sh.unlock()
	defer s.sh.lock()
	select {
	case <-limit:
		return true
	default:
	}
	s.turn.StepAside()
	select {
	case <-time.After(retryMin):
	case <-s.done:
	case <-limit:
		return true
	}
	return false
}

// sendWrite asks the ledger, and waits for its grant if need be. alive is false when the session has ended;
// sent is false when a hold took the write back.
func (s *session) sendWrite(ln *lane, r *request) (sent, alive bool) {
	sh := s.sh
	s.inflight.Add(1)
	if r.unkeyed && !sh.opt.TwoWay {
		r.unnamed = true
		sh.ledger.BeginUnnamed()
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
	ln.flushLocked(s.turn)
	limit := time.NewTimer(s.sh.patience(r))
	defer limit.Stop()
	for late := false; s.ticket == ticketWaits; {
		sh.unlock()
		s.turn.StepAside()
		select {
		case <-s.wake:
		case <-s.done:
		case <-limit.C:
			late = true
		}
		sh.lock()
		switch {
		case s.ticket != ticketWaits:
		case s.closed.Load() || sh.stopping:
			sh.ledger.Cancel(&r.write)
			return false, false
		case ln.pinned && !ln.up:
			// Its connection broke with the transaction on it.
			sh.ledger.Cancel(&r.write)
			s.close(PrimaryLost)
			return false, false
		case late && r.tries != nil && r.tries.late():
			sh.ledger.Cancel(&r.write)
			s.inflight.Add(-1)
			return true, s.refuseInstead(r, r.tries.nothing())
		case late && !sh.primary.connected():
			// It waits for a lane that is away, its own or the one that has the keys.
			sh.ledger.Cancel(&r.write)
			s.inflight.Add(-1)
			return true, s.unreachable(r, sh.primary.trouble())
		case late && sh.opt.TwoWay && sh.ledger.Barred(&r.write):
			sh.ledger.Cancel(&r.write)
			s.inflight.Add(-1)
			return true, s.notHandedOver(r)
		case late:
			late = false
			limit.Reset(max(sh.opt.PrimaryWait, time.Second))
		}
	}
	if s.ticket == ticketWithdrawn {
		s.inflight.Add(-1)
		return false, true
	}
	ln.flushLocked(s.turn)
	return true, true
}

// ticket is what has become of a write that must wait.
type ticket uint8

const (
	ticketWaits     ticket = iota // in the ledger's queues
	ticketGranted                 // on its lane
	ticketWithdrawn               // taken back by a hold, to be submitted anew
)

// bulk is the size of a command or reply that moves its session to the bulk lane.
const bulk = 1 << 20

// lane is the shared one that a command of the session goes to.
func (s *session) lane(r *request) *lane {
	s.bulky = s.bulky || len(r.src) >= bulk
	if s.bulky {
		return s.sh.bulkLane(s.sh.primary, s.laneKey())
	}
	ls := s.sh.lanesOf(s.sh.primary, s.laneKey())
	return ls.shared[int(s.id)%len(ls.shared)]
}

// unreachable answers that the primary is not there. False ends the session.
func (s *session) unreachable(r *request, why string) bool {
	return s.notSent(r, fmt.Sprintf("cannot be reached for %s; the command was not sent (%s)", s.sh.opt.PrimaryWait, why))
}

// notSent answers with what is the matter with the primary. A transaction in which a command is missing must not be
// executed. False ends the session.
func (s *session) notSent(r *request, why string) bool {
	if r.queued == isMulti {
		r.tx.unsent = true
	}
	s.sh.counts.Answers++
	s.sh.counts.Errors++
	return s.refuseInstead(r, errorReply(nil, "%s %s", s.sh.primary.inst, why))
}

// refuseInstead answers r with an error in the primary's place, and does not send it. A transaction that came whole
// gets as many replies as it has commands, as from a server that refuses each. False ends the session.
func (s *session) refuseInstead(r *request, text []byte) bool {
	s.unsent(r)
	if r.replies == 1 {
		return s.answerInstead(r, bytes.Clone(text))
	}
	reply := []byte("+OK\r\n")
	for range r.replies - 2 {
		reply = append(reply, text...)
	}
	return s.answerInstead(r, append(reply, discardedFor(text)...))
}

// unsent notes that the client is answered in the primary's place: r is not sent.
func (s *session) unsent(r *request) {
	s.refused = true
	if tx := r.tx; tx != nil {
		tx.aborted = true
		if tx.begun && r.ends && s.pinned != nil {
			// EXEC or DISCARD: the connection would be left in the transaction.
			s.sh.retire(s.pinned)
			s.pinned = nil
		}
	}
}
