package report

import (
	"fmt"
	"io"
	"strings"

	"tandem/internal/demo/text"
)

// WriteText writes a report for a terminal.
func (r Report) WriteText(w io.Writer) error {
	var b strings.Builder
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-11s"+format+"\n", append([]any{name}, args...)...)
	}
	row("result", "%s", r.headline())
	row("", "%s", r.Verdict.Text)
	row("", "%s", r.downtime())
	row("", "%s", r.survived())
	b.WriteString("\n")
	row("migration", "%s, phase %s, the %s answers", r.ID, r.Phase, r.Primary)
	row("", "began %s, finished %s", optionalMoment(r.BeganAt), optionalMoment(r.FinishedAt))
	row("source", "%s", r.Source)
	row("target", "%s", r.Target)
	row("moved", "%s keys copied (%s), %s effects forwarded (%s) of %s writes", text.Count(r.Total.KeysCopied),
		text.Bytes(r.Total.CopiedBytes), text.Count(r.Total.EffectsForwarded), text.Bytes(r.Total.EffectBytes), text.Count(r.Total.Writes))
	row("", "%s", r.repaired())
	if n := r.Total.ForeignWrites; n > 0 {
		row("", "%s keys changed past the proxy", text.Count(n))
	}
	if n := r.Total.ShadowReads; n > 0 {
		row("", "%s reads compared on both servers, %s different", text.Count(n), text.Count(r.Total.ShadowDifferences))
	}
	row("duplicates", "%s", r.decided())
	row("processes", "%s, %s", plural(r.Processes.Starts, "start"), plural(r.Processes.Crashes, "crash"))
	b.WriteString("\nphases\n")
	for _, p := range r.Phases {
		t := p.Traffic
		fmt.Fprintf(&b, "  %-12s %-14s %s, %s copied (%s), %s effects (%s), %s commands\n", p.Name, lasting(p.LastedMs), times(max(1, p.Times)),
			text.Count(t.KeysCopied), text.Bytes(t.CopiedBytes), text.Count(t.EffectsForwarded), text.Bytes(t.EffectBytes), text.Count(t.Commands))
	}
	section(&b, "steps", r.Steps, func(s Step) string {
		line := fmt.Sprintf("%s  %-9s %-8s", moment(s.At), s.Name, s.State)
		if ms, paused := s.PauseMs.Get(); paused {
			line += " pause " + pause(ms)
		}
		return line + "  " + s.Message
	})
	section(&b, "faults", r.Faults, func(f Fault) string {
		line := fmt.Sprintf("%-22s %s, %s in all, %s at the longest, last %s", f.Name, times(f.Times), lasting(f.LastedMs),
			lasting(f.LongestMs), moment(f.LastAt))
		if f.Standing {
			line += " (it has not passed)"
		}
		return line + "  " + f.Message
	})
	section(&b, "sweeps", r.Sweeps, func(s Sweep) string {
		return fmt.Sprintf("%s  %-11s %s keys, %s copied, %s  %s", moment(s.At), s.State, optional(s.Keys, text.Count[int64]),
			optional(s.Copied, text.Count[int64]), optional(s.TookMs, lasting), s.Why)
	})
	section(&b, "verifies", r.Verifies, func(v Verify) string {
		return fmt.Sprintf("%s  %-6s %-6s %s", moment(v.At), v.Mode, v.State, v.Message)
	})
	if r.Incomplete != "" {
		fmt.Fprintf(&b, "\n(Incomplete: %s.)\n", r.Incomplete)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// section writes a list under its heading, if there is anything in it.
func section[T any](b *strings.Builder, heading string, list []T, line func(T) string) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", heading)
	for _, x := range list {
		fmt.Fprintf(b, "  %s\n", line(x))
	}
}

// String is the server in a line.
func (s Server) String() string {
	line := s.Address
	if s.Version != "" {
		line += ", version " + s.Version
	}
	if n, known := s.Keys.Get(); known {
		line += ", " + text.Count(n) + " keys"
	}
	return line
}
