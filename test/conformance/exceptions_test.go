package conformance

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// exception is a difference that is known.
type exception struct {
	// what is a step's line, or "== " and a scenario's heading.
	what string
	// on are the versions that it concerns; none: all.
	on  []string
	why string
	// seen counts the differences that it has excused in this run.
	seen int
}

// exceptions are those of exceptions.txt.
type exceptions []*exception

// loadExceptions reads exceptions.txt.
func loadExceptions(t *testing.T) exceptions {
	t.Helper()
	b, err := os.ReadFile("exceptions.txt")
	if err != nil {
		t.Fatal(err)
	}
	all, err := parseExceptions(string(b))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func parseExceptions(text string) (all exceptions, err error) {
	for n, line := range strings.Split(text, "\n") {
		switch {
		case strings.TrimSpace(line) == "" || line[0] == '#':
		case line[0] != '\t':
			all = append(all, &exception{what: line})
		case len(all) == 0:
			return nil, fmt.Errorf("exceptions.txt:%d: a reason without what it is for", n+1)
		default:
			last := all[len(all)-1]
			last.why = strings.TrimSpace(last.why + " " + strings.TrimSpace(line))
		}
	}
	for _, e := range all {
		if versions, why, found := strings.Cut(strings.TrimPrefix(e.why, "["), "] "); found && e.why[0] == '[' {
			e.on, e.why = strings.Fields(versions), why
		}
		if e.why == "" {
			return nil, fmt.Errorf("exceptions.txt: %s has no reason", e.what)
		}
	}
	return all, nil
}

// excuse tells whether a difference in a step of a scenario is known on a version.
func (all exceptions) excuse(s *Scenario, step, version string) bool {
	for _, e := range all {
		if (e.what == step || e.what == "== "+s.Name) && (e.on == nil || slices.Contains(e.on, version)) {
			e.seen++
			return true
		}
	}
	return false
}

// leavesOut tells whether a scenario is not played on a version.
func (all exceptions) leavesOut(s *Scenario, version string) bool {
	return all.excuse(s, "", version)
}

// report says what was excused, and which exceptions a run of everything has not needed.
func (all exceptions) report(t *testing.T, complete bool) {
	t.Helper()
	for _, e := range all {
		t.Logf("known, %d times: %s: %s", e.seen, e.what, e.why)
		if e.seen == 0 && complete {
			t.Logf("exceptions.txt: %q was not different from the server this time: is it still, when the machine is busy?", e.what)
		}
	}
}

// An exception is for the step or scenario that it names, on the versions that it names.
func TestExceptionsAreNarrow(t *testing.T) {
	all, err := parseExceptions("# text\nGET a\n\t[redis-6.0] why\n== whole\n\tbecause\n\tof this\n")
	if err != nil || len(all) != 2 || all[0].why != "why" || all[1].why != "because of this" {
		t.Fatalf("%v %v", all, err)
	}
	some, whole := &Scenario{Name: "some"}, &Scenario{Name: "whole"}
	if !all.excuse(some, "GET a", "redis-6.0") || !all.excuse(whole, "GET b", "redis-7.0") || !all.leavesOut(whole, "redis-7.0") {
		t.Error("what is named is not excused")
	}
	if all.excuse(some, "GET a", "redis-7.0") || all.excuse(some, "GET b", "redis-6.0") || all.leavesOut(some, "redis-6.0") {
		t.Error("what is not named is excused")
	}
	for _, text := range []string{"\twhy\n", "GET a\n"} {
		if all, err := parseExceptions(text); err == nil {
			t.Errorf("%q is read as %+v", text, all[0])
		}
	}
}
