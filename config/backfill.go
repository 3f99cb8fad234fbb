package config

import (
	"fmt"
	"time"
	_ "time/tzdata" // machines without one of their own know the places of backfill.time_zone, too

	"tandem/internal/schedule"
)

// minBytesPerS keeps a limit from being so low that a piece of a large value takes minutes.
const minBytesPerS = 64 << 10

// Schedule is the windows of the day. The configuration has been checked.
func (b Backfill) Schedule() (schedule.Schedule, error) {
	zone, err := time.LoadLocation(b.TimeZone)
	if err != nil || b.TimeZone == "" {
		return schedule.Schedule{}, fmt.Errorf("backfill.time_zone: %q is not the name of a place", b.TimeZone)
	}
	s := schedule.Schedule{Zone: zone}
	for _, w := range b.Windows {
		span, wrong, do := w.span()
		if wrong != "" {
			return schedule.Schedule{}, fmt.Errorf("backfill.windows: an element %s: %s", wrong, do)
		}
		s.Windows = append(s.Windows, span)
	}
	return s, nil
}

// span reads a window. wrong says what cannot be read, as the rest of a sentence about it.
func (w Window) span() (s schedule.Window, wrong, do string) {
	var err error
	if s.From, err = schedule.ParseClock(w.From); err != nil || w.From == "24:00" {
		return s, fmt.Sprintf("with from %q, which is not a time of the day", w.From), "write it as 22:00"
	}
	if s.To, err = schedule.ParseClock(w.To); err != nil {
		return s, fmt.Sprintf("with to %q, which is not a time of the day", w.To), "write it as 06:00, the end of the day as 24:00"
	}
	for _, name := range w.Days {
		d, err := schedule.ParseDay(name)
		if err != nil {
			return s, fmt.Sprintf("with %q in days, which is no day of the week", name), "write mon, tue, wed, thu, fri, sat, sun"
		}
		s.Days = append(s.Days, d)
	}
	return s, "", ""
}

// backfill checks how fast may be copied, and when.
func (v *validator) backfill() {
	b := v.config.Backfill
	v.bytesPerS("backfill.max_bytes_per_s", b.MaxBytesPerS)
	if _, err := time.LoadLocation(b.TimeZone); err != nil || b.TimeZone == "" {
		v.add(Problem{Key: "backfill.time_zone", Value: b.TimeZone, Wrong: "is not the name of a place", Do: "write one such as UTC, Europe/Berlin or Local"})
	}
	const key = "backfill.windows"
	for i, w := range b.Windows {
		if _, wrong, do := w.span(); wrong != "" {
			v.add(Problem{Key: key, Wrong: fmt.Sprintf("has an element %d %s", i+1, wrong), Do: do})
		}
		v.bytesPerS(fmt.Sprintf("%s[%d].max_bytes_per_s", key, i+1), w.MaxBytesPerS)
	}
	v.objects(key)
}

func (v *validator) bytesPerS(key string, n Bytes) {
	if n > 0 && n < minBytesPerS {
		v.add(Problem{Key: key, Value: n.String(), Wrong: "is too small", Do: "set at least 64KiB, or 0 for no limit"})
	}
}

// Check returns what is wrong with the settings of a backfill, nil if nothing is: an *Error with all of it.
func (b Backfill) Check() error {
	c := Default()
	c.Backfill = b
	v := &validator{config: c}
	for _, s := range settings(c) {
		if len(s.groups()) > 0 && s.groups()[0] == "backfill" {
			v.value(s)
		}
	}
	v.backfill()
	if len(v.problems) > 0 {
		return &Error{Problems: v.problems}
	}
	return nil
}
