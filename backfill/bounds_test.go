package backfill

import (
	"context"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"sync"
	"testing"
	"time"

	"tandem/internal/intent"
	"tandem/internal/ledger"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/state"
	"tandem/internal/status"
	"tandem/test/wire"
)

// noise makes a string that nothing compresses, of so many MiB.
func noise(t testing.TB, addr, key string, mib int) {
	t.Helper()
	c := dial(t, addr)
	defer c.Close()
	r := rand.NewChaCha8([32]byte{1, byte(len(key))})
	part := make([]byte, 1<<20)
	for range mib {
		r.Read(part)
		if _, err := c.Do("APPEND", key, string(part)); err != nil {
			t.Fatal(err)
		}
	}
}

// heapPeak measures the largest heap until it is asked, with little garbage in it, however busy the machine is.
func heapPeak() (end func() uint64) {
	usual := debug.SetGCPercent(25)
	runtime.GC()
	runtime.GC() // what is pooled outlives one
	ctx, cancel := context.WithCancel(context.Background())
	var peak uint64
	var wg sync.WaitGroup
	wg.Go(func() {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}}
		for ctx.Err() == nil {
			metrics.Read(sample)
			peak = max(peak, sample[0].Value.Uint64()+sample[1].Value.Uint64())
			pause(ctx, time.Millisecond)
		}
	})
	return func() uint64 {
		cancel()
		wg.Wait()
		debug.SetGCPercent(usual)
		return peak
	}
}

// Values of 100 MB, and many of some MB, pass one by one, however many there are and in whatever order they
// come.
func TestMemoryIsBoundedWithBigValues(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{}, nil)
	fill(t, w.first.Addr, 5000)
	for i := range 4 {
		noise(t, w.first.Addr, "big:"+strconv.Itoa(i), 100)
	}
	for i := range 20 {
		noise(t, w.first.Addr, "medium:"+strconv.Itoa(i), 7)
	}
	end := heapPeak()
	w.sweep()
	peak := end()
	t.Logf("peak of the heap: %d MiB; %+v", peak>>20, w.copier.Stats())
	if peak > 160<<20 {
		t.Errorf("the heap was %d MiB", peak>>20)
	}
	end = heapPeak()
	if found, _ := w.verify(VerifyOptions{}); len(found) > 0 {
		t.Errorf("differences: %v", found)
	}
	peak = end()
	t.Logf("peak of the heap while verifying: %d MiB", peak>>20)
	if peak > 80<<20 {
		t.Errorf("the heap was %d MiB while verifying", peak>>20)
	}
}

// Big keys are copied too where MEMORY USAGE is refused, and where a few of them are written while copied.
func TestSizesWithoutMemoryUsage(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{BigKeyBytes: 2 << 20}, nil)
	do(t, w.first.Addr, "ACL", "SETUSER", "default", "-memory")
	fill(t, w.first.Addr, 1000)
	for i := range 4 {
		noise(t, w.first.Addr, "big:"+strconv.Itoa(i), 3)
	}
	c := dial(t, w.first.Addr)
	for i := range 50_000 {
		c.Send("RPUSH", "list", "an element of a long list "+strconv.Itoa(i))
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	for range 50_000 {
		if _, err := c.Receive(); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	w.sweep()
	w.equal()
	if !w.copier.reader.noMemoryUsage.Load() {
		t.Error("MEMORY USAGE was not refused")
	}
}

// The rate holds, also when it is changed on the way.
func TestRateAndPause(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{}, nil)
	fill(t, w.first.Addr, 1000)
	w.copier.throttle.Set(Limits{KeysPerS: 2000})
	s := w.newSweep(SweepOptions{})
	s.Pause()
	start := time.Now()
	wait := w.sweeping(s)
	eventually(t, "it scans", func() bool { return s.Progress().KeysScanned > 0 })
	if p := s.Progress(); p.State != status.Paused || p.KeysCopied != 0 {
		t.Errorf("paused: %+v", p)
	}
	start = time.Now()
	s.Resume()
	eventually(t, "half is copied", func() bool { return s.Progress().KeysCopied > 500 })
	if took := time.Since(start); took < 150*time.Millisecond {
		t.Errorf("500 keys at 2000/s in %v", took)
	}
	if p := s.Progress(); p.State != status.Running && p.State != status.Done { // on a busy machine it may be over
		t.Errorf("after resume: %+v", p)
	}
	w.copier.throttle.Set(Limits{})
	s.SetWorkers(2)
	w.copier.SetWorkers(2)
	wait()
	w.equal()
	p := s.Progress()
	if total, _ := p.KeysTotal.Get(); p.State != status.Done || total < 1000 || p.KeysCopied < 1000 || p.BytesCopied == 0 {
		t.Errorf("at the end: %+v", p)
	}
}

// After a crash nearly all keys are passed over. The rate holds for those, too, a tenth of what a copy counts, and so does
// the pause, whether all that is left is in marked stripes or the sweep goes on at a checkpoint behind those.
func TestRateOfWhatIsPassedOver(t *testing.T) {
	const keys, perSecond = 4000, 2000
	m := intent.NewMemory(ledger.Stripes)
	w := newWorldOn(t, redisd.Options{}, redisd.Options{}, m)
	w.fillStrings(0, keys)
	limited := func(what string, o SweepOptions) {
		t.Helper()
		o.ScanCount = 100
		w.copier.throttle.Set(Limits{KeysPerS: perSecond})
		s := w.newSweep(o)
		s.Pause()
		wait := w.sweeping(s)
		eventually(t, "it is paused", func() bool { return s.Progress().State == status.Paused })
		if n := w.copier.Stats().Copied; n > 0 {
			t.Errorf("%s: %d keys were copied in a pause", what, n)
		}
		start := time.Now()
		s.Resume()
		wait()
		// Either server's keys are scanned. What is in the bucket at the beginning comes at once.
		if took, least := time.Since(start), (2*keys/passedOver-100)*time.Second/perSecond; took < least {
			t.Errorf("%s: %d keys were passed over in %v, which should take %v", what, keys, took, least)
		}
		w.settle()
		w.equal()
	}
	mark := func() {
		w.l.Lock()
		defer w.l.Unlock()
		for range 2 {
			w.l.TurnIntents()
		}
		m.Mark(w.l.Hash(0, []byte("key:7")).Stripe())
	}

	at := w.runUntil(SweepOptions{ScanCount: 100}, func(c state.Checkpoint) bool { return c.Scanned >= keys-500 })
	mark()
	m, r := w.crash(m)
	if !r.GoesOn {
		t.Fatalf("resumed %+v", r)
	}
	limited("from a checkpoint", SweepOptions{Last: at})
	mark()
	if m, r = w.crash(m); r.Sweep || r.Stripes == 0 {
		t.Fatalf("resumed %+v", r)
	}
	limited("marked stripes alone", SweepOptions{})
}

// Servers of other versions, in both directions that DUMP allows; on 6.0 expiry is read with PTTL.
func TestSweepBetweenVersions(t *testing.T) {
	binaries := map[string]string{}
	for _, b := range redisdtest.Binaries(t) {
		binaries[b.Name] = b.Path
	}
	for _, pair := range [][2]string{{"redis-6.0", "redis-7.0"}, {"redis-7.0", "redis-8.0"}, {"redis-8.0", "redis-8.0"},
		{"redis-7.0", "valkey-8.1"}, {"valkey-9.1", "valkey-9.1"}} {
		if binaries[pair[0]] == "" || binaries[pair[1]] == "" {
			t.Logf("not on this machine: %v", pair)
			continue
		}
		t.Run(pair[0]+" to "+pair[1], func(t *testing.T) {
			w := newWorld(t, redisd.Options{Binary: binaries[pair[0]]}, redisd.Options{Binary: binaries[pair[1]]}, CopierOptions{}, nil)
			fillWithExpiry(t, w.first.Addr)
			w.sweep()
			w.equal()
			if found, _ := w.verify(VerifyOptions{TTLTolerance: 50 * time.Millisecond}); len(found) > 0 {
				t.Errorf("differences: %v", found)
			}
			if old := w.copier.reader.usePTTL.Load(); old != (pair[0] == "redis-6.0") {
				t.Errorf("PTTL instead of PEXPIRETIME: %v", old)
			}
		})
	}
}

// fillWithExpiry makes keys of every type, and many that expire; hash fields too where the server has that.
func fillWithExpiry(t testing.TB, addr string) {
	t.Helper()
	fill(t, addr, 2000)
	c := dial(t, addr)
	defer c.Close()
	for i := range 3000 {
		if _, err := c.Do("SET", "ttl:"+strconv.Itoa(i), "v", "PX", strconv.Itoa(600_000+i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Do("HSET", "fields", "a", "1", "b", "2"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Do("HPEXPIRE", "fields", "600000", "FIELDS", "1", "a"); err != nil {
		if _, ok := err.(wire.ServerError); !ok {
			t.Fatal(err)
		}
	}
}
