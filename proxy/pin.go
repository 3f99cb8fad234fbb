package proxy

import (
	"context"
	"time"
)

// maxIdlePins is how many pinned lanes per database are kept for the next session that needs one.
const maxIdlePins = 32

// repin gives the session a pinned lane to the present primary, and queues the transaction on it as far as
// it had come. The caller looks again at everything. The lock is held, and released meanwhile.
func (s *session) repin(tx *transaction) error {
	sh := s.sh
	if old := s.pinned; old != nil {
		if old.of == sh.primary && !old.up && tx.begun {
			// Its connection broke with the transaction on it.
			s.close(PrimaryLost)
			return nil
		}
		sh.retire(old)
		s.pinned = nil
	}
	u := sh.primary
	idle := u.idle[s.db]
	for len(idle) > 0 && s.pinned == nil {
		last := idle[len(idle)-1]
		idle[len(idle)-1] = nil
		idle = idle[:len(idle)-1]
		u.idle[s.db] = idle
		if last.up {
			s.pinned, last.user = last, s
		}
	}
	if s.pinned == nil {
		ln, err := s.openPin(u)
		if err != nil {
			return err
		}
		s.pinned, ln.user = ln, s
		if u != sh.primary || !ln.up {
			return nil
		}
	}
	if tx.begun {
		s.swallow(multiFrame)
		for _, p := range tx.parts[:tx.sent] {
			s.swallow(tx.block[p.from:p.to])
		}
	}
	return nil
}

// swallow sends something on the pinned lane whose reply nobody waits for.
func (s *session) swallow(raw []byte) {
	s.pinned.enqueue(&request{src: raw, replies: 1})
}

// openPin connects a pinned lane, waiting for the primary as long as a command may. The lock is released
// meanwhile.
func (s *session) openPin(u *upstream) (*lane, error) {
	sh := s.sh
	ln := sh.newLane(u, s.db)
	ln.pinned = true
	u.pinned[ln] = struct{}{}
	sh.unlock()
	defer sh.lock()
	ctx, cancel := s.bound(max(sh.opt.PrimaryWait, time.Second))
	defer cancel()
	up := make(chan error, 1)
	sh.work.Go(func() { ln.runPinned(ctx, up) })
	err := <-up
	if err != nil {
		sh.opt.Log.Warn("no connection for a transaction", "instance", u.inst.String(), "error", err)
	}
	return ln, err
}

// runPinned is a pinned lane's life: one connection. What was unanswered when it broke is settled once it is
// known dead.
func (ln *lane) runPinned(dial context.Context, up chan<- error) {
	sh := ln.sh
	name := sh.ConnName(ln.what)
	conn, _, err := ln.of.inst.Open(dial, name, ln.db)
	if err != nil {
		sh.lock()
		ln.remove()
		sh.unlock()
		up <- err
		return
	}
	defer context.AfterFunc(sh.ctx, func() { _ = conn.Close() })()
	sh.lock()
	ln.begin(conn)
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
	delete(ln.of.pinned, ln)
	ln.sh.ledger.RemoveLane(ln.id)
}

// unpin gives the pinned lane back for the next session. Nothing is on it, and no transaction is open. The lock
// is held.
func (s *session) unpin() {
	ln := s.pinned
	s.pinned, ln.user = nil, nil
	if s.on == ln {
		s.on = nil
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
	ln.user, ln.retired = nil, true
	if ln.conn != nil {
		_ = ln.conn.Close()
	}
}
