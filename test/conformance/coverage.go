package conformance

import (
	"bufio"
	"fmt"
	"slices"
	"strings"
)

// Known asks a server for its commands, subcommands included, as the rows of the table are named. Versions before
// 7.0 tell of subcommands only in their HELP.
func Known(c *Control) ([]string, error) {
	reply, err := c.Must("COMMAND")
	if err != nil {
		return nil, err
	}
	var rows []string
	for _, command := range reply.Elems {
		if len(command.Elems) < 6 {
			return nil, fmt.Errorf("COMMAND answers %s", cut(command.String()))
		}
		if len(command.Elems) < 10 {
			of, err := helped(c, rowName(command))
			if err != nil {
				return nil, err
			}
			if rows = append(rows, of...); len(of) > 0 && rowName(command) != "COMMAND" {
				continue
			}
		}
		if len(command.Elems) < 10 || len(command.Elems[9].Elems) == 0 {
			rows = append(rows, rowName(command))
			continue
		}
		// A container is no command but by its subcommands, save COMMAND, which is one by itself.
		if rowName(command) == "COMMAND" {
			rows = append(rows, "COMMAND")
		}
		for _, sub := range command.Elems[9].Elems {
			rows = append(rows, rowName(sub))
		}
	}
	slices.Sort(rows)
	return rows, nil
}

// helped are the subcommands that the HELP of a container names, with HELP itself.
func helped(c *Control, container string) (rows []string, err error) {
	if !tableRows[container+" HELP"] {
		return nil, nil
	}
	reply, err := c.do(container, "HELP")
	if err != nil || reply.IsError() {
		return nil, err
	}
	for _, line := range append(reply.Elems, Reply{Text: "HELP"}) {
		word, _, _ := strings.Cut(strings.TrimSpace(line.Text), " ")
		if row := container + " " + strings.ToUpper(word); tableRows[row] && !slices.Contains(rows, row) {
			rows = append(rows, row)
		}
	}
	return rows, nil
}

func rowName(command Reply) string {
	return strings.ToUpper(strings.ReplaceAll(command.Elems[0].Text, "|", " "))
}

// Exercise is how often a command was answered, by version.
type Exercise struct {
	// Succeeded and Failed count replies that are no errors, and errors.
	Succeeded, Failed map[string]int
}

// Coverage is what was exercised, by row.
type Coverage map[string]*Exercise

// Add counts the replies to a scenario's commands on one version.
func (c Coverage) Add(version string, s *Scenario, t Transcript) {
	for i, step := range s.Steps {
		if i >= len(t.Replies) {
			return
		}
		for k, command := range step.Commands {
			row := Row(command)
			e := c[row]
			if e == nil {
				e = &Exercise{map[string]int{}, map[string]int{}}
				c[row] = e
			}
			switch {
			case step.Action == Block: // answered later, in a step of its own
				e.Succeeded[version]++
			case k >= len(t.Replies[i]):
			case t.Replies[i][k].IsError():
				e.Failed[version]++
			case t.Replies[i][k].String() != "+QUEUED":
				e.Succeeded[version]++
			}
		}
	}
}

// Gap is a row that is not, or not wholly, exercised.
type Gap struct {
	Row string
	// Lacks says what: "all", "a success" or "an error".
	Lacks string
	// Versions know the command, and lack it.
	Versions []string
}

// Gaps are the rows that no scenario exercises on a version that knows them, by what is lacking.
func (c Coverage) Gaps(knownBy map[string][]string) (gaps []Gap) {
	for row, versions := range knownBy {
		by := map[string][]string{}
		for _, v := range versions {
			if lacks := c[row].lacks(v); lacks != "" {
				by[lacks] = append(by[lacks], v)
			}
		}
		for lacks, of := range by {
			gaps = append(gaps, Gap{row, lacks, of})
		}
	}
	slices.SortFunc(gaps, func(a, b Gap) int { return strings.Compare(a.Row+a.Lacks, b.Row+b.Lacks) })
	return gaps
}

// lacks is what a version has not been seen to answer, "" for nothing.
func (e *Exercise) lacks(version string) string {
	switch {
	case e == nil || e.Succeeded[version] == 0 && e.Failed[version] == 0:
		return "all"
	case e.Succeeded[version] == 0:
		return "a success"
	case e.Failed[version] == 0:
		return "an error"
	}
	return ""
}

// Reasons reads left_out.txt: lines of a row, what it lacks, and why; "CLUSTER *" stands for all rows that begin
// so.
func Reasons(text string) (map[string][2]string, error) {
	reasons := map[string][2]string{}
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		parts := strings.SplitN(line, ": ", 3)
		if len(parts) != 3 {
			return nil, fmt.Errorf("left_out.txt: %q is not of the form ROW: what: why", line)
		}
		reasons[parts[0]] = [2]string{parts[1], parts[2]}
	}
	return reasons, nil
}

// Reason is why a gap may be, "" if nothing says so.
func (g Gap) Reason(reasons map[string][2]string) string {
	container, _, _ := strings.Cut(g.Row, " ")
	for _, name := range []string{g.Row, container + " *"} {
		if r, ok := reasons[name]; ok && r[0] == g.Lacks {
			return r[1]
		}
	}
	return ""
}
