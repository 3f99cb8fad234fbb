package main

import (
	"fmt"
	"math"
)

// The words of a verdict.
const (
	pass    = "PASS"
	miss    = "MISS"
	unknown = "UNKNOWN" // not enough good rounds of what it compares; counts as missed
)

// goal is a ratio between two arrangements that tandem is held to.
type goal struct {
	above, below string // arrangements; the ratio is above divided by below
	command      string // GET or SET; empty for each
	from, to     int    // for pipelines of these depths
	of           string // what is divided
	pick         func(sample) float64
	bound        float64 // at least this
	most         bool    // ... or at most
}

const (
	rate = "requests/s"
	cpu  = "proxy's CPU per request"

	shallow = deepPipeline - 1
	deepest = math.MaxInt
)

// goals is what tandem is judged by, on whatever machine it runs: ratios only, never rates.
var goals = []goal{
	{above: "passthrough", below: "twemproxy", to: shallow, of: rate, pick: rateOf, bound: 1.0},
	{above: "passthrough", below: "twemproxy", to: shallow, of: cpu, pick: proxyCPUOf, bound: 1.0, most: true},
	{above: "passthrough", below: "twemproxy", from: deepPipeline, to: deepest, of: rate, pick: rateOf, bound: 1.2},
	{above: "passthrough", below: "twemproxy", from: deepPipeline, to: deepest, of: cpu, pick: proxyCPUOf, bound: 0.7, most: true},
	{above: "passthrough", below: "direct", to: shallow, of: rate, pick: rateOf, bound: 0.9},
	{above: "passthrough", below: "direct", from: deepPipeline, to: deepPipeline, of: rate, pick: rateOf, bound: 0.8},
	{above: "synced", below: "twemproxy", command: "SET", to: deepPipeline, of: rate, pick: rateOf, bound: 0.8},
	{above: throughTandem, below: toBoth, command: "SET", to: deepPipeline, of: rate, pick: rateOf, bound: 1.5},
}

// backfillBound is the least ratio of tandem's backfill to the bare loop, in keys/s, and bigBackfillBound that to the
// plain copy.
const (
	backfillBound    = 1.0
	bigBackfillBound = 0.6
)

// yieldBound is the most that a governed backfill may make of the clients' 99th percentile.
const yieldBound = 1.1

// verdict is one goal, judged.
type verdict struct {
	What    string `json:"what"`
	Goal    string `json:"goal"`
	Found   figure `json:"found"`
	Verdict string `json:"verdict"`
}

// judge compares what was measured with the goals, leaving out those whose two sides were not asked for.
func judge(r *results, o options) []verdict {
	var verdicts []verdict
	for _, g := range goals {
		if !o.hasAny(g.above, partOf(g.above)) || !o.hasAny(g.below, partOf(g.below)) {
			continue
		}
		for _, w := range o.workloads() {
			if !w.usual() || w.Pipeline < g.from || w.Pipeline > g.to || (g.command != "" && g.command != w.Command) {
				continue
			}
			ratios := perRound(r.series(g.above, w, g.pick), r.series(g.below, w, g.pick))
			what := fmt.Sprintf("%s / %s, %s: %s", g.above, g.below, w, g.of)
			verdicts = append(verdicts, newVerdict(what, ratios, g.bound, g.most, o.Rounds))
		}
	}
	for _, value := range o.backfilled() {
		if !o.has("backfill") {
			break
		}
		yardstick, bound := byBareLoop, backfillBound
		if value >= bigValue {
			yardstick, bound = byPlainCopy, bigBackfillBound
		}
		ratios := perRound(r.backfillSeries(byTandem, value, keysRateOf), r.backfillSeries(yardstick, value, keysRateOf))
		verdicts = append(verdicts, newVerdict(fmt.Sprintf("backfill / %s, %s values: keys/s", yardstick, size(value)), ratios, bound, false, o.Rounds))
	}
	if o.has("yield") {
		ratios := perRound(r.yieldSeries(besideGovernor, p99Of), r.yieldSeries(besideNothing, p99Of))
		verdicts = append(verdicts, newVerdict("governed backfill / none: clients' p99", ratios, yieldBound, true, o.Rounds))
	}
	for _, l := range limits {
		if o.has(l.part) {
			v := newVerdict(l.what, l.found(r), l.bound, l.most, o.Rounds)
			v.Goal += l.unit
			verdicts = append(verdicts, v)
		}
	}
	return verdicts
}

// newVerdict judges the median of ratios; of rounds that were asked for, at least half must be left.
func newVerdict(what string, ratios figure, bound float64, most bool, rounds int) verdict {
	v := verdict{What: what, Goal: fmt.Sprintf("at least %.2f", bound), Found: ratios, Verdict: miss}
	if most {
		v.Goal = fmt.Sprintf("at most %.2f", bound)
	}
	switch {
	case !ratios.known() || 2*len(ratios.Rounds) < rounds:
		v.Verdict = unknown
	case most && ratios.Median <= bound, !most && ratios.Median >= bound:
		v.Verdict = pass
	}
	return v
}

// missed counts the verdicts that are not PASS.
func missed(verdicts []verdict) int {
	n := 0
	for _, v := range verdicts {
		if v.Verdict != pass {
			n++
		}
	}
	return n
}
