package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"tandem/internal/demo/text"
	"tandem/internal/status"
)

// writeStatus writes a status for people: what matters first, and what to do next last.
func writeStatus(w io.Writer, s status.Status) error {
	var b strings.Builder
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s"+format+"\n", append([]any{name}, args...)...)
	}

	row("phase", "%s: %s", s.Phase, phaseMeaning(s))
	row("", "up %s, %s sessions", text.Duration(time.Duration(s.UptimeS)*time.Second), text.Count(s.Sessions))
	b.WriteString("\n")
	backfillRows(row, s.Backfill)
	row("lag", "%s, %s", orUnknown(s.LagMs, milliseconds), text.Bytes(s.LagBytes))
	row("", "%s dirty keys, %s unsettled writes", text.Count(s.DirtyKeys), text.Count(s.UnsettledWrites))
	row("effects", "%s forwarded, %s mismatched, %s dropped",
		text.Count(s.Effects.Forwarded), text.Count(s.Effects.Mismatched), text.Count(s.Effects.Dropped))
	row("copies", "%s done, %s raced, %s failed", text.Count(s.Copies.Done), text.Count(s.Copies.Races), text.Count(s.Copies.Failed))
	if d := s.Duplicates; d.Found > 0 {
		row("", "%s keys were on the target before: %s overwritten, %s skipped", text.Count(d.Found), text.Count(d.Overwritten), text.Count(d.Skipped))
	}
	row("verify", "%s", verifyText(s.Verify))
	row("cutover", "%s", cutoverText(s.Cutover))
	row("tracking", "%s", trackingText(s.Tracking))
	b.WriteString("\n")
	row("source", "%s", instanceText(s.Source))
	row("target", "%s", instanceText(s.Target))
	b.WriteString("\n")
	if len(s.Blockers) > 0 {
		b.WriteString("blockers\n")
		writeBlockers(&b, s.Blockers)
	}
	if hint := next(s.Phase, s.Backfill.State == status.Paused, s.ReadyToCutover); hint != "" {
		row("next", "%s", hint)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// phaseMeaning says who answers and what happens to the other.
func phaseMeaning(s status.Status) string {
	switch s.Phase {
	case status.Passthrough:
		return "the source answers, nothing is copied yet"
	case status.Backfill:
		return "the source answers, the target is being filled"
	case status.Synced:
		return "the source answers, the target is kept equal"
	case status.Reversed:
		return "the target answers, the source is kept equal"
	case status.Finished:
		return "the target alone is served"
	}
	return "the " + s.Primary + " answers"
}

func backfillRows(row func(name, format string, args ...any), b status.BackfillStatus) {
	switch percent, known := b.Percent.Get(); {
	case known:
		row("backfill", "%s %5.1f %%  %s", bar(percent, 30), percent, b.State)
	default:
		row("backfill", "%s", b.State)
	}
	if b.State == status.Idle && b.KeysScanned == 0 {
		return
	}
	row("", "%s of %s keys scanned, %s copied, %s", text.Count(b.KeysScanned), orUnknown(b.KeysTotal, text.Count[int64]),
		text.Count(b.KeysCopied), text.Bytes(b.BytesCopied))
	if b.State == status.Running {
		row("", "%s keys/s, %s left", orUnknown(b.KeysPerS, text.Count[float64]), orUnknown(b.EtaS, func(s int64) string {
			return text.Duration(time.Duration(s) * time.Second)
		}))
	}
}

func verifyText(v status.VerifyStatus) string {
	if v.State == status.Idle {
		return "never run"
	}
	t := fmt.Sprintf("%s: %s keys compared, %s different", v.State, text.Count(v.Compared), text.Count(v.Different))
	if at, known := v.FinishedAt.Get(); known && v.State != status.Running {
		t += ", finished " + clock(at)
	}
	return t
}

func cutoverText(c status.CutoverStatus) string {
	at, known := c.At.Get()
	if !known {
		return "never done"
	}
	return fmt.Sprintf("last at %s, clients waited %s", clock(at), orUnknown(c.LastPauseMs, milliseconds))
}

func trackingText(t status.TrackingStatus) string {
	if t.State == status.Idle {
		return "nobody watches for writes that bypass tandem"
	}
	return fmt.Sprintf("%s: %s writes bypassed tandem", t.State, orUnknown(t.ForeignWrites, text.Count[int64]))
}

func instanceText(i status.InstanceStatus) string {
	t := "connected"
	if !i.Connected {
		t = "not connected"
	}
	if i.Version != "" {
		t += ", version " + i.Version
	}
	if offset, known := i.ClockOffsetMs.Get(); known {
		t += fmt.Sprintf(", clock %+.1f ms", math.Round(offset*10)/10+0) // + 0 makes -0 a 0
	}
	return t
}

// orUnknown writes a number that may be unknown.
func orUnknown[T int64 | float64](o status.Optional[T], write func(T) string) string {
	if v, known := o.Get(); known {
		return write(v)
	}
	return "unknown"
}

func milliseconds(ms float64) string {
	return text.Duration(time.Duration(ms * float64(time.Millisecond)))
}

// clock is a point of Unix ms as a local time.
func clock(ms int64) string { return time.UnixMilli(ms).Format(time.DateTime) }
