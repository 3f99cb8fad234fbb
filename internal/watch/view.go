package watch

import (
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"tandem/internal/demo/text"
	"tandem/internal/status"
	"tandem/internal/terminal"
)

// View draws the screen. (tea.Model)
func (m *model) View() tea.View {
	v := tea.NewView(strings.Join(m.screen(), "\n"))
	v.AltScreen = true
	v.DisableBracketedPasteMode = true // nothing is typed
	return v
}

// screen is as many lines as the terminal has: what stays above, what scrolls, and the keys.
func (m *model) screen() []string {
	lines := m.head()
	body := m.body()
	room := m.room()
	shown := body.lines[min(m.top, len(body.lines)):min(m.top+room, len(body.lines))]
	lines = append(lines, shown...)
	for len(lines) < m.height-1 {
		lines = append(lines, "")
	}
	lines = append(lines[:max(0, m.height-1)], m.keys(m.top, len(body.lines)-m.top-len(shown)))
	for i, line := range lines {
		lines[i] = ansi.Truncate(line, m.width, "")
	}
	return lines[:min(len(lines), max(1, m.height))]
}

// room is how many lines are left for what scrolls.
func (m *model) room() int { return max(1, m.height-1-len(m.head())) }

// head is the title, and below it, if Tandem does not answer, that it does not.
func (m *model) head() []string {
	p := &pane{look: m.look, width: m.width}
	left := m.look.Paint(terminal.Bold, "Tandem")
	if m.status.Source.Address != "" {
		left += "  " + terminal.OneLine(m.status.Source.Address) + m.look.Glyph(" → ", " -> ") + terminal.OneLine(m.status.Target.Address)
	}
	right := m.now().Format(time.TimeOnly)
	switch {
	case m.stale():
		right = m.look.Paint(terminal.Red, "not reachable") + "  " + right
	case !m.heard.IsZero():
		right = "up " + text.Duration(time.Duration(m.status.UptimeS)*time.Second) + "  " + right
	}
	if free := m.width - ansi.StringWidth(left) - ansi.StringWidth(right); free >= 2 {
		left += strings.Repeat(" ", free) + right
	} else if m.stale() {
		left = right
	}
	p.add(left)
	if m.stale() {
		why, since := m.lost()
		p.text(terminal.Red, why, 0)
		p.text(terminal.Plain, since, 0)
	}
	p.blank()
	return p.lines
}

// lost says that nothing answers, and since when.
func (m *model) lost() (why, since string) {
	why = "Tandem does not answer at " + m.address
	if m.failure != nil {
		why = m.failure.Error()
		why = strings.ToUpper(why[:1]) + why[1:]
	}
	if m.heard.IsZero() {
		return why + ".", fmt.Sprintf("Is tandem serve running there? It is asked again each second, for %s now.", age(m.now().Sub(m.began)))
	}
	return why + ".", fmt.Sprintf("What is shown is of %s, %s ago. It is asked again each second.", m.heard.Format(time.TimeOnly), age(m.now().Sub(m.heard)))
}

// age writes a duration that grows by the second.
func age(d time.Duration) string {
	return text.Duration(d.Truncate(time.Second))
}

// keys is the last line: how much there is that does not fit, and what keys do, as far as there is room.
func (m *model) keys(above, below int) string {
	var more []string
	count := func(n int, where string) {
		switch {
		case n == 1:
			more = append(more, "1 line "+where)
		case n > 1:
			more = append(more, fmt.Sprintf("%d lines %s", n, where))
		}
	}
	count(above, "above")
	count(below, "below")
	right := strings.Join(more, ", ")
	lefts := []string{"q quit"}
	if len(more) > 0 {
		arrows := m.look.Glyph("↑ ↓", "up/down")
		lefts = []string{"q quit   " + arrows + " scroll   tab next part", "q quit   " + arrows + " tab", "q quit", "q", ""}
	}
	for _, left := range lefts {
		if free := m.width - ansi.StringWidth(left) - ansi.StringWidth(right); free >= 2 || right == "" {
			return m.look.Paint(terminal.Faint, strings.TrimRight(left+strings.Repeat(" ", max(0, free))+right, " "))
		}
	}
	return m.look.Paint(terminal.Faint, right)
}

const (
	// twoColumns and threeColumns are the widths from which on parts stand side by side.
	twoColumns   = 78
	threeColumns = 150
)

// body is what scrolls.
func (m *model) body() *pane {
	look := m.look
	if m.stale() {
		look.Color = false // it is painted faint as a whole
	}
	p := &pane{look: look, width: m.width}
	if m.heard.IsZero() {
		if !m.stale() {
			p.text(terminal.Plain, "Asking "+m.address+" ...", 0)
		}
		return p
	}
	m.phases(p)
	m.blockers(p)
	column := func(count int) *pane { return &pane{look: look, width: (m.width - (count-1)*gap) / count} }
	switch {
	case m.width >= threeColumns:
		a, b, c := column(3), column(3), column(3)
		m.backfill(a)
		m.verify(a)
		m.cutover(a)
		m.replication(b)
		m.servers(b)
		m.clients(c)
		m.conflicts(c)
		p.columns(a, b, c)
	case m.width >= twoColumns:
		a, b := column(2), column(2)
		if m.verifies() { // it is what is looked at then
			m.verify(a)
		}
		m.backfill(a)
		m.replication(a)
		m.clients(b)
		m.servers(b)
		p.columns(a, b)
		a, b = column(2), column(2)
		if !m.verifies() {
			m.verify(a)
		}
		m.cutover(a)
		m.conflicts(b)
		p.columns(a, b)
	default:
		parts := []func(*pane){m.backfill, m.replication, m.clients, m.servers, m.verify, m.cutover, m.conflicts}
		if m.verifies() {
			parts = []func(*pane){m.verify, m.backfill, m.replication, m.clients, m.servers, m.cutover, m.conflicts}
		}
		for _, part := range parts {
			part(p)
		}
	}
	m.happened(p)
	if m.stale() {
		for i, line := range p.lines {
			p.lines[i] = m.look.Paint(terminal.Faint, line)
		}
	}
	return p
}

// verifies tells whether a verify is under way.
func (m *model) verifies() bool {
	return m.status.Verify.State == status.Running || m.status.Verify.State == status.Paused
}

// lines of phases.
var (
	oneWay = []string{status.Passthrough, status.Backfill, status.Synced, status.Reversed, status.Finished}
	// With clients on both servers there is nothing to cut over.
	twoWay = []string{status.Passthrough, status.Backfill, status.Synced, status.TwoWay}
)

// phases shows where the migration is, and what comes next.
func (m *model) phases(p *pane) {
	all, at := oneWay, -1
	if m.status.Phase == status.TwoWay {
		all = twoWay
	}
	var stops []string
	for i, phase := range all {
		name := strings.ReplaceAll(phase, "_", "-")
		if phase == m.status.Phase {
			at = i
			stops = append(stops, p.look.Paint(terminal.Strong, p.look.Glyph("● "+name, "["+name+"]")))
			continue
		}
		mark, i := p.look.Glyph("✓ ", ""), terminal.Green
		if at >= 0 {
			mark, i = p.look.Glyph("○ ", ""), terminal.Faint
		}
		stops = append(stops, p.look.Paint(i, mark+name))
	}
	line := strings.Join(stops, p.look.Paint(terminal.Faint, p.look.Glyph(" ── ", " > ")))
	switch {
	case at < 0: // one that a newer Tandem has
		line = p.look.Paint(terminal.Strong, m.status.Phase)
	case ansi.StringWidth(line) > p.width && at+1 < len(all):
		line = stops[at] + ", then " + all[at+1]
	case ansi.StringWidth(line) > p.width:
		line = stops[at]
	}
	p.parts = append(p.parts, len(p.lines))
	p.add(line)
	meaning := m.status.Meaning()
	p.text(terminal.Plain, strings.ToUpper(meaning[:1])+meaning[1:]+".", 0)
	next := m.status.Next()
	if m.status.Phase == status.Backfill && next == status.NextIn(status.Backfill, false, false) {
		next = "synced, by itself; then tandem verify and tandem cutover"
	}
	if next != "" {
		p.prefixed(p.look.Paint(terminal.Bold, "Next: "), terminal.Plain, next, 6)
	}
}

// expected are blockers that pass by themselves, or with the step that comes next anyway.
var expected = map[string]bool{"not_started": true, "sweep_owed": true, "starting": true}

// blockers lists what stands in the way, with what to do about it.
func (m *model) blockers(p *pane) {
	list := func(mark string, i terminal.Ink, b status.Blocker) {
		p.prefixed(p.look.Paint(i, mark+" "+terminal.OneLine(b.Code))+"  ", terminal.Plain, b.Message, 2)
		if b.Remedy != "" {
			p.prefixed(p.look.Glyph("  → ", "  -> "), terminal.Plain, b.Remedy, 5)
		}
	}
	if len(m.status.Blockers)+len(m.status.Warnings) > 0 {
		p.blank()
	}
	for _, b := range m.status.Blockers {
		if expected[b.Code] {
			list(p.look.Glyph("·", "-"), terminal.Bold, b)
		} else {
			list("!", terminal.Red, b)
		}
	}
	for _, b := range m.status.Warnings {
		list("? warning:", terminal.Yellow, b)
	}
}
