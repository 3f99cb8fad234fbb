package backfill

import (
	"math"
	"slices"
	"time"

	"tandem/internal/latency"
)

const (
	// tail is the quantile of answers that the governor goes by: what it lets copying do to the rest does not show there.
	tail = 0.99
	// keptProbes is how many probes are remembered: those of a minute and a half.
	keptProbes = 16
	// oddProbe: a probe that is so many times as slow as the middle one does not count.
	oddProbe = 2
)

// usual is how long answers take without copying, as the last probes have found. Each is too short to know its own longest
// percent; together they are not.
type usual struct {
	probes []latency.Histogram
	pings  latency.Histogram // of the probe under way
}

func (u *usual) forget() { u.probes = nil }

func (u *usual) add(h latency.Histogram) {
	if len(u.probes) == keptProbes {
		u.probes = slices.Delete(u.probes, 0, 1)
	}
	u.probes = append(u.probes, h)
}

// quantile is the tail's beginning; 0 if it is not known. Probes that fell into a bad time do not count, unless most did.
func (u *usual) quantile() time.Duration {
	if len(u.probes) == 0 {
		return 0
	}
	const most = 0.9 // of what one probe tells for sure
	var each []time.Duration
	for i := range u.probes {
		each = append(each, u.probes[i].Quantile(most))
	}
	sorted := slices.Sorted(slices.Values(each))
	// More than half of all that are kept must have been slow for that to be usual, however few there are yet.
	middle := sorted[max(0, len(sorted)-1-keptProbes/2)]
	var all latency.Histogram
	for i := range u.probes {
		if each[i] <= oddProbe*middle {
			all.Merge(&u.probes[i])
		}
	}
	return all.Quantile(tail)
}

// tooMany reports whether more answers took longer than a limit than the share that is usual: so many more that it is no
// accident. Few answers that are late are no proof either way.
func tooMany(h *latency.Histogram, limit time.Duration) bool {
	expected := (1 - tail) * float64(h.Count())
	return float64(h.Above(limit)) > expected+3*math.Sqrt(expected)+1
}
