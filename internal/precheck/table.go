package precheck

import (
	"fmt"
	"io"
	"strings"
)

// width is where lines are broken: a terminal of 100 columns, and a ticket that it is pasted into.
const width = 100

// marks are what stands before an item, and its colour on a terminal.
var marks = map[string]struct{ text, color string }{
	Success: {"ok", "\x1b[32m"},
	Warning: {"warning", "\x1b[33m"},
	Failed:  {"FAILED", "\x1b[31m"},
}

const colorOff = "\x1b[0m"

// WriteTable writes the report for people: one line for what is well; why it matters and what to do with what
// is not. color uses ANSI colours.
func (r *Report) WriteTable(w io.Writer, color bool) error {
	const markWidth = 7
	nameWidth := 0
	for _, item := range r.Items {
		nameWidth = max(nameWidth, len(item.Name))
	}
	indent := markWidth + 2 + nameWidth + 2
	var b strings.Builder
	counts := map[string]int{}
	for _, item := range r.Items {
		accepted := item.Status == Warning && item.Accept == ""
		if !accepted {
			counts[item.Status]++
		}
		b.WriteString(mark(item.Status, markWidth, color))
		fmt.Fprintf(&b, "  %-*s  ", nameWidth, item.Name)
		if accepted {
			writeWrapped(&b, "(accepted) "+item.Found, indent)
			continue
		}
		writeWrapped(&b, item.Found, indent)
		if item.Status != Success {
			b.WriteString(strings.Repeat(" ", indent))
			writeWrapped(&b, "Why: "+item.Why, indent)
			b.WriteString(strings.Repeat(" ", indent))
			writeWrapped(&b, "Do: "+item.Remedy, indent)
		}
	}
	if len(r.notMade) > 0 {
		b.WriteString("\nNot checked, because of what failed: ")
		writeWrapped(&b, strings.Join(r.notMade, ", "), 2)
	}
	accepted := ""
	if r.accepted > 0 {
		accepted = fmt.Sprintf(", %d accepted", r.accepted)
	}
	fmt.Fprintf(&b, "\nResult: %s (%d ok, %d to know of%s, %d failed). %s\n",
		strings.TrimSpace(mark(r.Result, 0, color)), counts[Success], counts[Warning], accepted, counts[Failed], next[r.Result])
	_, err := io.WriteString(w, b.String())
	return err
}

// next is what to do with a result.
var next = map[string]string{
	Success: "The migration can start.",
	Warning: "The migration can start; the warnings say what to expect.",
	Failed:  "Mend what failed and run the precheck again.",
}

func mark(status string, width int, color bool) string {
	m := marks[status]
	text := fmt.Sprintf("%-*s", width, m.text)
	if color {
		return m.color + text + colorOff
	}
	return text
}

// writeWrapped writes text that begins at column indent, breaks it at spaces before width, and ends the line.
// A word longer than a line stays whole.
func writeWrapped(b *strings.Builder, text string, indent int) {
	column := indent
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case column+1+len(word) > width:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	b.WriteByte('\n')
}
