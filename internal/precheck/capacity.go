package precheck

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// Above the source's use, for growth while the migration runs and for what another version stores differently.
const sparePercent = 10

// spareBuffers is what a limit that is named leaves besides, for what the buffers of connections take, bytes: else the
// next check, which sees others, might find it too low.
const spareBuffers = 16 << 20

func targetMemory(ctx context.Context, r *run, _ *side) finding {
	machine := int64(0)
	if r.target.conn != nil {
		text, err := r.target.infoField(ctx, "total_system_memory")
		if err != nil {
			return broken(err)
		}
		machine, _ = strconv.ParseInt(text, 10, 64) // 0 when it does not tell
	}
	return r.judgeMemory(machine)
}

// judgeMemory compares the source's use with the target's limit, and without one with the memory of its machine.
func (r *run) judgeMemory(machine int64) finding {
	used, limit := r.source.info.UsedMemory, r.target.info.MaxMemory
	needed := used + used*sparePercent/100
	switch {
	case used > 0 && limit == 0 && machine > 0 && machine < needed:
		return warning("choose a target with more memory", "the target has no limit, but its machine only %s; the source uses %s",
			bytes(machine), bytes(used))
	case used == 0:
		return warning("compare the two servers' memory by hand", "the source does not tell how much it uses")
	case limit == 0:
		return success("the target has no limit; the source uses %s", bytes(used))
	case limit < needed:
		return warning(fmt.Sprintf("on the target: CONFIG SET maxmemory %dmb or more, and in its configuration file; or choose a larger one", (needed+needed*sparePercent/100+spareBuffers)>>20),
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
	return warning("CONFIG SET maxmemory-policy noeviction, and in its configuration file, at least until the migration is finished; and watch its memory",
		"%s at %s", policy, bytes(limit))
}

// steadyWithin is by how much a clock may have moved between two looks, besides what cannot be measured.
const steadyWithin = 10 * time.Millisecond

// clocks looks at both clocks once more: one that moves against ours is being set, or runs on a machine that stands still
// at times.
func clocks(ctx context.Context, r *run, _ *side) finding {
	for _, s := range []*side{r.source, r.target} {
		offset, margin, err := s.Clock(ctx)
		if err != nil {
			return broken(err)
		}
		if f := moved(s, offset, margin); f != (finding{}) {
			return f
		}
	}
	return r.clocksApart()
}

// moved judges a clock by what it was, and by its offset now.
func moved(s *side, offset, margin time.Duration) finding {
	by := (offset - s.info.ClockOffset).Abs()
	if by <= steadyWithin+margin+s.info.ClockError {
		return finding{}
	}
	return warning("have that machine keep time by NTP without steps, or see why it stands still at times; expiries that clients give as a "+
		"duration are off by as much until the next look, some seconds later", "the %s's clock has moved by %v against Tandem's during this check",
		s.Role, by.Round(time.Millisecond))
}

// clocksApart compares the servers with each other; ours is only the ruler.
func (r *run) clocksApart() finding {
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
