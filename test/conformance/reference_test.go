package conformance

import (
	"os"
	"slices"
	"testing"

	"tandem/internal/generated"
)

// run.txt says what the servers of this machine say. It is written anew by -update, for which all versions must be
// here.
func TestRunIsTrue(t *testing.T) {
	scenarios := corpus(t)
	here := present(t)
	now := Run{}
	effects := map[string][]string{}
	for _, version := range here {
		c := control(t, start(t, version))
		known, err := Known(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range known {
			row := now[name]
			row.Versions = append(row.Versions, version)
			now[name] = row
		}
		if version == "redis-6.0" {
			continue // it has no RESET, and its effects are those of later versions, in older forms
		}
		of, err := Effects(c, version, scenarios)
		if err != nil {
			t.Fatal(err)
		}
		for name, row := range of {
			for _, effect := range row {
				if !slices.Contains(effects[name], effect) {
					effects[name] = append(effects[name], effect)
				}
			}
		}
	}
	for name, of := range effects {
		slices.Sort(of)
		row := now[name]
		row.Effects = of
		now[name] = row
	}
	if *generated.Update {
		if len(here) < len(versions) {
			t.Fatalf("run.txt is of all versions; here are %v", here)
		}
		if err := os.WriteFile("run.txt", []byte(now.Text()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	kept := keptRun(t)
	for _, name := range append(now.names(), kept.Of(here).names()...) {
		if got, want := now[name].Versions, kept.Of(here)[name].Versions; !slices.Equal(got, want) {
			t.Errorf("%s is known to %v, and run.txt says %v: -run 'Run|Page' -update renews it", name, got, want)
		}
		if got, want := now[name].Effects, kept[name].Effects; len(here) == len(versions) && !slices.Equal(got, want) {
			t.Errorf("the effects of %s are %v, and run.txt says %v: -run 'Run|Page' -update renews it", name, got, want)
		}
	}
}

// docs/commands.md says what the table and run.txt say.
func TestPageIsTrue(t *testing.T) {
	const path = "../../docs/commands.md"
	generated.File(t, path, Page(keptRun(t)), "go test ./test/conformance -run 'Run|Page' -update")
}

func keptRun(t *testing.T) Run {
	t.Helper()
	b, err := os.ReadFile("run.txt")
	if err != nil {
		t.Fatal(err)
	}
	run, err := ParseRun(string(b))
	if err != nil {
		t.Fatal(err)
	}
	return run
}
