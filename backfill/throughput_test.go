package backfill

import (
	"os"
	"strconv"
	"testing"
	"time"

	"tandem/internal/redisd"
)

// BenchmarkSweep copies a million small keys between two local servers, once per round. It is measured where
// nothing else runs; DEBUG POPULATE makes the keys.
func BenchmarkSweep(b *testing.B) {
	keys := 1_000_000
	if testing.Short() {
		keys = 100_000
	}
	w := newWorld(b, redisd.Options{Args: debugCommand}, redisd.Options{}, CopierOptions{}, nil)
	populate(b, w.first.Addr, keys)
	var took time.Duration
	for b.Loop() {
		b.StopTimer()
		flush(b, w.second.Addr)
		w.l.Lock()
		w.l.OweSweep("again", keys)
		w.l.Unlock()
		b.StartTimer()
		start := time.Now()
		w.sweep()
		took += time.Since(start)
	}
	b.ReportMetric(float64(keys)*float64(b.N)/took.Seconds(), "keys/s")
	if os.Getenv("BACKFILL_STATS") != "" {
		b.Logf("%+v", w.copier.Stats())
	}
}

var debugCommand = []string{"--enable-debug-command", "local"}

func populate(t testing.TB, addr string, keys int) {
	t.Helper()
	do(t, addr, "DEBUG", "POPULATE", strconv.Itoa(keys), "key", "64")
}

func flush(t testing.TB, addr string) {
	t.Helper()
	do(t, addr, "FLUSHALL")
}
