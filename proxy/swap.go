package proxy

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"tandem/internal/instance"
)

// Prepare connects lanes to the instance that is to be the primary, for every database in use, so that
// nobody waits for a connection after the swap.
func (sh *Shard) Prepare(ctx context.Context, i *instance.Instance, f instance.Facts) (*Next, error) {
	n := &Next{sh: sh, u: sh.newUpstream(i, f), standbys: map[*session]*standby{}}
	err := sh.Await(ctx, func() bool {
		sh.openLike(n.u, sh.primary)
		return n.prepared() && n.u.connected()
	})
	if err != nil {
		sh.lock()
		defer sh.unlock()
		if why := cmp.Or(n.u.trouble(), n.trouble()); why != "" {
			err = errors.New(why)
		}
		n.abandon()
		return nil, err
	}
	return n, nil
}

// Next is a primary to be.
type Next struct {
	sh       *Shard
	u        *upstream
	standbys map[*session]*standby
}

// Ready reports whether every database in use has its lanes connected, and every session with subscriptions or
// the like its standby, up to date; they may have changed since. The lock is held.
func (n *Next) Ready() bool {
	n.sh.openLike(n.u, n.sh.primary)
	ready := n.tend()
	return n.u.connected() && ready
}

// openLike starts the lanes of u that another upstream has. The lock is held.
func (sh *Shard) openLike(u, other *upstream) {
	for k, ls := range other.lanes {
		if k.who.absent() {
			continue
		}
		sh.lanesOf(u, k)
		if ls.bulk != nil {
			sh.bulkLane(u, k)
		}
	}
}

// BeyondDatabases are the databases in use, by the source's numbers, that an instance with n databases does not have: no lane can be
// opened to them there. The lock is not held.
func (sh *Shard) BeyondDatabases(i *instance.Instance, n int) (dbs []int) {
	sh.lock()
	defer sh.unlock()
	for k := range sh.primary.lanes {
		if !k.who.absent() && i.Number(k.db) >= n && !slices.Contains(dbs, k.db) {
			dbs = append(dbs, k.db)
		}
	}
	slices.Sort(dbs)
	return dbs
}

// Abandon closes its lanes.
func (n *Next) Abandon() {
	n.sh.lock()
	defer n.sh.unlock()
	n.abandon()
}

func (n *Next) abandon() {
	for _, b := range n.standbys {
		b.drop(n.sh)
	}
	clear(n.standbys)
	n.sh.abandon(n.u)
}

// Swap makes n the primary and e the way to the secondary, which was the primary. It is called during a
// hold, when all is answered and drained. The lock is held. The old lanes are closed.
func (sh *Shard) Swap(n *Next, e *EffectLane) {
	old := sh.primary
	sh.primary = n.u
	sh.scanEpoch++
	sh.accounts.forgetPermits()
	sh.effects = e
	sh.ledger.SetSink(sh.opt.At.Other(), e)
	// Before any script is sent: what it does on the new primary is reported by nobody yet.
	sh.feeds.moved()
	sh.scripts.unseen.tryAgain = time.Time{}
	sh.publish()
	sh.openGates()
	n.move(old)
	sh.abandon(old)
}

var errGivenUp = errors.New("the primary was given up")

// GiveUp closes all lanes to a primary that is dead, as far as anybody can tell. What was unanswered is dirty
// afterwards, or a sweep is owed for it. It is called during a hold and followed by a Swap: the lanes do not
// come back. The lock is held.
//
// The primary may come to life and execute what it was sent. It is nobody's primary then; before an EffectLane
// speaks to it as a secondary, these connections are made sure to be dead.
func (sh *Shard) GiveUp() {
	u := sh.primary
	sh.given[u.inst] = sh.generation.Load()
	u.stop()
	for _, ls := range u.lanes {
		ls.each((*lane).giveUp)
	}
	for ln := range u.pinned {
		ln.giveUp()
	}
}

// OweUnanswered makes the keys dirty of all writes that the primary was sent and has not answered, before it is given
// up. The lock is held.
func (sh *Shard) OweUnanswered() {
	owe := func(ln *lane) {
		for _, q := range []*requestQueue{&ln.queue, &ln.lost} {
			for r := q.head; r != nil; r = r.next {
				for i := range r.write.Keys {
					if k := &r.write.Keys[i]; r.acquired && k.Write {
						sh.ledger.MakeDirty(k)
					}
				}
			}
		}
	}
	for _, ls := range sh.primary.lanes {
		ls.each(owe)
	}
	for ln := range sh.primary.pinned {
		owe(ln)
	}
}

func (ln *lane) giveUp() {
	if ln.conn != nil {
		_ = ln.conn.Close()
	}
	ln.fail(errGivenUp)
	ln.settleLost()
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

// abandon closes an upstream's lanes, those excepted that sessions have pinned: they do it. The lock is held.
func (sh *Shard) abandon(u *upstream) {
	u.stop()
	for _, ls := range u.idle {
		for _, ln := range ls {
			sh.retire(ln)
		}
	}
	clear(u.idle)
}
