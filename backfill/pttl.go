package backfill

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"
)

const (
	// ttlGroup is how many PTTLs are asked for between two looks at the server's clock.
	ttlGroup = 32
	// ttlPrecision is how far these may be apart, and ttlRounds how often a group is asked for that a pause
	// of the server has torn apart.
	ttlPrecision = 2 * time.Millisecond
	ttlRounds    = 5
)

// readPTTL fills in expireAt for a server without PEXPIRETIME. PTTL counts from the server's clock, so TIME is
// asked in the same block, before and behind: measured from here, each expiry would be off by some part of a
// round trip.
func (r *reader) readPTTL(ctx context.Context, db int, names []string, out []reading) error {
	groups := make([]int, 0, len(names)/ttlGroup+1) // where those begin that are to be asked for
	for from := 0; from < len(names); from += ttlGroup {
		groups = append(groups, from)
	}
	for round := 1; len(groups) > 0; round++ {
		var commands []command
		for _, from := range groups {
			commands = append(commands, command{"TIME"})
			for _, name := range names[from:min(from+ttlGroup, len(names))] {
				commands = append(commands, command{"PTTL", name})
			}
		}
		results, err := r.do(ctx, db, append(commands, command{"TIME"})...)
		if err != nil {
			return err
		}
		var torn []int
		for _, from := range groups {
			to := min(from+ttlGroup, len(names))
			n := to - from
			before, err1 := serverTime(results[0])
			after, err2 := serverTime(results[n+1])
			if err := errors.Join(err1, err2); err != nil {
				return fmt.Errorf("%s: TIME: %w", r.in, err)
			}
			if after.Sub(before) > ttlPrecision && round < ttlRounds {
				torn = append(torn, from)
			} else {
				expiries(results[1:n+1], before.Add(after.Sub(before)/2).UnixMilli(), out[from:to])
			}
			results = results[n+1:]
		}
		groups = torn
	}
	return nil
}

// expiries turns answers of PTTL, given at now, into expiry times.
func expiries(answers []rueidis.RedisResult, now int64, out []reading) {
	for i, answer := range answers {
		ttl, err := answer.ToInt64()
		switch {
		case err != nil:
			out[i].found, out[i].err = unreadable, fmt.Errorf("PTTL: %w", err)
		case ttl < 0:
			out[i].expireAt = ttl
		default:
			// 0 is a key in its last millisecond, not one without expiry.
			out[i].expireAt = now + ttl
		}
	}
}

// serverTime reads the answer of TIME.
func serverTime(res rueidis.RedisResult) (time.Time, error) {
	parts, err := res.AsStrSlice()
	if err != nil {
		return time.Time{}, err
	}
	if len(parts) != 2 {
		return time.Time{}, fmt.Errorf("%d elements", len(parts))
	}
	s, err1 := strconv.ParseInt(parts[0], 10, 64)
	us, err2 := strconv.ParseInt(parts[1], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return time.Time{}, err
	}
	return time.Unix(s, us*1000), nil
}
