package main

import (
	"math"
	"os"
	"strings"
	"testing"
	"time"
)

func TestFigureIsTheMedianWithItsExtremes(t *testing.T) {
	for _, c := range []struct {
		values                   []float64
		median, lowest, greatest float64
	}{
		{[]float64{3, 1, 2}, 2, 1, 3},
		{[]float64{4, 1, 2, 3}, 2.5, 1, 4},
		{[]float64{7}, 7, 7, 7},
		{nil, 0, 0, 0},
	} {
		f := newFigure(c.values)
		if f.Median != c.median || f.Min != c.lowest || f.Max != c.greatest {
			t.Errorf("%v: %+v", c.values, f)
		}
		if f.known() != (len(c.values) > 0) {
			t.Errorf("%v: known is %v", c.values, f.known())
		}
	}
	if s := newFigure([]float64{90, 100, 120}).spread(); s != 30 {
		t.Errorf("spread is %v %%, want 30", s)
	}
}

func TestRatiosAreTakenRoundByRound(t *testing.T) {
	// The machine is twice as slow in round 2, and round 3 has only one side: neither touches the ratio.
	above := map[int]float64{1: 100, 2: 50, 3: 1}
	below := map[int]float64{1: 80, 2: 40, 4: 1000}
	f := perRound(above, below)
	if len(f.Rounds) != 2 || f.Min != 1.25 || f.Max != 1.25 {
		t.Errorf("got %+v, want 1.25 twice", f)
	}
	if perRound(above, map[int]float64{1: 0}).known() {
		t.Error("a ratio to nothing is known")
	}
}

func TestStatLineWithAnyProgramName(t *testing.T) {
	rest := " S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0"
	for _, name := range []string{"redis-server", "a) R (b c", ""} {
		ticks, err := parseStatTicks([]byte("42 (" + name + ")" + rest))
		if err != nil || ticks != 300 {
			t.Errorf("%q: %d ticks, %v; want 300", name, ticks, err)
		}
	}
	for _, bad := range []string{"", "42 (x) S 1", "42 (x" + rest, "42 (x) S 1 2 3 4 5 6 7 8 9 10 a 50"} {
		if _, err := parseStatTicks([]byte(bad)); err == nil {
			t.Errorf("%q was taken for a stat line", bad)
		}
	}
}

func TestCPUTimeOfWorkIsSeen(t *testing.T) {
	meter, err := meterCPU(map[string]int{"client": os.Getpid()})
	if err != nil {
		t.Fatal(err)
	}
	// Work until the meter moves; a clock that never does ends the test.
	x, deadline := 1.0, time.Now().Add(10*time.Second)
	for {
		for range 1_000_000 {
			x = math.Sqrt(x + 1)
		}
		used, err := meter.used()
		if err != nil {
			t.Fatal(err)
		}
		if used["client"] > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("10 s of work (%v) used no CPU time", x)
		}
	}
	if _, err := meterCPU(map[string]int{"proxy": 1 << 30}); err == nil || !strings.Contains(err.Error(), "proxy") {
		t.Errorf("a process that does not exist: %v", err)
	}
}

func TestClientOutputOfEveryVersion(t *testing.T) {
	const header = `"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"` + "\n"
	for name, c := range map[string]struct {
		out  string
		want clientRun
		bad  bool
	}{
		"with latencies":    {out: header + `"SET","81037.28","0.337","0.104","0.311","0.479","0.607","4.895"` + "\n", want: clientRun{RPS: 81037.28, P50: 0.311, P99: 0.607}},
		"before 6.2":        {out: `"SET","90909.09"` + "\n", want: clientRun{RPS: 90909.09}},
		"noise in front":    {out: "WARNING: Could not fetch server CONFIG\n" + header + `"SET","10.00","1","1","2","3","4","5"`, want: clientRun{RPS: 10, P50: 2, P99: 4}},
		"another command":   {out: header + `"GET","81037.28","0.337","0.104","0.311","0.479","0.607","4.895"`, bad: true},
		"no rate":           {out: header + `"SET","0.00","0","0","0","0","0","0"`, bad: true},
		"not a number":      {out: header + `"SET","many","0","0","0","0","0","0"`, bad: true},
		"nothing":           {out: "", bad: true},
		"a broken quote":    {out: `"SET,1`, bad: true},
		"a row cut to half": {out: header + `"SET"`, bad: true},
	} {
		got, err := parseClientCSV(strings.NewReader(c.out), "SET")
		if (err != nil) != c.bad || (!c.bad && got != c.want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	got, err := parseClientCSV(strings.NewReader(header+`"MSET (10 keys)","5000.00","1","1","2","3","4","5"`), "MSET")
	if err != nil || got.RPS != 5000 {
		t.Errorf("MSET: %+v, %v", got, err)
	}
}
