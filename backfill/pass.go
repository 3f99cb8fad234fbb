package backfill

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/panjf2000/ants/v2"
	"golang.org/x/time/rate"

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
	at, err := p.takeUp(ctx, dbs)
	if err != nil {
		return err
	}
	if err := p.feedFrom(ctx, dbs, at); err != nil {
		return err
	}
	for _, db := range dbs {
		err := p.to.scan(ctx, db, p.opt.ScanCount, func(names []string) error {
			p.progress.scanned(partTwo, len(names))
			return p.feed(ctx, db, names, p.onlySecondary)
		})
		if err != nil {
			return err
		}
	}
	return p.end(ctx)
}

// feedFrom is the first part, from a checkpoint on.
func (p *pass) feedFrom(ctx context.Context, dbs []int, at state.Checkpoint) error {
	for _, db := range dbs {
		if db < at.DB {
			continue
		}
		var from position
		if db == at.DB {
			from = position{runID: at.RunID, cursor: at.Cursor}
		}
		err := p.from.scanFrom(ctx, db, p.opt.ScanCount, from, func(names []string, at position) error {
			p.progress.scanned(partOne, len(names))
			if err := p.feed(ctx, db, names, nil); err != nil {
				return err
			}
			return p.note(ctx, db, at)
		})
		if err != nil {
			return err
		}
	}
	if err := p.quiet(ctx); err != nil {
		return err
	}
	return p.noteEnd(ctx)
}

// databases returns those that have keys on either side. Whatever is written to others from now on comes by
// the lanes.
func (p *pass) databases(ctx context.Context) ([]int, error) {
	for failures := 1; ; failures++ {
		from, err := p.from.countKeys(ctx, p.opt.Databases)
		if err == nil {
			var to []int64
			if to, err = p.to.countKeys(ctx, p.opt.Databases); err == nil {
				p.progress.total(sum(from), sum(to))
				var dbs []int
				for db := range from {
					if from[db] > 0 || to[db] > 0 {
						dbs = append(dbs, db)
					}
				}
				return dbs, nil
			}
		}
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case refusedCommand(err):
			return nil, err
		case failures == 1:
			p.opt.Log.Warn("the sweep waits for an instance", "error", err)
		}
		pause(ctx, backoff(failures, maxScanPause))
	}
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
	if err := p.gate.pass(ctx); err != nil {
		return err
	}
	queued := func() bool { return p.l.Queued() <= maxQueued || p.over() != nil }
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
	if keep != nil || p.markedOnly || p.limit.Limit() != rate.Inf {
		// The copier would leave out the others as well, but they would have been waited for.
		items = p.c.unknown(items)
	}
	return p.feedItems(ctx, db, items, keep)
}

// feedItems gives items to the workers.
func (p *pass) feedItems(ctx context.Context, db int, items []*item, keep func(context.Context, int, []*item) ([]*item, error)) error {
	for len(items) > 0 {
		n := min(len(items), p.limit.Burst())
		if err := p.limit.WaitN(ctx, n); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			continue // the burst was made smaller just now
		}
		chunk := items[:n]
		items = items[n:]
		p.tasks.Add(1)
		err := p.pool.Submit(func() {
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
	if keep != nil {
		var err error
		if items, err = keep(ctx, db, items); err != nil {
			p.stop(err)
			return
		}
	}
	if err := p.c.copyPage(ctx, db, items); err != nil {
		p.stop(err)
	}
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
				p.progress.total(sum(from), sum(to))
			}
		}
	}
}
