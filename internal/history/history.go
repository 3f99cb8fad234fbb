// Package history is how a migration has fared in the last hour, second by second: what a chart of it shows. It is kept
// in memory only, in bounded memory, and begins anew with each process; the journal and the report are what lasts.
//
// It measures nothing: whoever owns the History adds a Sample each second.
package history

import (
	"encoding/json"
	"math"
	"strconv"
	"sync"
	"time"
)

const (
	// Interval is the time between two samples.
	Interval = time.Second
	// Length is how many samples are kept: an hour, some 600 KB.
	Length = 3600
)

// Unknown is a number that is not known at that moment; null in JSON.
var Unknown = math.NaN()

// Sample is one second. Rates are those since the sample before it.
type Sample struct {
	// At is when it was taken, in Unix ms.
	At int64
	// What clients were answered per second, by kind of command, and how much of all that was an error.
	ReadsPerS, WritesPerS, ScriptsPerS, TransactionsPerS, OthersPerS, FailedPerS float64
	// How long the source and the target have taken, in ms; unknown in a second without anything: the one that answers clients
	// for that, the other one to acknowledge effects.
	SourceP50Ms, SourceP95Ms, SourceP99Ms, TargetP50Ms, TargetP95Ms, TargetP99Ms float64
	// LagMs and LagBytes are as in the status, and so are the counts of keys, writes and sessions.
	LagMs, LagBytes, DirtyKeys, UnsettledWrites, Sessions float64
	// EffectsPerS were handed to the secondary.
	EffectsPerS float64
	// CopiesPerS keys were copied, and CopiedBytesPerS with them.
	CopiesPerS, CopiedBytesPerS float64
}

// columns are a Sample's numbers, by their names in JSON.
var columns = []struct {
	name string
	at   func(*Sample) *float64
}{
	{"reads_per_s", func(s *Sample) *float64 { return &s.ReadsPerS }},
	{"writes_per_s", func(s *Sample) *float64 { return &s.WritesPerS }},
	{"scripts_per_s", func(s *Sample) *float64 { return &s.ScriptsPerS }},
	{"transactions_per_s", func(s *Sample) *float64 { return &s.TransactionsPerS }},
	{"others_per_s", func(s *Sample) *float64 { return &s.OthersPerS }},
	{"failed_per_s", func(s *Sample) *float64 { return &s.FailedPerS }},
	{"source_p50_ms", func(s *Sample) *float64 { return &s.SourceP50Ms }},
	{"source_p95_ms", func(s *Sample) *float64 { return &s.SourceP95Ms }},
	{"source_p99_ms", func(s *Sample) *float64 { return &s.SourceP99Ms }},
	{"target_p50_ms", func(s *Sample) *float64 { return &s.TargetP50Ms }},
	{"target_p95_ms", func(s *Sample) *float64 { return &s.TargetP95Ms }},
	{"target_p99_ms", func(s *Sample) *float64 { return &s.TargetP99Ms }},
	{"lag_ms", func(s *Sample) *float64 { return &s.LagMs }},
	{"lag_bytes", func(s *Sample) *float64 { return &s.LagBytes }},
	{"dirty_keys", func(s *Sample) *float64 { return &s.DirtyKeys }},
	{"unsettled_writes", func(s *Sample) *float64 { return &s.UnsettledWrites }},
	{"sessions", func(s *Sample) *float64 { return &s.Sessions }},
	{"effects_per_s", func(s *Sample) *float64 { return &s.EffectsPerS }},
	{"copies_per_s", func(s *Sample) *float64 { return &s.CopiesPerS }},
	{"copied_bytes_per_s", func(s *Sample) *float64 { return &s.CopiedBytesPerS }},
}

// Columns are the names of what a row of a Series has.
func Columns() []string {
	names := []string{"at"}
	for _, c := range columns {
		names = append(names, c.name)
	}
	return names
}

// Series are samples in the order of time. As JSON it is {interval_ms, columns, rows}: the first column is "at", the others
// are a Sample's numbers, and a row is a list with as many elements. Columns may be added, at the end.
type Series []Sample

// MarshalJSON writes numbers with three decimals at most, for there are many of them.
func (s Series) MarshalJSON() ([]byte, error) {
	head, err := json.Marshal(Columns())
	if err != nil {
		return nil, err
	}
	b := append([]byte(`{"interval_ms":`), strconv.FormatInt(Interval.Milliseconds(), 10)...)
	b = append(append(b, `,"columns":`...), head...)
	b = append(b, `,"rows":[`...)
	for i := range s {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(append(b, '['), s[i].At, 10)
		for _, c := range columns {
			b = append(b, ',')
			if v := *c.at(&s[i]); math.IsNaN(v) || math.IsInf(v, 0) {
				b = append(b, "null"...)
			} else {
				b = strconv.AppendFloat(b, math.Round(v*1000)/1000, 'f', -1, 64)
			}
		}
		b = append(b, ']')
	}
	return append(b, "]}"...), nil
}

// UnmarshalJSON reads what MarshalJSON writes, by the names of the columns: those that it does not know are passed over,
// and what is not there is unknown.
func (s *Series) UnmarshalJSON(b []byte) error {
	var in struct {
		Columns []string
		Rows    [][]*float64
	}
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	*s = make(Series, len(in.Rows))
	place := map[string]int{}
	for i, name := range in.Columns {
		place[name] = i
	}
	number := func(row []*float64, name string) float64 {
		if i, there := place[name]; there && i < len(row) && row[i] != nil {
			return *row[i]
		}
		return Unknown
	}
	for i, row := range in.Rows {
		sample := &(*s)[i]
		if at := number(row, "at"); !math.IsNaN(at) {
			sample.At = int64(at)
		}
		for _, c := range columns {
			*c.at(sample) = number(row, c.name)
		}
	}
	return nil
}

// History is the last hour. It may be used by several goroutines at once.
type History struct {
	mu   sync.Mutex
	ring []Sample // grows up to Length, then its oldest is replaced
	next int      // where the next one goes, once it is full
}

// Add takes in a sample, which must be later than those before it.
func (h *History) Add(s Sample) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.ring) < Length {
		h.ring = append(h.ring, s)
		return
	}
	h.ring[h.next] = s
	h.next = (h.next + 1) % Length
}

// After returns the samples later than a time, in Unix ms, oldest first.
func (h *History) After(at int64) Series {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(h.ring)
	from := n // the first that is wanted, counted from the oldest
	for from > 0 && h.ring[(h.next+from-1)%n].At > at {
		from--
	}
	series := make(Series, 0, n-from)
	for i := from; i < n; i++ {
		series = append(series, h.ring[(h.next+i)%n])
	}
	return series
}
