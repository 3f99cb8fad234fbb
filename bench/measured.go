package main

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"slices"

	"tandem/internal/demo/text"
)

// measurement is what was found of one thing in one round, by parts that are not a load of redis-benchmark.
type measurement struct {
	Part  string `json:"part"`
	Of    string `json:"of"` // a row of the part's table
	Round int    `json:"round"`
	// Figures are by the name of their column, which has the unit.
	Figures map[string]float64 `json:"figures"`
}

// measured records what was found, and says so at once.
func (r *results) measured(log *slog.Logger, part, of string, round int, figures map[string]float64) {
	r.Measured = append(r.Measured, measurement{Part: part, Of: of, Round: round, Figures: figures})
	said := []any{"round", round, "of", of}
	for _, name := range slices.Sorted(maps.Keys(figures)) {
		said = append(said, name, number(figures[name]))
	}
	log.Info(part, said...)
}

// figures is one column of one row of a part's table, by round.
func (r *results) figures(part, of, column string) map[int]float64 {
	found := make(map[int]float64)
	for _, m := range r.Measured {
		if v, ok := m.Figures[column]; ok && m.Part == part && m.Of == of {
			found[m.Round] = v
		}
	}
	return found
}

// section is the table of one part.
type section struct {
	part, title, row string
	about            string // how it was measured
	columns          []string
	// spread is the column whose spread is shown, and which is drawn.
	spread string
}

// sections are in the order of the report.
var sections = []section{
	{
		part: "latency", title: "Latency at half of the saturated rate", row: "arrangement",
		about: "GETs and SETs by turns on 50 connections, sent on a schedule that waits for no reply, at half of the rate that the slowest " +
			"arrangement can serve. A latency counts from when a request was due, not from when it could be sent: what one slow reply " +
			"delays is counted too. Late is how far the generator itself was behind its schedule, at the 99th percentile, and is part " +
			"of all latencies.",
		columns: []string{"requests/s", "p50 µs", "p99 µs", "p99.9 µs", "late µs"}, spread: "p99 µs",
	},
	{
		part: "busy", title: "Clients' rate while a backfill runs", row: "beside",
		about: "redis-benchmark -P 1 with 50 connections, saturating, GET and SET, while values of 2 KB are copied: not at all, governed " +
			"(the default), and at most 5,000 keys a second.",
		columns: []string{"requests/s", "p99 ms", "keys/s copied"}, spread: "requests/s",
	},
	{
		part: "cutover", title: "Pause of a cutover", row: "step",
		about: "The slowest of all commands on 50 connections that send on a schedule, and the pause as Tandem tells it. Where no step is " +
			"taken, the slowest is what the machine does by itself.",
		columns: []string{"commands/s", "slowest ms", "p99.9 ms", "pause ms"}, spread: "slowest ms",
	},
	{
		part: "memory", title: "Memory of Tandem", row: "with",
		about: "Resident memory of the process in the phase synced, with the default ledger; of sessions, what they add to it. Idle " +
			"sessions have sent one command. Busy ones write.",
		columns: []string{"sessions", "MB", "KB/session", "requests/s"}, spread: "MB",
	},
	{
		part: "sizes", title: "One value of each size", row: "size and arrangement",
		about: "One SET and one GET each. Settled is when the target has it too. Peak is what the process of the proxy had resident " +
			"at most since before the SET.",
		columns: []string{"SET ms", "GET ms", "settled ms", "peak MB"}, spread: "SET ms",
	},
	{
		part: "cores", title: "Rate by the number of cores", row: "command and arrangement",
		about: "redis-benchmark with 50 connections, saturating, half as many requests as elsewhere, through Tandems that may use so many " +
			"cores at once (GOMAXPROCS). The client and each server want a core too, and nothing keeps them off those that Tandem uses: " +
			"on a machine with fewer than all of them want, more for Tandem is less for the others. Of direct is the rate divided by " +
			"that of direct in the same round. CPU is Tandem's per request.",
		columns: []string{"requests/s", "of direct", "CPU µs"}, spread: "requests/s",
	},
}

// limit is a goal for what a section has.
type limit struct {
	what, part string
	of, figure string
	// less is a row that is subtracted, below one that is divided by; both empty for the figure itself.
	less, below string
	bound       float64
	unit        string
	most        bool
}

var limits = []limit{
	{what: "passthrough - direct: p50", part: "latency", of: "passthrough", less: "direct", figure: "p50 µs", bound: 60, unit: " µs", most: true},
	{what: "passthrough - direct: p99", part: "latency", of: "passthrough", less: "direct", figure: "p99 µs", bound: 300, unit: " µs", most: true},
	{what: "synced - direct: p50", part: "latency", of: "synced", less: "direct", figure: "p50 µs", bound: 60, unit: " µs", most: true},
	{what: "synced - direct: p99", part: "latency", of: "synced", less: "direct", figure: "p99 µs", bound: 300, unit: " µs", most: true},
	{what: "governed backfill / none: clients' requests/s", part: "busy", of: besideGovernor, below: besideNothing, figure: "requests/s", bound: 0.9},
	{what: "throttled backfill / none: clients' requests/s", part: "busy", of: besideThrottle, below: besideNothing, figure: "requests/s", bound: 0.9},
	{what: "cutover: slowest command", part: "cutover", of: "cutover", figure: "slowest ms", bound: 20, unit: " ms", most: true},
	{what: "idle: memory", part: "memory", of: memoryIdle, figure: "MB", bound: 64, unit: " MB", most: true},
	{what: "idle sessions: memory of each", part: "memory", of: memorySessions, figure: "KB/session", bound: 16, unit: " KB", most: true},
}

// found is what the limit is about, round by round.
func (l limit) found(r *results) figure {
	of := r.figures(l.part, l.of, l.figure)
	switch {
	case l.below != "":
		return perRound(of, r.figures(l.part, l.below, l.figure))
	case l.less != "":
		less := r.figures(l.part, l.less, l.figure)
		for round := range of {
			if _, ok := less[round]; !ok {
				delete(of, round)
			} else {
				of[round] -= less[round]
			}
		}
	}
	return inOrder(of)
}

// rows are the things that a section has figures of, in the order they were measured in.
func (r *results) rows(part string) []string {
	var all []string
	for _, m := range r.Measured {
		if m.Part == part && !slices.Contains(all, m.Of) {
			all = append(all, m.Of)
		}
	}
	return all
}

// writeSection prints a section, if it has figures.
func (r *report) writeSection(w io.Writer, s section) {
	rows := r.rows(s.part)
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(w, "## %s\n\n%s\n\n", s.title, s.about)
	t := table{words: 1, header: append(append([]string{s.row}, s.columns...), "spread of "+s.spread)}
	for _, of := range rows {
		cells := []string{of}
		for _, column := range s.columns {
			f := inOrder(r.figures(s.part, of, column))
			if !f.known() {
				cells = append(cells, "")
				continue
			}
			cells = append(cells, number(f.Median))
		}
		cells = append(cells, fmt.Sprintf("%.0f %%", inOrder(r.figures(s.part, of, s.spread)).spread()))
		t.add(cells...)
	}
	t.write(w)
}

// number has as many digits as matter.
func number(v float64) string {
	switch {
	case v == math.Trunc(v):
		return text.Count(v)
	case v < 10 && v > -10:
		return fmt.Sprintf("%.2f", v)
	case v < 1000 && v > -1000:
		return fmt.Sprintf("%.1f", v)
	}
	return text.Count(v)
}
