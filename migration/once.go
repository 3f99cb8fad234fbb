package migration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tandem/internal/admin"
	"tandem/internal/status"
)

// Moving a keyspace once: precheck, backfill, and comparisons of all keys until one finds no difference. There is no cutover: who
// moves once stops the writers, or points them at the target, by themselves.

const (
	// onceLook is how often it is looked whether what is waited for has come about.
	onceLook = 50 * time.Millisecond
	// onceStuck is how long nothing may move before the work is given up, with what stands in the way.
	onceStuck = 10 * time.Minute
	// The pause before keys are compared again that somebody goes on changing, doubling.
	oncePauseMin = 500 * time.Millisecond
	oncePauseMax = 30 * time.Second
	// onceCalm is how long a moment without dirty keys is waited for.
	onceCalm = 5 * time.Second
	// onceListed is how many differences are kept to be shown.
	onceListed = 100
)

// ErrDifferent says that the two servers were not seen to be equal.
var ErrDifferent = errors.New("the two servers are not equal")

// ErrUnwatched says that both servers were equal when their keys were compared, and that others wrote to the source meanwhile,
// which does not report what they change: nobody knows whether the two still are.
var ErrUnwatched = errors.New("nobody knows what was written to the source since its keys were compared")

// The stages of a keyspace that is moved once.
const (
	StageStart  = "precheck"
	StageCopy   = "backfill"
	StageVerify = "verify"
	StageRepair = "repair"
)

// OnceOptions say how a keyspace is moved once.
type OnceOptions struct {
	// For is how long keys are copied and compared again, after the first comparison, while somebody changes them past
	// Tandem. Once more is tried in any case.
	For time.Duration
	// Stage is told what begins. It may be nil.
	Stage func(stage string)
	// Admin are options of the start.
	Admin admin.StepOptions

	stuck time.Duration // for tests: another onceStuck
}

// Moved is what came of it.
type Moved struct {
	// Verify is the last comparison, and Rounds how many there were.
	Verify status.VerifySummary
	Rounds int
	// Repaired is how many differences earlier comparisons have found, which were copied again.
	Repaired int64
	// Differences are the first of those that the last one has found.
	Differences []status.Difference
}

// Once moves the keyspace, while Run serves, and returns when both servers were seen to be equal: each key at some moment of
// the last comparison, and whatever others have written to the source since was reported. Otherwise the error is ErrDifferent,
// ErrUnwatched, *admin.Refused, one of what was tried, or ctx's own.
// It may be called again after a restart, and goes on where it was.
func (m *Migration) Once(ctx context.Context, o OnceOptions) (Moved, error) {
	if o.Stage == nil {
		o.Stage = func(string) {}
	}
	if o.stuck == 0 {
		o.stuck = onceStuck
	}
	o.Stage(StageStart)
	if err := m.startOnce(ctx, o); err != nil {
		return Moved{}, err
	}
	o.Stage(StageCopy)
	if err := m.untilSynced(ctx, o); err != nil {
		return Moved{}, err
	}
	defer m.writeReport()
	var moved Moved
	began := time.Now()
	for pause := oncePauseMin; ; pause = min(2*pause, oncePauseMax) {
		o.Stage(StageVerify)
		moved.Rounds++
		compared := time.Now()
		if err := m.verifyOnce(ctx, o, &moved); err != nil {
			return moved, err
		}
		if moved.Verify.Different == 0 {
			if overtaken, err := m.followed(ctx, compared); !overtaken {
				return moved, err
			}
		}
		// What differed is dirty, and is copied.
		o.Stage(StageRepair)
		if err := m.untilSynced(ctx, o); err != nil {
			return moved, err
		}
		if moved.Rounds > 1 && time.Since(began) >= o.For {
			if moved.Verify.Different == 0 {
				return moved, fmt.Errorf("%w: others came each time while keys were compared", ErrUnwatched)
			}
			return moved, fmt.Errorf("%w: %d keys differed when they were compared last", ErrDifferent, moved.Verify.Different)
		}
		moved.Repaired += moved.Verify.Different
		if moved.Rounds > 1 { // somebody changes keys: not once more at once
			if err := wait(ctx, pause); err != nil {
				return moved, err
			}
		}
	}
}

// followed looks who writes to the source, after a comparison that began at a time and has found no difference. overtaken: it is
// only now that the source reports what they write, so all keys are to be compared once more.
func (m *Migration) followed(ctx context.Context, compared time.Time) (overtaken bool, err error) {
	for began := time.Now(); ; {
		m.lookForWriters(ctx)
		listens, soon := m.listens()
		m.mu.Lock()
		s := &m.seen[m.source.Role].strangers
		wrote, perhaps := s.acted.Add(-idleError).After(compared), s.lastActed.Add(idleError).After(compared)
		who := s.writersText(m.source, time.Now())
		m.mu.Unlock()
		switch {
		case listens:
			m.ledger.Lock()
			defer m.ledger.Unlock()
			return m.ledger.Sweeping(), nil
		case soon && time.Since(began) < onceCalm: // who has just been found is listened to in a moment, if the source lets us
		case wrote:
			return false, fmt.Errorf("%w: %s", ErrUnwatched, who)
		case !perhaps, time.Since(compared) > 5*idleError/2: // by now, who goes on would have been seen to
			return false, nil
		}
		if err := m.pauseOnce(ctx); err != nil {
			return false, err
		}
	}
}

// listens reports whether the source reports what others change; soon: it is to, and does not yet.
func (m *Migration) listens() (now, soon bool) {
	m.ledger.Lock()
	defer m.ledger.Unlock()
	t := m.shard.Tracking()
	return t.Listening, t.Wanted && !t.Listening
}

// startOnce starts the backfill, or lets an earlier one go on.
func (m *Migration) startOnce(ctx context.Context, o OnceOptions) error {
	select {
	case <-m.takenUp:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-m.draining.Done():
		return errEnding
	}
	switch phase := m.phase(); phase {
	case status.Reversed, status.Finished:
		return &admin.Refused{Message: "the state directory is of a migration that was cut over", Blockers: []status.Blocker{{
			Code: phase, Message: "the phase is " + phase, Remedy: "choose another state directory, or go on with serve"}}}
	}
	_, err := m.Start(ctx, o.Admin)
	return err
}

// untilSynced waits until both servers are connected, no sweep is owed and no key is dirty, as long as something moves. With somebody who writes all the
// time there is always one: that is waited for no longer than onceCalm.
func (m *Migration) untilSynced(ctx context.Context, o OnceOptions) error {
	type progress struct{ scanned, copied, dirty int64 }
	var last progress
	var synced time.Time
	moved := time.Now()
	for {
		s := m.Status()
		there := s.Phase == status.Synced && s.Source.Connected && s.Target.Connected && m.isKnown()
		switch {
		case !there:
			synced = time.Time{}
		case synced.IsZero():
			synced = time.Now()
		}
		blockers := slices.DeleteFunc(s.Blockers, func(b status.Blocker) bool { return b.Code == foreignWriters })
		if there && (s.DirtyKeys == 0 || len(blockers) == 0 && time.Since(synced) > onceCalm) {
			return nil
		}
		if p := (progress{s.Backfill.KeysScanned, s.Copies.Done, s.DirtyKeys}); p != last || s.Throttle.Window == status.WindowClosed {
			last, moved = p, time.Now()
		}
		if time.Since(moved) > o.stuck {
			return &admin.Refused{Message: fmt.Sprintf("nothing has moved for %s", o.stuck), Blockers: s.Blockers}
		}
		if err := m.pauseOnce(ctx); err != nil {
			return err
		}
	}
}

// pauseOnce waits a moment.
func (m *Migration) pauseOnce(ctx context.Context) error {
	if m.draining.Err() != nil {
		return errEnding
	}
	return wait(ctx, onceLook)
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// verifyOnce compares all keys, and has those copied again that differ.
func (m *Migration) verifyOnce(ctx context.Context, o OnceOptions, moved *Moved) error {
	id, err := m.Verify(ctx, admin.VerifyOptions{Mode: admin.VerifyFull, Repair: true})
	if err != nil {
		return err
	}
	for {
		moved.Differences = moved.Differences[:0]
		s, err := m.VerifyResults(ctx, id, 0, func(d status.Difference) error {
			if len(moved.Differences) < onceListed {
				moved.Differences = append(moved.Differences, d)
			}
			return nil
		})
		if err != nil {
			return err
		}
		switch s.State {
		case status.Done:
			moved.Verify = s
			return nil
		case status.Failed:
			return fmt.Errorf("compare both servers: %s", s.Error)
		}
		if err := m.pauseOnce(ctx); err != nil {
			return err
		}
	}
}
