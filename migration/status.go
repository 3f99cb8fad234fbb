package migration

import (
	"fmt"
	"time"

	"tandem/internal/instance"
	"tandem/internal/ledger"
	"tandem/internal/status"
)

// failingAfter is how many times in a row a copy must have failed to be named as a blocker.
const failingAfter = 5

// Status is all that is known, at this moment. (admin.Controller)
func (m *Migration) Status() status.Status {
	s := status.New()
	s.Phase = m.phase()
	s.UptimeS = int64(time.Since(m.began).Seconds())
	s.Sessions = int64(m.sessionCount())
	s.Listen = m.Addr()
	primary := m.shard.Primary()
	s.Primary = string(primary.Role)
	l := m.linked.Load()
	if l != nil {
		s.Backfill = l.progress()
	}
	s.Throttle = m.throttleStatus()
	now := time.Now().UnixNano()

	m.ledger.Lock()
	stats := m.ledger.Stats()
	tracking := m.shard.Tracking()
	sweeping := m.ledger.Sweeping()
	marked, markedOnly := m.ledger.FoundStripes()
	copying, _ := m.ledger.Copying()
	s.DirtyKeys = int64(m.ledger.DirtyKeys() + copying) // what the secondary has not acknowledged may differ still
	s.UnsettledWrites = int64(m.ledger.Unsettled())
	if m.ledger.Unread() {
		s.UnsettledWrites++ // a script's, of which not all is known yet
	}
	if l != nil {
		s.LagBytes = int64(l.effects.Lag())
		if l.back != nil {
			s.LagBytes += int64(l.back.effects.Lag())
		}
		if l.effects.Up() && (l.back == nil || l.back.effects.Up()) {
			s.LagMs = status.Known(0.0)
			if oldest := m.ledger.Oldest(); oldest != 0 {
				s.LagMs = status.Known(float64(max(0, now-oldest)) / 1e6)
			}
		}
	}
	m.ledger.Unlock()

	if !sweeping && s.Backfill.State == status.Running {
		s.Backfill.State = status.Done // it has ended, and is about to say so
	}
	if sweeping && l != nil {
		// Not seen to be equal yet: what is left of the sweep may differ.
		left := int64(1)
		if total, ok := s.Backfill.KeysTotal.Get(); ok {
			left = total - s.Backfill.KeysScanned
			if markedOnly {
				left = left * int64(marked) / ledger.Stripes
			}
			left = max(1, left)
		}
		s.DirtyKeys += left
		if s.Backfill.State != status.Paused {
			s.Backfill.State = status.Running
		}
	}
	s.Effects = status.EffectsStatus{
		Forwarded:  int64(stats.Forwarded),
		Mismatched: int64(stats.Mismatched),
		Dropped:    int64(stats.Dropped),
	}
	s.Copies = status.CopiesStatus{Done: int64(stats.Copied), Races: int64(stats.Races), Failed: int64(stats.Failed)}
	s.Tracking = m.trackingStatus(tracking)
	s.Warnings = m.warnings(tracking)
	s.Duplicates = m.duplicates()
	s.TwoWay = m.twoWayStatus(s.Phase)
	s.Verify = m.verifies.status()
	shadow := m.shard.ShadowCounts()
	s.Shadow = status.ShadowStatus{Compared: int64(shadow.Same + shadow.Different), Different: int64(shadow.Different), Skipped: int64(shadow.Skipped)}
	m.mu.Lock()
	s.Cutover = m.pause
	m.describePlan(&s.Cutover)
	s.Cutover.MaxPauseMs = m.live().Cutover.MaxPause.Milliseconds()
	s.Cutover.TrialMs = m.cfg.Cutover.Trial.Time.Milliseconds()
	m.mu.Unlock()
	s.Source, s.Target = m.instanceStatus(m.source, l), m.instanceStatus(m.target, l)
	s.Blockers = m.blocking()
	s.ReadyToCutover = s.Phase == status.Synced && len(s.Blockers) == 0 && !m.twoWay()
	return s
}

// instanceStatus is what is known of an instance. Where lanes to it are needed, they say whether it is connected.
func (m *Migration) instanceStatus(i *instance.Instance, l *link) status.InstanceStatus {
	m.ledger.Lock()
	lanes, effects := m.shard.Connected(), l != nil && l.effects.Up()
	if l != nil && l.back != nil {
		lanes, effects = lanes && l.back.effects.Up(), effects && m.two.shard.Connected()
	}
	m.ledger.Unlock()
	primary := i == m.shard.Primary()
	m.mu.Lock()
	defer m.mu.Unlock()
	seen := m.seen[i.Role]
	s := status.InstanceStatus{Address: i.Addr, Connected: seen.up, Version: seen.facts.Version, RunID: seen.facts.RunID}
	switch {
	case primary:
		s.Connected = lanes
	case l != nil:
		s.Connected = effects
	}
	if seen.known {
		s.ClockOffsetMs = status.Known(float64(seen.facts.ClockOffset.Microseconds()) / 1000)
	}
	return s
}

// Ready reports whether clients are served. (admin.Controller)
func (m *Migration) Ready() error {
	if !m.shard.PrimaryUp() {
		return fmt.Errorf("%s is not connected", m.shard.Primary())
	}
	return nil
}

// blocking lists what stands in the way of the next step: of the start in passthrough, of a cutover, of a
// rollback.
func (m *Migration) blocking() []status.Blocker {
	phase := m.phase()
	blockers := []status.Blocker{}
	add := func(code, remedy, format string, args ...any) {
		blockers = append(blockers, status.Blocker{Code: code, Message: fmt.Sprintf(format, args...), Remedy: remedy})
	}
	m.mu.Lock()
	refused, paused, keptUnsynced := m.blockers, m.paused, m.keptUnsynced
	unsaved, foreign := m.unsaved, m.seen[instance.Source].foreign
	if foreign == "" {
		foreign = m.seen[instance.Target].foreign
	}
	m.mu.Unlock()
	if foreign != "" {
		add("another_process", "stop one of the two", "another tandem process (id %s) is connected to this pair of servers", foreign)
	}
	if unsaved != "" {
		add("state_unwritable", "make room on the disk of the state directory, or let Tandem write there: it tries again every few seconds",
			"the state directory cannot be written: %s", unsaved)
	}
	if keptUnsynced != "" && unsaved == "" {
		add("state_unwritable", "make room on the disk of the state directory, or let Tandem write there: it tries again every few seconds",
			"the list of kept keys cannot be written: %s", keptUnsynced)
	}
	switch phase {
	case status.Passthrough:
		blockers = append(blockers, refused...)
		if len(refused) == 0 {
			add("not_started", "start the backfill", "the backfill has not been started")
		}
		return blockers
	case status.Finished:
		return blockers
	case status.Synced:
		if !m.twoWay() {
			blockers = append(blockers, m.gates()...)
			blockers = append(blockers, m.missingDatabases()...)
		}
	case status.Reversed:
		blockers = append(blockers, m.missingDatabases()...)
	}
	if !m.shard.PrimaryUp() {
		primary, why := m.shard.Primary(), m.shard.Trouble()
		add(primaryDown, reconnecting(primary, why, "bring it back")+orGiveUp(phase), "%s is not connected: %s", primary, why)
	}
	m.ledger.Lock()
	silent, connected := m.shard.SilentFor(), m.shard.Connected()
	m.ledger.Unlock()
	if silent > 0 {
		add("primary_silent", "see what it is busy with (its CPU, SLOWLOG, a script), or what is wrong with the network"+orGiveUp(phase),
			"%s has left commands unanswered for %s", m.shard.Primary(), silent.Round(time.Second))
	}
	for _, i := range []*instance.Instance{m.source, m.target} {
		of, demoted := m.demoted(i)
		switch {
		case !demoted:
		case i == m.shard.Primary():
			add("primary_is_replica", "make it a primary again (REPLICAOF NO ONE), or have its name lead to the primary; all keys are compared then"+
				orGiveUp(phase), "%s has become a replica of %s: it refuses writes, and nothing is copied from it", i, of)
		default:
			add("secondary_is_replica", accepting("-READONLY"), "%s has become a replica of %s: it takes no writes", i, of)
		}
	}
	blockers = append(blockers, m.writersTo(m.source, m.target)...)
	opens, closed := m.closedUntil()
	l := m.linked.Load()
	if l == nil {
		add("starting", "wait for it", "the process has started and has not yet taken up what an earlier one left")
		return blockers
	}
	if why := l.copier.Problem(); why != "" && connected && silent == 0 {
		add("primary_unreadable", reconnecting(l.primary, why, "mend what the message says; what was missed is copied then"),
			"keys cannot be read for copying: %s", why)
	}
	m.ledger.Lock()
	defer m.ledger.Unlock()
	if problem := m.shard.LibrariesProblem(); problem != "" {
		add("functions_missing", "make the secondary take the primary's functions (FUNCTION LIST), or delete them",
			"%s has not the functions of %s: %s", l.secondary, l.primary, problem)
	}
	if !l.effects.Up() {
		_, problem := l.effects.Facts()
		if problem == "" {
			problem = "connecting"
		}
		add("secondary_down", reconnecting(l.secondary, problem, "bring it back; what was missed is copied then"),
			"%s is not connected: %s", l.secondary, problem)
	}
	if silent := l.effects.SilentFor(); silent > 0 {
		add("secondary_silent", "see what it is busy with (its CPU, SLOWLOG, a script), or what is wrong with the network",
			"%s has left effects unanswered for %s", l.secondary, silent.Round(time.Second))
	}
	m.blockersOfTwoWay(l, add)
	refusal := l.effects.Refusal()
	if refusal != "" && l.effects.Up() {
		add("secondary_refuses", accepting(refusal), "%s refuses what it is sent: %s", l.secondary, refusal)
	}
	if _, why, owed := m.ledger.SweepOwed(); owed {
		remedy := "wait for it; status shows its progress"
		if paused {
			remedy = "it is paused: resume it"
		} else if closed {
			remedy = waitsForWindow(opens)
		}
		add("sweep_owed", remedy, "not all keys have been compared yet (%s)", why)
	}
	if refusal != "" {
		return blockers // no key is to blame
	}
	m.ledger.Failing(failingAfter, func(d *ledger.Dirty) bool {
		add("copy_failing", "mend the cause; the copy is tried again by itself",
			"key %q of db %d could not be copied %d times in a row: %s", d.Key.Name, d.Key.DB, d.Failures, d.Why)
		return len(blockers) < 20
	})
	return blockers
}

// orGiveUp is the other remedy for a primary that is of no more use, in the phases that have one.
func orGiveUp(phase string) string {
	switch phase {
	case status.Reversed:
		return "; or give it up: rollback --force " + primaryDown + " lists the keys that had not settled"
	case status.Synced:
		return "; or give it up: cutover --force " + primaryDown + " lists the keys that had not settled"
	}
	return ""
}
