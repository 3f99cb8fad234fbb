package backfill

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/ants/v2"

	"tandem/internal/instance"
	"tandem/internal/ledger"
	"tandem/internal/status"
)

// Mode says how much a verify compares.
type Mode string

const (
	// Full compares every key's value, type and expiry.
	Full Mode = "full"
	// Sample compares some keys, chosen anew by each verify, and looks for all that are missing or too many.
	Sample Mode = "sample"
	// KeysOnly compares which keys there are.
	KeysOnly Mode = "keys"
)

// VerifyOptions are a verify's bounds. Zero values take the defaults.
type VerifyOptions struct {
	// Name is what the connections are called (instance.ConnName).
	Name string
	// Mode is Full by default.
	Mode Mode
	// SampleShare is the share of keys that Sample compares, above 0 and up to 1. Default 0.05.
	SampleShare float64
	// Repair makes the keys dirty that are reported.
	Repair bool
	// Databases is how many there are, on the side that has more. Default 16.
	Databases int
	// ScanCount is the COUNT of each SCAN. Default 1000.
	ScanCount int
	// Workers is how many pages are compared at once. Default 2.
	Workers int
	// TTLTolerance is the difference of two expiry times, or of two delivery times of a pending entry, that
	// counts as none. Default 1 s.
	TTLTolerance time.Duration
	// BigKeyBytes is the size above which a value is not asked for in one piece. Default 8 MiB.
	BigKeyBytes int64
	// ReadTimeout bounds the reading of one small batch; large values get a second more per MiB. Default 5 s.
	ReadTimeout time.Duration
	// HoldTimeout is how long a comparison may hold back the writes to one key that is written all the time.
	// Default 1 s.
	HoldTimeout time.Duration
	// SettleTimeout is how long, after all else is compared, a key that differs may take to settle before it
	// is reported all the same. Time in which a sweep runs does not count. Default 30 s.
	SettleTimeout time.Duration
	// Shift is what the copier adds to expiry times (CopierOptions.Shift). Default 0.
	Shift func() int64
	// Report is given each difference, from one goroutine at a time, and may keep it.
	Report func(status.Difference)
	// Log takes what is not told by Progress. Default: nowhere.
	Log *slog.Logger
}

func (o VerifyOptions) withDefaults() VerifyOptions {
	if o.Mode == "" {
		o.Mode = Full
	}
	setDefault(&o.SampleShare, 0.05)
	setDefault(&o.Databases, 16)
	setDefault(&o.ScanCount, 1000)
	setDefault(&o.Workers, 2)
	setDefault(&o.TTLTolerance, time.Second)
	setDefault(&o.BigKeyBytes, 8<<20)
	setDefault(&o.ReadTimeout, 5*time.Second)
	setDefault(&o.HoldTimeout, time.Second)
	setDefault(&o.SettleTimeout, 30*time.Second)
	if o.Shift == nil {
		o.Shift = func() int64 { return 0 }
	}
	if o.Report == nil {
		o.Report = func(status.Difference) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// VerifyProgress is the state of a verify.
type VerifyProgress struct {
	// State is one of package status.
	State string
	// Total is how many keys there were on the primary at the start; 0 before that is known.
	Total int64
	// Compared is how many keys of the primary were compared, Different how many keys of both were reported.
	Compared, Different int64
	// Percent is between 0 and 100.
	Percent float64
}

// Verify compares both instances key by key while clients write.
//
// Most keys are equal at the first look, which asks nobody: both sides' payloads are read and are the same.
// Those that are not are suspects, and are compared again when the ledger says that everything that was sent
// has arrived (suspect). So what is reported is a difference, and not a write on its way.
type Verify struct {
	l        *ledger.Ledger
	opt      VerifyOptions
	from, to *reader
	pace     *pace
	salt     uint64
	lane     ledger.LaneID

	pool  *ants.Pool
	tasks sync.WaitGroup
	// stop ends the run with a reason.
	stop context.CancelCauseFunc

	state                         atomic.Pointer[string]
	total, scanned, compared, bad atomic.Int64
	second, secondTotal           atomic.Int64 // the second part's
	holds                         atomic.Int64 // how often a key was held still

	report sync.Mutex // one Report at a time

	mu       sync.Mutex // guards what follows
	late     []*suspect
	reported map[ledger.Hash]struct{}
}

// NewVerify returns a verify that has not begun.
func NewVerify(l *ledger.Ledger, primary, secondary *instance.Instance, o VerifyOptions) *Verify {
	o = o.withDefaults()
	v := &Verify{
		l: l, opt: o, salt: rand.Uint64(),
		from: newReader(primary, o.Name, o.ReadTimeout),
		to:   newReader(secondary, o.Name, o.ReadTimeout),
		pace: newPace(1 << 20), reported: map[ledger.Hash]struct{}{},
	}
	v.setState(status.Idle)
	return v
}

func (v *Verify) setState(s string) { v.state.Store(&s) }

// Progress may be called at any time.
func (v *Verify) Progress() VerifyProgress {
	p := VerifyProgress{
		State: *v.state.Load(), Total: v.total.Load(), Compared: v.compared.Load(), Different: v.bad.Load(),
	}
	done := float64(v.scanned.Load()) + partTwoCost*float64(v.second.Load())
	all := float64(max(p.Total, v.scanned.Load())) + partTwoCost*float64(max(v.secondTotal.Load(), v.second.Load()))
	switch {
	case p.State == status.Done:
		p.Percent = 100
	case all > 0:
		p.Percent = min(99.9, 100*done/all)
	}
	return p
}

// Run compares. It returns nil when all is compared, however many differences it reported. Short trouble
// with either instance is waited out; an error is ctx's, or says what could not be read. It is called once.
func (v *Verify) Run(ctx context.Context) (err error) {
	v.setState(status.Running)
	defer func() {
		if err != nil {
			v.setState(status.Failed)
		} else {
			v.setState(status.Done)
		}
	}()
	defer v.from.close()
	defer v.to.close()
	ctx, v.stop = context.WithCancelCause(ctx)
	defer v.stop(nil)
	v.pool, err = newPool(v.opt.Workers, func(p any) {
		v.stop(fmt.Errorf("verify: a worker panicked: %v", p))
	})
	if err != nil {
		return err
	}
	defer v.pool.Release()
	v.l.Lock()
	v.lane = v.l.AddLane()
	v.l.Unlock()
	defer func() {
		v.l.Lock()
		v.l.RemoveLane(v.lane)
		v.l.Unlock()
	}()
	defer v.tasks.Wait()
	if err := v.run(ctx); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("verify: %w", err)
	}
	return nil
}

func (v *Verify) run(ctx context.Context) error {
	var first, second []int64
	err := v.insist(ctx, func() (err error) {
		first, second, err = both(v, func(r *reader) ([]int64, error) { return r.countKeys(ctx, v.opt.Databases) })
		return err
	})
	if err != nil {
		return err
	}
	v.total.Store(sum(first))
	v.secondTotal.Store(sum(second))
	for db := range first {
		if first[db] == 0 {
			continue
		}
		err := v.from.scan(ctx, db, v.opt.ScanCount, func(names []string) error {
			v.scanned.Add(int64(len(names)))
			return v.submit(ctx, func() error { return v.comparePage(ctx, db, names) })
		})
		if err != nil {
			return err
		}
	}
	for db := range second {
		if second[db] == 0 {
			continue
		}
		err := v.to.scan(ctx, db, v.opt.ScanCount, func(names []string) error {
			v.second.Add(int64(len(names)))
			return v.submit(ctx, func() error { return v.comparePresence(ctx, db, names, v.from) })
		})
		if err != nil {
			return err
		}
	}
	v.tasks.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return v.resolveLate(ctx)
}

// submit gives a page to a worker, when there is one.
func (v *Verify) submit(ctx context.Context, task func() error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	v.tasks.Add(1)
	err := v.pool.Submit(func() {
		defer v.tasks.Done()
		if err := task(); err != nil {
			v.stop(err)
		}
	})
	if err != nil {
		v.tasks.Done()
	}
	return err
}

// giveUp is how long a verify waits for an instance that does not answer.
const giveUp = 2 * time.Minute

// insist calls f until it succeeds; it gives up on what does not pass.
func (v *Verify) insist(ctx context.Context, f func() error) error {
	start := time.Now()
	for failures := 1; ; failures++ {
		err := f()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case refusedCommand(err) || time.Since(start) > giveUp:
			return err
		case failures == 1:
			v.opt.Log.Warn("verify waits for an instance", "error", err)
		}
		pause(ctx, backoff(failures, maxScanPause))
	}
}

// both does the same on both sides at once.
func both[T any](v *Verify, f func(r *reader) (T, error)) (first, second T, err error) {
	var wg sync.WaitGroup
	var err2 error
	wg.Go(func() { second, err2 = f(v.to) })
	first, err = f(v.from)
	wg.Wait()
	if err == nil {
		err = err2
	}
	return first, second, err
}
