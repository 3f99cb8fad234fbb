package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// measured is a small benchmark: two rounds of everything, the proxies at fixed fractions of direct.
func measured(t *testing.T, fractions map[string]float64, tandemKeys float64) (*results, options) {
	t.Helper()
	o, err := parseOptions([]string{"--rounds", "2"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	r := new(results)
	for round := 1; round <= 2; round++ {
		for _, w := range o.workloads() {
			for arrangement, fraction := range fractions {
				rps := 1000 * fraction * float64(round)
				r.Samples = append(r.Samples, sample{Arrangement: arrangement, Command: w.Command, Pipeline: w.Pipeline,
					Round: round, RPS: rps, P99Ms: 1, CPU: map[string]float64{"proxy": 1 / fraction, "source": 2}})
			}
		}
		r.Backfill = append(r.Backfill,
			backfillSample{How: byBareLoop, Round: round, KeysPerS: 1000, Seconds: 1},
			backfillSample{How: byTandem, Round: round, KeysPerS: tandemKeys, Seconds: 1})
	}
	return r, o
}

func TestGoalsAreJudged(t *testing.T) {
	good := map[string]float64{"direct": 1, "passthrough": 0.9, "synced": 0.5, "twemproxy": 0.6}
	r, o := measured(t, good, 1000)
	verdicts := judge(r, o)
	// GET and SET: two ratios to twemproxy and one to direct at each depth; SET alone: dual write; backfill.
	if len(verdicts) != 2*2*3+2+1 {
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
		"a dual write too slow":   {map[string]float64{"direct": 1, "passthrough": 0.9, "synced": 0.4, "twemproxy": 0.6}, 1000, 2},
		"a passthrough too slow":  {map[string]float64{"direct": 1, "passthrough": 0.7, "synced": 0.5, "twemproxy": 0.6}, 1000, 8},
		"a backfill too slow":     {good, 900, 1},
		"twemproxy not measured":  {map[string]float64{"direct": 1, "passthrough": 0.9, "synced": 0.5}, 1000, 10},
		"nothing but the servers": {map[string]float64{"direct": 1}, 1000, 14},
	} {
		r, o := measured(t, c.fractions, c.keys)
		if n := missed(judge(r, o)); n != c.missed {
			t.Errorf("%s: %d goals missed, want %d", name, n, c.missed)
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
	if o.Rounds != 7 || o.Requests != 50_000 || o.Keys != 100_000 {
		t.Errorf("--quick --rounds 7: %+v", o)
	}
	if w := o.workloads(); len(w) != 4 || w[0].Requests != 50_000 || w[3].Requests != 400_000 || w[3].Pipeline != 64 {
		t.Errorf("workloads %+v", w)
	}
	for _, bad := range [][]string{
		{"--only", "nobody"}, {"--pipelines", "0"}, {"--pipelines", "1,,2"}, {"--rounds", "0"}, {"--keys", "5"}, {"extra"}, {"--no-such"},
	} {
		var said bytes.Buffer
		if _, err := parseOptions(bad, &said); err == nil || said.Len() == 0 {
			t.Errorf("%v: %v, said %q", bad, err, said.String())
		}
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
		"**Incomplete: context canceled**\n", "## 1 runs were discarded", "effects were dropped", "## Goals", "## GET -P 1\n", "## SET -P 16\n", "## Backfill of 1,000,000 keys",
		"| backfill / bare loop: keys/s", "| MISS    |  0.90 | at least 1.00 |",
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
