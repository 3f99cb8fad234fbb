package proxy

import (
	"context"
	"time"
)

// maxIdlePins is how many pinned lanes per database are kept for the next session that needs one.
const maxIdlePins = 32

// repin gives the session a pinned lane to the present primary, and queues the transaction on it as far as
// it had come. The lock is held, and released meanwhile. False ends the session.
func (s *session) repin() bool {
	sh := s.sh
	if old := s.pinned; old != nil {
		if old.of == sh.primary && !old.up && s.tx != nil && s.tx.begun {
			// Its connection broke with the transaction on it.
			s.close(PrimaryLost)
			return false
		}
		sh.retire(old)
		s.pinned = nil
	}
	u := sh.primary
	if idle := u.idle[s.db]; len(idle) > 0 {
		s.pinned = idle[len(idle)-1]
		u.idle[s.db] = idle[:len(idle)-1]
		if !s.pinned.up {
			sh.retire(s.pinned)
			s.pinned = nil
			return true // the caller asks again
		}
	} else if !s.openPin(u) {
		return false
	}
	if tx := s.tx; tx != nil && tx.begun {
		s.swallow(multiFrame)
		for _, p := range tx.parts[:tx.sent] {
			s.swallow(tx.block[p.from:p.to])
		}
	}
	return true
}

// swallow sends something on the pinned lane whose reply nobody waits for.
func (s *session) swallow(raw []byte) {
	s.pinned.enqueue(&request{src: raw, replies: 1})
}

// openPin connects a pinned lane, waiting for the primary as long as a command may.
func (s *session) openPin(u *upstream) bool {
	sh := s.sh
	ln := sh.newLane(u, s.db)
	ln.pinned = true
	u.pinned[ln] = struct{}{}
	ctx, cancel := context.WithTimeout(sh.ctx, sh.opt.PrimaryWait)
	defer cancel()
	sh.unlock()
	stop := context.AfterFunc(ctx, s.wakeUp)
	defer stop()
	up := make(chan error, 1)
	sh.work.Go(func() { ln.runPinned(ctx, up) })
	err := <-up
	sh.lock()
	if err != nil {
		sh.opt.Log.Warn("no pinned lane", "instance", u.inst.String(), "error", err)
		s.close(PrimaryLost)
		return false
	}
	s.pinned = ln
	return true
}

// runPinned is a pinned lane's life: one connection. What was unanswered when it broke is settled once it is
// known dead.
func (ln *lane) runPinned(dial context.Context, up chan<- error) {
	sh := ln.sh
	name := sh.ConnName(ln.what)
	conn, _, err := ln.of.inst.Open(dial, name, ln.db)
	if err != nil {
		sh.lock()
		delete(ln.of.pinned, ln)
		sh.ledger.RemoveLane(ln.id)
		sh.unlock()
		up <- err
		return
	}
	defer context.AfterFunc(sh.ctx, func() { _ = conn.Close() })()
	sh.lock()
	ln.conn, ln.up = conn, true
	sh.ledger.LaneUp(ln.id)
	sh.unlock()
	up <- nil
	_ = ln.read(conn)
	_ = conn.Close()
	sh.lock()
	ln.fail()
	lost := ln.lost.n > 0
	sh.unlock()
	for pause := retryMin; lost && sh.ctx.Err() == nil; pause = min(2*pause, retryMax) {
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
	delete(ln.of.pinned, ln)
	sh.ledger.RemoveLane(ln.id)
	sh.unlock()
}

// unpin gives the pinned lane back for the next session. Nothing is on it, and no transaction is open.
func (s *session) unpin() {
	ln := s.pinned
	s.pinned = nil
	if ln == nil {
		return
	}
	if u := ln.of; ln.up && u == s.sh.primary && len(u.idle[ln.db]) < maxIdlePins {
		u.idle[ln.db] = append(u.idle[ln.db], ln)
		return
	}
	s.sh.retire(ln)
}

// dropPin closes the pinned lane, and with it whatever the server holds for it.
func (s *session) dropPin() {
	s.sh.lock()
	if s.pinned != nil {
		s.sh.retire(s.pinned)
		s.pinned = nil
	}
	s.sh.unlock()
}

// retire closes a pinned lane. Its goroutine does the rest.
func (sh *Shard) retire(ln *lane) {
	if ln.conn != nil {
		_ = ln.conn.Close()
	}
}
