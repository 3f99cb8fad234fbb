package watch

import (
	"fmt"
	"math"
	"strings"
	"time"

	"tandem/internal/demo/text"
	"tandem/internal/history"
	"tandem/internal/journal"
	"tandem/internal/status"
	"tandem/internal/terminal"
)

// curve is one number of the history, a second to each.
func (m *model) curve(of func(history.Sample) float64) []float64 {
	curve := make([]float64, len(m.history))
	for i, s := range m.history {
		curve[i] = of(s)
	}
	return curve
}

// sample is the last second; all of it is unknown if there is none.
func (m *model) sample() history.Sample {
	if n := len(m.history); n > 0 {
		return m.history[n-1]
	}
	u := history.Unknown
	return history.Sample{ReadsPerS: u, WritesPerS: u, ScriptsPerS: u, TransactionsPerS: u, OthersPerS: u, FailedPerS: u,
		SourceP50Ms: u, SourceP95Ms: u, SourceP99Ms: u, TargetP50Ms: u, TargetP95Ms: u, TargetP99Ms: u, EffectsPerS: u, CopiesPerS: u}
}

// rate writes a number per second; an unknown one is a dash.
func (p *pane) rate(v float64) string {
	if math.IsNaN(v) {
		return p.look.Glyph("—", "-")
	}
	return text.Count(v) + "/s"
}

func (p *pane) milliseconds(v float64) string {
	if math.IsNaN(v) {
		return p.look.Glyph("—", "-")
	}
	return status.Milliseconds(v)
}

// unless is an ink for what should not be.
func unless(fine bool, i terminal.Ink) terminal.Ink {
	if fine {
		return terminal.Plain
	}
	return i
}

// bar adds a bar over the whole width, and a line about it below.
func (p *pane) bar(percent status.Optional[float64], rest ...string) {
	words := []string{}
	if v, known := percent.Get(); known {
		p.add(p.look.Bar(v, p.width))
		words = append(words, p.look.Paint(terminal.Bold, fmt.Sprintf("%.1f %%", v)))
	}
	for _, r := range rest {
		if r != "" {
			words = append(words, r)
		}
	}
	p.add(strings.Join(words, "   "))
}

func (m *model) backfill(p *pane) {
	p.title("Backfill")
	s := m.status
	b := s.Backfill
	if b.State == status.Idle && b.KeysScanned == 0 && s.Phase == status.Passthrough {
		p.text(terminal.Plain, "Nothing has been copied yet.", 0)
		return
	}
	copies := m.curve(func(s history.Sample) float64 { return s.CopiesPerS })
	if b.State == status.Idle {
		p.text(terminal.Plain, "No sweep is owed or running.", 0)
		p.row("copies", terminal.Plain, p.rate(m.sample().CopiesPerS), copies)
		return
	}
	switch b.State {
	case status.Running:
		p.bar(b.Percent, b.EtaS.Text(status.Seconds)+" left", b.KeysPerS.Text(text.Count[float64])+" keys/s")
		p.text(terminal.Plain, fmt.Sprintf("%s of %s keys looked at", text.Count(b.KeysScanned), b.KeysTotal.Text(text.Count[int64])), 2)
		p.text(terminal.Plain, fmt.Sprintf("%s copied, %s", text.Count(b.KeysCopied), text.Bytes(b.BytesCopied)), 2)
	case status.Done:
		p.text(terminal.Plain, fmt.Sprintf("Done: %s keys looked at, %s copied, %s.", text.Count(b.KeysScanned), text.Count(b.KeysCopied), text.Bytes(b.BytesCopied)), 0)
	default:
		p.bar(b.Percent, p.look.Paint(terminal.Yellow, b.State))
		p.text(terminal.Plain, fmt.Sprintf("%s of %s keys looked at", text.Count(b.KeysScanned), b.KeysTotal.Text(text.Count[int64])), 2)
	}
	p.row("copies", terminal.Plain, p.rate(m.sample().CopiesPerS), copies)
	if s.Copies.Failed > 0 {
		p.text(terminal.Red, text.Count(s.Copies.Failed)+" copies were refused, and are tried again", 2)
	}
	if b.KeysStaying > 0 {
		p.text(terminal.Plain, text.Count(b.KeysStaying)+" keys do not move", 2)
	}
	if t := s.Throttle.Text(); t != "" && b.State != status.Done {
		p.text(terminal.Plain, t, 2)
	}
}

func (m *model) replication(p *pane) {
	p.title("Replication")
	s := m.status
	p.row("lag", terminal.Plain, s.LagMs.Text(status.Milliseconds), m.curve(func(s history.Sample) float64 { return s.LagMs }))
	p.row("waiting", terminal.Plain, text.Bytes(s.LagBytes), m.curve(func(s history.Sample) float64 { return s.LagBytes }))
	p.row("dirty keys", terminal.Plain, text.Count(s.DirtyKeys), m.curve(func(s history.Sample) float64 { return s.DirtyKeys }))
	p.row("not settled", terminal.Plain, text.Count(s.UnsettledWrites), m.curve(func(s history.Sample) float64 { return s.UnsettledWrites }))
	p.row("effects", terminal.Plain, p.rate(m.sample().EffectsPerS), m.curve(func(s history.Sample) float64 { return s.EffectsPerS }))
	e := s.Effects
	p.text(unless(e.Mismatched == 0, terminal.Yellow), fmt.Sprintf("%s forwarded, %s answered otherwise, %s not sent",
		text.Count(e.Forwarded), text.Count(e.Mismatched), text.Count(e.Dropped)), 2)
}

func (m *model) clients(p *pane) {
	p.title("Clients")
	now := m.sample()
	p.row("sessions", terminal.Plain, text.Count(m.status.Sessions), m.curve(func(s history.Sample) float64 { return s.Sessions }))
	for _, kind := range []struct {
		name string
		of   func(history.Sample) float64
	}{
		{"reads", func(s history.Sample) float64 { return s.ReadsPerS }},
		{"writes", func(s history.Sample) float64 { return s.WritesPerS }},
		{"scripts", func(s history.Sample) float64 { return s.ScriptsPerS }},
		{"transactions", func(s history.Sample) float64 { return s.TransactionsPerS }},
		{"others", func(s history.Sample) float64 { return s.OthersPerS }},
		{"errors", func(s history.Sample) float64 { return s.FailedPerS }},
	} {
		v := kind.of(now)
		p.row(kind.name, unless(kind.name != "errors" || !(v > 0), terminal.Yellow), p.rate(v), m.curve(kind.of))
	}
	if t := m.status.TwoWay; t.State != status.Idle {
		p.text(terminal.Plain, text.Count(t.Sessions)+" of the sessions at the target's address", 2)
	}
}

// role is what an instance does in this phase, and whether that needs a connection.
func (m *model) role(side string) (role string, needed bool) {
	s := m.status
	switch {
	case s.Phase == status.TwoWay, s.Primary == side:
		return "answers", true
	case s.Phase == status.Passthrough:
		return "waits", false
	case s.Phase == status.Finished:
		return "is left alone", false
	case s.Phase == status.Backfill:
		return "is being filled", true
	}
	return "is kept equal", true
}

func (m *model) servers(p *pane) {
	p.title("Servers")
	const column = 9
	now := m.sample()
	head := pad("", 8) + padLeft("p50", column) + padLeft("p95", column) + padLeft("p99", column)
	p.add(p.look.Paint(terminal.Faint, head))
	for _, i := range []struct {
		name          string
		status        status.InstanceStatus
		p50, p95, p99 float64
		of            func(history.Sample) float64
	}{
		{"source", m.status.Source, now.SourceP50Ms, now.SourceP95Ms, now.SourceP99Ms, func(s history.Sample) float64 { return s.SourceP99Ms }},
		{"target", m.status.Target, now.TargetP50Ms, now.TargetP95Ms, now.TargetP99Ms, func(s history.Sample) float64 { return s.TargetP99Ms }},
	} {
		role, needed := m.role(i.name)
		line := p.look.Paint(terminal.Bold, pad(i.name, 8))
		for _, v := range []float64{i.p50, i.p95, i.p99} {
			line += padLeft(p.milliseconds(v), column)
		}
		if cells := min(p.width-8-3*column-2, mostCells); cells >= leastCurve {
			line += "  " + p.look.Paint(terminal.Cyan, p.look.Spark(m.curve(i.of), cells))
		}
		p.add(line)
		ink, about := terminal.Plain, role+", "
		switch {
		case i.status.Connected:
			about += i.status.Version
		case needed:
			ink, about = terminal.Red, about+"NOT CONNECTED"
		default:
			about = role
		}
		if offset, known := i.status.ClockOffsetMs.Get(); known && i.status.Connected {
			about += fmt.Sprintf(", clock %+.1f ms", math.Round(offset*10)/10+0)
		}
		p.prefixed("  ", ink, about, 2)
	}
}

func (m *model) verify(p *pane) {
	p.title("Verify")
	v := m.status.Verify
	switch {
	case v.State == status.Idle:
		p.text(terminal.Plain, "None since Tandem has started.", 2)
	case v.State == status.Running || v.State == status.Paused:
		p.bar(v.Percent, v.State, v.Mode)
		p.text(unless(v.Different == 0, terminal.Red), fmt.Sprintf("%s keys compared, %s different", text.Count(v.Compared), text.Count(v.Different)), 2)
	case v.State == status.Done && v.Different == 0:
		p.text(terminal.Green, p.look.Glyph("✓ ", "ok: ")+strings.TrimPrefix(v.Text(), v.State+": "), 2)
	default:
		p.text(terminal.Red, v.Text(), 2)
	}
	if d := m.status.Shadow; d.Compared+d.Skipped > 0 {
		p.text(unless(d.Different == 0, terminal.Red), fmt.Sprintf("%s reads compared on both servers, %s different", text.Count(d.Compared), text.Count(d.Different)), 2)
	}
}

func (m *model) cutover(p *pane) {
	p.title("Cutover")
	c := m.status.Cutover
	words := c.Text()
	p.text(terminal.Plain, strings.ToUpper(words[:1])+words[1:]+".", 2)
	if t := c.PlanText(); t != "" {
		p.text(terminal.Bold, t, 2)
	}
	if until, on := c.TrialUntil.Get(); on {
		p.text(terminal.Bold, "on trial until "+status.Clock(until), 2)
	}
	if c.TrialProblem != "" {
		p.text(terminal.Red, "the trial has failed: "+c.TrialProblem, 2)
	}
}

// conflicts is about keys and writers that Tandem did not expect.
func (m *model) conflicts(p *pane) {
	p.title("Conflicts")
	s := m.status
	switch {
	case s.Duplicates.Found > 0:
		p.text(terminal.Plain, s.Duplicates.Text(), 2)
	case s.Phase == status.Passthrough:
		p.text(terminal.Plain, "the target's keys are looked at when it is started", 2)
	default:
		p.text(terminal.Plain, "no key was on the target before", 2)
	}
	if s.Duplicates.TargetOnly > 0 {
		p.text(terminal.Plain, text.Count(s.Duplicates.TargetOnly)+" keys only the target had", 2)
	}
	if s.TwoWay.State != status.Idle {
		p.text(unless(s.TwoWay.Conflicts == 0, terminal.Yellow), text.Count(s.TwoWay.Conflicts)+" two-way conflicts decided", 2)
	}
	p.text(unless(s.Tracking.Writers == 0 && s.Tracking.State != status.Failed, terminal.Yellow), "past tandem: "+s.Tracking.Text(), 2)
}

// happened lists the last events, the newest first.
func (m *model) happened(p *pane) {
	p.title("Events")
	if len(m.events) == 0 {
		p.text(terminal.Plain, "Nothing has happened yet.", 0)
	}
	for i := len(m.events) - 1; i >= 0; i-- {
		e := m.events[i]
		at := e.Time().Format(time.TimeOnly)
		if m.now().Sub(e.Time()) > 24*time.Hour {
			at = e.Time().Format("Jan _2  ")
		}
		title := e.Name
		if e.Kind != journal.Phase {
			title = strings.TrimSpace(e.Name + " " + e.State)
		}
		line := p.look.Paint(terminal.Faint, at) + "  " + p.look.Paint(mood(e), pad(terminal.OneLine(string(e.Kind)), 8)+" "+terminal.OneLine(title))
		p.add(line + "  " + terminal.OneLine(e.Message))
	}
}

// mood is the ink of an event.
func mood(e journal.Event) terminal.Ink {
	switch {
	case e.Kind == journal.Phase:
		return terminal.Strong
	case e.State == journal.Failed, e.State == journal.Refused, e.State == journal.Undone, e.Kind == journal.Difference,
		e.Kind == journal.Fault && e.State != journal.Ends:
		return terminal.Red
	case e.State == journal.Done, e.State == journal.Ends && e.Kind != journal.Process:
		return terminal.Green
	}
	return terminal.Plain
}
