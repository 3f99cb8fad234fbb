package watch

import (
	"strings"

	"github.com/charmbracelet/x/ansi"

	"tandem/internal/terminal"
)

// pane is a rectangle of lines that is filled from above. No line of it is wider than it.
type pane struct {
	look  terminal.Look
	width int
	lines []string
	parts []int // the lines at which parts begin
}

// add adds a line, cut where the pane ends.
func (p *pane) add(line string) {
	p.lines = append(p.lines, ansi.Truncate(line, p.width, p.look.Glyph("…", "~")))
}

func (p *pane) blank() { p.lines = append(p.lines, "") }

// title begins a part.
func (p *pane) title(name string) {
	if len(p.lines) > 0 {
		p.blank()
	}
	p.parts = append(p.parts, len(p.lines))
	rule := max(0, p.width-ansi.StringWidth(name)-1)
	p.add(p.look.Paint(terminal.Bold, name) + " " + p.look.Paint(terminal.Faint, strings.Repeat(p.look.Glyph("─", "-"), rule)))
}

// text adds a text, wrapped; its later lines are indented by so much.
func (p *pane) text(i terminal.Ink, text string, indent int) {
	p.prefixed("", i, text, indent)
}

// prefixed adds a text behind a prefix that may be painted, wrapped between words; a word that is longer than a line is cut.
func (p *pane) prefixed(prefix string, i terminal.Ink, text string, indent int) {
	before, line := prefix, ""
	end := func() {
		p.add(before + p.look.Paint(i, line))
		before, line = strings.Repeat(" ", indent), ""
	}
	for _, word := range strings.Fields(terminal.Clean(text)) {
		switch {
		case line == "":
			line = word
		case ansi.StringWidth(before)+ansi.StringWidth(line)+1+ansi.StringWidth(word) <= p.width:
			line += " " + word
		default:
			end()
			line = word
		}
	}
	if line != "" || prefix != "" {
		end()
	}
}

const (
	labelWidth = 14
	valueWidth = 11
	// leastCurve is the shortest curve that says something, mostCells the longest.
	leastCurve = 6
	mostCells  = 60
)

// row adds a name and its value, with a curve of how it came there if there is room.
func (p *pane) row(name string, i terminal.Ink, value string, curve []float64) {
	line := pad(name, labelWidth) + p.look.Paint(i, padLeft(value, valueWidth))
	if cells := min(p.width-labelWidth-valueWidth-2, mostCells); curve != nil && cells >= leastCurve {
		line += "  " + p.look.Paint(terminal.Cyan, p.look.Spark(curve, cells))
	}
	p.add(line)
}

// pad fills a text up to a width, padLeft before it.
func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-ansi.StringWidth(text)))
}

func padLeft(text string, width int) string {
	return strings.Repeat(" ", max(0, width-ansi.StringWidth(text))) + text
}

// gap is between panes that stand side by side.
const gap = 3

// columns puts panes of the same width side by side, below what is there.
func (p *pane) columns(panes ...*pane) {
	height := 0
	for _, q := range panes {
		height = max(height, len(q.lines))
	}
	if height == 0 {
		return
	}
	if len(p.lines) > 0 {
		p.blank()
	}
	starts := map[int]bool{}
	for _, q := range panes {
		for _, at := range q.parts {
			starts[at] = true
		}
	}
	for n := range height {
		if starts[n] {
			p.parts = append(p.parts, len(p.lines))
		}
		line := ""
		for i, q := range panes {
			if i > 0 {
				line = pad(line, i*(q.width+gap))
			}
			if n < len(q.lines) {
				line += q.lines[n]
			}
		}
		p.add(line)
	}
}
