package migration

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"tandem/internal/admin"
	"tandem/internal/instance"
	"tandem/internal/ledger"
	"tandem/internal/state"
	"tandem/internal/status"
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
	hold, done := context.WithTimeout(ctx, m.cfg.Cutover.MaxPause)
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
	was := m.phase()
	undo := func(why string, err error) (admin.Result, error) {
		old.start()
		return undone(why, err)
	}
	if err := m.save(func(s *state.State) { s.Phase = phase; s.ScanEpoch++ }); err != nil {
		return undo("the new roles could not be written", err)
	}
	var left unsettled
	err = m.shard.Await(hold, func() bool {
		if !arrived() {
			return false
		}
		m.shard.GiveUp()
		left = m.takeUnsettled(dead.String() + " was given up as the primary")
		m.shard.Swap(next, link.effects)
		m.setClocks()
		m.holdCopies()
		return true
	})
	if err != nil {
		if err := m.save(setPhase(was)); err != nil {
			m.fail("writing the old roles back", err) // a restart would take the wrong primary
		}
		return undo("what was on the way to the primary to be did not arrive in cutover.max_pause", err)
	}
	swapped = true
	link.effects.Start()
	pause := m.swapped(old, link, began)
	m.log.Warn("roles swapped without the primary", "primary", primary.String(), "given_up", dead.String(),
		"pause", pause.Round(time.Microsecond), "unsettled_keys", len(left.keys))
	m.report(left, dead)
	return admin.Result{Phase: m.phase(), Pause: pause}, nil
}

// unsettled is what the secondary may lack of what the primary has acknowledged.
type unsettled struct {
	keys []status.Difference
	// owed says why a sweep was owed, or is empty: besides the keys, any that it had not compared may lack
	// something.
	owed string
}

// takeUnsettled takes all dirty keys out of the ledger and has a sweep owed instead. No copier runs. The
// ledger's lock is held.
func (m *Migration) takeUnsettled(why string) unsettled {
	var u unsettled
	if _, before, owed := m.ledger.SweepOwed(); owed {
		u.owed = before
	}
	var all []*ledger.Dirty
	for whenever := time.Now().AddDate(1, 0, 0); ; { // those that back off too
		d, _ := m.ledger.NextDirty(whenever)
		if d == nil {
			break
		}
		all = append(all, d)
		u.keys = append(u.keys, status.Difference{Key: d.Key.Name, DB: int(d.Key.DB), Kind: "unsettled", Detail: d.Why})
	}
	m.ledger.OweSweep(why, 0)
	for _, d := range all {
		m.ledger.Done(d)
	}
	return u
}

// report lists what was lost with a primary: all of it in a file of the state directory, the first in the log.
func (m *Migration) report(u unsettled, dead *instance.Instance) {
	if u.owed != "" {
		m.log.Error("a sweep was owed when the primary was given up: keys that it had not compared may lack writes as well",
			"instance", dead.String(), "owed", u.owed)
	}
	if len(u.keys) == 0 {
		return
	}
	path, err := m.writeUnsettled(u)
	m.log.Error("keys whose last writes may be lost with the primary that was given up", "instance", dead.String(),
		"keys", len(u.keys), "file", path, "error", err)
	for _, k := range u.keys[:min(len(u.keys), shownKeys)] {
		m.log.Error("not settled", "db", k.DB, "key", strconv.Quote(string(k.Key)))
	}
}

// writeUnsettled writes JSON lines like those of a verify.
func (m *Migration) writeUnsettled(u unsettled) (path string, err error) {
	path = m.dir.File(fmt.Sprintf("unsettled-%d.jsonl", time.Now().UnixMilli()))
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return path, fmt.Errorf("list keys that had not settled: %w", err)
	}
	w := bufio.NewWriter(f)
	lines := json.NewEncoder(w)
	for _, k := range u.keys {
		if err = lines.Encode(k); err != nil {
			break
		}
	}
	if ferr := w.Flush(); err == nil {
		err = ferr
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return path, fmt.Errorf("list keys that had not settled: %w", err)
	}
	return path, nil
}
