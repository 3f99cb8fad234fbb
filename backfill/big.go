package backfill

import (
	"context"
	"errors"
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

// errPastTandem says why a copy failed that nobody's write through the proxy can have overtaken.
var errPastTandem = errors.New("changed past Tandem while it was copied")

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

// waiting is how many wait.
func (b *bigKeys) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.items)
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
	if !c.copyAlone(ctx, lane, it) {
		return
	}
	if !it.typed {
		c.big.garbage += it.size
	}
	c.l.Lock()
	mark := c.l.Mark()
	c.l.Unlock()
	c.wait.until(ctx, func() bool { return c.l.Quiet(mark) })
}

// copyAlone copies one key by itself, and returns when it is on the Sink, or given back, which is false.
func (c *Copier) copyAlone(ctx context.Context, lane ledger.LaneID, it *item) bool {
	one := []*item{it}
	start := time.Now()
	db := int(it.copy.Key.DB)
	for races := 0; it.held; {
		owns := races >= bigRaces || it.result == busy && time.Since(start) > patience
		it.typed, it.hurried = c.byType(it, owns), races > 0
		var err error
		switch {
		case owns:
			err = c.copyOrdered(ctx, lane, db, one, noLimits)
		case it.typed:
			err = c.copyTyped(ctx, db, it)
		default:
			err = c.copyOnce(ctx, db, one, it.size, noLimits)
		}
		if errors.Is(err, errSecondary) {
			c.opt.Log.Warn("a key could not be copied by type; trying again", "key", it.name, "db", db, "error", err)
			it.result, err = notTaken, nil
		}
		c.noteRead(ctx, err)
		switch {
		case ctx.Err() != nil:
			c.giveBack(one, 0)
			return false
		case err != nil && it.held:
			// Unlike a batch's, this may well be the key's own fault.
			c.giveBackFailed(one, err)
			return false
		}
		switch it.result {
		case lost:
			if owns { // no client can be why, and the next attempt may end the same
				c.giveBackFailed(one, errPastTandem)
				return false
			}
			races++
		case busy:
			pause(ctx, busyPause)
		case notTaken:
			c.noteSink(false)
			c.giveBack(one, bigSinkPause)
			return false
		case failed:
			c.giveBackFailed(one, it.err)
			return false
		case untried: // its stripe was not to be had
			c.giveBack(one, orderedPause)
			return false
		case settled:
			c.noteSink(true)
		}
	}
	return true
}

// byType decides how the next attempt copies a key: by type if there is no other way, or if its DUMP would take long. But
// while it owns the stripe, and clients wait, a DUMP is over sooner.
func (c *Copier) byType(it *item, owns bool) bool {
	return it.foreign || it.size > c.opt.DumpBytes && !owns || it.size > c.longest(it.size)
}
