// Package text writes numbers for people: counts with their digits grouped, sizes and durations in the unit
// that fits. It is for terminals and reports; what programs read is written plainly elsewhere.
package text

import (
	"fmt"
	"math"
	"time"
)

// Count writes a count or a rate rounded to a whole number, its digits grouped: 1234567 is "1,234,567".
func Count[T int | int64 | float64](v T) string {
	digits := fmt.Sprintf("%.0f", math.Round(float64(v)))
	start := 0
	if digits[0] == '-' {
		start = 1
	}
	for i := len(digits) - 3; i > start; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// Bytes writes a size in binary units with three digits that matter: "812 B", "1.50 MiB", "23.4 GiB".
func Bytes(n int64) string {
	size, units := float64(n), []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	unit := 0
	for size >= 1024 && unit < len(units)-1 {
		size, unit = size/1024, unit+1
	}
	switch {
	case unit == 0:
		return fmt.Sprintf("%d B", n)
	case size < 10:
		return fmt.Sprintf("%.2f %s", size, units[unit])
	case size < 100:
		return fmt.Sprintf("%.1f %s", size, units[unit])
	}
	return fmt.Sprintf("%.0f %s", size, units[unit])
}

// Duration writes a duration in ms below a second, in s below two minutes, in minutes and seconds below two hours, then in
// hours and minutes, and from two days on in days and hours: "0.35 ms", "12.4 ms", "340 ms", "2.9 s", "3 min 20 s".
func Duration(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms < 10:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 100:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0f ms", ms)
	case d < 2*time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	d = d.Round(time.Second)
	hours := int(d.Hours())
	switch {
	case hours >= 48:
		return fmt.Sprintf("%d d %d h", hours/24, hours%24)
	case hours >= 2:
		return fmt.Sprintf("%d h %d min", hours, int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
}
