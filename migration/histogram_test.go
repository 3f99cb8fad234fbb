package migration

import (
	"math"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"tandem/proxy"
)

// TestHistogramHasBothForms: what is counted is the same in the buckets that every scraper reads and in native ones.
func TestHistogramHasBothForms(t *testing.T) {
	x := &proxy.Timing{Sum: 3 * time.Second}
	x.Latencies[30], x.Latencies[100], x.Latencies[255] = 5, 7, 2 // 27 µs, 26 ms, more than an hour
	var out dto.Metric
	h := histogram{prometheus.NewDesc("a_seconds", "help", []string{"class"}, nil), x, []string{"read"}, time.Now()}
	if err := h.Write(&out); err != nil {
		t.Fatal(err)
	}
	d := out.Histogram
	if d.GetSampleCount() != 14 || d.GetSampleSum() != 3 || len(d.Bucket) != 18 || out.Label[0].GetValue() != "read" {
		t.Fatalf("%v", &out)
	}
	if first, last := d.Bucket[0], d.Bucket[17]; first.GetCumulativeCount() != 5 || last.GetCumulativeCount() != 12 ||
		first.GetUpperBound() != 65.536e-6 || last.GetUpperBound() != 8.589934592 {
		t.Errorf("from %v to %v", first, last)
	}
	count, total, index := int64(0), int64(0), int32(0)
	deltas := d.PositiveDelta
	for _, span := range d.PositiveSpan {
		index += span.GetOffset()
		for range span.GetLength() {
			count += deltas[0]
			deltas = deltas[1:]
			total += count
			if count == 7 {
				// Step 100 is from 25.2 to 27.3 ms.
				if below := math.Exp2(float64(index) / 4); below < 0.0262 || below > 0.0313 {
					t.Errorf("seven took less than %v s", below)
				}
			}
			index++
		}
	}
	if total != 14 || d.GetSchema() != nativeSchema {
		t.Errorf("%d in native buckets of schema %d", total, d.GetSchema())
	}
}
