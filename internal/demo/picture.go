package demo

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"tandem/internal/demo/text"
	"tandem/internal/status"
	"tandem/internal/terminal"
)

// scene is what the picture and the lines below it show: a moment of the demo.
type scene struct {
	clients        int
	perSecond      float64       // commands of all clients
	slowest        time.Duration // a client's longest wait lately
	source, target string        // addresses
	status         status.Status
	verify         *status.VerifySummary // the one that runs; nil for none
}

// An arrow's shaft and head; all forms are as wide as the others, so that nothing moves but the emphasis.
type arrow struct{ unicode, ascii string }

var (
	answers = arrow{"━━▶", "==>"} // carries every command and its reply
	follows = arrow{"╌╌▷", "-->"} // carries the writes
	rests   = arrow{" · ", " . "} // carries nothing
)

// roles is what each instance is in a phase, in words, and how it is drawn.
func (s scene) roles() (source, target arrow, sourceText, targetText string) {
	switch s.status.Phase {
	case status.Backfill:
		filled := ""
		if p, ok := s.status.Backfill.Percent.Get(); ok {
			filled = fmt.Sprintf(", %.0f %%", p)
		}
		return answers, follows, "answers", "is being filled" + filled
	case status.Synced:
		return answers, follows, "answers", "holds the same"
	case status.Reversed:
		return follows, answers, "follows, for a way back", "answers"
	case status.Finished:
		return rests, answers, "is left as it was", "answers, alone"
	}
	return answers, rests, "answers", "waits, empty"
}

// picture draws the clients, tandem and both servers. The arrow to the server that answers is the bold one:
//
//	                      ┏━━▶ source  127.0.0.1:40001  answers
//	8 clients ━━▶ tandem ━┫
//	                      ┗╌╌▷ target  127.0.0.1:40002  holds the same
func (s scene) picture(l terminal.Look) []string {
	source, target, sourceText, targetText := s.roles()
	row := func(corner string, a arrow, name, addr, text string) string {
		i := terminal.Faint
		switch a {
		case answers:
			i = terminal.Strong
		case follows:
			i = terminal.Green
		}
		return l.Paint(i, fmt.Sprintf("%s%s %s", corner, l.Glyph(a.unicode, a.ascii), name)) +
			l.Paint(terminal.Faint, fmt.Sprintf("  %-15s  ", addr)) + l.Paint(i, text)
	}
	left := fmt.Sprintf("%13s %s tandem %s", fmt.Sprintf("%d clients", s.clients),
		l.Glyph(answers.unicode, answers.ascii), l.Glyph("━", "="))
	indent := strings.Repeat(" ", utf8.RuneCountInString(left))
	return []string{
		indent + row(l.Glyph("┏", "+"), source, "source", s.source, sourceText),
		l.Paint(terminal.Bold, left) + l.Glyph("┫", "+"),
		indent + row(l.Glyph("┗", "+"), target, "target", s.target, targetText),
	}
}

// below are the lines under the picture: progress while there is some, then the clients, then how far the
// secondary is behind.
func (s scene) below(l terminal.Look) []string {
	var lines []string
	add := func(name, text string) {
		lines = append(lines, fmt.Sprintf("    %s %s", l.Paint(terminal.Faint, fmt.Sprintf("%-9s", name)), text))
	}
	st := s.status
	switch {
	case s.verify != nil:
		add("verify", s.verified(l))
	case st.Phase == status.Backfill:
		add("backfill", s.progress(l))
	}
	add("clients", fmt.Sprintf("%s commands/s, longest wait %s, no errors", text.Count(s.perSecond), text.Duration(s.slowest)))
	behind := "nothing follows yet"
	if st.Phase == status.Finished {
		behind = "nothing follows any more"
	} else if st.Phase != status.Passthrough && st.Phase != "" {
		behind = fmt.Sprintf("%s dirty keys, %s unsettled writes", text.Count(st.DirtyKeys), text.Count(st.UnsettledWrites))
		if lag, ok := st.LagMs.Get(); ok {
			behind += ", lag " + text.Duration(time.Duration(lag*float64(time.Millisecond)))
		}
	}
	add("behind", behind)
	return lines
}

// progress is the backfill in one line: bar, percent, time left, rate.
func (s scene) progress(l terminal.Look) string {
	b := s.status.Backfill
	percent, _ := b.Percent.Get()
	stage := terminal.Stage{Percent: status.Known(percent), LeftS: b.EtaS}
	if rate, ok := b.KeysPerS.Get(); ok {
		stage.Text = text.Count(rate) + " keys/s"
	}
	return l.Line(stage)
}

// verified is the verify in one line.
func (s scene) verified(l terminal.Look) string {
	percent, _ := s.verify.Percent.Get()
	return l.Line(terminal.Stage{Percent: status.Known(percent),
		Text: fmt.Sprintf("%s compared, %d different", text.Count(s.verify.Compared), s.verify.Different)})
}

// lines is the whole region.
func (s scene) lines(l terminal.Look) []string {
	lines := append([]string{""}, s.picture(l)...)
	lines = append(lines, "")
	return append(lines, s.below(l)...)
}
