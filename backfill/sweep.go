package backfill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/panjf2000/ants/v2"

	"tandem/internal/instance"
	"tandem/internal/ledger"
	"tandem/internal/moves"
	"tandem/internal/state"
	"tandem/internal/status"
)

// SweepOptions are a sweep's bounds. Zero values take the defaults.
type SweepOptions struct {
	// Name is what the sweep's connections are called (instance.ConnName).
	Name string
	// Databases is how many there are, on the side that has more. Default 16.
	Databases int
	// Moves leaves out what does not move. Nil: everything does.
	Moves *moves.Filter
	// ScanCount is the COUNT of each SCAN. Default 1000.
	ScanCount int
	// ReadTimeout bounds the wait for one answer. Default 5 s.
	ReadTimeout time.Duration
	// Last is the checkpoint that an earlier process has left. It counts if it is of the sweep that is run.
	Last state.Checkpoint
	// Save keeps a checkpoint over a restart. Nil: none are taken.
	Save func(state.Checkpoint) error
	// Back copies the secondary's keys to the primary, where clients write at both: each key is copied from the instance that
	// has its truth. It must be running while the sweep runs. Nil: all truth is on the primary.
	Back *Copier
	// SaveEvery is how often at most. Default 5 s: two flushes of a small file, against what is copied again.
	SaveEvery time.Duration
	// Log takes what is not told by Progress. Default: nowhere.
	Log *slog.Logger
}

func (o SweepOptions) withDefaults() SweepOptions {
	setDefault(&o.Databases, 16)
	setDefault(&o.ScanCount, 1000)
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

	workers  atomic.Int32
	pool     atomic.Pointer[ants.Pool]
	progress progress
	gate     gate
	last     state.Checkpoint // the newest that was saved; Run's

	// When this sweep began to compare the owed sweep number of, see Began; Run's.
	began time.Time
	of    uint64
}

// NewSweep returns a sweep that feeds c, which must be running while it runs, as fast as c's throttle lets it.
func NewSweep(l *ledger.Ledger, c *Copier, primary, secondary *instance.Instance, o SweepOptions) *Sweep {
	o = o.withDefaults()
	s := &Sweep{l: l, c: c, primary: primary, secondary: secondary, opt: o, last: o.Last}
	s.workers.Store(int32(c.throttle.Limits().Workers))
	return s
}

// Pause stops feeding the copier, after what is on the way; effects and dirty keys are not concerned.
func (s *Sweep) Pause() { s.gate.close() }

// Resume goes on after Pause.
func (s *Sweep) Resume() { s.gate.open() }

// SetWorkers changes how many pages are copied at once, also while it runs.
func (s *Sweep) SetWorkers(n int) {
	s.workers.Store(int32(max(1, n)))
	if p := s.pool.Load(); p != nil {
		p.Tune(max(1, n))
	}
}

// Began is when the comparison began that Run has done last, the first time if it took several; zero if it went on from where
// an earlier process had come to, so that nobody knows. It is called by who calls Run.
func (s *Sweep) Began() time.Time { return s.began }

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
			from: newReader(s.primary, s.opt.Name, s.opt.ReadTimeout).of(s.opt.Moves),
			to:   newReader(s.secondary, s.opt.Name, s.opt.ReadTimeout).of(s.opt.Moves),
		}
		err := p.run(ctx)
		switch {
		case errors.Is(err, errOwedAgain):
			s.l.Lock()
			var why string
			gen, why, _ = s.l.SweepOwed()
			s.l.Unlock()
			s.opt.Log.Info("the sweep starts over", "number", gen, "why", why)
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
