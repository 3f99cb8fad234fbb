package report

import (
	"fmt"
	"strings"
	"time"

	"tandem/internal/demo/text"
	"tandem/internal/status"
)

// lasting writes a duration in ms for people, in days where it is long.
func lasting(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	switch minutes := int64(d.Minutes()); {
	case d < 2*time.Hour:
		return text.Duration(d)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", minutes/60, minutes%60)
	default:
		return fmt.Sprintf("%d d %d h", minutes/1440, minutes/60%24)
	}
}

// pause writes a pause in ms, which may be of microseconds.
func pause(ms float64) string { return text.Duration(time.Duration(ms * float64(time.Millisecond))) }

// optional writes a number that may be unknown.
func optional[T int64 | float64](o status.Optional[T], write func(T) string) string {
	v, known := o.Get()
	if !known {
		return "unknown"
	}
	return write(v)
}

// optionalMoment writes a point in time that may not have come.
func optionalMoment(o status.Optional[int64]) string {
	at, known := o.Get()
	if !known {
		return "not yet"
	}
	return moment(at)
}

// perSecond writes a rate over a duration in ms.
func perSecond(n, ms int64) string {
	if ms < 1000 {
		return "-"
	}
	return text.Count(float64(n)/float64(ms)*1000) + "/s"
}

// headline is the report's first sentence.
func (r Report) headline() string {
	switch r.Verdict.Result {
	case Equal:
		return "Both servers were compared and are equal."
	case Different:
		return "The servers differ."
	case Unverified:
		return "The servers have not been compared as they are now."
	}
	return "The migration is not done."
}

// downtime says what clients felt.
func (r Report) downtime() string {
	steps := 0
	for _, s := range r.Steps {
		if _, paused := s.PauseMs.Get(); paused {
			steps++
		}
	}
	if steps == 0 {
		return "Clients were never held."
	}
	return fmt.Sprintf("Clients' commands were held %s, for %s at the longest; none was refused for it.", times(steps),
		optional(r.LongestPauseMs, pause))
}

// survived says what went wrong.
func (r Report) survived() string {
	n := 0
	for _, f := range r.Faults {
		n += f.Times
	}
	parts := []string{}
	if n > 0 {
		parts = append(parts, plural(n, "fault"))
	}
	if c := r.Processes.Crashes; c > 0 {
		parts = append(parts, plural(c, "crash")+" of Tandem")
	}
	if len(parts) == 0 {
		return "Nothing went wrong."
	}
	return strings.Join(parts, " and ") + ", listed below."
}

// decided says what was done with keys that were on the target before.
func (r Report) decided() string {
	d := r.Duplicates
	if d.Found == 0 {
		return "no keys were on the target before"
	}
	said := fmt.Sprintf("%s keys were on the target before, %s of them there alone: %s overwritten, %s kept, %s removed; %s were decided by "+
		"which was used last", text.Count(d.Found), text.Count(d.TargetOnly), text.Count(d.Overwritten), text.Count(d.Skipped),
		text.Count(d.Removed), text.Count(d.ByAge))
	if d.Kept > 0 {
		said += fmt.Sprintf("; %s are kept still", text.Count(d.Kept))
	}
	if d.List != "" {
		said += "; " + d.List + " names them"
	}
	return said
}

// plural writes a count of what.
func plural(n int, what string) string {
	switch {
	case n == 1:
	case strings.HasSuffix(what, "sh"):
		what += "es"
	default:
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

// repaired says what was found to differ, and copied again.
func (r Report) repaired() string {
	t := r.Total
	return fmt.Sprintf("%s keys repaired, %s effects mismatched and %s dropped, whose keys were copied", text.Count(t.KeysRepaired),
		text.Count(t.EffectsMismatched), text.Count(t.EffectsDropped))
}
