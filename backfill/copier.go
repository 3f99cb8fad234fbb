package backfill

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/panjf2000/ants/v2"

	"tandem/internal/instance"
	"tandem/internal/ledger"
)

// CopierOptions are a copier's bounds. Zero values take the defaults.
type CopierOptions struct {
	// Name is what the copier's connections are called on the primary (instance.ConnName).
	Name string
	// From is the side of the instance that is read. It is the primary's, but of the second copier that there is where clients
	// write at both instances: what is called the primary here is the secondary then, and the other way round.
	From ledger.Side
	// Throttle bounds the copies; as many batches of dirty keys are copied at once as it has workers, each on a connection
	// of its own. Default: one with the default limits.
	Throttle *Throttle
	// BigKeyBytes is the size from which a key is copied by itself, one at a time. Default 8 MiB.
	BigKeyBytes int64
	// ReadTimeout bounds the reading of one small batch; large values get a second more per MiB. Default 5 s.
	ReadTimeout time.Duration
	// DumpBytes is the size from which a key is copied by type, in pieces, and not by DUMP, which makes the primary and
	// the secondary do nothing else while it is made and read. Default 64 MiB.
	DumpBytes int64
	// OrderedTimeout is how long a copy that kept losing may own its key's stripe, which holds back the
	// clients' writes there. Default 2 s.
	OrderedTimeout time.Duration
	// Shift returns the milliseconds to add to expiry times: the secondary's clock minus the primary's, where
	// that is to be corrected. Default 0.
	Shift func() int64
	// Extend is how much longer keys live on the secondary, ms, of those that expire. Default 0.
	Extend int64
	// Longest returns how many bytes the secondary takes in one piece; it is told how many there are. The ledger's lock
	// is held. Default: as many as there are.
	Longest func(size int64) int64
	// Fading is how many keys are remembered that have fields which expire on the primary alone, in some 200 bytes each.
	// Default 100,000.
	Fading int
	// PrimaryClock returns the primary's clock minus ours. Default 0.
	PrimaryClock func() time.Duration
	// Log takes what is not told by counters. Default: nowhere.
	Log *slog.Logger
}

func (o CopierOptions) withDefaults() CopierOptions {
	setDefault(&o.BigKeyBytes, 8<<20)
	setDefault(&o.DumpBytes, 64<<20)
	setDefault(&o.Fading, 100_000)
	setDefault(&o.ReadTimeout, 5*time.Second)
	setDefault(&o.OrderedTimeout, 2*time.Second)
	if o.Throttle == nil {
		o.Throttle = NewThrottle(Limits{})
	}
	if o.Shift == nil {
		o.Shift = func() int64 { return 0 }
	}
	if o.Longest == nil {
		o.Longest = func(size int64) int64 { return size }
	}
	if o.PrimaryClock == nil {
		o.PrimaryClock = func() time.Duration { return 0 }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func setDefault[T int | int64 | float64 | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

// CopierStats are counts since the copier was made.
type CopierStats struct {
	// Copied keys are on the Sink; Bytes are their values.
	Copied, Bytes uint64
	// Races are copies thrown away because a write came in between; each is tried again.
	Races uint64
	// Ordered are copies whose read owned the key's stripe.
	Ordered uint64
	// Typed are copies that were made by type; they are among Copied.
	Typed uint64
	// Failed are copies that could not be read. (Those that the secondary refuses are the ledger's to count.)
	Failed uint64
	// Panics are batches that ended in a panic; their keys are tried again.
	Panics uint64
}

// Copier copies keys from the primary to the ledger's Sink.
//
// Whatever a copy needs, it gets by one of three ways, the later ones where the earlier fail: a versioned
// read together with other keys (copyOnce), the same for a big key by itself (bigKeys), a read that owns the
// key's stripe (copyOrdered). What a sweep's page does not achieve at once is made dirty, so that there is
// one machinery that tries again.
//
// Values are bounded by the window, and by one big key besides. All state that the ledger's lock protects is
// looked at and changed under it, in few holds; no I/O is done there.
type Copier struct {
	l      *ledger.Ledger
	opt    CopierOptions
	reader *reader
	// forms is what the secondary reads, temporary the keys in which copies by type are made there, fading the keys whose
	// fields have lost their expiry.
	forms     *forms
	temporary *instance.TemporaryKeys
	fading    *fading

	wait     *waiters
	throttle *Throttle
	window   *window
	pace     *pace
	// workers is the wanted size of the pool.
	workers atomic.Int32
	pool    atomic.Pointer[ants.Pool]
	big     *bigKeys

	primaryTrouble, sinkTrouble trouble
	// unread says why keys could not be read when it was last tried; nil if they could.
	unread atomic.Pointer[string]

	stats struct{ copied, bytes, races, ordered, typed, failed, panics atomic.Uint64 }
	hooks hooks
	// onlyTyped has every key copied by type; for tests.
	onlyTyped bool
}

// NewCopier returns a copier of the primary's keys for the secondary, to which the ledger's Sink leads. It does not
// connect, and starts nothing, before Run or CopyPage is called. After a cutover the new primary needs a new one.
func NewCopier(l *ledger.Ledger, primary, secondary *instance.Instance, o CopierOptions) *Copier {
	o = o.withDefaults()
	c := &Copier{
		l:         l,
		opt:       o,
		reader:    newReader(primary, o.Name, o.ReadTimeout),
		forms:     &forms{to: newReader(secondary, o.Name, o.ReadTimeout)},
		temporary: instance.NewTemporaryKeys(),
		fading:    newFading(o.Fading),
		wait:      &waiters{l: l},
		throttle:  o.Throttle,
		pace:      throttledPace(o.Throttle),
		big:       &bigKeys{wake: make(chan struct{}, 1)},
	}
	c.window = newWindow(l, c.wait, o.Throttle.inFlight.Load)
	c.workers.Store(int32(o.Throttle.Limits().Workers))
	return c
}

// Wake looks whether anybody waits for what has just changed in the ledger. The owner of the ledger calls it
// from OnChange, with the lock held; it does not block, and does not call the ledger's owner back.
func (c *Copier) Wake() { c.wait.wake() }

// SetWorkers changes how many batches of dirty keys are copied at once.
func (c *Copier) SetWorkers(n int) {
	c.workers.Store(int32(max(1, n)))
	if p := c.pool.Load(); p != nil {
		p.Tune(max(1, n))
	}
}

// Stats returns the counts so far. It needs no lock.
func (c *Copier) Stats() CopierStats {
	return CopierStats{
		Copied:  c.stats.copied.Load(),
		Bytes:   c.stats.bytes.Load(),
		Races:   c.stats.races.Load(),
		Ordered: c.stats.ordered.Load(),
		Typed:   c.stats.typed.Load(),
		Failed:  c.stats.failed.Load(),
		Panics:  c.stats.panics.Load(),
	}
}

// panicked counts and logs a panic of a worker. The worker's keys are given back by its deferred calls.
func (c *Copier) panicked(v any) {
	c.stats.panics.Add(1)
	c.opt.Log.Error("a copy ended in a panic; its keys are tried again",
		"panic", fmt.Sprint(v), "stack", string(debug.Stack()))
}

// newPool makes a pool of workers whose panics go to panicked.
func newPool(workers int, panicked func(any)) (*ants.Pool, error) {
	p, err := ants.NewPool(workers, ants.WithPanicHandler(panicked), ants.WithLogger(quiet{}))
	if err != nil {
		return nil, fmt.Errorf("worker pool of %d: %w", workers, err)
	}
	return p, nil
}

// quiet is a logger for ants, whose panics are logged by the handler.
type quiet struct{}

func (quiet) Printf(string, ...any) {}

// trouble counts failures in a row of one of the sides, so that it is asked less often, and more gently.
type trouble struct{ n atomic.Int32 }

// Pauses between attempts while a side is in trouble. The Sink costs the primary one read to ask.
const (
	maxPrimaryPause = time.Second
	maxSinkPause    = 100 * time.Millisecond
)

// failed notes a failure and returns how many it are in a row.
func (t *trouble) failed() int { return int(t.n.Add(1)) }

// over notes a success, and reports whether that is news.
func (t *trouble) over() bool { return t.n.Load() != 0 && t.n.Swap(0) != 0 }

// troubled is the pause before the next attempt; 0 when all is well.
func (c *Copier) troubled() time.Duration {
	var d time.Duration
	if n := int(c.primaryTrouble.n.Load()); n > 0 {
		d = backoff(n, maxPrimaryPause)
	}
	if n := int(c.sinkTrouble.n.Load()); n > 0 {
		d = max(d, backoff(n, maxSinkPause))
	}
	return d
}

// noteRead notes how the primary answered a batch. An error that is only ctx's end says nothing of it.
func (c *Copier) noteRead(ctx context.Context, err error) {
	switch {
	case err == nil:
		if c.primaryTrouble.over() {
			c.unread.Store(nil)
			c.opt.Log.Info("the primary answers again", "instance", c.reader.in.String())
		}
	case ctx.Err() != nil:
	default:
		why := err.Error()
		c.unread.Store(&why)
		if c.primaryTrouble.failed() == 1 {
			c.opt.Log.Warn("keys cannot be read now; trying again", "error", err)
		}
	}
}

// passingFailures is how often in a row a read may fail before it is more than a connection that has to be made anew.
const passingFailures = 5

// Problem says why the primary's keys cannot be read, empty if they can. It needs no lock.
func (c *Copier) Problem() string {
	if why := c.unread.Load(); why != nil && c.primaryTrouble.n.Load() >= passingFailures {
		return *why
	}
	return ""
}

// noteSink notes whether the Sink took what it was offered.
func (c *Copier) noteSink(taken bool) {
	if !taken {
		c.sinkTrouble.failed()
	} else {
		c.sinkTrouble.over()
	}
}

// point names a moment that tests can stop at.
type point uint8

const (
	beforeRead   point = iota // versions are noted, nothing is sent
	afterRead                 // the state is read, nothing is decided
	owning                    // a copy read owns its stripe, nothing is sent
	pieceWritten              // of a copy by type; names are the key and the temporary one
)

// hooks are for tests; nil in service.
type hooks func(p point, db int, names []string)

func (h hooks) at(p point, db int, names []string) {
	if h != nil {
		h(p, db, names)
	}
}
