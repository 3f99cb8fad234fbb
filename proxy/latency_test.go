package proxy

import (
	"testing"
	"time"
)

// Each time is at most an eighth, or a microsecond, below what stands for it, and never above.
func TestLatenciesAreKnownWithinAnEighth(t *testing.T) {
	for ns := int64(0); ns < int64(2*time.Hour); ns += 1 + ns/7 {
		var l Latencies
		l.add(ns)
		got := int64(l.Quantile(0.5))
		if ns < int64(time.Hour) && (got < ns || got > ns+ns/7+2<<latencyUnit) {
			t.Fatalf("%v is told as %v", time.Duration(ns), time.Duration(got))
		}
	}
	var l Latencies
	l.add(-5) // a clock that went back
	if got := l.Quantile(1); got > time.Duration(2<<latencyUnit) {
		t.Errorf("less than nothing is told as %v", got)
	}
}

func TestQuantilesAreOfWhatCameSince(t *testing.T) {
	var before Latencies
	for range 1000 {
		before.add(int64(time.Minute))
	}
	now := before
	for i := range 100 {
		took := time.Millisecond
		if i >= 98 {
			took = time.Second
		}
		now.add(int64(took))
	}
	d := now.Since(&before)
	if n := d.Count(); n != 100 {
		t.Errorf("%d counted", n)
	}
	for q, want := range map[float64]time.Duration{0.5: time.Millisecond, 0.95: time.Millisecond, 0.995: time.Second} {
		if got := d.Quantile(q); got < want || got > want+want/7 {
			t.Errorf("quantile %v: %v, want %v", q, got, want)
		}
	}
	d.Add(&now)
	if n := d.Count(); n != 100+1100 {
		t.Errorf("%d counted together", n)
	}
	if got := new(Latencies).Quantile(0.99); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
}
