package proxy

import (
	"context"
	"strconv"
	"strings"
	"time"

	"tandem/internal/instance"
	"tandem/router"
)

// Hold keeps every command that is not yet on a lane, of all sessions. Writes that waited for another lane
// are taken back and submitted anew when it ends, for the roles may have changed by then.
func (sh *Shard) Hold() {
	sh.lock()
	defer sh.unlock()
	sh.held = true
	sh.ledger.Hold()
	for _, w := range sh.ledger.Waiting() {
		if r, ok := w.Waiter.(*request); ok {
			sh.ledger.Cancel(w)
			r.sess.ticket = ticketWithdrawn
			r.sess.wakeUp()
		}
	}
}

// Release ends a hold.
func (sh *Shard) Release() {
	sh.lock()
	defer sh.unlock()
	sh.held = false
	sh.ledger.Release(nil)
	sh.news.tell()
}

// Answered reports whether no command is on any lane to the primary, and no old connection is alive that may
// have some. Together with ledger.Drained it is the moment at which roles may change. The lock is held.
func (sh *Shard) Answered() bool {
	for _, ls := range sh.primary.lanes {
		for _, ln := range ls {
			if !ln.answered() {
				return false
			}
		}
	}
	for ln := range sh.primary.pinned {
		if !ln.answered() {
			return false
		}
	}
	return true
}

// answered reports whether nothing is on the lane, nor may be executed of what was.
func (ln *lane) answered() bool { return ln.queue.n == 0 && !ln.stale }

// Await looks every so often whether a condition holds, with the lock held, until ctx ends.
func (sh *Shard) Await(ctx context.Context, condition func() bool) error {
	pause := 50 * time.Microsecond
	for {
		sh.lock()
		ok := condition()
		sh.unlock()
		if ok {
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

// Replicate begins to forward effects to a secondary. It is called during a hold, with nothing on the way,
// so that no write was sent without the ledger knowing of it. The lock is held.
func (sh *Shard) Replicate(e *EffectLane) {
	sh.effects, sh.dual = e, true
	sh.env.Secondary = e.facts.Server
	if n := sh.primary.facts.Databases; n > 0 {
		sh.env.DBs = n
	}
	sh.ledger.SetSink(e)
	sh.publish()
}

// StopReplicating ends it. The lock is held.
func (sh *Shard) StopReplicating() {
	sh.effects, sh.dual = nil, false
	sh.ledger.SetSink(nil)
	sh.publish()
}

// Prepare connects lanes to the instance that is to be the primary, for every database in use, so that
// nobody waits for a connection after the swap.
func (sh *Shard) Prepare(ctx context.Context, i *instance.Instance, f instance.Facts) (*Next, error) {
	u := sh.newUpstream(i, f)
	sh.lock()
	for db := range sh.primary.lanes {
		sh.lanesOf(u, db)
	}
	sh.unlock()
	err := sh.Await(ctx, u.connected)
	if err != nil {
		sh.abandon(u)
		return nil, err
	}
	return &Next{sh: sh, u: u}, nil
}

// Next is a primary to be.
type Next struct {
	sh *Shard
	u  *upstream
}

// Ready reports whether every database in use has its lanes connected; sessions may have begun to use
// another one since. The lock is held.
func (n *Next) Ready() bool {
	for db := range n.sh.primary.lanes {
		n.sh.lanesOf(n.u, db)
	}
	return n.u.connected()
}

// Abandon closes its lanes.
func (n *Next) Abandon() { n.sh.abandon(n.u) }

// Swap makes n the primary and e the way to the secondary, which was the primary. It is called during a
// hold, when all is answered and drained. The lock is held. The old lanes are closed.
func (sh *Shard) Swap(n *Next, e *EffectLane) {
	old := sh.primary
	sh.primary = n.u
	sh.scanEpoch++
	sh.env.Primary, sh.env.Secondary = n.u.facts.Server, e.facts.Server
	sh.effects = e
	sh.ledger.SetSink(e)
	sh.publish()
	go sh.abandon(old)
}

// gaveUp reports whether a connection with this generation belongs to lanes that were given up with their
// primary (see GiveUp).
func (sh *Shard) gaveUp(i *instance.Instance, generation string) bool {
	sh.lock()
	defer sh.unlock()
	_, n, _ := strings.Cut(generation, ".")
	number, err := strconv.ParseInt(n, 10, 64)
	return err == nil && number <= sh.given[i]
}

// abandon closes an upstream's lanes.
func (sh *Shard) abandon(u *upstream) {
	sh.lock()
	defer sh.unlock()
	u.stop()
	for _, ls := range u.idle {
		for _, ln := range ls {
			sh.retire(ln)
		}
	}
	clear(u.idle)
}

// SetScanEpoch restores the number of cutovers there have been.
func (sh *Shard) SetScanEpoch(n int) {
	sh.lock()
	defer sh.unlock()
	sh.scanEpoch = n
	sh.publish()
}

// hints are what sessions plan their commands by, outside the lock. They are never changed, only replaced, and
// that is looked at again under the lock: a command planned by old ones is planned anew.
type hints struct {
	dual      bool
	epoch     int // number of cutovers
	server    router.Server
	databases int
}

// publish brings the hints up to date. The lock is held.
func (sh *Shard) publish() {
	sh.hints.Store(&hints{dual: sh.dual, epoch: sh.scanEpoch, server: sh.primary.facts.Server, databases: sh.env.DBs})
}
