package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

func TestCoreCounts(t *testing.T) {
	for most, want := range map[int][]int{1: {1}, 2: {1, 2}, 6: {1, 2, 4, 6}, 8: {1, 2, 4, 8}} {
		if got := coreCounts(most); !slices.Equal(got, want) {
			t.Errorf("of %d: %v, want %v", most, got, want)
		}
	}
}

// A program in the place of tandem says what it was told, and ends.
func TestATandemIsToldItsCores(t *testing.T) {
	t.Setenv("GOMAXPROCS", "7")
	program := filepath.Join(t.TempDir(), "tandem")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho \"cores: $GOMAXPROCS.\"\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := newFleet("", program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.stop()
	s := redisdtest.Start(t, redisd.Options{})
	for cores, want := range map[int]string{0: "cores: 7.", 3: "cores: 3."} {
		f.cores = cores
		if _, err := f.serve(t.Context(), s, s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("limited to %d: %v, want %q", cores, err, want)
		}
	}
}

func TestRatesByCores(t *testing.T) {
	o, err := parseOptions([]string{"--only", "cores", "--rounds", "2"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorkload("SET", deepPipeline, usualClients, usualValue, 1000)
	arrangements := []*arrangement{{name: "direct"}, {name: namedByCores("synced", 1)}, {name: namedByCores("synced", 2)}}
	var runs, r results
	for round := 2; round >= 1; round-- {
		slow := float64(round) // the machine is half as fast in the second
		for i, a := range arrangements {
			if round == 2 && i == 2 {
				continue // discarded
			}
			rps := []float64{1000, 500, 900}[i] / slow
			runs.Samples = append(runs.Samples, sample{Arrangement: a.name, Command: w.Command, Pipeline: w.Pipeline, Clients: w.Clients, Value: w.Value,
				Round: round, RPS: rps, CPU: map[string]float64{"proxy": 3.25}})
		}
	}
	r.Measured = runs.byCores(arrangements, []workload{w})
	dir := t.TempDir()
	path, err := (&report{Options: o, results: r, Verdicts: judge(&r, o)}).save(dir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"## Rate by the number of cores\n",
		"| SET -P 16 direct          |        750 |           |        |                 67 % |",
		"| SET -P 16 synced, 1 core  |        375 |      0.50 |   3.25 |                 67 % |",
		"| SET -P 16 synced, 2 cores |        900 |      0.90 |   3.25 |                  0 % |",
		"-cores.svg)",
	} {
		if !strings.Contains(string(text), line) {
			t.Errorf("the report lacks %q:\n%s", line, text)
		}
	}
	if strings.Contains(string(text), "## Goals") {
		t.Errorf("no goal is for it:\n%s", text)
	}
	again, err := readReport(filepath.Join(dir, "latest.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(again.Measured) != 5 || again.Measured[0].Round != 1 || again.Measured[0].Part != "cores" {
		data, _ := json.Marshal(again.Measured) // they were just read from JSON
		t.Errorf("read back: %s", data)
	}
	c := again.charts()
	if len(c) != 1 || len(c[0].bars) != 3 || c[0].bars[0].ours || !c[0].bars[1].ours {
		t.Errorf("not the chart of three bars, two of them ours: %+v", c)
	}
	again.Measured = nil
	var out strings.Builder
	if again.markdown(&out); strings.Contains(out.String(), "number of cores") || len(again.charts()) != 0 {
		t.Errorf("shown though not measured:\n%s", out.String())
	}
}
