package conformance

import (
	"fmt"
	"strings"
	"testing"
)

// findings collects differences, each once with all the places where it was seen: a difference in one scenario
// mostly shows in every phase.
type findings struct {
	known exceptions
	order []string
	seen  map[string][]string
}

// compare adds what a version was answered differently, and is not known to be.
func (f *findings) compare(where, version string, want, got transcripts) {
	for p, g := range got {
		for _, d := range Diff(p.scenario, want[p], g) {
			if f.known.excuse(p.scenario, d.Of, version) {
				continue
			}
			f.add(p.scenario.ID()+": "+d.String(), fmt.Sprintf("%s, RESP%d", where, p.protocol))
		}
	}
}

// differs reports whether a play was answered otherwise than it should be, exceptions apart.
func (f *findings) differs(p play, version string, want, got Transcript) bool {
	return f.of(p, version, want, got) != ""
}

// of is the first difference of a play, exceptions apart; "" for none.
func (f *findings) of(p play, version string, want, got Transcript) string {
	for _, d := range Diff(p.scenario, want, got) {
		if !f.known.excuse(p.scenario, d.Of, version) {
			return d.String()
		}
	}
	return ""
}

func (f *findings) add(what, where string) {
	if f.seen == nil {
		f.seen = map[string][]string{}
	}
	if f.seen[what] == nil {
		f.order = append(f.order, what)
	}
	f.seen[what] = append(f.seen[what], where)
}

// report fails the test for each.
func (f *findings) report(t *testing.T) {
	t.Helper()
	for _, what := range f.order {
		places := f.seen[what]
		t.Errorf("%s\n      %d times: %s", what, len(places), strings.Join(places[:min(len(places), 4)], "; "))
	}
}
