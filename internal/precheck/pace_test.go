package precheck

import (
	"testing"
	"time"
)

// A backfill lasts as long as its limits, and the windows of the day, have it last.
func TestPace(t *testing.T) {
	from := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	// atNight is open from 22:00 to 06:00.
	atNight := func(keysPerS int, bytesPerS int64) func(time.Time) (bool, int, int64, time.Time) {
		return func(at time.Time) (bool, int, int64, time.Time) {
			day := at.Truncate(24 * time.Hour)
			switch h := at.Hour(); {
			case h < 6:
				return true, keysPerS, bytesPerS, day.Add(6 * time.Hour)
			case h >= 22:
				return true, keysPerS, bytesPerS, day.Add(30 * time.Hour)
			}
			return false, 0, 0, day.Add(22 * time.Hour)
		}
	}
	never := func(time.Time) (bool, int, int64, time.Time) { return false, 0, 0, time.Time{} }
	always := func(time.Time) (bool, int, int64, time.Time) { return true, 50, 0, time.Time{} }
	const keys, size = 36_000, 36_000 << 10
	for name, c := range map[string]struct {
		pace  Pace
		took  time.Duration
		bound string
	}{
		"no limit":               {Pace{}, time.Minute, ""},
		"a limit that is none":   {Pace{KeysPerS: 100_000, BytesPerS: 1 << 40}, time.Minute, ""},
		"keys":                   {Pace{KeysPerS: 10, BytesPerS: 1 << 20}, time.Hour, "at most 10 keys per second"},
		"bytes":                  {Pace{KeysPerS: 100, BytesPerS: 5 << 10}, 2 * time.Hour, "at most 5.0 KiB per second"},
		"it waits for the night": {Pace{Window: atNight(0, 0)}, 10*time.Hour + time.Minute, "backfill.windows"},
		"two nights":             {Pace{KeysPerS: 1, Window: atNight(0, 0)}, 10*time.Hour + 24*time.Hour + 2*time.Hour, "backfill.windows"},
		"slower at night":        {Pace{KeysPerS: 10, Window: atNight(5, 0)}, 12 * time.Hour, "backfill.windows"},
		"bytes at night":         {Pace{Window: atNight(0, 5<<10)}, 12 * time.Hour, "backfill.windows"},
		"one window for ever":    {Pace{Window: always}, 12 * time.Minute, "at most 50 keys per second"},
		"never":                  {Pace{Window: never}, furthest, "backfill.windows"},
		"one byte in a second":   {Pace{BytesPerS: 1, Window: atNight(0, 0)}, 3 * 427 * 24 * time.Hour, "backfill.windows"},
	} {
		took, bound := c.pace.lasts(keys, size, time.Minute, from)
		if name == "one byte in a second" { // 8 of 24 hours
			if took < c.took-5*24*time.Hour || took > c.took+5*24*time.Hour {
				t.Errorf("%s: %v", name, took)
			}
		} else if d := took - c.took; d.Abs() > time.Millisecond || bound != c.bound {
			t.Errorf("%s: %v, %q; want %v, %q", name, took, bound, c.took, c.bound)
		}
	}
	if text := readDuration(furthest); text != "more than ten years" {
		t.Error(text)
	}
	if text := readDuration(61 * time.Hour); text != "3 days" {
		t.Error(text)
	}
}
