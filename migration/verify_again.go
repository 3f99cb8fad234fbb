package migration

import (
	"cmp"
	"os"
	"time"

	"tandem/backfill"
	"tandem/internal/admin"
	"tandem/internal/journal"
	"tandem/internal/status"
)

// Verifies that nobody asks for: those that an earlier process has begun, and those of verify.every.

// scheduleEvery is how often is looked whether a verify is due.
const scheduleEvery = time.Second

// takeUpVerifies goes on with the verifies of an earlier process, and starts those that are due, until the process ends.
func (m *Migration) takeUpVerifies() {
	highest, interrupted, err := verifyFilesIn(m.cfg.StateDir)
	if err != nil {
		m.log.Warn("verifies of an earlier process are not taken up", "error", err)
	}
	m.verifies.before(highest, m.Events(0, 0))
	close(m.verifies.known)

	every := m.cfg.Verify.Every
	next := m.nextVerify(every)
	tick := time.NewTicker(cmp.Or(m.hooks.observeEvery, scheduleEvery))
	defer tick.Stop()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-tick.C:
		}
		if len(interrupted) > 0 {
			interrupted = m.goOnVerifying(interrupted)
		}
		if every == 0 {
			continue
		}
		m.verifies.next.Store(next.UnixMilli())
		if phase := m.phase(); time.Now().Before(next) || phase != status.Synced && phase != status.Reversed || m.verifies.anyRuns() {
			continue
		}
		if _, err := m.startVerify(admin.VerifyOptions{Mode: m.cfg.Verify.Mode}, bySchedule, nil); err == nil {
			next = time.Now().Add(every)
		}
	}
}

// before takes up what is known of verifies of earlier processes: their highest number, and what they have come to.
func (vs *verifies) before(highest int, events []journal.Event) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	vs.count = max(vs.count, highest)
	for _, e := range events {
		if e.Kind != journal.Verify || e.State != journal.Done {
			continue
		}
		vs.lastBefore = vs.lastBefore.then(verifyEnd{finished: e.Time(), count: int64(e.Numbers["different"])}, e.Name == admin.VerifyFull)
		if vs.lastBefore.count == 0 && e.Name == admin.VerifyFull {
			vs.equalBefore = e.Time()
		}
	}
}

// nextVerify is when the first of this process begins by itself: as long after the last one as the setting says, if that is
// known, else after now.
func (m *Migration) nextVerify(every time.Duration) time.Time {
	last := time.Now()
	for _, e := range m.Events(0, 0) {
		if e.Kind == journal.Verify && e.State == journal.Done {
			last = e.Time()
		}
	}
	return last.Add(every)
}

// goOnVerifying takes up those verifies that can be now, and returns the others.
func (m *Migration) goOnVerifying(interrupted []savedVerify) (left []savedVerify) {
	l := m.linked.Load()
	if l == nil {
		if m.phase() == status.Finished {
			for _, s := range interrupted {
				m.dropVerify(s)
			}
			return nil
		}
		return interrupted
	}
	m.ledger.Lock()
	ready := m.shard.Known() && l.effects.Up()
	m.ledger.Unlock()
	if !ready {
		return interrupted
	}
	for _, s := range interrupted {
		if l.primary.Role != s.Primary {
			m.dropVerify(s)
			continue
		}
		if _, err := m.startVerify(admin.VerifyOptions{Mode: s.Mode, Repair: s.Repair}, s.By, &s); err != nil {
			left = append(left, s)
		}
	}
	return left
}

// dropVerify gives up a verify of an earlier process.
func (m *Migration) dropVerify(s savedVerify) {
	_ = os.Remove(verifyPath(m.cfg.StateDir, s.ID, pointSuffix)) // it would be given up again
	m.log.Warn("a verify of an earlier process is given up: the roles have changed", "id", s.ID)
	m.record(journal.Event{Kind: journal.Verify, Name: s.Mode, State: journal.Failed, Message: "verify " + s.ID + ": " + errSwapped.Error()})
}

// takeUp makes v the verify that was saved. It is called before it runs.
func (v *verify) takeUp(s *savedVerify) {
	v.id, v.began, v.files.id = s.ID, time.UnixMilli(s.BeganAt), s.ID
	v.found = v.files.takeUp(s.Listed)
	for _, d := range v.found {
		v.bytes += len(d.Key) + len(d.Detail)
	}
	v.count = s.Different
}

// save notes how far the verify has come; nil: it has just begun.
func (v *verify) save(p *backfill.VerifyPoint) {
	v.files.mu.Lock()
	defer v.files.mu.Unlock()
	v.mu.Lock()
	running := v.state == status.Running
	s := savedVerify{ID: v.id, Mode: v.opts.Mode, Repair: v.opts.Repair, By: v.by, Primary: v.primary, BeganAt: v.began.UnixMilli(),
		Different: v.count, Listed: len(v.found), Point: p}
	v.mu.Unlock()
	if running {
		v.files.save(s)
	}
}
