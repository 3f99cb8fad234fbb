package backfill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/ants/v2"
	"golang.org/x/time/rate"

	"tandem/internal/instance"
	"tandem/internal/ledger"
	"tandem/internal/status"
)

// SweepOptions are a sweep's bounds. Zero values take the defaults.
type SweepOptions struct {
	// Name is what the sweep's connections are called (instance.ConnName).
	Name string
	// Databases is how many there are, on the side that has more. Default 16.
	Databases int
	// ScanCount is the COUNT of each SCAN. Default 1000.
	ScanCount int
	// Workers is how many pages are copied at once. Default 4.
	Workers int
	// KeysPerS is the most keys that are copied per second; 0 is no limit.
	KeysPerS int
	// ReadTimeout bounds the wait for one answer. Default 5 s.
	ReadTimeout time.Duration
	// Log takes what is not told by Progress. Default: nowhere.
	Log *slog.Logger
}

func (o SweepOptions) withDefaults() SweepOptions {
	setDefault(&o.Databases, 16)
	setDefault(&o.ScanCount, 1000)
	setDefault(&o.Workers, 4)
	setDefault(&o.ReadTimeout, 5*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// maxQueued is how many dirty keys may wait for the copier before a sweep stops to feed it: what a sweep
// cannot copy at once it makes dirty, and the dirty set is bounded.
const maxQueued = 4096

// Sweep makes the whole secondary equal to the primary, in two parts: every key of the primary is copied
// unless the ledger knows it already; then every key of the secondary that the primary lacks is removed. The
// second begins when all of the first is acknowledged, for it would not see what lands later.
type Sweep struct {
	l         *ledger.Ledger
	c         *Copier
	primary   *instance.Instance
	secondary *instance.Instance
	opt       SweepOptions

	limit    *rate.Limiter
	workers  atomic.Int32
	pool     atomic.Pointer[ants.Pool]
	progress progress
	gate     gate
}

// NewSweep returns a sweep that feeds c, which must be running while it runs.
func NewSweep(l *ledger.Ledger, c *Copier, primary, secondary *instance.Instance, o SweepOptions) *Sweep {
	o = o.withDefaults()
	s := &Sweep{l: l, c: c, primary: primary, secondary: secondary, opt: o, limit: rate.NewLimiter(rate.Inf, 1)}
	s.workers.Store(int32(o.Workers))
	s.SetRate(o.KeysPerS)
	return s
}

// Pause stops feeding the copier, after what is on the way; effects and dirty keys are not concerned.
func (s *Sweep) Pause() { s.gate.close() }

// Resume goes on after Pause.
func (s *Sweep) Resume() { s.gate.open() }

// SetRate changes KeysPerS, also while it runs.
func (s *Sweep) SetRate(keysPerS int) {
	if keysPerS <= 0 {
		s.limit.SetLimit(rate.Inf)
		s.limit.SetBurst(s.opt.ScanCount)
		return
	}
	s.limit.SetLimit(rate.Limit(keysPerS))
	s.limit.SetBurst(max(1, min(s.opt.ScanCount, keysPerS/20)))
}

// SetWorkers changes Workers, also while it runs.
func (s *Sweep) SetWorkers(n int) {
	s.workers.Store(int32(max(1, n)))
	if p := s.pool.Load(); p != nil {
		p.Tune(max(1, n))
	}
}

// Why a pass over the keyspaces ends before its end.
var (
	errOwedAgain = errors.New("the sweep is owed again")
	errNotOwed   = errors.New("no sweep is owed")
)

// Run works off the owed sweep number gen, and a later one if it comes to be owed meanwhile. It returns nil
// once the ledger has ended the sweep (Swept). Trouble with either instance is waited out; an error is
// ctx's, or a command that an instance refuses, after which Progress says failed. It may be called again,
// but only one at a time.
func (s *Sweep) Run(ctx context.Context, gen uint64) error {
	pool, err := newPool(int(s.workers.Load()), s.c.panicked)
	if err != nil {
		return err
	}
	defer pool.Release()
	s.pool.Store(pool)
	defer s.pool.Store(nil)

	s.progress.begin(s.c.Stats())
	for {
		s.progress.restart()
		p := &pass{Sweep: s, gen: gen, pool: pool,
			from: newReader(s.primary, s.opt.Name, s.opt.ReadTimeout),
			to:   newReader(s.secondary, s.opt.Name, s.opt.ReadTimeout),
		}
		err := p.run(ctx)
		switch {
		case errors.Is(err, errOwedAgain):
			s.l.Lock()
			gen, _, _ = s.l.SweepOwed()
			s.l.Unlock()
			s.opt.Log.Info("the sweep starts over", "number", gen)
			continue
		case err == nil, errors.Is(err, errNotOwed):
			s.progress.end(status.Done, s.c.Stats())
			return nil
		case ctx.Err() != nil:
			s.progress.end(status.Idle, s.c.Stats())
			return context.Cause(ctx)
		}
		s.progress.end(status.Failed, s.c.Stats())
		return fmt.Errorf("sweep: %w", err)
	}
}

// pass is one walk through both keyspaces for one owed sweep.
type pass struct {
	*Sweep
	gen      uint64
	pool     *ants.Pool
	from, to *reader

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
	defer p.stop(nil)
	defer p.tasks.Wait()
	watch.Go(func() { p.watch(ctx) })

	dbs, err := p.databases(ctx)
	if err != nil {
		return err
	}
	for _, db := range dbs {
		err := p.from.scan(ctx, db, p.opt.ScanCount, func(names []string) error {
			p.progress.scanned(partOne, len(names))
			return p.feed(ctx, db, names, nil)
		})
		if err != nil {
			return err
		}
	}
	if err := p.quiet(ctx); err != nil {
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
	if keep != nil || p.limit.Limit() != rate.Inf {
		// The copier would leave out the others as well, but they would have been waited for.
		items = p.c.unknown(items)
	}
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
				n, err := results[i].ToInt64()
				if err != nil {
					return nil, fmt.Errorf("%s: EXISTS: %w", p.primary, err)
				}
				if n == 0 {
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

// sweptPause is how long to wait for what the ledger's counters do not show: copies being given back.
const sweptPause = 2 * time.Millisecond

// end waits until nothing of the sweep is left and ends it in the ledger.
func (p *pass) end(ctx context.Context) error {
	p.tasks.Wait()
	for {
		none := func() bool {
			copies, _ := p.l.Copying()
			return p.over() != nil || copies == 0 && p.l.DirtyKeys() == 0
		}
		if !p.c.wait.until(ctx, none) {
			return context.Cause(ctx)
		}
		p.l.Lock()
		err := p.over()
		swept := err == nil && p.l.Swept(p.gen)
		p.l.Unlock()
		if err != nil || swept {
			return err
		}
		pause(ctx, sweptPause)
	}
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

// gate lets a sweep pass, or holds it while paused.
type gate struct {
	mu     sync.Mutex
	opened chan struct{} // not nil while closed
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened == nil {
		g.opened = make(chan struct{})
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened != nil {
		close(g.opened)
		g.opened = nil
	}
}

func (g *gate) closed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.opened != nil
}

func (g *gate) pass(ctx context.Context) error {
	for {
		g.mu.Lock()
		opened := g.opened
		g.mu.Unlock()
		if opened == nil {
			return nil
		}
		select {
		case <-opened:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
