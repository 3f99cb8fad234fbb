package proxy

import (
	"context"
	"time"
)

// Hold keeps every command that is not yet on a lane, of all sessions. Writes that waited for another lane
// are taken back and submitted anew when it ends, for the roles may have changed by then.
func (sh *Shard) Hold() {
	sh.lock()
	defer sh.unlock()
	sh.held = true
	sh.holds++
	sh.ledger.Hold()
	for _, w := range sh.ledger.Waiting() {
		if r, ok := w.Waiter.(*request); ok {
			sh.ledger.Cancel(w)
			r.sess.ticket = ticketWithdrawn
			r.sess.wakeUp()
		}
	}
	sh.takeBack()
}

// Release ends a hold.
func (sh *Shard) Release() {
	sh.lock()
	defer sh.unlock()
	sh.held = false
	sh.ledger.Release(nil)
	sh.news.tell()
	sh.resume()
}

// Answered reports whether no command is on any lane to the primary, and no old connection is alive that may
// have some. Together with ledger.Drained it is the moment at which roles may change. The lock is held.
func (sh *Shard) Answered() bool {
	answered := true
	look := func(ln *lane) { answered = answered && ln.answered() }
	for _, ls := range sh.primary.lanes {
		ls.each(look)
	}
	for ln := range sh.primary.pinned {
		look(ln)
	}
	if answered && sh.held {
		answered = sh.fenced()
	}
	return answered
}

// answered reports whether nothing is on the lane, nor may be executed of what was.
func (ln *lane) answered() bool { return ln.queue.n == 0 && !ln.stale }

// Await looks every so often whether a condition holds, with the lock held, until ctx ends.
func (sh *Shard) Await(ctx context.Context, condition func() bool) error {
	pause := 50 * time.Microsecond
	for {
		if sh.Look(condition) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause = min(2*pause, time.Millisecond)
	}
}

// Look returns what a condition says with the lock held. A panic of it ends the process (see ledger.Enter).
func (sh *Shard) Look(condition func() bool) bool {
	defer sh.ledger.Enter()()
	return condition()
}

// Replicate begins to forward effects to a secondary. It is called during a hold, with nothing on the way,
// so that no write was sent without the ledger knowing of it. The lock is held.
func (sh *Shard) Replicate(e *EffectLane) {
	sh.effects, sh.dual = e, true
	sh.ledger.SetSink(sh.opt.At.Other(), e)
	sh.ledger.OweEverywhere("the secondary's functions are not known to be the primary's")
	sh.keepLibrariesOnce()
	sh.publish()
}

// StopReplicating ends it. The lock is held.
func (sh *Shard) StopReplicating() {
	if sh.effects != nil {
		sh.effects.fail() // nothing of it may be acknowledged to a ledger that has forgotten it
	}
	sh.effects, sh.dual = nil, false
	sh.ledger.SetSink(sh.opt.At.Other(), nil)
	sh.publish()
	sh.openGates()
}
