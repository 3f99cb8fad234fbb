package migration

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"tandem/proxy"
)

// The buckets that every scraper is told: powers of two, from 66 µs to 8.6 s. Faster than the first is as fast as a
// network is; slower than the last is trouble of another kind.
const (
	leastBucket = 1 << 16 * time.Nanosecond
	mostBucket  = 1 << 33 * time.Nanosecond
)

// nativeSchema has four buckets from one power of two to the next, for a Prometheus that asks for native histograms. What
// was counted is known within an eighth, so that finer ones would tell nothing more.
const nativeSchema = 2

// histogram is how long something took: in buckets that every scraper reads, and in native ones.
type histogram struct {
	desc   *prometheus.Desc
	timing *proxy.Timing
	labels []string
	began  time.Time
}

// Desc is what it is called. (prometheus.Metric)
func (h histogram) Desc() *prometheus.Desc { return h.desc }

// Write is its value. (prometheus.Metric)
func (h histogram) Write(out *dto.Metric) error {
	buckets := map[float64]uint64{}
	h.timing.Buckets(leastBucket, mostBucket, func(below time.Duration, n uint64) { buckets[below.Seconds()] = n })
	count, sum := h.timing.Count(), h.timing.Sum.Seconds()
	classic, err := prometheus.NewConstHistogram(h.desc, count, sum, buckets, h.labels...)
	if err != nil {
		return err
	}
	native := map[int]int64{}
	h.timing.Each(func(from, below time.Duration, n uint64) {
		// Where the middle of a step is: a bucket i ends at 2^(i/2^schema) seconds.
		native[int(math.Ceil(math.Log2((from+below).Seconds()/2)*(1<<nativeSchema)))] += int64(n)
	})
	exact, err := prometheus.NewConstNativeHistogram(h.desc, count, sum, native, nil, 0, nativeSchema, 0, h.began, h.labels...)
	if err != nil {
		return err
	}
	if err := exact.Write(out); err != nil {
		return err
	}
	var plain dto.Metric
	if err := classic.Write(&plain); err != nil {
		return err
	}
	out.Histogram.Bucket = plain.Histogram.Bucket
	return nil
}
