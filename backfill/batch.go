package backfill

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"
	"unsafe"

	"github.com/redis/rueidis"

	"tandem/internal/crashpoint"
	"tandem/internal/ledger"
)

// item is one key on its way through the copier.
type item struct {
	copy ledger.Copy
	// name is copy.Key.Name.
	name string
	// size is what the payload is expected to have; 0: not known.
	size int64
	// result is what the last attempt came to.
	result result
	// held: copy.Dirty is in our hands and must be given back to the ledger. Its fields are under the ledger's
	// lock all the same.
	held bool
	// alone: its copy has failed before, so that it goes by itself, to harm no other.
	alone bool
	// foreign: the secondary does not read what the primary dumps of it.
	foreign bool
	// typed: the next attempt is by type.
	typed bool
	// hurried: its last attempt was overtaken by a write, and the next is not made longer by a limit.
	hurried bool
	// err says why, if result is failed.
	err error
}

// result is what an attempt to copy a key came to.
type result uint8

const (
	// untried: it has not been read.
	untried result = iota
	// settled: it is on the Sink, or needs no copy.
	settled
	// busy: a write to its stripe is in flight.
	busy
	// lost: a write was sent while it was read.
	lost
	// notTaken: the Sink takes no copies now.
	notTaken
	// large: its value is larger than this attempt allowed; size is known now.
	large
	// unusable: the secondary does not read what the primary dumps of it.
	unusable
	// failed: the primary answered with an error.
	failed
)

// lockedAtOnce is how many keys are begun, or ended, under one hold of the ledger's lock: enough that the
// lock costs nothing, few enough that the clients' commands, which need it too, do not notice.
const lockedAtOnce = 64

// scratch is what an attempt needs beside its items. The slices have one place per key that is read.
type scratch struct {
	items    []*item
	names    []string
	readings []reading
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func (s *scratch) free() {
	clear(s.items)
	clear(s.names)
	clear(s.readings)
	s.items, s.names, s.readings = s.items[:0], s.names[:0], s.readings[:0]
	scratches.Put(s)
}

// copyOnce tries to copy items, all of one database, in one round trip, and sets their results. expect is
// how many bytes their payloads are likely to have. The error is ctx's or the primary's; what was not read
// then stays untried.
func (c *Copier) copyOnce(ctx context.Context, db int, items []*item, expect int64, lim limits) error {
	if err := c.throttle.turn(ctx, items[0].copy.Dirty != nil, expect); err != nil {
		return err
	}
	var bytes, largest int64
	defer func() { c.throttle.bytes.spend(float64(bytes - expect)) }()
	if !c.window.enter(ctx, expect) {
		return context.Cause(ctx)
	}
	entered := true
	leave := func() {
		entered = false
		c.window.leave(expect)
	}
	defer func() {
		if entered {
			c.l.Lock()
			leave()
			c.l.Unlock()
		}
	}()

	s := scratches.Get().(*scratch)
	defer s.free()
	for chunk := range slices.Chunk(items, lockedAtOnce) {
		c.begin(chunk, s)
	}
	n := len(s.items)
	if n == 0 {
		return nil
	}
	if cap(s.readings) < n {
		s.readings = make([]reading, max(n, maxBatch))
	}
	s.readings = s.readings[:n]
	c.hooks.at(beforeRead, db, s.names)
	start := time.Now()
	err := c.reader.readValues(ctx, db, s.names, lim, s.readings)
	took := time.Since(start)
	if err == nil {
		err = c.rewrite(ctx, db, s.readings, lim)
	}
	if err != nil {
		c.pace.failed()
		return err
	}
	c.hooks.at(afterRead, db, s.names)
	crashpoint.Reach(crashpoint.CopyRead)

	for i := range s.readings {
		bytes += s.readings[i].size
		largest = max(largest, s.readings[i].size)
	}
	for from := 0; from < n; from += lockedAtOnce {
		to := min(from+lockedAtOnce, n)
		c.end(s.items[from:to], s.readings[from:to])
		crashpoint.Reach(crashpoint.CopyAppended)
	}
	c.pace.done(db, n, bytes, largest, took)
	return nil
}

// begin notes the versions of the items' stripes and collects in s what is to be read.
func (c *Copier) begin(items []*item, s *scratch) {
	defer c.l.Enter()()
	for _, it := range items {
		d := it.copy.Dirty
		switch {
		case d == nil && c.l.Known(it.copy.Key.Hash):
			it.result = settled
		case c.l.SideOf(it.copy.Key.Hash) != c.opt.From && d == nil:
			it.result = lost // the other copier's, from now on
		case d != nil && (!c.l.Wanted(d) || c.l.SideOf(it.copy.Key.Hash) != c.opt.From):
			it.result = settled
			c.retry(it, 0)
		case !c.l.Ready(c.opt.From.Other()):
			it.result = notTaken
		case c.isTooLong(it):
			it.result = failed
		case !c.l.BeginCopy(&it.copy):
			it.result = busy
		default:
			it.result = untried
			s.items = append(s.items, it)
			s.names = append(s.names, it.name)
		}
	}
}

// end hands to the Sink what was read and not overtaken by a write.
func (c *Copier) end(items []*item, readings []reading) {
	shift := c.opt.Shift()
	var races uint64
	var state ledger.State // one for all: the Sink does not keep it
	defer func() { c.stats.races.Add(races) }()
	defer c.l.Enter()()
	for i, it := range items {
		var r result
		state, r = stateOf(&readings[i], shift+c.opt.Extend)
		if r == settled && !c.fits(&state) {
			r, readings[i].size = unusable, int64(len(state.Payload))
		}
		if r == settled {
			switch c.l.EndCopy(&it.copy, &state) {
			case ledger.Won:
				c.copied(it, &readings[i])
			case ledger.Lost:
				r = lost
			case ledger.NotTaken:
				r = notTaken
			}
		}
		if r == lost {
			races++
		}
		it.note(r, &readings[i])
	}
}

// stateOf turns a reading into the state that the secondary is to have; the result says why there is none.
func stateOf(r *reading, shift int64) (ledger.State, result) {
	switch r.found {
	case missing:
		return ledger.State{Missing: true}, settled
	case present, built:
		s := ledger.State{Payload: r.payload, From: r.from, ExpireAt: r.expireAt}
		if s.ExpireAt != 0 {
			// 0 would mean that it never expires.
			s.ExpireAt = max(1, min(s.ExpireAt, math.MaxInt64-max(0, shift))+shift)
		}
		return s, settled
	case dropped:
		return ledger.State{}, large
	case byType:
		return ledger.State{}, unusable
	case torn:
		return ledger.State{}, lost
	}
	return ledger.State{}, failed
}

// note keeps what an attempt has shown.
func (it *item) note(r result, read *reading) {
	it.result = r
	switch r {
	case large:
		it.size = max(1, read.size)
	case unusable:
		it.foreign, it.size = true, max(1, read.size)
	case failed:
		it.err = read.err
	}
}

// copied counts a copy that was won. The ledger's lock is held.
func (c *Copier) copied(it *item, r *reading) {
	c.stats.copied.Add(1)
	c.stats.bytes.Add(uint64(r.length()))
	if r.found == built {
		c.stats.typed.Add(1)
	}
	c.fading.note(it, r)
	c.finish(it)
}

// finish ends the hold on a dirty key whose copy was won. The ledger's lock is held.
func (c *Copier) finish(it *item) {
	if d := it.copy.Dirty; d != nil {
		d.Long = nil
	}
	if it.held {
		it.held = false
		c.l.Done(it.copy.Dirty)
	}
}

// copyItems copies items of one database in as many round trips as their sizes ask for, until the Sink takes
// no more. Those with values above BigKeyBytes end as large; the other results are those of copyOnce, which
// see for the error.
func (c *Copier) copyItems(ctx context.Context, db int, items []*item) error {
	for _, it := range items {
		it.result = untried
	}
	for len(items) > 0 {
		n, mean, ask := c.pace.next(db)
		batch := items[:min(n, len(items))]
		items = items[len(batch):]
		whole := batch
		if !ask {
			ask = sized(batch)
		}
		if !ask {
			if err := c.copyOnce(ctx, db, batch, int64(len(batch))*mean, c.pace.limits()); err != nil {
				return err
			}
			batch = tooLarge(batch)
		}
		if len(batch) > 0 {
			if err := c.copySized(ctx, db, batch); err != nil {
				return err
			}
		}
		if refusedAny(whole) {
			return nil
		}
	}
	return nil
}

// refusedAny reports whether the Sink did not take one of the items.
func refusedAny(items []*item) bool {
	for _, it := range items {
		if it.result == notTaken {
			return true
		}
	}
	return false
}

// sized reports whether the size of one of the items is known already.
func sized(items []*item) bool {
	for _, it := range items {
		if it.size > 0 {
			return true
		}
	}
	return false
}

// tooLarge returns those of the items whose values were dropped.
func tooLarge(items []*item) (out []*item) {
	for _, it := range items {
		if it.result == large {
			out = append(out, it)
		}
	}
	return out
}

// copySized copies items whose values may be large: their sizes are asked first, and as many go together as
// fit into a batch.
func (c *Copier) copySized(ctx context.Context, db int, items []*item) error {
	if err := c.askSizes(ctx, db, items); err != nil {
		return err
	}
	items = slices.Clone(items) // the caller's are behind it in memory
	for len(items) > 0 {
		batch := []*item{}
		var sum int64
		together := c.pace.together()
		for _, it := range items {
			if it.size > c.opt.BigKeyBytes {
				it.result = large
				items = items[1:]
				continue
			}
			if len(batch) > 0 && sum+it.size > together {
				break
			}
			batch = append(batch, it)
			sum += it.size
			items = items[1:]
		}
		if len(batch) == 0 {
			return nil
		}
		// Twice the sum leaves room for sizes that were underestimated; what needs more is read again.
		lim := limits{value: c.opt.BigKeyBytes, total: 2*sum + c.pace.bytes()}
		if err := c.copyOnce(ctx, db, batch, sum, lim); err != nil {
			return err
		}
		items = append(items, tooLarge(batch)...)
	}
	return nil
}

// askSizes fills in the sizes that are not known.
func (c *Copier) askSizes(ctx context.Context, db int, items []*item) error {
	names := make([]string, 0, len(items))
	unknown := make([]*item, 0, len(items))
	for _, it := range items {
		if it.size == 0 {
			unknown = append(unknown, it)
			names = append(names, it.name)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	sizes, err := c.reader.sizes(ctx, db, names)
	if err != nil {
		return err
	}
	for i, it := range unknown {
		it.size = max(1, sizes[i])
	}
	c.pace.asked(db, slices.Max(sizes))
	return nil
}

// fromSweep makes the item of a swept key.
func (it *item) fromSweep(l *ledger.Ledger, db int, name string) {
	key := bytesOf(name)
	*it = item{name: name, copy: ledger.Copy{Key: ledger.Key{Hash: l.Hash(db, key), Name: key, DB: int32(db), Write: true}}}
}

// fromDirty makes the item of a dirty key that the copier has taken. The ledger's lock is held.
func (it *item) fromDirty(d *ledger.Dirty) {
	*it = item{name: rueidis.BinaryString(d.Key.Name), copy: ledger.Copy{Key: d.Key, Dirty: d}, held: true, alone: d.Failures > 0,
		foreign: d.Failures > 0 && refusesForm(d.Why)}
}

// bytesOf is a name as bytes, without a copy; nobody changes them.
func bytesOf(name string) []byte { return unsafe.Slice(unsafe.StringData(name), len(name)) }
