package backfill

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tandem/internal/ledger"
)

// orderedAtOnce is how many stripes copy reads may own at once in one worker. Each holds back the clients'
// writes to it for a round trip.
const orderedAtOnce = 16

// ordered is a few copy reads: each waits for its stripe, is read while it owns it, and so cannot lose.
// Those that own theirs are read together.
type ordered struct {
	tickets []*ticket
	// Under the ledger's lock: granted own their stripes and are not read; signal is full if there are any, unless somebody is
	// about to take them.
	granted []*ticket
	signal  chan struct{}
}

// take returns those that own their stripes and were not taken before. At least one does when the signal came.
func (g *ordered) take(l *ledger.Ledger) []*ticket {
	defer l.Enter()()
	batch := g.granted
	g.granted = nil
	select {
	case <-g.signal: // more were granted since the signal came, and all are taken now
	default:
	}
	return batch
}

// ticket is one of them: the write that owns the stripe, and the key.
type ticket struct {
	w     ledger.Write
	it    *item
	group *ordered
	// owns: it has been granted; ended: it has given up its stripe.
	owns, ended bool
}

// Granted is called with the ledger's lock held. The copier's connection is a lane of its own, on which the
// read may be at any later time.
func (t *ticket) Granted(*ledger.Write) {
	t.owns = true
	t.group.granted = append(t.group.granted, t)
	select {
	case t.group.signal <- struct{}{}:
	default:
	}
}

// copyOrdered copies dirty items of one database by reads that own their stripes, and sets their results:
// large for those whose values are beyond lim, untried for those that waited for their stripe in vain. A
// stripe is owned for OrderedTimeout at most. The error is what kept the primary from answering; the items
// concerned have failed with it.
func (c *Copier) copyOrdered(ctx context.Context, lane ledger.LaneID, db int, items []*item, lim limits) error {
	var first error
	for len(items) > 0 {
		n := min(orderedAtOnce, len(items))
		if err := c.copyGroup(ctx, lane, db, items[:n], lim); err != nil && first == nil {
			first = err
		}
		items = items[n:]
	}
	return first
}

func (c *Copier) copyGroup(ctx context.Context, lane ledger.LaneID, db int, items []*item, lim limits) error {
	// The window comes first: a stripe must not be held while others' copies are waited for.
	var expect int64
	for _, it := range items {
		it.result, it.err = untried, nil
		expect += max(it.size, 1024)
		if lim != noLimits {
			lim.value, lim.total = max(lim.value, it.size), lim.total+it.size
		}
	}
	if items[0].typed { // it is alone
		expect = typedBytes
	}
	if !c.window.enter(ctx, expect) {
		return context.Cause(ctx)
	}
	g := &ordered{signal: make(chan struct{}, 1)}
	defer c.abandon(g, expect)
	c.stats.ordered.Add(uint64(len(items)))

	c.queue(g, lane, items)
	// A stripe may be held for long by a connection that is lost and not yet known dead.
	limit := time.NewTimer(c.opt.OrderedTimeout)
	defer limit.Stop()
	var first error
	for left := len(g.tickets); left > 0; {
		select {
		case <-g.signal:
		case <-limit.C:
			return first
		case <-ctx.Done():
			return first
		}
		batch := g.take(c.l)
		left -= len(batch)
		if err := c.readOwned(ctx, db, batch, lim); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// readOwned reads keys whose stripes are owned, hands them to the Sink, and gives the stripes up.
func (c *Copier) readOwned(ctx context.Context, db int, batch []*ticket, lim limits) error {
	names := make([]string, len(batch))
	readings := make([]reading, len(batch))
	for i, t := range batch {
		names[i] = t.it.name
	}
	c.hooks.at(owning, db, names)
	parent := ctx
	ctx, cancel := context.WithTimeout(ctx, c.opt.OrderedTimeout)
	defer cancel()
	var err error
	if batch[0].it.typed {
		// It is alone. While the stripe is owned nobody writes; that is what it is owned for.
		readings[0], err = c.build(ctx, db, names[0], false, func() bool { return false })
	} else if err = c.reader.read(ctx, db, names, lim, readings); err == nil {
		err = c.rewrite(ctx, db, readings, lim)
	}
	switch {
	case err != nil && batch[0].it.typed && (ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded)): // a client may be early
		// Whichever of the two servers it was that took so long.
		err = fmt.Errorf("clients write to it all the time, and copying it takes longer than the %v for which they may be held back: "+
			"it is copied when it is left alone for a while", c.opt.OrderedTimeout)
	case err != nil:
		err = fmt.Errorf("read that owns its stripe, in at most %v: %w", c.opt.OrderedTimeout, err)
	}
	for i := range readings {
		if readings[i].found != built { // the pieces of others are counted one by one
			c.throttle.bytes.spend(float64(readings[i].size))
		}
	}
	shift := c.opt.Shift()

	defer func() {
		if readings[0].found == built && batch[0].it.result != settled {
			c.discard(parent, db, readings[0].from)
		}
	}()
	defer c.l.Enter()()
	for i, t := range batch {
		state, r := stateOf(&readings[i], shift+c.opt.Extend)
		if r == settled && !c.fits(&state) {
			r = unusable
		}
		switch {
		case err != nil:
			readings[i].err = err
			r = failed
			c.l.Unanswered(&t.w)
		case r != settled:
			c.l.Unanswered(&t.w)
		default:
			switch c.l.EndCopyRead(&t.w, &t.it.copy, &state) {
			case ledger.Won:
				c.copied(t.it, &readings[i])
			case ledger.Lost:
				// It became dirty anew meanwhile, by other than a write.
				r = lost
			case ledger.NotTaken:
				r = notTaken
			}
		}
		t.ended = true
		t.it.note(r, &readings[i])
	}
	return err
}

// queue takes the places of a group's copy reads, ahead of the clients' writes.
func (c *Copier) queue(g *ordered, lane ledger.LaneID, items []*item) {
	defer c.l.Enter()()
	ready := c.l.Ready(c.opt.From.Other())
	for _, it := range items {
		switch {
		case !c.l.Wanted(it.copy.Dirty) || c.l.SideOf(it.copy.Key.Hash) != c.opt.From:
			it.result = settled
			c.retry(it, 0)
			continue
		case !ready:
			it.result = notTaken
			continue
		}
		t := &ticket{it: it, group: g}
		t.w = ledger.Write{Kind: ledger.CopyRead, Lane: lane, Keys: []ledger.Key{it.copy.Key}, Waiter: t}
		g.tickets = append(g.tickets, t)
		if c.l.Acquire(&t.w) {
			t.Granted(&t.w)
		}
	}
}

// abandon ends what a group still owns or waits for, and its place in the window.
func (c *Copier) abandon(g *ordered, expect int64) {
	defer c.l.Enter()()
	for _, t := range g.tickets {
		switch {
		case t.ended:
		case t.owns:
			c.l.Unanswered(&t.w)
		default:
			c.l.Cancel(&t.w)
		}
	}
	c.window.leave(expect)
}
