package migration

import (
	"context"
	"time"

	"tandem/internal/admin"
	"tandem/internal/instance"
)

// primaryDown is the blocker that a forced cutover or rollback ignores.
const primaryDown = "primary_down"

const (
	// answerWithin is what a primary has to answer, and its lanes to connect, before it is given up.
	answerWithin = 2 * time.Second
	// shownKeys is how many keys that had not settled are shown in the log; all are in a file.
	shownKeys = 20
)

// primaryAnswers reports whether the primary is there after all: then nothing has to be lost. One that has become a
// replica answers, but not as a primary.
func (m *Migration) primaryAnswers(ctx context.Context) bool {
	if _, demoted := m.demoted(m.shard.Primary()); demoted {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	if _, err := m.shard.Primary().Facts(ctx); err != nil {
		return false
	}
	return m.shard.Await(ctx, m.shard.Connected) == nil
}

// giveUpPrimary is a swap away from a primary that is dead, or as good as dead. The secondary has all that it was
// sent; what the primary had executed besides is lost with it, and the keys are listed. The old primary is
// kept as the secondary: a sweep makes it equal when it comes back.
func (m *Migration) giveUpPrimary(ctx context.Context, primary *instance.Instance, phase string) (admin.Result, error) {
	old, dead := m.linked.Load(), m.shard.Primary()
	m.log.Warn("giving up the primary", "instance", dead.String(), "for", primary.String())
	ctx, cancel := m.stepContext(ctx)
	defer cancel()
	facts, err := primary.Facts(ctx)
	if err != nil {
		return undone("the primary to be cannot be asked", err)
	}
	next, err := m.shard.Prepare(ctx, primary, facts)
	if err != nil {
		return undone("no lanes to the primary to be", err)
	}
	link := m.newLink(primary, dead)
	swapped := false
	defer func() {
		if !swapped {
			next.Abandon()
			link.effects.Stop()
		}
	}()

	began := time.Now()
	hold, done := context.WithTimeout(ctx, m.live().Cutover.MaxPause)
	defer done()
	m.shard.Hold()
	defer m.shard.Release()
	// What is on the way to the secondary must arrive: it would overtake, or be overtaken by, what clients
	// send there directly.
	arrived := func() bool {
		return old.effects.Up() && m.ledger.Quiet(m.ledger.Mark()) && next.Ready()
	}
	if err := m.shard.Await(hold, arrived); err != nil {
		return undone("what was on the way to the primary to be did not arrive in cutover.max_pause", err)
	}
	old.stop()
	// On disk before the roles are: a crash in between must not leave a new primary and no word of what it lacks.
	left, list, err := m.listUnsettled(dead)
	undo := func(why string, err error) (admin.Result, error) {
		list.remove()
		old.start()
		return undone(why, err)
	}
	if err != nil {
		return undo("the keys that have not settled could not be listed", err)
	}
	goBack, err := m.saveRoles(phase, 0) // no trial: the other one is dead
	if err != nil {
		return undo("the new roles could not be written", err)
	}
	err = m.shard.Await(hold, func() bool {
		if !arrived() {
			return false
		}
		m.shard.GiveUp()
		m.takeUnsettled(&left, dead.String()+" was given up as the primary")
		m.shard.Swap(next, link.effects)
		m.ledger.KeptOnPrimary(primary == m.target)
		m.setClocks()
		m.listenAnew()
		m.holdCopies()
		return true
	})
	if err != nil {
		if err := m.save(goBack); err != nil {
			m.fail("writing the old roles back", err) // a restart would take the wrong primary
		}
		return undo("what was on the way to the primary to be did not arrive in cutover.max_pause", err)
	}
	swapped = true
	link.effects.Start()
	pause := m.swapped(old, link, began)
	m.log.Warn("roles swapped without the primary", "primary", primary.String(), "given_up", dead.String(),
		"pause", pause.Round(time.Microsecond), "unsettled_keys", len(left.keys))
	m.report(left, list, dead)
	return admin.Result{Phase: m.phase(), Pause: pause}, nil
}
