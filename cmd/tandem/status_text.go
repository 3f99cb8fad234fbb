package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"tandem/internal/demo/text"
	"tandem/internal/status"
	"tandem/internal/terminal"
)

// writeStatus writes a status for people: what matters first, and what to do next last.
func writeStatus(w io.Writer, s status.Status) error {
	var b strings.Builder
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s"+format+"\n", append([]any{name}, args...)...)
	}

	row("phase", "%s: %s", s.Phase, s.Meaning())
	row("", "up %s, %s sessions", text.Duration(time.Duration(s.UptimeS)*time.Second), text.Count(s.Sessions))
	b.WriteString("\n")
	backfillRows(row, s.Backfill)
	if t := s.Throttle.Text(); t != "" {
		row("", "%s", t)
	}
	row("lag", "%s, %s", s.LagMs.Text(status.Milliseconds), text.Bytes(s.LagBytes))
	row("", "%s dirty keys, %s unsettled writes", text.Count(s.DirtyKeys), text.Count(s.UnsettledWrites))
	row("effects", "%s forwarded, %s mismatched, %s dropped",
		text.Count(s.Effects.Forwarded), text.Count(s.Effects.Mismatched), text.Count(s.Effects.Dropped))
	row("copies", "%s done, %s raced, %s failed", text.Count(s.Copies.Done), text.Count(s.Copies.Races), text.Count(s.Copies.Failed))
	if d := s.Duplicates; d.Found > 0 {
		row("", "%s", d.Text())
	}
	row("verify", "%s", s.Verify.Text())
	if d := s.Shadow; d.Compared+d.Skipped > 0 {
		row("", "%s reads compared on both servers, %s different", text.Count(d.Compared), text.Count(d.Different))
	}
	row("cutover", "%s", s.Cutover.Text())
	if t := s.Cutover.PlanText(); t != "" {
		row("", "%s", t)
	}
	if d := s.TwoWay; d.State != status.Idle {
		row("two-way", "%s sessions at listen_target, %s conflicts decided", text.Count(d.Sessions), text.Count(d.Conflicts))
	}
	row("tracking", "%s", s.Tracking.Text())
	b.WriteString("\n")
	row("source", "%s", s.Source.Text())
	row("target", "%s", s.Target.Text())
	b.WriteString("\n")
	if len(s.Blockers) > 0 {
		b.WriteString("blockers\n")
		writeBlockers(&b, s.Blockers)
	}
	if len(s.Warnings) > 0 {
		b.WriteString("warnings\n")
		writeBlockers(&b, s.Warnings)
	}
	if hint := s.Next(); hint != "" {
		row("next", "%s", hint)
	}
	_, err := io.WriteString(w, terminal.Clean(b.String())) // servers and clients have had a say in it
	return err
}

func backfillRows(row func(name, format string, args ...any), b status.BackfillStatus) {
	switch percent, known := b.Percent.Get(); {
	case known:
		row("backfill", "[%s] %5.1f %%  %s", terminal.Look{}.Bar(percent, 30), percent, b.State)
	default:
		row("backfill", "%s", b.State)
	}
	if b.State == status.Idle && b.KeysScanned == 0 {
		return
	}
	row("", "%s of %s keys scanned, %s copied, %s", text.Count(b.KeysScanned), b.KeysTotal.Text(text.Count[int64]),
		text.Count(b.KeysCopied), text.Bytes(b.BytesCopied))
	if b.KeysStaying > 0 {
		row("", "%s keys do not move", text.Count(b.KeysStaying))
	}
	if b.State == status.Running {
		row("", "%s keys/s, %s left", b.KeysPerS.Text(text.Count[float64]), b.EtaS.Text(status.Seconds))
	}
}
