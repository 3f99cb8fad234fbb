package latency

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Each duration is in the bucket whose bounds it is between, and buckets are narrow.
func TestBuckets(t *testing.T) {
	for b := 1; b < buckets-1; b++ {
		low, high := floor(b), floor(b+1)
		if bucket(low) != b || bucket(high-1) != b || low >= high || float64(high-low) > 0.032*float64(low) {
			t.Fatalf("bucket %d is from %d to %d, and these fall into %d and %d", b, low, high, bucket(low), bucket(high-1))
		}
	}
	for ns, want := range map[int64]int{-1: 0, 0: 0, 1023: 0, 1024: 1, 1<<most - 1: buckets - 2, 1 << most: buckets - 1, 1<<63 - 1: buckets - 1} {
		if b := bucket(ns); b != want {
			t.Errorf("%d ns in bucket %d, want %d", ns, b, want)
		}
	}
}

func TestQuantilesAreThoseOfTheSortedList(t *testing.T) {
	var a, b Histogram
	var all []int64
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 10_000 {
		ns := int64(r.ExpFloat64() * float64(time.Millisecond))
		all = append(all, ns)
		if i%3 == 0 {
			a.Add(ns)
		} else {
			b.Add(ns)
		}
	}
	a.Merge(&b)
	slices.Sort(all)
	for _, share := range []float64{0, 0.5, 0.9, 0.99, 0.999} {
		want := float64(all[int(share*float64(len(all)))])
		if got := float64(a.Quantile(share)); got < want || got > 1.04*want+1024 {
			t.Errorf("%v: %v, want %v", share, time.Duration(got), time.Duration(want))
		}
	}
	if n := a.Above(a.Quantile(0.99)); n < 50 || n > 100 {
		t.Errorf("%d of %d above the 99th percentile", n, a.Count())
	}
	if a.Reset(); a.Count() != 0 || a.Above(0) != 0 || a.Quantile(0.5) != 0 {
		t.Error("not empty after Reset")
	}
}

func BenchmarkAdd(b *testing.B) {
	var h Histogram
	b.ReportAllocs()
	for i := range b.N {
		h.Add(int64(i))
	}
}

func TestKeepChoosesEvenly(t *testing.T) {
	var slow int
	const times = 1000
	for range times {
		var h Histogram
		for i := range 200 {
			h.Add(int64(time.Millisecond) * int64(1+i/190*99)) // one in 20 takes 100 ms
		}
		h.Keep(30)
		late := h.Above(50 * time.Millisecond)
		if slow += late; h.Count() != 30 || late+h.below(50*time.Millisecond) != 30 {
			t.Fatalf("%d are kept, %d of them late", h.Count(), late)
		}
	}
	if slow < times || slow > 2*times { // 1.5 each time
		t.Errorf("%d of %d are late", slow, 30*times)
	}
	var few Histogram
	few.Add(1)
	if few.Keep(2); few.Count() != 1 {
		t.Errorf("%d of 1", few.Count())
	}
}

func (h *Histogram) below(d time.Duration) int {
	n := 0
	for _, c := range h.counts {
		n += int(c)
	}
	return n - h.Above(d)
}
