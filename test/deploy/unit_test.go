package deploy

import (
	"bufio"
	"strings"
	"testing"
)

// unit is a service unit: its directives by "Section.Name", all values of one in their order.
type unit map[string][]string

func readUnit(t *testing.T, text string) unit {
	t.Helper()
	u, section := unit{}, ""
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		switch name, value, ok := strings.Cut(line, "="); {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]")
		case ok:
			u[section+"."+name] = append(u[section+"."+name], value)
		default:
			t.Fatalf("a line of the unit is %q", line)
		}
	}
	return u
}

// one is the value of a directive that is there once.
func (u unit) one(t *testing.T, name string) string {
	t.Helper()
	if len(u[name]) != 1 {
		t.Fatalf("the unit has %d of %s", len(u[name]), name)
	}
	return u[name][0]
}
