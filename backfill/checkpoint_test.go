package backfill

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"tandem/internal/intent"
	"tandem/internal/ledger"
	"tandem/internal/redisd"
	"tandem/internal/state"
	"tandem/internal/status"
	"tandem/test/wire"
)

// crash ends the copier's process and begins another on the same intent map, in which every key is what that says.
func (w *world) crash(m *intent.Map) (*intent.Map, ledger.Resumed) {
	w.t.Helper()
	w.end()
	m = m.Reopen()
	r := w.begin(m)
	return m, r
}

// errCrash ends a sweep in the middle.
var errCrash = errors.New("a crash")

// runUntil runs the owed sweep until a checkpoint is saved that the test wants, and returns it.
func (w *world) runUntil(o SweepOptions, wanted func(c state.Checkpoint) bool) (last state.Checkpoint) {
	w.t.Helper()
	ctx, cancel := context.WithCancelCause(context.Background())
	o.SaveEvery = time.Nanosecond
	o.Save = func(c state.Checkpoint) error {
		if ctx.Err() != nil {
			return errCrash
		}
		if last = c; wanted(c) {
			cancel(errCrash)
		}
		return nil
	}
	s := w.newSweep(o)
	w.l.Lock()
	gen, _, _ := w.l.SweepOwed()
	w.l.Unlock()
	if err := s.Run(ctx, gen); !errors.Is(err, errCrash) {
		w.t.Fatalf("the sweep ended before the crash: %v, %+v", err, s.Progress())
	}
	return last
}

// A sweep goes on at its checkpoint: what was copied is not copied again, but for keys whose stripes are marked; and
// both sides are equal at the end.
func TestSweepGoesOnAtItsCheckpoint(t *testing.T) {
	const keys = 5000
	m := intent.NewMemory(ledger.Stripes)
	w := newWorldOn(t, redisd.Options{}, redisd.Options{}, m)
	for _, db := range []int{0, 3} {
		w.fillStrings(db, keys)
	}
	at := w.runUntil(SweepOptions{ScanCount: 100}, func(c state.Checkpoint) bool { return c.DB == 3 && c.Scanned >= 1.2*keys })

	// What happens to keys that were copied already is marked, and lost with the process.
	w.l.Lock()
	for i := range 5 {
		m.Mark(w.l.Hash(0, fmt.Appendf(nil, "key:%d", i)).Stripe())
	}
	w.l.Unlock()
	do(t, w.first.Addr, "SET", "key:0", "changed")
	do(t, w.first.Addr, "DEL", "key:1")
	do(t, w.first.Addr, "EXPIREAT", "key:2", "9999999999")

	m, r := w.crash(m)
	if !r.Sweep || !r.GoesOn || r.Stripes < 4 {
		t.Fatalf("resumed %+v", r)
	}
	s := w.newSweep(SweepOptions{Last: at})
	w.run(s)
	w.settle()
	w.equal()
	if !s.Began().IsZero() {
		t.Errorf("all was compared since %v, though an earlier process has compared a part", s.Began())
	}
	p, left := s.Progress(), 2*keys-at.Scanned
	if p.KeysScanned < 2*keys-1 {
		t.Errorf("%d keys count as scanned", p.KeysScanned)
	}
	if p.KeysCopied > left+200 || p.KeysCopied < left {
		t.Errorf("%d keys were copied again, of %d that were left", p.KeysCopied, left)
	}
	w.l.Lock()
	defer w.l.Unlock()
	for range 2 {
		w.l.TurnIntents()
	}
	if n, all := m.Marked(); n > 0 || all {
		t.Errorf("%d stripes are marked, all %v, when all is done", n, all)
	}
}

// A checkpoint of another sweep, or of another process of the primary, counts for nothing.
func TestCheckpointIsVoid(t *testing.T) {
	for name, change := range map[string]func(c *state.Checkpoint){
		"of another sweep":   func(c *state.Checkpoint) { c.Sweep++ },
		"of another process": func(c *state.Checkpoint) { c.RunID = "another" },
		"of nobody knows":    func(c *state.Checkpoint) { c.RunID = "" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := intent.NewMemory(ledger.Stripes)
			w := newWorldOn(t, redisd.Options{}, redisd.Options{}, m)
			w.fillStrings(0, 500)
			at := w.runUntil(SweepOptions{ScanCount: 10}, func(c state.Checkpoint) bool { return c.Scanned > 200 })
			do(t, w.second.Addr, "FLUSHALL")
			change(&at)
			w.crash(m)
			s := w.newSweep(SweepOptions{Last: at})
			w.run(s)
			w.settle()
			w.equal()
			if p := s.Progress(); p.KeysCopied < 500 {
				t.Errorf("only %d keys were copied", p.KeysCopied)
			}
		})
	}
}

// While a sweep is under way another one comes to be owed, for keys that it has passed already. After a crash nothing of
// the first counts: neither its checkpoint, nor what it had found equal.
func TestACrashInTheFirstOfTwoSweepsComparesAll(t *testing.T) {
	const keys = 3000
	path := filepath.Join(t.TempDir(), "intents")
	open := func() *intent.Map {
		m, err := intent.Open(path, intent.Options{ID: "a test", Check: 1, Stripes: ledger.Stripes})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := open()
	w := newWorldOn(t, redisd.Options{}, redisd.Options{}, m)
	w.fillStrings(0, keys)
	again := false
	at := w.runUntil(SweepOptions{ScanCount: 50}, func(c state.Checkpoint) bool {
		if !again && c.Scanned >= keys/2 {
			// A script, say, has changed keys of which nobody has told their names.
			again = true
			for i := range keys {
				do(t, w.first.Addr, "SET", fmt.Sprint("key:", i), "changed")
			}
			w.l.Lock()
			w.l.OweAgain("keys that nobody knows")
			w.l.Unlock()
		}
		return again && c.Scanned >= keys*3/4
	})
	w.end()
	m = open() // killed: nobody has closed it
	r := w.begin(m)
	if !r.Sweep || r.GoesOn {
		t.Errorf("resumed %+v", r)
	}
	s := w.newSweep(SweepOptions{Last: at})
	w.run(s)
	w.settle()
	w.equal()
	w.l.Lock()
	defer w.l.Unlock()
	if _, _, owed := w.l.SweepOwed(); owed || m.Again() {
		t.Error("one more is owed")
	}
}

// A checkpoint counts only what the secondary has acknowledged.
func TestCheckpointWaitsForTheSecondary(t *testing.T) {
	var w *world
	var once sync.Once
	w = newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{}, func(c *Copier) {
		c.hooks = func(point, int, []string) {
			once.Do(func() {
				if err := w.second.Pause(); err != nil {
					t.Errorf("pause the secondary: %v", err)
				}
			})
		}
	})
	w.fillStrings(0, 2000)
	saved := make(chan state.Checkpoint, 1000)
	s := w.newSweep(SweepOptions{ScanCount: 100, SaveEvery: time.Nanosecond, Save: func(c state.Checkpoint) error {
		saved <- c
		return nil
	}})
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.run(s)
	}()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	if !w.copier.wait.until(ctx, func() bool { n, _ := w.l.Copying(); return n > 0 && s.Progress().KeysScanned >= 2000 }) {
		t.Fatalf("the keys are not on the way: %+v", s.Progress())
	}
	select {
	case c := <-saved:
		t.Errorf("%+v was saved while nothing is acknowledged", c)
	default:
	}
	if err := w.second.Continue(); err != nil {
		t.Fatal(err)
	}
	<-done
	w.equal()
	if len(saved) == 0 {
		t.Error("none was saved at all")
	}
}

// After a crash in synced only keys of marked stripes are copied, and what the primary has not any more is removed.
func TestOnlyMarkedStripesAreSwept(t *testing.T) {
	const keys = 3000
	m := intent.NewMemory(ledger.Stripes)
	w := newWorldOn(t, redisd.Options{}, redisd.Options{}, m)
	w.fillStrings(0, keys)
	w.sweep()
	w.settle()
	w.equal()
	w.l.Lock()
	for range 2 {
		w.l.TurnIntents()
	}
	for _, name := range []string{"key:7", "key:8", "key:9", "new"} {
		m.Mark(w.l.Hash(0, []byte(name)).Stripe())
	}
	w.l.Unlock()
	do(t, w.first.Addr, "SET", "key:7", "changed")
	do(t, w.first.Addr, "DEL", "key:8")
	do(t, w.first.Addr, "SET", "new", "value")

	_, r := w.crash(m)
	if r.Sweep || r.Stripes != 4 {
		t.Fatalf("resumed %+v", r)
	}
	w.l.Lock()
	if w.l.Known(w.l.Hash(0, []byte("key:7"))) || !w.l.Known(w.l.Hash(0, []byte("key:700"))) {
		t.Error("what is marked is known, or what is not is unknown")
	}
	w.l.Unlock()
	s := w.sweep()
	w.settle()
	w.equal()
	if p := s.Progress(); p.State != status.Done || p.KeysCopied < 3 || p.KeysCopied > 20 {
		t.Errorf("%d keys were copied", p.KeysCopied)
	}
}

// newWorldOn is newWorld with an intent map.
func newWorldOn(t *testing.T, first, second redisd.Options, m *intent.Map) *world {
	t.Helper()
	w := newServers(t, first, second)
	w.begin(m)
	w.l.Lock()
	w.l.OweSweep("a test", 50_000)
	w.l.Unlock()
	return w
}

// begin begins a process on an intent map.
func (w *world) begin(m *intent.Map) ledger.Resumed {
	w.t.Helper()
	l := ledger.New(ledger.Options{
		Hasher: ledger.Hasher{K0: 1, K1: 2}, MaxDirty: 100_000, MaxExact: 4_000_000, Intents: m,
		Now: func() int64 { return time.Now().UnixNano() },
	})
	r := l.Resume()
	w.start(l, CopierOptions{}, nil)
	return r
}

// fillStrings writes keys to the primary.
func (w *world) fillStrings(db, keys int) {
	w.t.Helper()
	c := dial(w.t, w.first.Addr)
	defer c.Close()
	mustDo(w.t, c, "SELECT", fmt.Sprint(db))
	for from := 0; from < keys; from += 500 {
		args := []string{"MSET"}
		for i := from; i < min(from+500, keys); i++ {
			args = append(args, fmt.Sprint("key:", i), fmt.Sprint("value of ", i))
		}
		mustDo(w.t, c, args...)
	}
}

func mustDo(t testing.TB, c *wire.Conn, args ...string) {
	t.Helper()
	if _, err := c.Do(args...); err != nil {
		t.Fatalf("%s: %v", args[0], err)
	}
}
