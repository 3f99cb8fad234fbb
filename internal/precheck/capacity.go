package precheck

import (
	"context"
	"fmt"
	"time"
)

// Above the source's use, for growth while the migration runs and for what another version stores differently.
const sparePercent = 10

func targetMemory(_ context.Context, r *run, _ *side) finding {
	used, limit := r.source.info.UsedMemory, r.target.info.MaxMemory
	needed := used + used*sparePercent/100
	switch {
	case used == 0:
		return warning("compare the two servers' memory by hand", "the source does not tell how much it uses")
	case limit == 0:
		return success("the target has no limit; the source uses %s", bytes(used))
	case limit < needed:
		return warning(fmt.Sprintf("set maxmemory of the target to %s or more, or choose a larger one", bytes(needed)),
			"the target's limit is %s, the source uses %s", bytes(limit), bytes(used))
	}
	return success("the target's limit is %s, the source uses %s", bytes(limit), bytes(used))
}

func eviction(_ context.Context, _ *run, s *side) finding {
	policy, limit := s.info.MaxMemoryPolicy, s.info.MaxMemory
	switch {
	case policy == "":
		return warning("make sure that maxmemory-policy is noeviction", "the server does not tell its policy")
	case policy == "noeviction":
		return success("noeviction")
	case limit == 0:
		return success("%s, but without a maxmemory, so nothing is evicted", policy)
	}
	return warning("set maxmemory-policy to noeviction at least until the migration is finished, and watch its memory",
		"%s at %s", policy, bytes(limit))
}

// clocks compares the servers with each other; ours is only the ruler.
func clocks(_ context.Context, r *run, _ *side) finding {
	s, t := r.source.info, r.target.info
	offset := (t.ClockOffset - s.ClockOffset).Round(time.Microsecond)
	margin := (t.ClockError + s.ClockError).Round(time.Microsecond)
	found := fmt.Sprintf("the target's clock is %v ahead of the source's, give or take %v", offset, margin)
	if offset < 0 {
		found = fmt.Sprintf("the target's clock is %v behind the source's, give or take %v", -offset, margin)
	}
	if offset.Abs()-margin > r.MaxClockOffset {
		return warning("let both servers keep time by NTP; clock_correction (on by default) corrects expiries that clients "+
			"give as a duration, those given as a moment are never corrected", "%s", found)
	}
	return success("%s", found)
}

// bytes is a size for people: 1.5 GiB.
func bytes(n int64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	f, u := float64(n), 0
	for f >= 1024 && u < len(units)-1 {
		f /= 1024
		u++
	}
	if u == 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[u])
}
