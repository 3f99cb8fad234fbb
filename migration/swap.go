package migration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tandem/internal/admin"
	"tandem/internal/crashpoint"
	"tandem/internal/instance"
	"tandem/internal/state"
	"tandem/internal/status"
)

// heldDirty is how many dirty keys may be left for a hold to settle, when there is no moment without any.
const heldDirty = 100

// Cutover makes the target the primary. (admin.Controller)
func (m *Migration) Cutover(ctx context.Context, o admin.StepOptions) (r admin.Result, err error) {
	if err := m.beginStep(); err != nil {
		return admin.Result{}, err
	}
	defer m.step.Unlock()
	switch {
	case m.twoWay():
		return admin.Result{}, m.errTwoWay("cutover")
	case o.Cancel:
		return m.cancelPlan()
	case o.Plans():
		return m.makePlan(o)
	}
	if r, err = m.cutover(ctx, o); err == nil {
		m.endPlan("")
	}
	return r, err
}

// cutover is Cutover, now. m.step is held.
func (m *Migration) cutover(ctx context.Context, o admin.StepOptions) (r admin.Result, err error) {
	defer m.noteStep("cutover", m.phase(), o, &r, &err)
	switch phase := m.phase(); phase {
	case status.Reversed, status.Finished:
		return admin.Result{Phase: phase}, nil
	case status.Synced:
		if o.Force == primaryDown && !m.primaryAnswers(ctx) {
			return m.giveUpPrimary(ctx, m.target, status.Reversed)
		}
		m.lookBeforeCutover(ctx)
		return m.swap(ctx, m.target, status.Reversed, o.Force, "the target cannot take over")
	default:
		return admin.Result{}, &admin.Refused{Message: "the target does not hold all data yet", Blockers: m.blocking()}
	}
}

// Rollback makes the source the primary again. (admin.Controller)
func (m *Migration) Rollback(ctx context.Context, o admin.StepOptions) (r admin.Result, err error) {
	if err := m.beginStep(); err != nil {
		return admin.Result{}, err
	}
	defer m.step.Unlock()
	return m.rollback(ctx, o)
}

// rollback is Rollback with m.step held.
func (m *Migration) rollback(ctx context.Context, o admin.StepOptions) (r admin.Result, err error) {
	defer m.noteStep("rollback", m.phase(), o, &r, &err)
	switch phase := m.phase(); phase {
	case status.Reversed:
		m.endPlan("") // a crash may have kept the one that led here
		if o.Force == primaryDown && !m.primaryAnswers(ctx) {
			return m.giveUpPrimary(ctx, m.source, status.Backfill)
		}
		return m.swap(ctx, m.source, status.Synced, o.Force, "the source cannot take over")
	case status.TwoWay:
		return admin.Result{}, m.errTwoWay("rollback")
	case status.Finished:
		return admin.Result{}, &admin.Refused{Message: "the migration is finished", Blockers: []status.Blocker{{
			Code: "finished", Message: "the source has not been kept equal since the migration was finished",
			Remedy: "migrate back with a new state directory"}}}
	default:
		return admin.Result{Phase: phase}, nil
	}
}

// swap changes the roles: it waits for a calm moment, holds every command that is not yet sent, waits until
// both instances hold the same and nothing is on the way, writes the new roles to disk, and lets go. If that
// does not come about within cutover.max_pause, everything is as if never asked.
//
// force names blockers that it passes over; cannot is what a refusal says.
func (m *Migration) swap(ctx context.Context, primary *instance.Instance, phase, force, cannot string) (admin.Result, error) {
	old := m.linked.Load()
	if !m.shard.PrimaryUp() {
		return admin.Result{}, admin.ErrPrimaryDown
	}
	ctx, cancel := m.stepContext(ctx)
	defer cancel()
	m.saveAgain() // there may be room since the last look
	m.lookForWriters(ctx)
	blockers, err := without(m.blocking(), force)
	if err != nil {
		return admin.Result{}, err
	}
	if len(blockers) > 0 {
		return admin.Result{}, &admin.Refused{Message: cannot, Blockers: blockers}
	}
	// Unheld: connect what will be needed, and wait for a moment that can be drained.
	facts, err := primary.Facts(ctx)
	if err != nil {
		return undone("the primary to be cannot be asked", err)
	}
	// With no writes under way nothing else would have shown it.
	if err := primary.Writable(ctx); err != nil {
		return admin.Result{}, &admin.Refused{Message: cannot, Blockers: []status.Blocker{{Code: "secondary_refuses",
			Message: fmt.Sprintf("%s takes no writes: %v", primary, err), Remedy: accepting(refusalIn(err))}}}
	}
	next, err := m.shard.Prepare(ctx, primary, facts)
	if err != nil {
		return undone("no lanes to the primary to be", err)
	}
	link := m.newLink(primary, m.other(primary))
	link.effects.Start()
	swapped := false
	defer func() {
		if !swapped {
			next.Abandon()
			link.effects.Stop()
		}
	}()
	if err := m.shard.Await(ctx, link.effects.Up); err != nil {
		return undone("no effect lane to the secondary to be: "+link.effects.Problem(), err)
	}
	patience := time.Now().Add(m.live().Cutover.Wait / 2)
	calm := func() bool {
		_, functions := m.ledger.EverywhereOwed()
		few := m.ledger.DirtyKeys()
		if time.Now().After(patience) {
			// Some keys are written in ways that must be copied, all the time: only a hold brings that to an end.
			few -= heldDirty
		}
		return !functions && old.effects.Up() && !m.ledger.Sweeping() && few <= 0 && old.effects.Lag() < 1<<20
	}
	if err := m.shard.Await(ctx, calm); err != nil {
		return admin.Result{}, &admin.Refused{Message: "there was no moment that could be drained within cutover.wait",
			Blockers: m.blocking()}
	}

	// Somebody may have come while that was waited for.
	m.lookForWriters(ctx)
	if late, _ := without(m.writersTo(m.source, m.target), force); len(late) > 0 {
		return admin.Result{}, &admin.Refused{Message: cannot, Blockers: late}
	}

	// Held: from here to Release clients wait.
	began := time.Now()
	hold, done := context.WithTimeout(ctx, m.live().Cutover.MaxPause)
	defer done()
	m.shard.Hold()
	defer m.shard.Release()
	defer m.throttle.Lift()()
	drained := func() bool {
		return m.shard.Answered() && m.ledger.Drained() && next.Ready() && link.effects.Up()
	}
	if err := m.shard.Await(hold, drained); err != nil {
		return undone("it would have held clients for more than cutover.max_pause: "+m.undrained(), err)
	}
	// Nothing is sent any more, so what the primary has reported by now is all that it will report: keys that
	// scripts wrote without naming them, among others. They are copied before the roles change.
	if err := m.shard.ReadReports(hold); err != nil {
		return undone("what the primary reports of changed keys could not be read", err)
	}
	if err := m.shard.Await(hold, drained); err != nil {
		return undone("it would have held clients for more than cutover.max_pause: "+m.undrained(), err)
	}
	if m.hooks.drained != nil {
		m.hooks.drained()
	}
	// The copier must not pick up a key from the old primary when the new one is written to.
	old.stop()
	undo := func(why string, err error) (admin.Result, error) {
		old.start()
		return undone(why, err)
	}
	if !m.shard.Look(drained) {
		return undo("a key became dirty at the last moment", nil)
	}
	goBack, err := m.saveRoles(phase, m.trialUntil(phase))
	if err != nil {
		return undo("the new roles could not be written", err)
	}
	crashpoint.Reach(crashpoint.RolesSaved)
	swapped = m.shard.Look(func() bool {
		if hold.Err() != nil || !drained() {
			return false
		}
		m.shard.Swap(next, link.effects)
		m.ledger.KeptOnPrimary(primary == m.target)
		m.setClocks()
		m.listenAnew()
		return true
	})
	if !swapped {
		// The disk was slow, or a server went away meanwhile: with the roles as they were nothing is lost.
		if err := m.save(goBack); err != nil {
			m.fail("writing the old roles back", err)
		}
		return undo("it would have held clients for more than cutover.max_pause: the roles were long in writing, "+
			"or a server went away", nil)
	}
	crashpoint.Reach(crashpoint.RolesSwapped)
	pause := m.swapped(old, link, began)
	m.log.Info("roles swapped", "primary", primary.String(), "pause", pause.Round(time.Microsecond))
	return admin.Result{Phase: phase, Pause: pause}, nil
}

// saveRoles writes down the phase that a swap leads to, and until when the target is on trial then. goBack restores both, if
// the swap does not come about.
func (m *Migration) saveRoles(phase string, trialUntil int64) (goBack func(*state.State), err error) {
	var was state.State
	err = m.save(func(s *state.State) {
		was = *s
		s.Phase, s.TrialUntil = phase, trialUntil
		s.ScanEpoch++
	})
	return func(s *state.State) { s.Phase, s.TrialUntil = was.Phase, was.TrialUntil }, err
}

// undone is the error of a step that was begun and is as if never asked for.
func undone(why string, err error) (admin.Result, error) {
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		return admin.Result{}, fmt.Errorf("%w: %s", admin.ErrUndone, why)
	}
	return admin.Result{}, fmt.Errorf("%w: %s: %w", admin.ErrUndone, why, err)
}

// swapped lets clients go on after a swap, and returns how long they were held.
func (m *Migration) swapped(old, present *link, began time.Time) time.Duration {
	m.setLink(present)
	m.verifies.stop(errSwapped)
	present.start()
	m.shard.Release()
	pause := time.Since(began)
	old.effects.Stop()
	m.mu.Lock()
	m.pause = status.CutoverStatus{
		LastPauseMs: status.Known(float64(pause.Microseconds()) / 1000),
		At:          status.Known(time.Now().UnixMilli()),
	}
	m.mu.Unlock()
	return pause
}

// undrained says what kept a hold from draining.
func (m *Migration) undrained() string {
	m.ledger.Lock()
	defer m.ledger.Unlock()
	var what []string
	if !m.shard.Answered() {
		what = append(what, "commands are unanswered")
	}
	if n := m.ledger.Unsettled(); n > 0 {
		what = append(what, fmt.Sprintf("%d writes unsettled", n))
	}
	if n := m.ledger.DirtyKeys(); n > 0 {
		what = append(what, fmt.Sprintf("%d keys dirty", n))
	}
	if n, _ := m.ledger.Copying(); n > 0 {
		what = append(what, fmt.Sprintf("%d copies under way", n))
	}
	if m.ledger.Sweeping() {
		what = append(what, "a sweep is owed")
	}
	if why, owed := m.ledger.EverywhereOwed(); owed {
		what = append(what, "functions are not on the secondary yet: "+why)
	}
	if len(what) == 0 {
		return "lanes to the primary to be were not connected"
	}
	return strings.Join(what, ", ")
}

// Finish ends the second writes: the target alone is served. (admin.Controller)
func (m *Migration) Finish(ctx context.Context, o admin.StepOptions) (r admin.Result, err error) {
	if err := m.beginStep(); err != nil {
		return admin.Result{}, err
	}
	defer m.step.Unlock()
	defer m.noteStep("finish", m.phase(), o, &r, &err)
	switch phase := m.phase(); phase {
	case status.Finished:
		return admin.Result{Phase: phase}, nil
	case status.Reversed:
	default:
		return admin.Result{}, &admin.Refused{Message: "only a migration that was cut over can be finished",
			Blockers: []status.Blocker{{Code: "not_reversed", Message: "the source still answers clients",
				Remedy: "cut over first"}}}
	}
	m.lookForWriters(ctx)
	// Who uses the target past Tandem does what everybody is to do next.
	blockers, err := without(m.writersTo(m.source), o.Force)
	if err != nil {
		return admin.Result{}, err
	}
	if len(blockers) > 0 {
		return admin.Result{}, &admin.Refused{Message: "the source is still written to", Blockers: blockers}
	}
	if err := m.save(setPhase(status.Finished)); err != nil {
		return admin.Result{}, &admin.Refused{Message: "the new phase could not be written", Blockers: m.blocking()}
	}
	l := m.linked.Load()
	l.stop()
	// The source is left as equal as it can be without waiting long.
	settle, cancel := m.stepContext(ctx)
	_ = m.shard.Await(settle, func() bool { return m.ledger.Unsettled() == 0 })
	cancel()
	m.linked.Store(nil)
	m.verifies.stop(errSwapped)
	m.ledger.Lock()
	m.shard.StopReplicating()
	m.track(0)
	m.ledger.Forget()
	m.ledger.Unlock()
	l.effects.Stop()
	m.log.Info("finished", "primary", m.target.String())
	return admin.Result{Phase: status.Finished}, nil
}
