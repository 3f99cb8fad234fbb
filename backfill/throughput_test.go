package backfill

import (
	"context"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"tandem/internal/instance"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

// cpu is the time that this process has computed.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// perKey reports keys per second, and this process' computing per key, which a busy machine changes less.
func perKey(b *testing.B, keys int, took, computed time.Duration) {
	n := float64(keys) * float64(b.N)
	b.ReportMetric(n/took.Seconds(), "keys/s")
	b.ReportMetric(float64(computed.Nanoseconds())/n, "cpu-ns/key")
	b.ReportMetric(0, "ns/op")
}

func benchmarkKeys() int {
	if testing.Short() {
		return 100_000
	}
	return 1_000_000
}

// BenchmarkSweep copies a million small keys between two local servers.
func BenchmarkSweep(b *testing.B) {
	keys := benchmarkKeys()
	w := newWorld(b, redisd.Options{Args: debugCommand}, redisd.Options{}, CopierOptions{}, nil)
	populate(b, w.first.Addr, keys)
	var took, computed time.Duration
	for b.Loop() {
		do(b, w.second.Addr, "FLUSHALL")
		w.l.Lock()
		w.l.OweSweep("again", keys)
		w.l.Unlock()
		start, before := time.Now(), cpu()
		w.sweep()
		took += time.Since(start)
		computed += cpu() - before
	}
	perKey(b, keys, took, computed)
}

// BenchmarkSweepBetweenVersions copies small hashes as they are dumped, in an older form, and by type: the three ways that a
// copy takes from one version to another.
func BenchmarkSweepBetweenVersions(b *testing.B) {
	for _, c := range []struct {
		name, target string
		typed        bool
		keys         int
	}{{"as-is", "redis-7.0", false, 200_000}, {"older-form", "redis-6.0", false, 200_000}, {"typed", "redis-7.0", true, 20_000}} {
		b.Run(c.name, func(b *testing.B) {
			servers, ok := redisdtest.Find(b, "redis-7.0", c.target)
			if !ok {
				return
			}
			w := newWorld(b, redisd.Options{Binary: servers[0].Path}, redisd.Options{Binary: servers[1].Path}, CopierOptions{},
				func(copier *Copier) { copier.onlyTyped = c.typed })
			conn := dial(b, w.first.Addr)
			defer conn.Close()
			for from := 0; from < c.keys; from += 1000 {
				var commands [][]string
				for i := from; i < from+1000; i++ {
					n := strconv.Itoa(i)
					commands = append(commands, []string{"HSET", "session:" + n, "user", n, "name", "somebody", "seen", "1763850000", "cart", "a,b,c"})
				}
				if _, err := conn.DoMany(commands); err != nil {
					b.Fatal(err)
				}
			}
			var took, computed time.Duration
			for b.Loop() {
				do(b, w.second.Addr, "FLUSHALL")
				w.l.Lock()
				w.l.OweSweep("again", c.keys)
				w.l.Unlock()
				start, before := time.Now(), cpu()
				w.sweep()
				took += time.Since(start)
				computed += cpu() - before
			}
			perKey(b, c.keys, took, computed)
		})
	}
}

// BenchmarkVerify compares a million small keys of two local servers.
func BenchmarkVerify(b *testing.B) {
	keys := benchmarkKeys()
	w := newWorld(b, redisd.Options{Args: debugCommand}, redisd.Options{}, CopierOptions{}, nil)
	populate(b, w.first.Addr, keys)
	w.sweep()
	var took, computed time.Duration
	for b.Loop() {
		start, before := time.Now(), cpu()
		w.verify(VerifyOptions{})
		took += time.Since(start)
		computed += cpu() - before
	}
	perKey(b, keys, took, computed)
}

var debugCommand = []string{"--enable-debug-command", "local"}

func populate(t testing.TB, addr string, keys int) {
	t.Helper()
	do(t, addr, "DEBUG", "POPULATE", strconv.Itoa(keys), "key", "64")
}

// BenchmarkBareLoop is what the others are measured against: two workers that DUMP with one client and RESTORE
// with another, no ledger, no order, no versions.
func BenchmarkBareLoop(b *testing.B) {
	keys := benchmarkKeys()
	first := redisdtest.Start(b, redisd.Options{Args: debugCommand})
	second := redisdtest.Start(b, redisd.Options{})
	populate(b, first.Addr, keys)
	from := newReader(testInstance(b, instance.Source, first.URL()), "bare", time.Minute)
	defer from.close()
	ctx := context.Background()
	var took, computed time.Duration
	for b.Loop() {
		do(b, second.Addr, "FLUSHALL")
		pages := make(chan []string, 8)
		var workers sync.WaitGroup
		start, before := time.Now(), cpu()
		for range 2 {
			workers.Go(func() {
				dump := newReader(from.in, "bare", time.Minute)
				restore := newReader(testInstance(b, instance.Target, second.URL()), "bare", time.Minute)
				defer dump.close()
				defer restore.close()
				for names := range pages {
					bareCopy(b, dump, restore, names)
				}
			})
		}
		err := from.scan(ctx, 0, always(512), func(names []string) error {
			pages <- names
			return nil
		})
		close(pages)
		workers.Wait()
		if err != nil {
			b.Fatal(err)
		}
		took += time.Since(start)
		computed += cpu() - before
	}
	perKey(b, keys, took, computed)
}

func bareCopy(b *testing.B, from, to *reader, names []string) {
	ctx := context.Background()
	var reads, writes []command
	for _, name := range names {
		reads = append(reads, command{"PEXPIRETIME", name}, command{"DUMP", name})
	}
	results, err := from.do(ctx, 0, reads...)
	if err != nil {
		b.Error(err)
		return
	}
	for i, name := range names {
		payload, err := results[2*i+1].ToString()
		if err != nil {
			b.Error(err)
		}
		writes = append(writes, command{"RESTORE", name, "0", payload, "REPLACE", "ABSTTL"})
	}
	if _, err := to.do(ctx, 0, writes...); err != nil {
		b.Error(err)
	}
}
