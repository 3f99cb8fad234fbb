package conformance

import (
	"os"
	"slices"
	"strings"
	"testing"

	"tandem/router"
)

// Every command that a server of ours knows is exercised on it, with a reply that is an error and one that is none, or
// left_out.txt says why not. What is left out is printed.
func TestEveryCommandIsExercised(t *testing.T) {
	here := present(t)
	knownBy := map[string][]string{}
	covered := Coverage{}
	for _, version := range here {
		known, err := Known(control(t, start(t, version)))
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range known {
			knownBy[row] = append(knownBy[row], version)
		}
		for p, got := range directly(t, version) {
			covered.Add(version, p.scenario, got)
		}
	}
	for row := range knownBy {
		if strings.Contains(row, " ") {
			container, _, _ := strings.Cut(row, " ")
			delete(knownBy, container) // as the versions without COMMAND of subcommands name it
		}
	}
	knownBy["COMMAND"] = here
	text, err := os.ReadFile("left_out.txt")
	if err != nil {
		t.Fatal(err)
	}
	reasons, err := Reasons(string(text))
	if err != nil {
		t.Fatal(err)
	}
	leftOut := map[string][]string{} // rows by why
	defer func() {
		for why, rows := range leftOut {
			slices.Sort(rows)
			t.Logf("left out, %s: %s", why, strings.Join(rows, ", "))
		}
	}()
	for _, gap := range covered.Gaps(knownBy) {
		if why := gap.Reason(reasons); why != "" {
			why = gap.Lacks + " is missing: " + why
			leftOut[why] = append(leftOut[why], gap.Row)
		} else {
			t.Errorf("%s, known to %s, lacks %s: no scenario has it, and left_out.txt does not say why", gap.Row,
				strings.Join(gap.Versions, ", "), gap.Lacks)
		}
	}
	for row := range knownBy {
		if !tableRows[row] {
			t.Errorf("%s, known to %s, is not in the table of commands", row, strings.Join(knownBy[row], ", "))
		}
	}
	if len(here) < len(versions) {
		return // what only the absent ones know is not known
	}
	for _, c := range router.All() {
		if knownBy[c.Name] == nil {
			leftOut["no version of ours knows it"] = append(leftOut["no version of ours knows it"], c.Name)
		}
	}
	for row := range reasons {
		container, isAll := strings.CutSuffix(row, " *")
		if !isAll && knownBy[row] == nil || isAll && !slices.ContainsFunc(router.All(), func(c *router.Command) bool {
			return strings.HasPrefix(c.Name, container+" ")
		}) {
			t.Errorf("left_out.txt names %s, which no server knows", row)
		}
	}
}
