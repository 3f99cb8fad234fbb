package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tandem/internal/admin"
	"tandem/internal/demo/text"
	"tandem/internal/status"
	"tandem/internal/terminal"
)

// followInterval is how often what goes on by itself is asked for.
const followInterval = 500 * time.Millisecond

// errGivenUp: what was to come by itself does not come any more.
var errGivenUp = errors.New("given up")

// follow shows how far a migration is until reached says that it is where it should be, or can get there no more. A tandem
// that goes away meanwhile is waited for: what it was asked for outlives it.
func follow(ctx context.Context, client *admin.Client, progress *terminal.Progress, reached func(status.Status) (bool, error)) (status.Status, error) {
	defer progress.Clear()
	tick := time.NewTicker(followInterval)
	defer tick.Stop()
	for {
		s, err := client.Status(ctx)
		switch {
		case ctx.Err() != nil:
			return s, errors.New("no longer waited for: it goes on by itself; tandem status shows it")
		case errors.Is(err, admin.ErrUnreachable):
			progress.Show(terminal.Stage{Text: err.Error() + "; it is asked again"})
		case err != nil:
			return s, err
		default:
			if done, err := reached(s); done || err != nil {
				return s, err
			}
			progress.Show(followedStage(s))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// followedStage is how far a migration is on its way to synced, and to a cutover that comes by itself.
func followedStage(s status.Status) terminal.Stage {
	if s.Phase == status.Backfill || s.Phase == status.Passthrough {
		return copyStage(s)
	}
	plan := s.Cutover.PlanText()
	if plan == "" {
		plan = fmt.Sprintf("%s dirty keys", text.Count(s.DirtyKeys))
	}
	return terminal.Stage{Name: s.Phase, Text: plan}
}

// copyStage is how far a sweep is.
func copyStage(s status.Status) terminal.Stage {
	b := s.Backfill
	now := terminal.Stage{Name: "copy  ", Percent: b.Percent, LeftS: b.EtaS,
		Text: fmt.Sprintf("%s of %s keys, %s", text.Count(b.KeysScanned), b.KeysTotal.Text(text.Count[int64]), text.Bytes(b.BytesCopied))}
	if b.State == status.Paused {
		now.Text += "  (paused)"
	}
	if len(s.Blockers) > 1 { // one is the sweep itself
		now.Text += "  (" + s.Blockers[0].Message + ")"
	}
	return now
}

// untilSynced is reached when both servers hold the same.
func untilSynced(s status.Status) (bool, error) {
	switch {
	case s.Phase == status.Backfill && s.Backfill.State == status.Failed:
		return false, fmt.Errorf("%w: the backfill has failed", errGivenUp)
	case s.Phase == status.Passthrough || s.Phase == status.Backfill:
		return false, nil
	}
	return true, nil
}

// untilCutOver is reached when a cutover that was planned is done. That it is not planned any more must be seen twice: it may be
// done in between what a status has collected.
func untilCutOver() func(status.Status) (bool, error) {
	gone := false
	return func(s status.Status) (bool, error) {
		if s.Phase == status.Reversed || s.Phase == status.Finished {
			return true, nil
		}
		if _, planned := s.Cutover.PlannedAt.Get(); planned {
			gone = false
			return false, nil
		}
		if !gone {
			gone = true
			return false, nil
		}
		why := cmp.Or(strings.TrimPrefix(s.Cutover.PlannedProblem, "given up: "), s.Cutover.TrialProblem, "it is not planned any more")
		return false, fmt.Errorf("%w: %s", errGivenUp, why)
	}
}
