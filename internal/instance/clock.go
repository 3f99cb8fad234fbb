package instance

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// clockRounds is how often TIME is asked; the quickest answer tells most. Eight find a quiet moment of a
// loaded server nearly always and cost it some microseconds.
const clockRounds = 8

// Clock measures the server's clock against ours with TIME: offset is the server's minus ours (positive: the
// server is ahead), uncertain by plus or minus margin, half the best round trip.
func (i *Instance) Clock(ctx context.Context) (offset, margin time.Duration, err error) {
	c, err := i.Conn(ctx, controlName, 0)
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	return c.clock(ctx)
}

func (c *Conn) clock(ctx context.Context) (offset, margin time.Duration, err error) {
	for round := range clockRounds {
		sent := time.Now()
		v, err := c.Do(ctx, "TIME")
		trip := time.Since(sent)
		if err != nil {
			return 0, 0, err
		}
		if len(v.Elems) != 2 {
			return 0, 0, fmt.Errorf("%s: TIME: %w: %d elements", c.i, ErrNotRedis, len(v.Elems))
		}
		s, err1 := strconv.ParseInt(string(v.Elems[0].Str), 10, 64)
		us, err2 := strconv.ParseInt(string(v.Elems[1].Str), 10, 64)
		if err1 != nil || err2 != nil {
			return 0, 0, fmt.Errorf("%s: TIME: %w: %q %q", c.i, ErrNotRedis, v.Elems[0].Str, v.Elems[1].Str)
		}
		// TIME has microseconds; its answer is taken to be of the middle of the trip.
		if half := trip/2 + time.Microsecond; round == 0 || half < margin {
			margin = half
			offset = time.Unix(s, us*1000).Sub(sent.Add(trip / 2))
		}
	}
	return offset, margin, nil
}
