package backfill

import (
	"context"
	"time"

	"tandem/internal/ledger"
)

// waiters are those who wait for something to become true of the ledger. What they wait for is looked at by
// the one who changes it, under the lock that he holds already, so that an acknowledgement wakes only those
// whom it concerns; there are hundreds of thousands of them a second.
type waiters struct {
	l    *ledger.Ledger
	list []*waiter // under the ledger's lock
}

type waiter struct {
	ready func() bool
	woken bool
	c     chan struct{}
}

// wake looks whom a change of the ledger concerns. The ledger's lock is held.
func (ws *waiters) wake() {
	for _, w := range ws.list {
		if !w.woken && w.ready() {
			w.woken = true
			close(w.c)
		}
	}
}

// pollEvery is how often a waiter looks by himself. Not every change is told: an effect's acknowledgement,
// for one, is not.
const pollEvery = 20 * time.Millisecond

// until returns true once ready has said yes, false when ctx has ended before. ready is called under the
// ledger's lock and must only look at the ledger and at what that lock protects; once it has said yes it is
// not called again, so it may take what it has found.
func (ws *waiters) until(ctx context.Context, ready func() bool) bool {
	return ws.within(ctx, 0, ready)
}

// within is until with a limit: false also when d has passed. 0 is no limit.
func (ws *waiters) within(ctx context.Context, d time.Duration, ready func() bool) bool {
	w := &waiter{ready: ready, c: make(chan struct{})}
	ws.l.Lock()
	if ready() {
		ws.l.Unlock()
		return true
	}
	ws.list = append(ws.list, w)
	ws.l.Unlock()

	var limit <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		limit = t.C
	}
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for over := false; !over; {
		select {
		case <-w.c:
			over = true
		case <-ctx.Done():
			over = true
		case <-limit:
			over = true
		case <-poll.C:
			ws.l.Lock()
			if !w.woken && ready() {
				w.woken, over = true, true
			}
			ws.l.Unlock()
		}
	}
	ws.l.Lock()
	defer ws.l.Unlock()
	for i, x := range ws.list {
		if x == w {
			ws.list = append(ws.list[:i], ws.list[i+1:]...)
			break
		}
	}
	return w.woken
}
