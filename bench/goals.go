package main

import "fmt"

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
	deep         bool   // for pipelines of 16 and more, else for those below
	of           string // what is divided
	pick         func(sample) float64
	bound        float64 // at least this
	most         bool    // ... or at most
}

// deepPipeline is where goals change: from here on a proxy's cost is its work for each request, below it is
// the system calls of each round trip.
const deepPipeline = 16

const (
	rate = "requests/s"
	cpu  = "proxy's CPU per request"
)

// goals is what tandem is judged by, on whatever machine it runs: ratios only, never rates.
var goals = []goal{
	{above: "passthrough", below: "twemproxy", of: rate, pick: rateOf, bound: 1.0},
	{above: "passthrough", below: "twemproxy", of: cpu, pick: proxyCPUOf, bound: 1.0, most: true},
	{above: "passthrough", below: "twemproxy", of: rate, pick: rateOf, bound: 1.2, deep: true},
	{above: "passthrough", below: "twemproxy", of: cpu, pick: proxyCPUOf, bound: 0.7, most: true, deep: true},
	{above: "passthrough", below: "direct", of: rate, pick: rateOf, bound: 0.9},
	{above: "passthrough", below: "direct", of: rate, pick: rateOf, bound: 0.8, deep: true},
	{above: "synced", below: "twemproxy", command: "SET", of: rate, pick: rateOf, bound: 0.8},
	{above: "synced", below: "twemproxy", command: "SET", of: rate, pick: rateOf, bound: 0.8, deep: true},
}

// backfillBound is the least ratio of tandem's backfill to the bare loop, in keys/s.
const backfillBound = 1.0

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
		if !o.has(g.above) || !o.has(g.below) {
			continue
		}
		for _, w := range o.workloads() {
			if g.deep != (w.Pipeline >= deepPipeline) || (g.command != "" && g.command != w.Command) {
				continue
			}
			ratios := perRound(r.series(g.above, w.Command, w.Pipeline, g.pick), r.series(g.below, w.Command, w.Pipeline, g.pick))
			what := fmt.Sprintf("%s / %s, %s: %s", g.above, g.below, w, g.of)
			verdicts = append(verdicts, newVerdict(what, ratios, g.bound, g.most, o.Rounds))
		}
	}
	if o.has("backfill") {
		ratios := perRound(r.backfillSeries(byTandem, keysRateOf), r.backfillSeries(byBareLoop, keysRateOf))
		verdicts = append(verdicts, newVerdict("backfill / bare loop: keys/s", ratios, backfillBound, false, o.Rounds))
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
