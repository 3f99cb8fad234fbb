package backfill

import (
	"context"
	"runtime"
	"sync"
	"time"

	"tandem/internal/ledger"
)

const (
	// bigRaces is how many copies of a big key may lose before its read owns the stripe: each costs the
	// primary a serialization of the whole value.
	bigRaces = 2
	// bigSinkPause is how long a big key rests whose copy the Sink did not take.
	bigSinkPause = time.Second
	// garbageAtOnce is how many bytes of big values may have become garbage before they are collected. Left
	// to itself, the collector lets the heap double first, which one value may do.
	garbageAtOnce = 32 << 20
)

// bigKeys are dirty keys whose values are above BigKeyBytes. One goroutine copies them one after another,
// and begins with the next when the last is acknowledged, so that one value is in memory at most.
type bigKeys struct {
	wake chan struct{}

	mu    sync.Mutex
	items []*item

	garbage int64 // the goroutine's own
}

// add takes over it from the caller, who holds it no longer.
func (b *bigKeys) add(it *item) {
	mine := *it
	it.held = false
	b.mu.Lock()
	b.items = append(b.items, &mine)
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *bigKeys) take() *item {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.items) == 0 {
		return nil
	}
	it := b.items[0]
	b.items[0] = nil
	b.items = b.items[1:]
	return it
}

// runBig copies big keys until ctx ends, and gives back the rest.
func (c *Copier) runBig(ctx context.Context, lane ledger.LaneID) {
	for {
		it := c.big.take()
		switch {
		case it == nil && ctx.Err() != nil:
			return
		case it == nil:
			select {
			case <-c.big.wake:
			case <-ctx.Done():
			}
		case ctx.Err() != nil:
			c.giveBack([]*item{it}, 0)
		default:
			c.copyBig(ctx, lane, it)
		}
	}
}

// copyBig copies one big key and returns when it is acknowledged, or given back.
func (c *Copier) copyBig(ctx context.Context, lane ledger.LaneID, it *item) {
	defer func() {
		if v := recover(); v != nil {
			c.panicked(v)
		}
	}()
	one := []*item{it}
	defer c.giveBackFailed(one, errPanicked)
	if c.big.garbage >= garbageAtOnce {
		c.big.garbage = 0
		runtime.GC()
	}
	start := time.Now()
	db := int(it.copy.Key.DB)
	for races := 0; it.held; {
		var err error
		if races >= bigRaces || it.result == busy && time.Since(start) > patience {
			err = c.copyOrdered(ctx, lane, db, one, noLimits)
		} else {
			err = c.copyOnce(ctx, db, one, it.size, noLimits)
		}
		c.noteRead(ctx, err)
		switch {
		case ctx.Err() != nil:
			c.giveBack(one, 0)
			return
		case err != nil && it.held:
			// Unlike a batch's, this may well be the key's own fault.
			c.giveBackFailed(one, err)
			return
		}
		switch it.result {
		case lost:
			races++
		case busy:
			pause(ctx, busyPause)
		case notTaken:
			c.noteSink(false)
			c.giveBack(one, bigSinkPause)
			return
		case failed:
			c.giveBackFailed(one, it.err)
			return
		case untried: // its stripe was not to be had
			c.giveBack(one, orderedPause)
			return
		case settled:
			c.noteSink(true)
		}
	}
	c.big.garbage += it.size
	c.l.Lock()
	mark := c.l.Mark()
	c.l.Unlock()
	c.wait.until(ctx, func() bool { return c.l.Quiet(mark) })
}
