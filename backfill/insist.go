package backfill

import (
	"context"
	"log/slog"
	"time"
)

// insist calls f until it succeeds. What an instance refuses, and what does not pass within limit (0: there is none) since it
// failed first, is f's error: how long f took to get there, where it waits for its turn, is no trouble of an instance's. Once ctx has ended it is ctx's. Of a series of failures the first is logged, with these words.
func insist(ctx context.Context, log *slog.Logger, words string, limit time.Duration, f func() error) error {
	var start time.Time
	for failures := 1; ; failures++ {
		err := f()
		if failures == 1 {
			start = time.Now()
		}
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case refusedCommand(err) || limit > 0 && time.Since(start) > limit:
			return err
		case failures == 1:
			log.Warn(words, "error", err)
		}
		pause(ctx, backoff(failures, maxScanPause))
	}
}
