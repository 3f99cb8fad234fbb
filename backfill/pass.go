package backfill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/panjf2000/ants/v2"

	"tandem/internal/ledger"
	"tandem/internal/state"
)

// Why a pass over the keyspaces ends before its end.
var (
	errOwedAgain = errors.New("the sweep is owed again")
	errNotOwed   = errors.New("no sweep is owed")
)

// maxQueued is how many dirty keys may wait for the copier before a sweep stops to feed it: what a sweep
// cannot copy at once it makes dirty, and the dirty set is bounded.
const maxQueued = 4096

// maxBigQueued is the same for big keys, which are copied one after another. What waits is copied in a pause, too.
const maxBigQueued = 16

// pass is one walk through both keyspaces for one owed sweep.
type pass struct {
	*Sweep
	gen      uint64
	pool     *ants.Pool
	from, to *reader

	markedOnly bool       // only keys in marked stripes are unknown
	runID      string     // of the primary, where the walk last was
	next       *candidate // nil: none is taken
	noted      time.Time  // when the last checkpoint was saved, or the pass began

	tasks sync.WaitGroup
	// stop ends the pass with a reason.
	stop context.CancelCauseFunc
}

// run sweeps both parts and waits for the end.
func (p *pass) run(ctx context.Context) error {
	defer p.from.close()
	defer p.to.close()
	ctx, p.stop = context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer p.tasks.Wait()
	defer p.stop(nil) // first: what is under way on an early return may wait for the secondary
	watch.Go(func() { p.watch(ctx) })

	dbs, err := p.databases(ctx)
	if err != nil {
		return err
	}
	if p.opt.Back != nil {
		// What is on its way to either instance was sent before all became unknown, and is nothing that the walks would see.
		if err := p.quiet(ctx); err != nil {
			return err
		}
	}
	at, err := p.takeUp(ctx, dbs)
	if err != nil {
		return err
	}
	if err := p.feedFrom(ctx, dbs, at); err != nil {
		return err
	}
	for _, db := range dbs {
		err := p.to.scan(ctx, db, p.scanCount, func(names []string) error {
			p.progress.scanned(partTwo, len(names))
			names = p.c.dropTemporary(ctx, db, names)
			return p.feed(ctx, db, names, p.onlySecondary)
		})
		if err != nil {
			return err
		}
	}
	return p.end(ctx)
}

// scanCount is the COUNT of the next SCAN.
func (p *pass) scanCount() int { return p.c.throttle.scanCount(p.opt.ScanCount) }

// feedFrom is the first part, from a checkpoint on.
func (p *pass) feedFrom(ctx context.Context, dbs []int, at state.Checkpoint) error {
	p.from.stayed.Store(0)
	for _, db := range dbs {
		if db < at.DB {
			continue
		}
		var from position
		if db == at.DB {
			from = position{runID: at.RunID, cursor: at.Cursor}
		}
		err := p.from.scanFrom(ctx, db, p.scanCount, from, func(names []string, at position) error {
			p.progress.scanned(partOne, len(names))
			if p.opt.Back != nil {
				names = p.opt.Back.dropTemporary(ctx, db, names)
			} else {
				names = withoutTemporary(names) // of when this was the secondary
			}
			if err := p.feed(ctx, db, names, nil); err != nil {
				return err
			}
			return p.note(ctx, db, at)
		})
		if err != nil {
			return err
		}
	}
	p.progress.stay(p.from.staying())
	if err := p.quiet(ctx); err != nil {
		return err
	}
	return p.noteEnd(ctx)
}

// databases returns those that have keys on either side. Whatever is written to others from now on comes by
// the lanes.
func (p *pass) databases(ctx context.Context) ([]int, error) {
	var from, to []int64
	err := insist(ctx, p.opt.Log, "the sweep waits for an instance", 0, func() (err error) {
		if from, err = p.from.countKeys(ctx, p.opt.Databases); err == nil {
			to, err = p.to.countKeys(ctx, p.opt.Databases)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	p.total(from, to)
	var dbs []int
	for db := range from {
		if from[db] > 0 || to[db] > 0 {
			dbs = append(dbs, db)
		}
	}
	return dbs, nil
}

func sum(ns []int64) (total int64) {
	for _, n := range ns {
		total += n
	}
	return total
}

// feed gives a page of names to the copier, those that the ledger does not know. keep, if given, picks
// among them in the worker. It waits for a worker, the pause, the rate, and for dirty keys to become fewer.
func (p *pass) feed(ctx context.Context, db int, names []string, keep func(context.Context, int, []*item) ([]*item, error)) error {
	pick := p.c.unknown
	if keep != nil {
		pick = p.c.unknownThere
	}
	if keep == nil && !p.markedOnly && !p.c.throttle.keys.limited() {
		pick = nil // the copier leaves out the others as well; here they would be waited for
	}
	return p.feedPicked(ctx, db, names, pick, keep)
}

// feedPicked is feed for those of a page that pick returns; nil: all.
func (p *pass) feedPicked(ctx context.Context, db int, names []string, pick func([]*item) []*item,
	keep func(context.Context, int, []*item) ([]*item, error)) error {
	if err := p.c.throttle.gate.pass(ctx); err != nil {
		return err
	}
	if err := p.gate.pass(ctx); err != nil {
		return err
	}
	queued := func() bool {
		return p.l.Queued() <= maxQueued && p.c.big.waiting() <= maxBigQueued || p.over() != nil
	}
	if !p.c.wait.until(ctx, queued) {
		return context.Cause(ctx)
	}
	p.l.Lock()
	err := p.over()
	p.l.Unlock()
	if err != nil {
		return err
	}
	items := p.c.newPage(db, names)
	if pick != nil {
		items = pick(items)
		if err := p.passOver(ctx, len(names)-len(items)); err != nil {
			return err
		}
	}
	return p.feedItems(ctx, db, items, keep)
}

// passedOver is how many keys that are scanned and not copied count as one that is copied, for the rate: SCAN alone costs
// a server about that much less than SCAN, DUMP and PTTL. After a crash nearly all are passed over.
const passedOver = 10

// passOver waits for the share of the rate that is due for keys that were only scanned.
func (p *pass) passOver(ctx context.Context, keys int) error {
	for n := (keys + passedOver - 1) / passedOver; n > 0; {
		granted, err := p.waitRate(ctx, n)
		if err != nil {
			return err
		}
		n -= granted
	}
	return nil
}

// waitRate waits until the rate lets some of n keys through, and returns how many.
func (p *pass) waitRate(ctx context.Context, n int) (granted int, err error) {
	granted = p.c.throttle.keys.most(n)
	if err := p.c.throttle.keys.pass(ctx, float64(granted), 0); err != nil {
		return 0, err
	}
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	return granted, nil
}

// feedItems gives items to the workers.
func (p *pass) feedItems(ctx context.Context, db int, items []*item, keep func(context.Context, int, []*item) ([]*item, error)) error {
	for len(items) > 0 {
		n, err := p.waitRate(ctx, len(items))
		if err != nil {
			return err
		}
		chunk := items[:n]
		items = items[n:]
		p.tasks.Add(1)
		err = p.pool.Submit(func() {
			defer p.tasks.Done()
			p.copy(ctx, db, chunk, keep)
		})
		if err != nil {
			p.tasks.Done()
			return fmt.Errorf("sweep's pool: %w", err)
		}
	}
	return nil
}

// copy is a worker's task.
func (p *pass) copy(ctx context.Context, db int, items []*item, keep func(context.Context, int, []*item) ([]*item, error)) {
	items, back := p.bySide(items)
	if keep != nil && len(items) > 0 {
		var err error
		if items, err = keep(ctx, db, items); err != nil {
			p.stop(err)
			return
		}
	}
	if err := p.c.copyPage(ctx, db, items); err != nil {
		p.stop(err)
		return
	}
	if len(back) > 0 {
		if err := p.opt.Back.copyPage(ctx, db, back); err != nil {
			p.stop(err)
		}
	}
}

// bySide splits items into those whose truth is on the primary and those whose truth is on the secondary.
func (p *pass) bySide(items []*item) (primary, secondary []*item) {
	if p.opt.Back == nil {
		return items, nil
	}
	for chunk := range slices.Chunk(items, lockedAtOnce) {
		p.l.Lock()
		for _, it := range chunk {
			if p.l.SideOf(it.copy.Key.Hash) == ledger.Primary {
				primary = append(primary, it)
			} else {
				secondary = append(secondary, it)
			}
		}
		p.l.Unlock()
	}
	return primary, secondary
}

// onlySecondary picks those of the secondary's keys that the primary does not have.
func (p *pass) onlySecondary(ctx context.Context, db int, items []*item) ([]*item, error) {
	commands := make([]command, len(items))
	for i, it := range items {
		commands[i] = command{"EXISTS", it.name}
	}
	for failures := 1; ; failures++ {
		results, err := p.from.do(ctx, db, commands...)
		if err == nil {
			var gone []*item
			for i := range results {
				// Of a key that may not be asked for, the copier finds out, and names it.
				if n, err := results[i].ToInt64(); err != nil || n == 0 {
					gone = append(gone, items[i])
				}
			}
			return gone, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		pause(ctx, backoff(failures, maxScanPause))
	}
}

// over says whether this pass is of no more use. The ledger's lock is held.
func (p *pass) over() error {
	gen, _, owed := p.l.SweepOwed()
	switch {
	case !owed:
		return errNotOwed
	case gen != p.gen:
		return errOwedAgain
	}
	return nil
}

// quiet waits until all pages are copied and all that was handed to the Sink by then is acknowledged.
func (p *pass) quiet(ctx context.Context) error {
	p.tasks.Wait()
	p.l.Lock()
	mark := p.l.Mark()
	p.l.Unlock()
	if !p.c.wait.until(ctx, func() bool { return p.l.Quiet(mark) || p.over() != nil }) {
		return context.Cause(ctx)
	}
	return nil
}

// end waits until nothing of the sweep is left and ends it in the ledger.
func (p *pass) end(ctx context.Context) error {
	p.tasks.Wait()
	if !p.c.wait.until(ctx, func() bool { return p.over() != nil || p.l.SweepSettled(p.gen) }) {
		return context.Cause(ctx)
	}
	defer p.l.Enter()()
	if err := p.over(); err != nil {
		return err
	}
	if !p.l.Swept(p.gen) {
		return errOwedAgain // while it was under way
	}
	return nil
}

// watchEvery is how often rates are measured, and every how many of these keys are counted anew.
const (
	watchEvery = 250 * time.Millisecond
	countEvery = 8
)

// watch keeps the progress up to date.
func (p *pass) watch(ctx context.Context) {
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		p.progress.measure(p.c.Stats())
		if n%countEvery == 0 {
			from, err1 := p.from.countKeys(ctx, p.opt.Databases)
			to, err2 := p.to.countKeys(ctx, p.opt.Databases)
			if err1 == nil && err2 == nil {
				p.total(from, to)
			}
		}
	}
}

// total takes the number of keys on both sides, without those that were found not to move.
func (p *pass) total(from, to []int64) {
	p.progress.total(sum(from)-p.from.stayed.Load(), sum(to)-p.to.stayed.Load(), p.from.staying())
}
