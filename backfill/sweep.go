package backfill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/panjf2000/ants/v2"
	"golang.org/x/time/rate"

	"tandem/internal/instance"
	"tandem/internal/ledger"
	"tandem/internal/state"
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
	// Last is the checkpoint that an earlier process has left. It counts if it is of the sweep that is run.
	Last state.Checkpoint
	// Save keeps a checkpoint over a restart. Nil: none are taken.
	Save func(state.Checkpoint) error
	// SaveEvery is how often at most. Default 5 s: two flushes of a small file, against what is copied again.
	SaveEvery time.Duration
	// Log takes what is not told by Progress. Default: nowhere.
	Log *slog.Logger
}

func (o SweepOptions) withDefaults() SweepOptions {
	setDefault(&o.Databases, 16)
	setDefault(&o.ScanCount, 1000)
	setDefault(&o.Workers, 4)
	setDefault(&o.ReadTimeout, 5*time.Second)
	setDefault(&o.SaveEvery, 5*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Sweep makes the whole secondary equal to the primary, in two parts: every key of the primary is copied
// unless the ledger knows it already; then every key of the secondary that the primary lacks is removed. The
// second begins when all of the first is acknowledged, for it would not see what lands later. Where the ledger says so
// (after a crash) it is the keys of marked stripes only, or it goes on from a checkpoint (checkpoint.go).
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
	last     state.Checkpoint // the newest that was saved; Run's
}

// NewSweep returns a sweep that feeds c, which must be running while it runs.
func NewSweep(l *ledger.Ledger, c *Copier, primary, secondary *instance.Instance, o SweepOptions) *Sweep {
	o = o.withDefaults()
	s := &Sweep{l: l, c: c, primary: primary, secondary: secondary, opt: o, limit: rate.NewLimiter(rate.Inf, 1), last: o.Last}
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
