// Package schedule says when something may run: in windows of the day, by the clock of a place.
//
// A window belongs to the day on which it begins, and may go on over midnight. Where the clock is changed, what it shows
// twice counts the first time, and what it leaves out is the moment at which it is changed; so a window may be an hour
// longer or shorter then.
package schedule

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Window is a span of the day. The zero value of To is the end of the day.
type Window struct {
	// Days on which it begins, Sunday being 0; none is every day.
	Days []time.Weekday
	// From and To are minutes since midnight. A To that is not later than From is of the next day.
	From, To int
}

// Schedule is the windows in which something may run. Without any it always may.
type Schedule struct {
	Zone    *time.Location
	Windows []Window
}

// day is how many minutes there are in one.
const day = 24 * 60

// ParseClock reads a time of the day such as 22:00, as minutes since midnight; 24:00 is the end of the day.
func ParseClock(text string) (int, error) {
	if text == "24:00" {
		return day, nil
	}
	at, err := time.Parse("15:04", text)
	if err != nil || len(text) != len("15:04") {
		return 0, errors.New("is not a time of the day")
	}
	return at.Hour()*60 + at.Minute(), nil
}

// ParseDay reads the English name of a day of the week, or its first three letters.
func ParseDay(text string) (time.Weekday, error) {
	for d := time.Sunday; d <= time.Saturday; d++ {
		name := strings.ToLower(d.String())
		if t := strings.ToLower(text); t == name || t == name[:3] {
			return d, nil
		}
	}
	return 0, fmt.Errorf("%q is not a day of the week", text)
}

// daysAhead is how many days are looked at for the next change: a week, and the windows that begin today and yesterday.
const daysAhead = 9

// At returns the first of the windows in which a moment is, -1 if it is in none, and when that changes next; zero: never.
// Without windows it is in window 0 for ever.
func (s Schedule) At(now time.Time) (window int, until time.Time) {
	if len(s.Windows) == 0 {
		return 0, time.Time{}
	}
	window = s.in(now)
	for _, at := range s.changes(now) {
		if s.in(at) != window {
			return window, at
		}
	}
	return window, time.Time{}
}

// in is the first window that a moment is in, -1 if it is in none.
func (s Schedule) in(now time.Time) int {
	for i, w := range s.Windows {
		for back := range 2 {
			from, to, ok := s.span(w, now, -back)
			if ok && !now.Before(from) && now.Before(to) {
				return i
			}
		}
	}
	return -1
}

// changes are the moments behind now at which a window begins or ends, in their order.
func (s Schedule) changes(now time.Time) (list []time.Time) {
	for _, w := range s.Windows {
		for ahead := -1; ahead < daysAhead; ahead++ {
			from, to, ok := s.span(w, now, ahead)
			for _, at := range []time.Time{from, to} {
				if ok && at.After(now) {
					list = append(list, at)
				}
			}
		}
	}
	slices.SortFunc(list, time.Time.Compare)
	return list
}

// span is a window on the day that many days ahead of now's, if there is one.
func (s Schedule) span(w Window, now time.Time, ahead int) (from, to time.Time, ok bool) {
	year, month, date := now.In(s.Zone).Date()
	weekday := time.Date(year, month, date+ahead, 12, 0, 0, 0, time.UTC).Weekday()
	ok = len(w.Days) == 0
	for _, d := range w.Days {
		ok = ok || d == weekday
	}
	end := w.To
	if end == 0 {
		end = day
	}
	if end <= w.From {
		end += day
	}
	return s.clock(year, month, date+ahead, w.From), s.clock(year, month, date+ahead, end), ok
}

// clock is the moment at which the clock of the place shows that many minutes after the midnight that a date begins with.
func (s Schedule) clock(year int, month time.Month, date, minutes int) time.Time {
	date, minutes = date+minutes/day, minutes%day
	at := time.Date(year, month, date, minutes/60, minutes%60, 0, 0, s.Zone)
	begins, ends := at.ZoneBounds()
	switch shown := at.Hour()*60 + at.Minute(); {
	case shown == minutes:
		if begins.IsZero() {
			return at
		}
		// Was it shown before the clock was put back, too?
		_, before := begins.Add(-time.Second).Zone()
		_, now := at.Zone()
		if earlier := at.Add(-time.Duration(before-now) * time.Second); before > now && earlier.Before(begins) {
			return earlier
		}
		return at
	case shown < minutes && at.Day() == dayOf(year, month, date):
		return ends
	default:
		return begins
	}
}

// dayOf normalizes a day of the month.
func dayOf(year int, month time.Month, date int) int {
	return time.Date(year, month, date, 12, 0, 0, 0, time.UTC).Day()
}
