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
	"golang.org/x/time/rate"

	"tandem/internal/instance"
	"tandem/internal/ledger"
	"tandem/internal/moves"
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
	// Moves leaves out what does not move. Nil: everything does.
	Moves *moves.Filter
	// ScanCount is the COUNT of each SCAN. Default 1000.
	ScanCount int
	// Workers is how many pages are compared at once. Default 2.
	Workers int
	// TTLTolerance is the difference of two expiry times, or of two delivery times of a pending entry, that
	// counts as none. Default 1 s.
	TTLTolerance time.Duration
	// Extend is how much longer a key may live on the target than on the source. Default 0.
	Extend time.Duration
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
	// Throttle has it yield as copies do. Default: one of its own, without limits.
	Throttle *Throttle
	// KeysPerS is how many keys of both sides together are looked at per second; 0: as many as can be.
	KeysPerS int
	// From is where a verify goes on that was interrupted: what Save was last given. Nil: at the beginning.
	From *VerifyPoint
	// Save is given from time to time how far the verify has come. All that was found to differ by then has been given to
	// Report. Nil: nobody wants to go on.
	Save func(VerifyPoint)
	// SaveEvery is how often. Default 5 s.
	SaveEvery time.Duration
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
	setDefault(&o.SaveEvery, 5*time.Second)
	if o.Throttle == nil {
		o.Throttle = NewThrottle(Limits{})
	}
	if o.Save == nil {
		o.Save = func(VerifyPoint) {}
	}
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
	// DifferentValues is how many of those differ in what they hold: the others are on one side only.
	DifferentValues int64
	// Kept is how many keys of the primary were left out, for they are kept.
	Kept int64
	// Staying is how many keys of the primary were left out, for they do not move.
	Staying int64
	// Unheld is how many hashes, or pieces of large ones, have fields that expire on one side, and the other has no expiry
	// of fields.
	Unheld int64
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
	gate     gate
	limit    *rate.Limiter
	saved    time.Time

	pool  *ants.Pool
	tasks sync.WaitGroup
	// stop ends the run with a reason.
	stop context.CancelCauseFunc

	state                         atomic.Pointer[string]
	total, scanned, compared, bad atomic.Int64
	badValues                     atomic.Int64
	kept                          atomic.Int64 // keys of the primary that were left out
	second, secondTotal           atomic.Int64 // the second part's
	holds                         atomic.Int64 // how often a key was held still
	unheld                        atomic.Int64 // hashes, or pieces of them, whose fields expire on one side alone

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
		from: newReader(primary, o.Name, o.ReadTimeout).of(o.Moves),
		to:   newReader(secondary, o.Name, o.ReadTimeout).of(o.Moves),
		pace: newPace(1 << 20), reported: map[ledger.Hash]struct{}{},
		limit: rate.NewLimiter(rate.Inf, 0),
	}
	v.pace.most = o.Throttle.batch
	if n := o.KeysPerS; n > 0 {
		v.limit = rate.NewLimiter(rate.Limit(n), max(1, n/4))
	}
	if o.From != nil {
		v.goOn(o.From)
	}
	v.setState(status.Idle)
	return v
}

func (v *Verify) setState(s string) { v.state.Store(&s) }

// Pause holds the verify before its next page, until Resume. Both may be called at any time.
func (v *Verify) Pause() { v.gate.close() }

// Resume lets it go on.
func (v *Verify) Resume() { v.gate.open() }

// Progress may be called at any time.
func (v *Verify) Progress() VerifyProgress {
	p := VerifyProgress{
		State: *v.state.Load(), Total: v.total.Load(), Compared: v.compared.Load(), Different: v.bad.Load(), Kept: v.kept.Load(), Unheld: v.unheld.Load(),
		Staying:         v.from.staying(),
		DifferentValues: v.badValues.Load(),
	}
	if (p.State == status.Running || p.State == status.Idle) && v.gate.closed() {
		p.State = status.Paused
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
	v.lane = v.l.AddLane(ledger.Primary)
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
	v.saved = time.Now()
	err = v.walk(ctx, 1, v.from, first, func(db int, names []string) error {
		v.scanned.Add(int64(len(names)))
		names = withoutTemporary(names)
		return v.submit(ctx, names, func() error { return v.comparePage(ctx, db, names) })
	})
	if err != nil {
		return err
	}
	err = v.walk(ctx, 2, v.to, second, func(db int, names []string) error {
		v.second.Add(int64(len(names)))
		names = withoutTemporary(names)
		return v.submit(ctx, names, func() error { return v.comparePresence(ctx, db, v.notKept(db, names), v.from) })
	})
	if err != nil {
		return err
	}
	v.tasks.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := v.resolveLate(ctx); err != nil {
		return err
	}
	if n := v.unheld.Load(); n > 0 {
		v.opt.Log.Warn("hashes have fields that expire on one server, and that the other keeps for ever: it has no expiry of fields",
			"hashes", n)
	}
	return nil
}

// submit gives a page to a worker, when there is one, and it is neither paused nor too fast.
func (v *Verify) submit(ctx context.Context, names []string, task func() error) error {
	if err := v.gate.pass(ctx); err != nil {
		return err
	}
	for left := len(names); left > 0; {
		n := left
		if v.limit.Limit() != rate.Inf {
			n = min(left, v.limit.Burst())
		}
		if v.limit.WaitN(ctx, n) != nil {
			return context.Cause(ctx)
		}
		left -= n
	}
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
	return insist(ctx, v.opt.Log, "verify waits for an instance", giveUp, f)
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
