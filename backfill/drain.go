package backfill

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"tandem/internal/ledger"
)

const (
	// maxRaces is how many copies of a key may lose before its read owns the stripe.
	maxRaces = 3
	// patience is how long a copy waits for a moment at which no write to its stripe is in flight.
	patience = 20 * time.Millisecond
	// busyPause is how long a copy lets the writes in flight go on before it looks again: about what they
	// take on a local network.
	busyPause = time.Millisecond
)

// errPanicked says why a key's copy failed when its worker panicked.
var errPanicked = errors.New("the copy ended in a panic")

// Run copies dirty keys until ctx ends, then gives back what it holds, closes its connections and returns
// nil. Trouble with either instance is waited out. It may be called again when it has returned.
func (c *Copier) Run(ctx context.Context) error {
	c.reader.open()
	defer c.reader.close()
	c.forms.to.open()
	defer c.forms.to.close()
	pool, err := newPool(int(c.workers.Load()), c.panicked)
	if err != nil {
		return err
	}
	defer pool.Release()
	c.pool.Store(pool)
	defer c.pool.Store(nil)

	c.l.Lock()
	lane := c.l.AddLane(c.opt.From)
	c.l.Unlock()
	defer func() {
		c.l.Lock()
		c.l.RemoveLane(lane)
		c.l.Unlock()
	}()

	var tasks sync.WaitGroup
	defer tasks.Wait()
	tasks.Go(func() { c.runBig(ctx, lane) })
	tasks.Go(func() { c.runFading(ctx) })
	for ctx.Err() == nil {
		items, wait := c.takeDirty(ctx)
		if len(items) == 0 {
			c.wait.within(ctx, wait, func() bool { return c.l.QueuedFrom(c.opt.From) > 0 })
			continue
		}
		for _, task := range split(items) {
			tasks.Add(1)
			err := pool.Submit(func() {
				defer tasks.Done()
				c.copyDirty(ctx, lane, task)
			})
			if err != nil { // the pool is only closed after this loop
				tasks.Done()
				c.giveBack(task, 0)
			}
		}
	}
	return nil
}

// idle is how long Run waits at most for something to do.
const idle = time.Second

// takeDirty takes the next dirty keys, of any databases; while a side is in trouble, only one, after a
// pause. When there is none it returns how long to wait for those that back off.
func (c *Copier) takeDirty(ctx context.Context) ([]*item, time.Duration) {
	n, _, _ := c.pace.next(0)
	if d := c.troubled(); d > 0 {
		pause(ctx, d)
		if ctx.Err() != nil {
			return nil, idle
		}
		n = 1
	}
	now := time.Now()
	var items []*item
	var wait time.Duration
	defer c.l.Enter()()
	for len(items) < n {
		var d *ledger.Dirty
		if d, wait = c.l.NextDirty(c.opt.From, now); d == nil {
			break
		}
		it := new(item)
		if it.fromDirty(d); it.foreign {
			c.forms.forget()
		}
		items = append(items, it)
	}
	if wait == 0 {
		wait = idle
	}
	return items, wait
}

// split makes tasks of items: one per database, and one for each key that goes alone.
func split(items []*item) [][]*item {
	var tasks [][]*item
	byDB := map[int32]int{}
	for _, it := range items {
		if it.alone {
			tasks = append(tasks, []*item{it})
			continue
		}
		db := it.copy.Key.DB
		i, ok := byDB[db]
		if !ok {
			i = len(tasks)
			byDB[db] = i
			tasks = append(tasks, nil)
		}
		tasks[i] = append(tasks[i], it)
	}
	return tasks
}

// copyDirty copies dirty keys of one database. Whatever happens, each is given back to the ledger or left to
// the goroutine of big keys.
func (c *Copier) copyDirty(ctx context.Context, lane ledger.LaneID, items []*item) {
	all := items
	defer c.giveBackFailed(all, errPanicked) // in a panic; otherwise none is held any more
	db := int(items[0].copy.Key.DB)
	start := time.Now()
	for len(items) > 0 {
		if items[0].foreign { // it was refused before, and is alone
			c.copyAlone(ctx, lane, items[0])
			return
		}
		err := c.copyItems(ctx, db, items)
		c.noteRead(ctx, err)
		if err != nil {
			c.giveBack(all, c.troubled())
			return
		}
		c.settle(items)
		c.copyUnusable(ctx, lane, items)
		again, ordered := c.sort(items, time.Since(start) > patience)
		if len(ordered) > 0 {
			c.noteRead(ctx, c.copyOrdered(ctx, lane, db, ordered, c.pace.limits()))
			c.settle(ordered)
			c.copyUnusable(ctx, lane, ordered)
			again = append(again, tooLarge(ordered)...) // with a known size now
		}
		if items = again; len(items) > 0 && ctx.Err() == nil {
			pause(ctx, busyPause)
		}
		if ctx.Err() != nil {
			break
		}
	}
	c.giveBack(all, orderedPause)
}

// typedAtOnce is how many small keys one worker copies by type at once: each takes some round trips to both servers.
const typedAtOnce = 16

// copyUnusable copies by type those of the items whose DUMPs the secondary does not read; large ones are left to their
// goroutine.
func (c *Copier) copyUnusable(ctx context.Context, lane ledger.LaneID, items []*item) {
	var copies errgroup.Group
	copies.SetLimit(typedAtOnce)
	for _, it := range items {
		switch {
		case it.result != unusable || !it.held:
		case it.size > c.opt.BigKeyBytes:
			c.big.add(it)
		default:
			copies.Go(func() error {
				defer func() {
					if v := recover(); v != nil {
						c.panicked(v)
						c.giveBackFailed([]*item{it}, errPanicked)
					}
				}()
				c.copyAlone(ctx, lane, it)
				return nil
			})
		}
	}
	_ = copies.Wait() // none returns an error
}

// orderedPause is how long a key rests whose read could not own its stripe in time.
const orderedPause = 100 * time.Millisecond

// sort says how to go on with those that are still held after an attempt: again, or owning the stripe. Big
// ones are left to their goroutine.
func (c *Copier) sort(items []*item, impatient bool) (again, ordered []*item) {
	defer c.l.Enter()()
	for _, it := range items {
		owns := false
		switch it.result {
		case busy:
			owns = impatient
		case lost:
			it.copy.Dirty.Races++
			owns = it.copy.Dirty.Races >= maxRaces
		case large:
			c.big.add(it)
			continue
		default:
			continue
		}
		if owns {
			ordered = append(ordered, it)
		} else {
			again = append(again, it)
		}
	}
	return again, ordered
}

// settle gives back what the last attempt has shown to be hopeless for now: what the Sink does not take, and
// what the primary does not tell.
func (c *Copier) settle(items []*item) {
	var taken, refused bool
	for _, it := range items {
		switch it.result {
		case settled:
			taken = true
		case notTaken:
			refused = true
		case failed:
			c.giveBackFailed([]*item{it}, it.err)
		}
	}
	if taken || refused {
		c.noteSink(!refused)
	}
	if refused {
		defer c.l.Enter()()
		for _, it := range items {
			if it.result == notTaken {
				c.retry(it, c.troubled())
			}
		}
	}
}

// retry gives a dirty key back to the ledger. The ledger's lock is held.
func (c *Copier) retry(it *item, pause time.Duration) {
	if it.held {
		it.held = false
		c.l.Retry(it.copy.Dirty, time.Now(), pause)
	}
}

// giveBack gives back those that are still held; nothing is wrong with them.
func (c *Copier) giveBack(items []*item, pause time.Duration) {
	defer c.l.Enter()()
	for _, it := range items {
		c.retry(it, pause)
	}
}

// giveBackFailed gives back those that are still held because their copy failed. They are tried again, more
// and more slowly, and the ledger lists them (Failing).
func (c *Copier) giveBackFailed(items []*item, err error) {
	defer c.l.Enter()()
	for _, it := range items {
		if it.held {
			d := it.copy.Dirty
			d.Failures++
			var long *tooLong
			if errors.As(err, &long) {
				noteLong(d, long)
			}
			d.Why = err.Error()
			c.stats.failed.Add(1)
			c.retry(it, backoff(d.Failures, maxFailurePause))
		}
	}
}

// maxFailurePause is how long a key at most rests whose copy keeps failing.
const maxFailurePause = 10 * time.Second
