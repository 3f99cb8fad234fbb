package backfill

import (
	"math"
	"testing"
)

// TestAtMost compares with values of the beta distribution's quantiles, and with 1-0.05^(1/n) where none differs.
func TestAtMost(t *testing.T) {
	for _, c := range []struct {
		n, different int64
		want         float64
	}{
		{1, 0, 0.95}, {10, 0, 0.258866}, {100, 0, 0.029513}, {30_000, 0, 9.98527e-05}, {1_000_000_000, 0, 2.99573e-09},
		{10, 1, 0.394163}, {10, 9, 0.994884}, {100, 5, 0.102253}, {1000, 20, 0.028930},
		{0, 0, 1}, {5, 5, 1}, {5, 9, 1},
	} {
		if got := AtMost(c.n, c.different); math.Abs(got-c.want) > c.want*1e-3 {
			t.Errorf("%d of %d: %g, want %g", c.different, c.n, got, c.want)
		}
	}
}

// The bound is never below what was seen, and falls with more keys.
func TestAtMostOfManyKeys(t *testing.T) {
	for _, n := range []int64{1e3, 1e6, 1e9} {
		for _, share := range []float64{0.001, 0.1, 0.5, 0.999} {
			k := int64(float64(n) * share)
			got := AtMost(n, k)
			// The normal approximation, which is good here.
			want := share + 1.645*math.Sqrt(share*(1-share)/float64(n))
			if got <= share || math.Abs(got-want) > 0.004 && k > 100 {
				t.Errorf("%d of %d: %g, want about %g", k, n, got, want)
			}
		}
	}
}

func TestScores(t *testing.T) {
	zero, nan := 0.0, math.NaN()
	for _, c := range []struct {
		a, b float64
		same bool
	}{{1, 1, true}, {1, 1.0000000000000002, false}, {zero, math.Copysign(0, -1), false}, {nan, nan, true}, {nan, 0, false},
		{math.Inf(1), math.Inf(1), true}, {math.Inf(1), math.Inf(-1), false}} {
		if sameScore(c.a, c.b) != c.same {
			t.Errorf("%v and %v: same is %v", c.a, c.b, !c.same)
		}
	}
}
