package backfill

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"tandem/internal/ledger"
	"tandem/internal/redisd"
	"tandem/internal/status"
)

// What is spent is waited for; who goes ahead waits for less; and a higher rate lets everybody go on at once.
func TestAllowance(t *testing.T) {
	ctx := t.Context()
	var a allowance
	a.spend(1e9)
	if err := a.pass(ctx, 1e9, 0); err != nil || a.limited() || a.most(7) != 7 {
		t.Fatal("without a limit something is limited", err)
	}
	var slow allowance
	slow.set(1, rested)
	slow.spend(3600)
	soon, done := context.WithTimeout(ctx, 20*time.Second)
	defer done()
	if err := slow.pass(soon, 0, 2*time.Hour); err != nil {
		t.Errorf("ahead of others: %v", err)
	}
	a.set(1000, rested)
	start := time.Now()
	a.spend(200)
	if err := a.pass(ctx, 0, 0); err != nil || time.Since(start) < 190*time.Millisecond {
		t.Errorf("200 at 1000/s in %v, %v", time.Since(start), err)
	}
	if n := a.most(1000); n != 50 {
		t.Errorf("%d at once", n)
	}

	a.spend(3600 * 1000)
	ended := make(chan error)
	waits, cancel := context.WithCancelCause(ctx)
	go func() { ended <- a.pass(waits, 1, 0) }()
	over := errors.New("it is over")
	cancel(over)
	if err := <-ended; !errors.Is(err, over) {
		t.Errorf("the end of who waits: %v", err)
	}
	go func() { ended <- a.pass(ctx, 1, 0) }()
	a.set(0, rested)
	if err := <-ended; err != nil {
		t.Errorf("after the limit was taken away: %v", err)
	}
	a.set(1, rested)
	if err := a.pass(ctx, 0, time.Second); err != nil {
		t.Errorf("what was spent without a limit, or before, counts: %v", err)
	}
}

// More at once than ever is there passes all the same.
func TestAllowanceOfLessThanIsAskedFor(t *testing.T) {
	var a allowance
	a.set(1000, rested)
	if err := a.pass(t.Context(), 5000, 0); err != nil {
		t.Error(err)
	}
	if wait, _ := a.try(0, 0); wait < 4*time.Second {
		t.Errorf("the next after %v", wait)
	}
}

func TestTheLeastLimitCounts(t *testing.T) {
	th := NewThrottle(Limits{KeysPerS: 5000})
	check := func(what string, keys int, bytes int64) {
		t.Helper()
		if l := th.InForce(); l.KeysPerS != keys || l.BytesPerS != bytes {
			t.Errorf("%s: %d keys/s, %d bytes/s, want %d and %d", what, l.KeysPerS, l.BytesPerS, keys, bytes)
		}
	}
	check("as set", 5000, 0)
	th.Open(9000, 1<<20)
	check("in a window", 5000, 1<<20)
	th.Open(100, 0)
	check("in another", 100, 0)
	th.Set(Limits{KeysPerS: 50, BytesPerS: 1 << 20})
	check("set anew", 50, 1<<20)
	restore := th.Lift()
	if th.bytes.limited() {
		t.Error("lifted, bytes are limited")
	}
	restore()
	restore()
	if !th.bytes.limited() {
		t.Error("no longer lifted, bytes are not limited")
	}
	th.Set(Limits{InFlightBytes: 80})
	if n := th.batchBytes(); n != 10 {
		t.Errorf("batches of %d bytes", n)
	}
}

// Bytes are limited whichever way they are copied: those of big keys, and of pieces, too.
func TestBytesPerSecond(t *testing.T) {
	for name, o := range map[string]CopierOptions{
		"batches":  {},
		"big keys": {BigKeyBytes: 512 << 10},
		"pieces":   {BigKeyBytes: 256 << 10, DumpBytes: 512 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o.Throttle = NewThrottle(Limits{BytesPerS: 8 << 20})
			w := newWorld(t, redisd.Options{}, redisd.Options{}, o, nil)
			for i := range 10 {
				noise(t, w.first.Addr, "key:"+strconv.Itoa(i), 1)
			}
			start := time.Now()
			w.sweep()
			// The last is not waited for, and dirty keys are some way ahead.
			if took := time.Since(start); took < 600*time.Millisecond {
				t.Errorf("10 MiB at 8 MiB/s in %v", took)
			}
			w.equal()
		})
	}
}

// Outside of the windows nothing is swept; what is dirty is copied all the same.
func TestClosedThrottle(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{}, nil)
	w.copier.throttle.Close()
	fill(t, w.first.Addr, 100)
	s := w.newSweep(SweepOptions{})
	wait := w.sweeping(s)
	eventually(t, "it scans", func() bool { return s.Progress().KeysScanned > 0 })
	do(t, w.first.Addr, "SET", "dirty", "1")
	w.l.Lock()
	w.l.MakeDirty(&ledger.Key{Hash: w.l.Hash(0, []byte("dirty")), Name: []byte("dirty"), Write: true})
	w.l.Unlock()
	eventually(t, "the dirty key is copied", func() bool { return w.copier.Stats().Copied == 1 })
	if p := s.Progress(); p.State != status.Paused || p.KeysCopied > 1 {
		t.Errorf("closed: %+v", p)
	}
	w.copier.throttle.Open(0, 0)
	wait()
	w.equal()
}
