package status

import (
	"fmt"
	"math"
	"strings"
	"time"

	"tandem/internal/demo/text"
)

// What a status says, in words for people: `tandem status`, with --watch and without, says the same.

// Unknown is written for a number that is not known.
const Unknown = "unknown"

// Text writes a number, or that it is unknown.
func (o Optional[T]) Text(write func(T) string) string {
	if o.known {
		return write(o.value)
	}
	return Unknown
}

// Milliseconds writes a duration that is given in ms.
func Milliseconds(ms float64) string {
	return text.Duration(time.Duration(ms * float64(time.Millisecond)))
}

// Seconds writes a duration that is given in whole seconds.
func Seconds(s int64) string { return text.Duration(time.Duration(s) * time.Second) }

// Clock writes a point of Unix ms as a local time.
func Clock(ms int64) string { return time.UnixMilli(ms).Format(time.DateTime) }

// Meaning says who answers and what happens to the other.
func (s Status) Meaning() string {
	switch s.Phase {
	case Passthrough:
		return "the source answers, nothing is copied yet"
	case Backfill:
		return "the source answers, the target is being filled"
	case Synced:
		return "the source answers, the target is kept equal"
	case TwoWay:
		return "source and target answer clients of their own, and each is kept equal to the other"
	case Reversed:
		return "the target answers, the source is kept equal"
	case Finished:
		return "the target alone is served"
	}
	return "the " + s.Primary + " answers"
}

// Next says what a user does next.
func (s Status) Next() string {
	if s.Phase == Backfill && s.Throttle.Window == WindowClosed {
		return "wait for the next window of the day, or tandem throttle --windows off"
	}
	return NextIn(s.Phase, s.Backfill.State == Paused, s.ReadyToCutover)
}

// NextIn says what a user does next in a phase. Ready means that nothing is known to block a cutover.
func NextIn(phase string, paused, ready bool) string {
	switch {
	case phase == Passthrough:
		return "tandem start"
	case phase == Backfill && paused:
		return "tandem resume"
	case phase == Backfill:
		return "wait for the phase synced: tandem status --watch"
	case phase == Synced && ready:
		return "tandem verify, then tandem cutover"
	case phase == Synced:
		return "remove what blocks the cutover"
	case phase == TwoWay:
		return "remove listen_target and restart, to let all clients be the source's again"
	case phase == Reversed:
		return "tandem verify; then tandem finish, or tandem rollback to go back"
	case phase == Finished:
		return "point the application at the target itself, then end tandem"
	}
	return ""
}

// Text says what became of the target's keys, and where they are listed.
func (d DuplicatesStatus) Text() string {
	line := fmt.Sprintf("%s keys were on the target before: %s overwritten, %s skipped", text.Count(d.Found), text.Count(d.Overwritten), text.Count(d.Skipped))
	if d.Removed > 0 {
		line += ", " + text.Count(d.Removed) + " removed"
	}
	if d.Kept > 0 {
		line += "; " + text.Count(d.Kept) + " still kept"
	}
	if d.List != "" {
		line += "; listed in " + d.List
	}
	return line
}

// Text says what slows copying down, empty if nothing does.
func (t ThrottleStatus) Text() string {
	var parts []string
	if _, limited := t.KeysPerS.Get(); limited {
		parts = append(parts, t.KeysText())
	}
	if _, limited := t.BytesPerS.Get(); limited {
		parts = append(parts, t.BytesText())
	}
	if window := t.WindowText(); window != "" {
		parts = append(parts, window)
	}
	if t.Governor == Running {
		parts = append(parts, t.GovernorText())
	}
	return strings.Join(parts, "; ")
}

// KeysText says how many keys may be copied.
func (t ThrottleStatus) KeysText() string {
	if n, limited := t.KeysPerS.Get(); limited {
		return "at most " + text.Count(n) + " keys/s"
	}
	return "any number of keys"
}

// BytesText says how much of values may be copied.
func (t ThrottleStatus) BytesText() string {
	if n, limited := t.BytesPerS.Get(); limited {
		return "at most " + text.Bytes(n) + " per second"
	}
	return "any number of bytes"
}

// GovernorText says what the governor does, empty if it is off.
func (t ThrottleStatus) GovernorText() string {
	switch t.Governor {
	case Idle:
		return "the governor has nothing to slow down"
	case Running:
		return fmt.Sprintf("the governor allows %s keys/s: 99 %% of the clients' commands take at most %s, usual is %s",
			t.GovernorKeysPerS.Text(text.Count[int64]), t.LatencyMs.Text(Milliseconds), t.UsualLatencyMs.Text(Milliseconds))
	}
	return ""
}

// WindowText says how it stands with the windows of the day, empty if there are none.
func (t ThrottleStatus) WindowText() string {
	at := "for good"
	if ms, known := t.WindowUntil.Get(); known {
		at = "until " + time.UnixMilli(ms).Format("Mon 15:04")
	}
	switch t.Window {
	case WindowOpen:
		return "in a window of the day, " + at
	case WindowClosed:
		return "outside of the windows of the day, " + at + ": no sweep runs"
	case WindowsIgnored:
		return "whatever the windows of the day"
	}
	return ""
}

// Text says what was compared and found.
func (v VerifyStatus) Text() string {
	if v.State == Idle {
		return "none since tandem has started"
	}
	t := fmt.Sprintf("%s: %s keys compared, %s different", v.State, text.Count(v.Compared), text.Count(v.Different))
	if v.Kept > 0 {
		t += fmt.Sprintf(", %s kept keys left out", text.Count(v.Kept))
	}
	if v.Staying > 0 {
		t += fmt.Sprintf(", %s that do not move left out", text.Count(v.Staying))
	}
	if at, known := v.FinishedAt.Get(); known && v.State != Running {
		t += ", finished " + Clock(at)
	}
	return t
}

// Text is about the last cutover.
func (c CutoverStatus) Text() string {
	at, known := c.At.Get()
	if !known {
		return "none since tandem has started"
	}
	return fmt.Sprintf("last at %s, clients waited %s", Clock(at), c.LastPauseMs.Text(Milliseconds))
}

// PlanText is about a cutover that comes by itself, empty if there is none.
func (c CutoverStatus) PlanText() string {
	problem := ""
	if c.PlannedProblem != "" {
		problem = "; " + c.PlannedProblem
	}
	at, known := c.PlannedAt.Get()
	switch {
	case known:
		return fmt.Sprintf("planned for %s, until %s%s", Clock(at), c.PlannedUntil.Text(Clock), problem)
	case problem != "":
		return "planned" + problem
	}
	return ""
}

// Text says who goes past Tandem.
func (t TrackingStatus) Text() string {
	var what string
	switch t.State {
	case Idle:
		what = "nobody is seen to write past tandem"
	case Failed:
		what = "failed: the server does not report what others change"
	default:
		what = fmt.Sprintf("%s: %s writes bypassed tandem", t.State, t.ForeignWrites.Text(text.Count[int64]))
	}
	if t.Writers+t.Readers > 0 {
		what += fmt.Sprintf("; %s connections past it write, %s read", text.Count(t.Writers), text.Count(t.Readers))
	}
	return what
}

// Text says how a server was last seen.
func (i InstanceStatus) Text() string {
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
