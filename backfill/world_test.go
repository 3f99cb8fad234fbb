package backfill

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tandem/internal/instance"
	"tandem/internal/ledger"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/status"
	"tandem/test/keyspace"
	"tandem/test/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }

// world is two servers, a ledger with a Sink to the second, and a copier that runs.
type world struct {
	t                  testing.TB
	first, second      *redisd.Server
	primary, secondary *instance.Instance
	l                  *ledger.Ledger
	sink               *testSink
	copier             *Copier
	end                func() // of sink and copier
}

// patience of tests: what takes longer hangs.
const testTimeout = 60 * time.Second

// newWorld starts it with a sweep owed. set may change the options, and the copier before it runs.
func newWorld(t testing.TB, first, second redisd.Options, o CopierOptions, set func(*Copier)) *world {
	t.Helper()
	w := newServers(t, first, second)
	l := ledger.New(ledger.Options{
		Hasher: ledger.Hasher{K0: 1, K1: 2}, MaxDirty: 100_000, MaxExact: 4_000_000,
		Now: func() int64 { return time.Now().UnixNano() },
	})
	l.OweSweep("a test", 50_000)
	w.start(l, o, set)
	return w
}

// newServers is the servers alone.
func newServers(t testing.TB, first, second redisd.Options) *world {
	t.Helper()
	w := &world{t: t, first: redisdtest.Start(t, first), second: redisdtest.Start(t, second)}
	w.primary = testInstance(t, instance.Source, w.first.URL())
	w.secondary = testInstance(t, instance.Target, w.second.URL())
	return w
}

// start starts what runs on a ledger, until end is called or the test ends.
func (w *world) start(l *ledger.Ledger, o CopierOptions, set func(*Copier)) {
	w.t.Helper()
	w.l = l
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	w.sink = startSink(w.t, w.l, w.second.Addr)
	o.Name = instance.ConnName("test", "copier", "1")
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(testLog{w.t}, nil))
	}
	copier := NewCopier(w.l, w.primary, w.secondary, o)
	w.copier = copier
	if set != nil {
		set(copier)
	}
	w.l.Lock()
	w.l.OnChange(copier.Wake)
	w.l.Unlock()
	wg.Go(func() {
		if err := copier.Run(ctx); err != nil {
			w.t.Errorf("copier: %v", err)
		}
	})
	sink := w.sink
	w.end = func() {
		cancel()
		wg.Wait()
		sink.stop()
		<-sink.done
	}
	w.t.Cleanup(w.end)
}

// testLog writes log lines into the test's output.
type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("%s", p)
	return len(p), nil
}

func (w *world) newSweep(o SweepOptions) *Sweep {
	o.Name = instance.ConnName("test", "sweep", "1")
	o.Log = w.copier.opt.Log
	return NewSweep(w.l, w.copier, w.primary, w.secondary, o)
}

// sweep works off the owed sweep.
func (w *world) sweep() *Sweep {
	w.t.Helper()
	s := w.newSweep(SweepOptions{})
	w.run(s)
	return s
}

func (w *world) run(s *Sweep) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	w.l.Lock()
	gen, _, _ := w.l.SweepOwed()
	w.l.Unlock()
	if err := s.Run(ctx, gen); err != nil {
		w.t.Fatalf("sweep: %v; %+v; %+v", err, s.Progress(), w.copier.Stats())
	}
	if p := s.Progress(); p.State != status.Done {
		w.t.Fatalf("after the sweep: %+v", p)
	}
}

// settle waits until nothing is dirty or on its way.
func (w *world) settle() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	if !w.copier.wait.until(ctx, w.l.Drained) {
		w.l.Lock()
		defer w.l.Unlock()
		n, bytes := w.l.Copying()
		w.t.Fatalf("not settled: %d dirty, %d unsettled, %d copies of %d bytes, %+v",
			w.l.DirtyKeys(), w.l.Unsettled(), n, bytes, w.copier.Stats())
	}
}

// equal compares both servers, by code that is not of this package.
func (w *world) equal() {
	w.t.Helper()
	r, err := keyspace.Compare(w.first.Addr, w.second.Addr, keyspace.Options{})
	if err != nil {
		w.t.Fatalf("compare: %v", err)
	}
	if len(r.Differences) > 0 {
		w.t.Fatalf("the servers differ: %v", r)
	}
	w.t.Logf("%d keys are equal", r.First)
}

// do runs one command on a server; an error reply fails the test.
func do(t testing.TB, addr string, args ...string) wire.Reply {
	t.Helper()
	r, err := wire.Once(addr, args...)
	if err != nil {
		t.Fatalf("%s: %v", args[0], err)
	}
	return r
}

func dial(t testing.TB, addr string) *wire.Conn {
	t.Helper()
	c, err := wire.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
