package precheck

import (
	"fmt"
	"time"
)

// Pace is how fast the backfill may copy.
type Pace struct {
	// KeysPerS and BytesPerS are the most keys, and bytes of values, that are copied per second; 0 is no limit.
	KeysPerS  int
	BytesPerS int64
	// Window says whether it may run at a time, how fast in that window besides, and when that changes; zero: never. Nil: it
	// always may.
	Window func(at time.Time) (open bool, keysPerS int, bytesPerS int64, until time.Time)
}

// furthest is how far ahead windows are looked at: what is not done then takes longer than anybody plans for.
const furthest = 10 * 366 * 24 * time.Hour

// lasts is how long a number of keys of that size takes from a time on, where it takes so long without a limit. bound names
// what makes it longer; empty: nothing. It is furthest where it takes that long or longer.
func (p Pace) lasts(keys, size int64, unlimited time.Duration, from time.Time) (took time.Duration, bound string) {
	at, left := from, 1.0 // of all
	for at.Sub(from) < furthest {
		keysPerS, bytesPerS := int64(p.KeysPerS), p.BytesPerS
		open, until := true, time.Time{}
		if p.Window != nil {
			var theirs int
			var ofBytes int64
			if open, theirs, ofBytes, until = p.Window(at); !open {
				if bound = "backfill.windows"; until.IsZero() {
					break
				}
				at = until
				continue
			}
			keysPerS, bytesPerS = lower(keysPerS, int64(theirs)), lower(bytesPerS, ofBytes)
		}
		all := unlimited
		if byKeys := spread(keys, keysPerS); byKeys > all {
			if all = byKeys; bound == "" {
				bound = fmt.Sprintf("at most %d keys per second", keysPerS)
			}
		}
		if byBytes := spread(size, bytesPerS); byBytes > all {
			if all = byBytes; bound != "backfill.windows" {
				bound = fmt.Sprintf("at most %s per second", bytes(bytesPerS))
			}
		}
		rest := time.Duration(left * float64(all))
		if until.IsZero() || !at.Add(rest).After(until) {
			return min(at.Add(rest).Sub(from), furthest), bound
		}
		left -= until.Sub(at).Seconds() / all.Seconds()
		at = until
	}
	return furthest, bound
}

// lower is the lower of two limits, of which 0 is none.
func lower(a, b int64) int64 {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// spread is how long so many take at so many per second; 0 without a limit.
func spread(n, perS int64) time.Duration {
	if perS == 0 {
		return 0
	}
	return time.Duration(min(float64(n)/float64(perS), furthest.Seconds()) * float64(time.Second))
}
