package backfill

import (
	"strconv"
	"syscall"
	"testing"
	"time"

	"tandem/internal/redisd"
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

// BenchmarkSweep copies a million small keys between two local servers. A bare loop of DUMP and RESTORE with
// two clients does some 290,000 keys a second on two quiet cores.
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
