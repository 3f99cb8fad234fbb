package main

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// measured is a small benchmark: two rounds of everything, the proxies at fixed fractions of direct.
func measured(t *testing.T, fractions map[string]float64, tandemKeys float64) (*results, options) {
	t.Helper()
	o, err := parseOptions([]string{"--rounds", "2", "--only", strings.Join(slices.Concat(loaded, []string{"backfill", "yield"}), ",")}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	r := new(results)
	for round := 1; round <= 2; round++ {
		for _, w := range o.workloads() {
			for arrangement, fraction := range fractions {
				rps := 1000 * fraction * float64(round)
				r.Samples = append(r.Samples, sample{Arrangement: arrangement, Command: w.Command, Pipeline: w.Pipeline, Clients: w.Clients, Value: w.Value,
					Round: round, RPS: rps, P99Ms: 1, CPU: map[string]float64{"proxy": 1 / fraction, "source": 2}})
			}
		}
		r.Backfill = append(r.Backfill,
			backfillSample{How: byBareLoop, Value: usualValue, Keys: 1e6, Round: round, KeysPerS: 1000, Seconds: 1},
			backfillSample{How: byTandem, Value: usualValue, Keys: 1e6, Round: round, KeysPerS: tandemKeys, Seconds: 1},
			backfillSample{How: byBareLoop, Value: 1 << 10, Round: round, KeysPerS: 1000, Seconds: 1},
			backfillSample{How: byTandem, Value: 1 << 10, Round: round, KeysPerS: 1000, Seconds: 1},
			backfillSample{How: byPlainCopy, Value: 100 << 20, Round: round, KeysPerS: 10, Seconds: 1},
			backfillSample{How: byTandem, Value: 100 << 20, Round: round, KeysPerS: 6, Seconds: 1})
		r.Yield = append(r.Yield, yieldSample{Beside: besideNothing, Round: round, P99Ms: 1},
			yieldSample{Beside: besideGovernor, Round: round, P99Ms: 1.05}, yieldSample{Beside: besideFree, Round: round, P99Ms: 5})
	}
	return r, o
}

func TestGoalsAreJudged(t *testing.T) {
	good := map[string]float64{"direct": 1, "passthrough": 0.9, "synced": 0.5, "twemproxy": 0.6, throughTandem: 0.6, toBoth: 0.4}
	r, o := measured(t, good, 1000)
	verdicts := judge(r, o)
	// GET and SET: two ratios to twemproxy at three depths and one to direct at two; SET alone, at two: dual write against
	// twemproxy and against an application's own; backfill; what clients notice of it.
	if len(verdicts) != 2*(2*3+2)+2*2+3+1 {
		t.Errorf("%d verdicts", len(verdicts))
	}
	for _, v := range verdicts {
		if v.Verdict != pass {
			t.Errorf("%s %s: found %v, goal %s", v.Verdict, v.What, v.Found.Median, v.Goal)
		}
	}
	// One thing worse at a time, and how many goals that misses.
	for name, c := range map[string]struct {
		fractions map[string]float64
		keys      float64
		missed    int
	}{
		"a dual write too slow":   {with(good, "synced", 0.4), 1000, 2},
		"an application as fast":  {with(good, toBoth, 0.5), 1000, 2},
		"a passthrough too slow":  {with(good, "passthrough", 0.7), 1000, 12},
		"a backfill too slow":     {good, 900, 1},
		"twemproxy not measured":  {with(good, "twemproxy", 0), 1000, 14},
		"nothing but the servers": {map[string]float64{"direct": 1}, 1000, 20},
	} {
		r, o := measured(t, c.fractions, c.keys)
		if n := missed(judge(r, o)); n != c.missed {
			t.Errorf("%s: %d goals missed, want %d", name, n, c.missed)
		}
	}
}

// with has one arrangement at another fraction; at none with 0.
func with(fractions map[string]float64, arrangement string, fraction float64) map[string]float64 {
	changed := maps.Clone(fractions)
	changed[arrangement] = fraction
	if fraction == 0 {
		delete(changed, arrangement)
	}
	return changed
}

func TestWhatClientsNoticeIsJudged(t *testing.T) {
	r, o := measured(t, map[string]float64{"direct": 1}, 1000)
	o.Only = []string{"yield"}
	if v := judge(r, o); len(v) != 1 || v[0].Verdict != pass {
		t.Errorf("%+v", v)
	}
	for i := range r.Yield {
		r.Yield[i].P99Ms *= 1 + float64(i%3)/5
	}
	if n := missed(judge(r, o)); n != 1 {
		t.Errorf("%d goals missed", n)
	}
	var page bytes.Buffer
	(&report{Options: o, results: *r}).writeYield(&page)
	for _, want := range []string{"| no backfill |", "| governed ", "| free "} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("%q is not in\n%s", want, page.String())
		}
	}
}

func TestHalfTheRoundsDiscardedIsNotAResult(t *testing.T) {
	r, o := measured(t, map[string]float64{"direct": 1, "passthrough": 0.95}, 1000)
	o.Rounds = 5
	for _, v := range judge(r, o) {
		if v.Verdict != unknown {
			t.Errorf("%s is %s on 2 rounds of 5", v.What, v.Verdict)
		}
	}
}

func TestGoalsNotAskedForAreNotJudged(t *testing.T) {
	r, _ := measured(t, map[string]float64{"direct": 1, "twemproxy": 0.6}, 1000)
	o, err := parseOptions([]string{"--only", "direct,twemproxy,bare"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if verdicts := judge(r, o); len(verdicts) != 0 {
		t.Errorf("judged %+v", verdicts)
	}
}

func TestOptions(t *testing.T) {
	o, err := parseOptions([]string{"--quick", "--rounds", "7", "--pipelines", "1,64"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if o.Rounds != 7 || o.Requests != 20_000 || o.Keys != 100_000 {
		t.Errorf("--quick --rounds 7: %+v", o)
	}
	if w := o.workloads(); len(w) != 4 || w[0].Requests != 20_000 || w[3].Requests != 160_000 || w[3].Pipeline != 64 {
		t.Errorf("workloads %+v", w)
	}
	for _, bad := range [][]string{
		{"--only", "nobody"}, {"--matrix", "small"}, {"--commands", "GET,NOBODY"}, {"--clients", "0"}, {"--values", "-1"}, {"--pipelines", "0"}, {"--pipelines", "1,,2"}, {"--rounds", "0"}, {"--keys", "5"}, {"extra"}, {"--no-such"},
	} {
		var said bytes.Buffer
		if _, err := parseOptions(bad, &said); err == nil || said.Len() == 0 {
			t.Errorf("%v: %v, said %q", bad, err, said.String())
		}
	}
}

func TestMatrix(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want int
		some string // one of them
	}{
		"by default": {nil, 2*3 + 5 + 3*2, "SET -P 16 -d 16 KB"},
		"full":       {[]string{"--matrix", "full"}, 7 * 3 * 2 * 3, "MSET -P 64 -c 500 -d 1 KB"},
		"chosen":     {[]string{"--commands", "incr,zadd", "--clients", "50,500", "--pipelines", "64"}, 4, "ZADD -P 64 -c 500"},
	} {
		o, err := parseOptions(c.args, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		all := o.workloads()
		if len(all) != c.want || !slices.ContainsFunc(all, func(w workload) bool { return w.String() == c.some }) {
			t.Errorf("%s: %d workloads %v, want %d with %q", name, len(all), all, c.want, c.some)
		}
		sizes := o.sizes()
		if !slices.IsSortedFunc(all, func(a, b workload) int { return slices.Index(sizes, a.Value) - slices.Index(sizes, b.Value) }) {
			t.Errorf("%s: values of one size are not together: %v", name, all)
		}
	}
	o, err := parseOptions(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	usual, deep := newWorkload("SET", 16, 50, 64, 1000), newWorkload("SET", 64, 50, 64, 1000)
	for _, c := range []struct {
		arrangement string
		of          workload
		want        bool
	}{{"synced", deep, true}, {"tls", usual, true}, {"tls", deep, false}, {toBoth, usual, true}, {toBoth, newWorkload("GET", 16, 50, 64, 1000), false}} {
		if got := o.runsOn(c.arrangement, c.of); got != c.want {
			t.Errorf("%s on %s: %v", c.of, c.arrangement, got)
		}
	}
	// 16 KB in each of 10 values: a run of what was asked for would send 78 GB.
	if w := newWorkload("MSET", 64, 50, 16<<10, 60_000); w.Requests != 2*64*50 || w.Keyspace != 4096 {
		t.Errorf("%+v", w)
	}
}

func TestReportIsSavedTwice(t *testing.T) {
	r, o := measured(t, map[string]float64{"direct": 1, "passthrough": 0.9, "synced": 0.5, "twemproxy": 0.6}, 900)
	r.Discarded = []discard{{What: "synced SET -P 16", Round: 2, Reason: "effects were dropped\nand a long log"}}
	full := &report{Options: o, results: *r, Verdicts: judge(r, o), Incomplete: "context canceled\nand a log"}
	dir := t.TempDir()
	path, err := full.save(filepath.Join(dir, "results"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"**Incomplete: context canceled**\n", "## Discarded runs: 1", "effects were dropped", "## Goals", "## GET -P 1\n", "## SET -P 16\n", "## Backfill of 1,000,000 keys",
		"| backfill / bare loop, 64 B values: keys/s", "| MISS    |  0.90 | at least 1.00 |",
	} {
		if !strings.Contains(string(text), line) {
			t.Errorf("the report lacks %q:\n%s", line, text)
		}
	}
	if strings.Contains(string(text), "and a long log") {
		t.Error("a reason of several lines breaks the table")
	}
	latest, err := os.ReadFile(filepath.Join(dir, "results", "latest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var again report
	if err := json.Unmarshal(latest, &again); err != nil {
		t.Fatal(err)
	}
	if len(again.Samples) != len(r.Samples) || len(again.Verdicts) != len(full.Verdicts) || again.Samples[0].CPU["source"] != 2 {
		t.Errorf("read back: %d samples, %d verdicts", len(again.Samples), len(again.Verdicts))
	}
}

func TestABusyMachineIsSaidToBeOne(t *testing.T) {
	for load, busy := range map[string]bool{"1.99 0.1 0.1 1/200 5": false, "2.00 0.1 0.1 1/200 5": true, "": false} {
		var out strings.Builder
		machine{Cores: 4, Load: load}.markdown(&out)
		if strings.Contains(out.String(), "busy") != busy {
			t.Errorf("load %q of 4 cores:\n%s", load, out.String())
		}
	}
}

func TestTableIsAligned(t *testing.T) {
	var out strings.Builder
	tb := table{header: []string{"name", "µs"}, words: 1}
	tb.add("a", "1.00")
	tb.add("longer", "")
	tb.write(&out)
	want := "| name   |   µs |\n| ------ | ---: |\n| a      | 1.00 |\n| longer |      |\n\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
