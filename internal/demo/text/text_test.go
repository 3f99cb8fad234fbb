package text

import (
	"testing"
	"time"
)

func TestCount(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 999: "999", 1000: "1,000", 999.6: "1,000", 1234567.4: "1,234,567", -1000: "-1,000", -999: "-999",
	} {
		if got := Count(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
	if got := Count(int64(20_000)); got != "20,000" {
		t.Errorf("an int64: %q", got)
	}
}

func TestBytes(t *testing.T) {
	for v, want := range map[int64]string{
		0: "0 B", 812: "812 B", 1536: "1.50 KiB", 16 << 20: "16.0 MiB", 123 << 30: "123 GiB", 1 << 62: "4096 PiB",
	} {
		if got := Bytes(v); got != want {
			t.Errorf("%d: %q, want %q", v, got, want)
		}
	}
}

func TestDuration(t *testing.T) {
	for v, want := range map[time.Duration]string{
		350 * time.Microsecond: "0.35 ms", 12400 * time.Microsecond: "12.4 ms", 340 * time.Millisecond: "340 ms",
		2900 * time.Millisecond: "2.9 s", 200 * time.Second: "3 min 20 s", 0: "0.00 ms",
		119 * time.Minute: "119 min 0 s", 125 * time.Minute: "2 h 5 min", 51 * time.Hour: "2 d 3 h",
	} {
		if got := Duration(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
}
