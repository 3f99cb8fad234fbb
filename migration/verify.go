package migration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"tandem/backfill"
	"tandem/internal/admin"
	"tandem/internal/journal"
	"tandem/internal/status"
)

// Who has asked for a verify.
const (
	bySomebody = "request"
	bySchedule = "schedule"
)

// Verify starts a verify. (admin.Controller)
func (m *Migration) Verify(ctx context.Context, o admin.VerifyOptions) (string, error) {
	select {
	case <-m.verifies.known: // and so which numbers are taken
	case <-m.ctx.Done():
		return "", errEnding
	case <-ctx.Done():
		return "", ctx.Err()
	}
	v, err := m.startVerify(o, bySomebody, nil)
	if err != nil {
		return "", err
	}
	return v.id, nil
}

// startVerify starts a verify, or one that an earlier process has begun.
func (m *Migration) startVerify(o admin.VerifyOptions, by string, saved *savedVerify) (*verify, error) {
	l := m.linked.Load()
	if l == nil {
		return nil, &admin.Refused{Message: "there is nothing to compare", Blockers: []status.Blocker{{
			Code: "not_replicating", Message: "in phase " + m.phase() + " only one instance is written to",
			Remedy: "start the backfill first"}}}
	}
	if !m.isKnown() {
		return nil, admin.ErrPrimaryDown
	}
	o.Mode = cmp.Or(o.Mode, admin.VerifyFull)
	v := &verify{opts: o, by: by, state: status.Running, began: time.Now(), primary: l.primary.Role, vs: &m.verifies}
	v.files.dir, v.files.log = m.cfg.StateDir, m.log
	bo := backfill.VerifyOptions{
		Name:         m.shard.ConnName("verify"),
		Mode:         backfill.Mode(o.Mode),
		SampleShare:  float64(m.cfg.Verify.SampleShare),
		Repair:       o.Repair,
		Databases:    m.databases(),
		Moves:        m.moves,
		Extend:       m.cfg.Expiry.ExtendBy,
		ScanCount:    m.cfg.Backfill.ScanCount,
		Workers:      m.cfg.Verify.Workers,
		TTLTolerance: m.cfg.Verify.TTLTolerance,
		BigKeyBytes:  int64(m.cfg.BigKeyBytes),
		KeysPerS:     m.cfg.Verify.MaxKeysPerS,
		Throttle:     m.throttle,
		Shift:        m.shard.Shift,
		Report:       v.add,
		Save:         func(p backfill.VerifyPoint) { v.save(&p) },
		SaveEvery:    m.hooks.saveVerifyEvery,
		Log:          m.log,
	}
	if saved != nil {
		v.takeUp(saved)
		bo.From = saved.Point
	}
	v.run = backfill.NewVerify(m.ledger, l.primary, l.secondary, bo)
	run, cancel := context.WithCancelCause(m.ctx)
	v.cancel = cancel
	if err := m.verifies.begin(v, l, m.linked.Load); err != nil {
		cancel(nil)
		return nil, err
	}
	if saved == nil {
		v.files.id = v.id
		v.save(nil)
		v.files.failed(pruneLists(m.cfg.StateDir, keptVerifies))
	}
	m.log.Info("verify begins", "id", v.id, "mode", o.Mode, "repair", o.Repair, "by", by, "goes_on", saved != nil)
	m.noteVerifyBegins(v, saved != nil)
	m.work.Go(func() {
		defer cancel(nil)
		err := v.run.Run(run)
		m.verifyEnded(v, err)
		v.end(err) // last: who waits for it finds it in the journal
	})
	return v, nil
}

// isKnown reports whether the primary has been reached.
func (m *Migration) isKnown() bool {
	m.ledger.Lock()
	defer m.ledger.Unlock()
	return m.shard.Known()
}

// errSwapped ends a verify that compares by roles which are no more.
var errSwapped = errors.New("the roles changed while it ran; start it again")

// errProcessEnds ends those that the next process takes up again.
var errProcessEnds = errors.New("the process ended")

// errCancelled ends one that nobody wants any more.
var errCancelled = errors.New("it was cancelled")

// verifyEnded says what has come of a verify that has run; err is what it has ended with, unless somebody has ended it.
func (m *Migration) verifyEnded(v *verify, err error) {
	s, why := v.summary(), v.why()
	if v.running() {
		s.State, why = status.Done, err
		if err != nil {
			s.State, s.Error = status.Failed, err.Error()
		}
	}
	if why != nil && (errors.Is(why, errProcessEnds) || m.ctx.Err() != nil) {
		v.files.close(false) // it goes on in the next process
		m.log.Info("verify interrupted", "id", v.id, "compared", s.Compared, "different", s.Different)
		return
	}
	v.files.close(true)
	if s.State == status.Done && s.Mode == admin.VerifyFull && (s.Different == 0 || s.Repair) {
		m.compared(v.began)
	}
	m.log.Info("verify ended", "id", v.id, "by", v.by, "compared", s.Compared, "different", s.Different, "file", s.File, "error", s.Error)
	e := journal.Event{Kind: journal.Verify, Name: s.Mode, State: journal.Done, Message: s.Text(), Numbers: map[string]float64{
		"compared": float64(s.Compared), "different": float64(s.Different), "took_ms": float64(time.Since(v.began).Milliseconds())}}
	if v.opts.Repair {
		e.Numbers["repaired"] = float64(s.Different)
		e.Message += "; those are copied again"
	}
	if share, known := s.AtMostDifferent.Get(); known {
		e.Numbers["at_most_different"] = share
	}
	switch {
	case s.State == status.Failed:
		e.State, e.Message = journal.Failed, s.Error+"; until then: "+e.Message
		if v.by == bySchedule && !errors.Is(why, errSwapped) && !errors.Is(why, errCancelled) {
			m.record(journal.Event{Kind: journal.Fault, Name: "verify_failed", Message: "a verify that had begun by itself failed: " + s.Error})
		}
	case s.Different > 0:
		m.record(journal.Event{Kind: journal.Difference, Name: "verify", Message: fmt.Sprintf("verify %s: %s; listed in %s", v.id, e.Message, s.File),
			Numbers: map[string]float64{"different": float64(s.Different), "compared": float64(s.Compared)}})
	}
	m.record(e)
}

func (m *Migration) noteVerifyBegins(v *verify, goesOn bool) {
	message := "a verify begins"
	switch {
	case goesOn:
		message = "a verify goes on that an earlier process has begun"
	case v.by == bySchedule:
		message = "a verify begins by itself"
	}
	m.record(journal.Event{Kind: journal.Verify, Name: v.opts.Mode, State: journal.Begins, Message: message})
}

// VerifyResults lists what a verify has found so far. (admin.Controller)
func (m *Migration) VerifyResults(_ context.Context, id string, from int, yield func(status.Difference) error) (status.VerifySummary, error) {
	v := m.verifies.find(id)
	if v == nil {
		return status.VerifySummary{}, admin.ErrUnknownVerify
	}
	s := v.summary() // before the list: what it counts is listed
	v.mu.Lock()
	found := v.found[min(from, len(v.found)):]
	v.mu.Unlock()
	for _, d := range found {
		if err := yield(d); err != nil {
			return s, err
		}
	}
	return s, nil
}

// LeadVerify pauses a verify, resumes or cancels it. One that has ended stays as it is. (admin.Controller)
func (m *Migration) LeadVerify(_ context.Context, id string, step admin.VerifyStep) (status.VerifySummary, error) {
	v := m.verifies.find(id)
	if v == nil {
		return status.VerifySummary{}, admin.ErrUnknownVerify
	}
	switch step {
	case admin.PauseVerify:
		v.run.Pause()
	case admin.ResumeVerify:
		v.run.Resume()
	case admin.CancelVerify:
		v.end(errCancelled)
		v.cancel(errCancelled)
	}
	m.log.Info("verify led", "id", id, "step", string(step))
	return v.summary(), nil
}
