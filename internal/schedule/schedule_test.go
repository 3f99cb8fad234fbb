package schedule

import (
	"testing"
	"time"
	_ "time/tzdata"
)

func in(t *testing.T, zone, text string) time.Time {
	t.Helper()
	z, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{"2006-01-02 15:04", time.RFC3339} {
		if at, err := time.ParseInLocation(form, text, z); err == nil {
			return at
		}
	}
	t.Fatalf("no time: %s", text)
	return time.Time{}
}

func clock(t *testing.T, text string) int {
	t.Helper()
	n, err := ParseClock(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return n
}

func TestWindowsOfTheDay(t *testing.T) {
	night := []Window{{From: clock(t, "22:00"), To: clock(t, "06:00")}}
	weekend := []Window{{Days: []time.Weekday{time.Saturday, time.Sunday}, From: 0, To: clock(t, "24:00")}}
	both := append(append([]Window{}, weekend...), night...)
	friday := []Window{{Days: []time.Weekday{time.Friday}, From: clock(t, "22:00"), To: clock(t, "06:00")}}
	for _, c := range []struct {
		name, zone string
		windows    []Window
		now        string
		window     int
		until      string // empty: never
	}{
		{"none is always", "UTC", nil, "2026-03-04 12:00", 0, ""},
		{"before", "UTC", night, "2026-03-04 21:59", -1, "2026-03-04 22:00"},
		{"at the beginning", "UTC", night, "2026-03-04 22:00", 0, "2026-03-05 06:00"},
		{"after midnight", "UTC", night, "2026-03-05 05:59", 0, "2026-03-05 06:00"},
		{"at the end", "UTC", night, "2026-03-05 06:00", -1, "2026-03-05 22:00"},
		{"days: two that adjoin are one", "UTC", weekend, "2026-03-07 10:00", 0, "2026-03-09 00:00"},
		{"days: before", "UTC", weekend, "2026-03-04 10:00", -1, "2026-03-07 00:00"},
		{"the first counts where two overlap", "UTC", both, "2026-03-06 23:00", 1, "2026-03-07 00:00"},
		{"it belongs to the day on which it begins", "UTC", friday, "2026-03-07 05:00", 0, "2026-03-07 06:00"},
		{"... and not to the one on which it ends", "UTC", friday, "2026-03-06 05:00", -1, "2026-03-06 22:00"},
		{"from its end to the next week", "UTC", friday, "2026-03-07 06:00", -1, "2026-03-13 22:00"},
		{"in another place", "Asia/Tokyo", night, "2026-03-04T13:30:00Z", 0, "2026-03-04T21:00:00Z"},
		{"the day that is an hour short", "Europe/Berlin", night, "2026-03-29 01:00", 0, "2026-03-29T04:00:00Z"},
		{"the day that is an hour long", "Europe/Berlin", night, "2026-10-25 01:00", 0, "2026-10-25T05:00:00Z"},
		{"the whole of a day that is an hour long", "Europe/Berlin", weekend, "2026-10-24 12:00", 0, "2026-10-25T23:00:00Z"},
		{"a beginning that the clock leaves out", "Europe/Berlin", []Window{{From: clock(t, "02:30"), To: clock(t, "05:00")}},
			"2026-03-29 01:00", -1, "2026-03-29T01:00:00Z"},
		{"an end that the clock leaves out", "America/New_York", []Window{{From: clock(t, "00:30"), To: clock(t, "02:30")}},
			"2026-03-08 01:00", 0, "2026-03-08T07:00:00Z"},
		{"a beginning that the clock shows twice", "Europe/Berlin", []Window{{From: clock(t, "02:30"), To: clock(t, "05:00")}},
			"2026-10-25 01:00", -1, "2026-10-25T00:30:00Z"},
		{"an end that the clock shows twice", "Europe/Berlin", []Window{{From: clock(t, "00:30"), To: clock(t, "02:30")}},
			"2026-10-25 01:00", 0, "2026-10-25T00:30:00Z"},
		{"at midnight the clock leaves out", "Africa/Cairo", []Window{{From: clock(t, "00:00"), To: clock(t, "03:00")}},
			"2026-04-23 20:00", -1, "2026-04-23T22:00:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			z, err := time.LoadLocation(c.zone)
			if err != nil {
				t.Fatal(err)
			}
			now := in(t, c.zone, c.now)
			window, until := Schedule{Zone: z, Windows: c.windows}.At(now)
			if window != c.window {
				t.Errorf("in window %d, want %d", window, c.window)
			}
			if c.until == "" && !until.IsZero() || c.until != "" && !until.Equal(in(t, c.zone, c.until)) {
				t.Errorf("until %v, want %s", until.In(z), c.until)
			}
		})
	}
}

// Whatever the day and the place, a change is a moment at which something changes, and nothing changes before it.
func TestChangesAreTrue(t *testing.T) {
	for _, zone := range []string{"Europe/Berlin", "Australia/Lord_Howe"} {
		z, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		s := Schedule{Zone: z, Windows: []Window{
			{From: clock(t, "02:15"), To: clock(t, "02:45")},
			{From: clock(t, "23:30"), To: clock(t, "00:30"), Days: []time.Weekday{time.Saturday}},
		}}
		at := time.Date(2026, 1, 1, 0, 0, 0, 0, z)
		for end := at.AddDate(1, 0, 0); at.Before(end); {
			window, until := s.At(at)
			if !until.After(at) {
				t.Fatalf("%s: %v: the next change is at %v", zone, at, until)
			}
			for _, before := range []time.Time{at.Add(until.Sub(at) / 2), until.Add(-time.Second)} {
				if w, _ := s.At(before); w != window {
					t.Fatalf("%s: at %v in window %d until %v, but at %v in %d", zone, at, window, until, before, w)
				}
			}
			if w, _ := s.At(until); w == window {
				t.Fatalf("%s: at %v nothing changes", zone, until)
			}
			at = until
		}
	}
}

func TestClocksAndDays(t *testing.T) {
	for text, want := range map[string]int{"00:00": 0, "06:30": 390, "23:59": 1439, "24:00": 1440} {
		if n, err := ParseClock(text); err != nil || n != want {
			t.Errorf("%s: %d, %v", text, n, err)
		}
	}
	for _, text := range []string{"", "6:30", "24:01", "25:00", "12:60", "12", "noon", "12:00:00", "-1:00"} {
		if n, err := ParseClock(text); err == nil {
			t.Errorf("%q is read as %d", text, n)
		}
	}
	for text, want := range map[string]time.Weekday{"mon": time.Monday, "Sunday": time.Sunday, "SAT": time.Saturday} {
		if d, err := ParseDay(text); err != nil || d != want {
			t.Errorf("%s: %v, %v", text, d, err)
		}
	}
	for _, text := range []string{"", "m", "mo", "mond", "1", "daily"} {
		if d, err := ParseDay(text); err == nil {
			t.Errorf("%q is read as %v", text, d)
		}
	}
}
