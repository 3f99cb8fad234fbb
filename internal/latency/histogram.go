// Package latency counts how long things took, in buckets of 3 %: cheap enough to count every command.
package latency

import (
	"math/bits"
	"math/rand/v2"
	"time"
)

const (
	// least and most are powers of 2, in nanoseconds: what took less than 1 µs or more than a minute is not told apart.
	least, most = 10, 36
	// parts of each power of 2, as a power of 2.
	parts   = 5
	buckets = (most-least)<<parts + 2
)

// Histogram counts durations. It is not safe for concurrent use; the zero value is empty.
type Histogram struct {
	counts [buckets]uint32
	n      int
}

// bucket is the one that a number of nanoseconds falls into.
func bucket(ns int64) int {
	if ns < 1<<least {
		return 0
	}
	power := bits.Len64(uint64(ns)) - 1
	if power >= most {
		return buckets - 1
	}
	return 1 + (power-least)<<parts + int(ns>>(power-parts))&(1<<parts-1)
}

// floor is the least number of nanoseconds that falls into a bucket.
func floor(b int) int64 {
	if b == 0 {
		return 0
	}
	b--
	return int64(1<<parts+b&(1<<parts-1)) << (b>>parts + least - parts)
}

// Add counts one duration, in nanoseconds.
func (h *Histogram) Add(ns int64) {
	h.counts[bucket(ns)]++
	h.n++
}

// Merge adds what another has counted.
func (h *Histogram) Merge(o *Histogram) {
	if o.n == 0 {
		return
	}
	for i, c := range o.counts {
		h.counts[i] += c
	}
	h.n += o.n
}

// Keep leaves n of those counted, chosen evenly from all of them.
func (h *Histogram) Keep(n int) {
	if n >= h.n {
		return
	}
	at, of := rand.IntN(h.n), h.n
	for b, c := range h.counts {
		at += int(c) * n
		kept := at / of
		at -= kept * of
		h.counts[b] = uint32(kept)
	}
	h.n = n
}

// Reset empties it.
func (h *Histogram) Reset() { *h = Histogram{} }

// Count is how many durations were counted.
func (h *Histogram) Count() int { return h.n }

// Quantile is a duration that a share of those counted do not exceed, by more than a bucket; 0 if there are none.
func (h *Histogram) Quantile(share float64) time.Duration {
	left := int(share * float64(h.n))
	for b, c := range h.counts {
		if left -= int(c); left < 0 || left == 0 && share >= 1 {
			return time.Duration(floor(b + 1))
		}
	}
	return 0
}

// Above is how many took longer than d, by more than a bucket.
func (h *Histogram) Above(d time.Duration) (n int) {
	for b := bucket(int64(d)) + 1; b < buckets; b++ {
		n += int(h.counts[b])
	}
	return n
}
