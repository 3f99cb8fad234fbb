package ledger

import "time"

// EdgeSuspect decides whether an effect may have met a key that was expired on one side and not yet on the
// other. ttl is what PTTL answered in the effect's own block on the secondary: -2 for a missing key, -1 for
// one that does not expire, else milliseconds left. lag is the time since the write was sent to the
// primary, and skew how far the two clocks may be apart: with more than both left, the primary cannot have
// seen the key as expired when it executed the write.
func EdgeSuspect(ttl int64, lag, skew time.Duration) bool {
	switch {
	case ttl == -1:
		return false
	case ttl < 0:
		return true
	}
	return ttl <= (lag + skew + time.Millisecond - 1).Milliseconds()
}
