package backfill

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Limits are how fast keys may be copied, and how much at once.
type Limits struct {
	// KeysPerS is the most keys that sweeps copy per second, or ten times as many that are only scanned; 0 is no limit.
	KeysPerS int
	// BytesPerS is the most bytes of values that are read per second, dirty keys included; 0 is no limit. A value is read
	// whole, and the next one later.
	BytesPerS int64
	// InFlightBytes is how many bytes of values may wait for the secondary's acknowledgement. A single larger value passes
	// alone. Default 16 MiB.
	InFlightBytes int64
	// Workers is how many batches are copied at once. Default 4.
	Workers int
}

func (l Limits) withDefaults() Limits {
	setDefault(&l.InFlightBytes, 16<<20)
	setDefault(&l.Workers, 4)
	return l
}

// drainAhead is by how much the copies of dirty keys go ahead of a sweep's: what comes to the allowance in this time may
// be spent by them already. So the dirty keys are copied first where there is not enough for both, and a sweep gets what
// they leave.
const drainAhead = 250 * time.Millisecond

// Throttle is how fast may be copied at this moment: the least of what was configured or asked for, of what the window of
// the day allows, and of what the governor thinks that clients do not notice. There is one for all sweeps and copiers of
// a process, before and after a swap. It is safe for concurrent use.
//
//	sweep ──► gate (windows) ──► keys/s ──► page ──► copier ──► bytes/s, in flight ──► read
//	                                     dirty keys ───┘
//
// What clients have written to is not held up by keys/s and windows: that it is copied is what makes both sides equal.
type Throttle struct {
	keys, bytes allowance
	// compared is how many keys a verify may look at per second: as many as the governor allows.
	compared     allowance
	comparedKeys atomic.Uint64
	// gate is closed outside of the windows.
	gate gate
	// calm is closed for moments in which nothing is read, for the governor to see how clients fare without.
	calm gate

	inFlight atomic.Int64
	workers  atomic.Int64
	governed atomic.Int64 // keys per second; 0: not governed

	mu     sync.Mutex
	limits Limits
	window Limits // KeysPerS and BytesPerS of the present one
	lifted int    // how many have lifted it
}

// NewThrottle returns one with these limits; zero values take the defaults.
func NewThrottle(l Limits) *Throttle {
	t := new(Throttle)
	t.Set(l)
	return t
}

// Set changes the limits. Workers are for the sweep and the copier to be told.
func (t *Throttle) Set(l Limits) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.limits = l.withDefaults()
	t.apply()
}

// Limits are those that were set last.
func (t *Throttle) Limits() Limits {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.limits
}

// InForce are those that count at this moment.
func (t *Throttle) InForce() Limits {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.inForce()
}

// Open has sweeps go on, in a window with these limits besides; 0 is no limit.
func (t *Throttle) Open(keysPerS int, bytesPerS int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.window = Limits{KeysPerS: keysPerS, BytesPerS: bytesPerS}
	t.apply()
	t.gate.open()
}

// Close has sweeps wait until Open, after what is on the way.
func (t *Throttle) Close() { t.gate.close() }

// Lift has bytes pass without a limit until the returned function is called: while clients are held, what they wait for
// must not wait for less.
func (t *Throttle) Lift() (restore func()) {
	t.lift(1)
	return sync.OnceFunc(func() { t.lift(-1) })
}

func (t *Throttle) lift(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lifted += n
	t.apply()
	if t.lifted > 0 {
		t.calm.open()
	}
}

// quiet stops all reading until it is called again with false, except while clients are held.
func (t *Throttle) quiet(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if on && t.lifted == 0 {
		t.calm.close()
	} else {
		t.calm.open()
	}
}

// govern sets the governor's speed, in keys per second; 0 is none.
func (t *Throttle) govern(keysPerS int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.governed.Store(int64(keysPerS))
	t.apply()
}

// inForce is what counts. The lock is held.
func (t *Throttle) inForce() Limits {
	l, governed := t.limits, t.governed.Load()
	l.KeysPerS = int(least(int64(l.KeysPerS), int64(t.window.KeysPerS), governed))
	l.BytesPerS = least(l.BytesPerS, t.window.BytesPerS, governed*keyBytes)
	return l
}

func (t *Throttle) apply() {
	l := t.inForce()
	if t.lifted > 0 {
		l.BytesPerS = 0
	}
	saved := rested
	if governed := t.governed.Load(); governed > 0 {
		saved = min(rested, max(governedSaved, governedKeys*time.Second/time.Duration(governed)))
	}
	t.keys.set(float64(l.KeysPerS), saved)
	t.bytes.set(float64(l.BytesPerS), saved)
	t.compared.set(float64(t.governed.Load()), saved)
	t.inFlight.Store(l.InFlightBytes)
	t.workers.Store(int64(l.Workers))
}

// least is the smallest of those that are limits; 0 is none.
func least(limits ...int64) (n int64) {
	for _, l := range limits {
		if l > 0 && (n == 0 || l < n) {
			n = l
		}
	}
	return n
}

// turn waits until a batch may be read that is expected to have so many bytes, and takes these; of dirty keys, ahead of
// others. What a batch really had is for the caller to settle (bytes.spend).
func (t *Throttle) turn(ctx context.Context, dirty bool, expect int64) error {
	if err := t.calm.pass(ctx); err != nil {
		return err
	}
	overdraft := time.Duration(0)
	if dirty {
		overdraft = drainAhead
	}
	if err := t.bytes.pass(ctx, 0, overdraft); err != nil {
		return err
	}
	t.bytes.spend(float64(expect))
	return nil
}

// batchBytes is how many bytes of values go together at most: a batch must not be so large that the window has room for
// only a few.
func (t *Throttle) batchBytes() int64 { return min(1<<20, t.inFlight.Load()/8) }

const (
	// keyBytes is how many bytes of values may be copied for each key that may.
	keyBytes = 512
	// governedBatches is how many batches per second a governed copier makes, or more: what clients notice is not how much
	// is read but how long the server is busy with one piece of it. governedScans is the same for SCAN.
	governedBatches = 1000
	governedScans   = 500
	// The least that goes together all the same, or a batch costs more than what is in it: some hundred microseconds of the
	// server's time.
	governedKeys  = 16
	governedBytes = 32 << 10
	governedScan  = 2 * governedKeys
	// governedSaved is what can be saved up while the governor governs, or a batch: what would be a burst of many comes one by one.
	governedSaved = 4 * time.Millisecond
)

// batch is how many keys, and bytes of values, are read in one round trip at most, which takes fastest at least.
func (t *Throttle) batch(fastest time.Duration) (keys int, bytes int64) {
	governed := float64(t.governed.Load())
	if governed == 0 {
		return maxBatch, t.batchBytes()
	}
	// From afar, few batches fit into a second.
	enough := 2 * governed * fastest.Seconds() / float64(t.workers.Load())
	keys = int(min(maxBatch, max(governedKeys, governed/governedBatches, enough)))
	return keys, min(t.batchBytes(), max(governedBytes, int64(keys)*keyBytes))
}

// scanCount is the COUNT of a SCAN whose configured one is most.
func (t *Throttle) scanCount(most int) int {
	if governed := t.governed.Load(); governed > 0 {
		return min(most, max(governedScan, int(governed)/governedScans))
	}
	return most
}
