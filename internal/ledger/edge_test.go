package ledger

import (
	"math"
	"testing"
	"time"
)

func TestEdgeSuspect(t *testing.T) {
	const ms = time.Millisecond
	for _, x := range []struct {
		name      string
		ttl       int64
		lag, skew time.Duration
		want      bool
	}{
		{"no time to live", -1, time.Hour, time.Hour, false},
		{"missing", -2, 0, 0, true},
		{"the last millisecond", 0, 0, 0, true},
		{"one more", 1, 0, 0, false},
		{"less than the lag", 9, 10 * ms, 0, true},
		{"the lag", 10, 10 * ms, 0, true},
		{"more than the lag", 11, 10 * ms, 0, false},
		{"lag and skew", 15, 10 * ms, 5 * ms, true},
		{"more than both", 16, 10 * ms, 5 * ms, false},
		{"part of a millisecond counts as one", 11, 10*ms + 1, 0, true},
		{"for ever, nearly", math.MaxInt64, time.Hour, time.Hour, false},
		{"where nanoseconds would overflow", math.MaxInt64/1_000_000 + 1, time.Hour, time.Hour, false},
		{"what no server answers", math.MinInt64, 0, 0, true},
	} {
		if got := EdgeSuspect(x.ttl, x.lag, x.skew); got != x.want {
			t.Errorf("%s: %v", x.name, got)
		}
	}
}
