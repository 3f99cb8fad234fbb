package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

// withLimits is a benchmark of two rounds that just reaches every limit.
func withLimits(t *testing.T) (*results, options) {
	t.Helper()
	o, err := parseOptions([]string{"--rounds", "2", "--only", "latency,busy,cutover,memory"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	r, log := new(results), slog.New(slog.DiscardHandler)
	for round := 1; round <= 2; round++ {
		slow := float64(round) // the machine is half as fast in the second: no difference or ratio says so
		r.measured(log, "latency", "direct", round, map[string]float64{"p50 µs": 100 * slow, "p99 µs": 1000 * slow})
		for _, of := range []string{"passthrough", "synced"} {
			r.measured(log, "latency", of, round, map[string]float64{"p50 µs": 100*slow + 60, "p99 µs": 1000*slow + 300})
		}
		r.measured(log, "busy", besideNothing, round, map[string]float64{"requests/s": 1000 / slow})
		r.measured(log, "busy", besideGovernor, round, map[string]float64{"requests/s": 900 / slow})
		r.measured(log, "busy", besideThrottle, round, map[string]float64{"requests/s": 900 / slow})
		r.measured(log, "cutover", cutover, round, map[string]float64{"slowest ms": 20, "pause ms": 3})
		r.measured(log, "memory", memoryIdle, round, map[string]float64{"MB": 64, "sessions": 0})
		r.measured(log, "memory", memorySessions, round, map[string]float64{"KB/session": 16})
	}
	return r, o
}

func TestLimitsAreJudged(t *testing.T) {
	r, o := withLimits(t)
	verdicts := judge(r, o)
	if len(verdicts) != len(limits) {
		t.Errorf("%d verdicts of %d limits", len(verdicts), len(limits))
	}
	for _, v := range verdicts {
		if v.Verdict != pass {
			t.Errorf("%s %s: found %v, goal %s", v.Verdict, v.What, v.Found.Median, v.Goal)
		}
	}
	// Each figure a little worse, one after the other, misses one limit.
	for i, l := range limits {
		r, o := withLimits(t)
		for _, m := range r.Measured {
			if m.Part == l.part && m.Of == l.of {
				if l.most {
					m.Figures[l.figure] += 1
				} else {
					m.Figures[l.figure] *= 0.9
				}
			}
		}
		for j, v := range judge(r, o) {
			if want := i != j; (v.Verdict == pass) != want {
				t.Errorf("with a worse %s: %s %s", l.what, v.Verdict, v.What)
			}
		}
	}
}

func TestARoundWithOneSideIsNoDifference(t *testing.T) {
	r, _ := withLimits(t)
	r.Measured[0].Round = 9 // direct of the first round
	if f := limits[0].found(r); len(f.Rounds) != 1 || f.Median != 60 {
		t.Errorf("%+v", f)
	}
}

func TestSectionsAreWritten(t *testing.T) {
	r, o := withLimits(t)
	var out strings.Builder
	(&report{Options: o, results: *r, Verdicts: judge(r, o)}).markdown(&out)
	for _, want := range []string{
		"## Latency at half", "| synced      |", "## Pause of a cutover", "| cutover |", "         20 |", "## Memory of Tandem", "at most 60.00 µs |",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "One value of each size") {
		t.Error("a section of nothing")
	}
}

func TestValuesOfAllSizes(t *testing.T) {
	s := redisdtest.Start(t, redisd.Options{})
	for _, bytes := range []int{1, 64, 1 << 20} {
		figures, err := oneValue(context.Background(), s.Addr, nil, false, bytes)
		if err != nil || figures["SET ms"] <= 0 || figures["GET ms"] <= 0 {
			t.Errorf("%s: %v, %v", size(bytes), figures, err)
		}
	}
	if n, err := countKeys(context.Background(), s.Addr); err != nil || n != 0 {
		t.Errorf("%d keys are left, %v", n, err)
	}
	small := redisdtest.Start(t, redisd.Options{Args: []string{"--proto-max-bulk-len", "1mb"}})
	if _, err := oneValue(context.Background(), small.Addr, nil, false, 2<<20); err == nil {
		t.Error("a value that the server refuses was timed")
	}
}

func TestMemoryOfAProcess(t *testing.T) {
	now, err := resident(os.Getpid())
	if err != nil || now < 1<<20 {
		t.Fatalf("%d bytes, %v", now, err)
	}
	if err := forgetPeak(os.Getpid()); err != nil {
		t.Fatal(err)
	}
	most, err := peak(os.Getpid())
	if err != nil || most < 1<<20 {
		t.Errorf("at most %d bytes, %v", most, err)
	}
	if _, err := resident(1 << 30); err == nil {
		t.Error("a process that does not exist")
	}
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 100: "100", 10_000: "10,000", 1.234: "1.23", 12.34: "12.3", 1234.5: "1,234", -3.5: "-3.50"} {
		if got := number(v); got != want && !(v == 1234.5 && got == "1,235") {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
	for bytes, want := range map[int]string{1: "1 B", 64: "64 B", 1 << 10: "1 KB", 1500: "1500 B", 512 << 20: "512 MB"} {
		if got := size(bytes); got != want {
			t.Errorf("%d: %s, want %s", bytes, got, want)
		}
	}
}
