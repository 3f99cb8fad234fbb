package proxy

import (
	"testing"
	"time"
)

func TestTimingAddsUp(t *testing.T) {
	var x Timing
	for _, d := range []time.Duration{-1, 3 * time.Microsecond, 70 * time.Microsecond, time.Millisecond, time.Minute} {
		x.add(int64(d))
	}
	if want := time.Minute + time.Millisecond + 73*time.Microsecond; x.Sum != want || x.Count() != 5 {
		t.Errorf("%d counted, %v in all; want 5, %v", x.Count(), x.Sum, want)
	}
	last, bounds := uint64(0), 0
	x.Buckets(1<<16, 1<<33, func(below time.Duration, n uint64) {
		bounds++
		want := uint64(0)
		for _, d := range []time.Duration{-1, 3 * time.Microsecond, 70 * time.Microsecond, time.Millisecond, time.Minute} {
			if d < below {
				want++
			}
		}
		if n != want || n < last {
			t.Errorf("%d below %v, want %d", n, below, want)
		}
		last = n
	})
	if bounds != 18 || last != 4 {
		t.Errorf("%d bounds, %d below the last", bounds, last)
	}
	steps := 0
	x.Each(func(from, below time.Duration, n uint64) {
		if steps++; from >= below || n != 1 {
			t.Errorf("%d from %v to %v", n, from, below)
		}
	})
	if steps != 5 {
		t.Errorf("%d steps", steps)
	}
}

// TestKindsHaveNames: metrics have a class for each kind.
func TestKindsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for k := range commandKinds {
		seen[k.String()] = true
	}
	if len(seen) != int(commandKinds) || seen[""] {
		t.Errorf("%v", seen)
	}
}
