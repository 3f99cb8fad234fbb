package migration

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"tandem/internal/admin"
	"tandem/internal/journal"
	"tandem/internal/state"
	"tandem/internal/status"
)

// A planned cutover comes by itself: at a time, or as soon as nothing stands in its way. It is tried again and again until it
// is done or its time is over, through the same gates as one that somebody asks for. It is in the state file, so a restart
// does not forget it.

const (
	// planWithin is for how long a planned cutover is tried when nobody has said.
	planWithin = time.Hour
	// planEvery is how often its time and the blockers are looked at.
	planEvery = 250 * time.Millisecond
	// The pause after an attempt that was undone, doubling: each may have held clients for cutover.max_pause.
	planRetryMin = time.Second
	planRetryMax = 30 * time.Second
)

// planState is what is known of the plan besides what the state file has.
type planState struct {
	// problem is what has kept it from being done so far, or why the last one was given up.
	problem string
	// next is when it may be tried again, and pause how long after another attempt.
	next  time.Time
	pause time.Duration
}

// planned is the plan, of which At is 0 if there is none.
func (m *Migration) planned() state.Plan {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.Plan
}

// makePlan takes the place of an earlier plan. m.step is held.
func (m *Migration) makePlan(o admin.StepOptions) (admin.Result, error) {
	now := time.Now()
	at := cmp.Or(o.At, now.UnixMilli())
	within := cmp.Or(time.Duration(o.Within)*time.Millisecond, planWithin)
	p := state.Plan{At: at, Until: at + within.Milliseconds(), Force: o.Force}
	switch phase := m.phase(); {
	case phase == status.Reversed || phase == status.Finished:
		return admin.Result{Phase: phase}, nil
	case within < 0 || at < 0 || time.UnixMilli(p.Until).Before(now):
		return admin.Result{}, &admin.Refused{Message: "the time of the planned cutover is over already"}
	}
	if err := m.save(func(s *state.State) { s.Plan = p }); err != nil {
		return admin.Result{}, &admin.Refused{Message: "the plan could not be written", Blockers: m.blocking()}
	}
	m.mu.Lock()
	m.plan = planState{}
	m.mu.Unlock()
	m.record(journal.Event{Kind: journal.Step, Name: "cutover", State: journal.Begins,
		Message: "planned for " + time.UnixMilli(p.At).UTC().Format(time.RFC3339)})
	m.log.Info("a cutover is planned", "at", time.UnixMilli(p.At).Format(time.RFC3339), "until", time.UnixMilli(p.Until).Format(time.RFC3339),
		"force", p.Force)
	return admin.Result{Phase: m.phase(), Planned: true}, nil
}

// cancelPlan takes the plan back. An attempt that was under way has ended by now. m.step is held.
func (m *Migration) cancelPlan() (admin.Result, error) {
	if m.planned().At == 0 {
		return admin.Result{}, &admin.Refused{Message: "no cutover is planned", Blockers: []status.Blocker{{
			Code: "not_planned", Message: "there is nothing to take back in phase " + m.phase(), Remedy: "see tandem status"}}}
	}
	if err := m.save(func(s *state.State) { s.Plan = state.Plan{} }); err != nil {
		return admin.Result{}, &admin.Refused{Message: "the plan could not be taken out of the state file", Blockers: m.blocking()}
	}
	m.mu.Lock()
	m.plan = planState{}
	m.mu.Unlock()
	m.record(journal.Event{Kind: journal.Step, Name: "cutover", State: journal.Undone, Message: "the plan was taken back"})
	m.log.Info("the planned cutover was taken back")
	return admin.Result{Phase: m.phase()}, nil
}

// endPlan ends the plan, if there is one: it is done, or there is a problem.
func (m *Migration) endPlan(problem string) {
	if m.planned().At == 0 {
		return
	}
	m.mu.Lock()
	m.plan = planState{problem: problem}
	m.state.Plan = state.Plan{} // whatever becomes of the file: it is not to be tried again
	m.mu.Unlock()
	_ = m.save(func(s *state.State) { s.Plan = state.Plan{} }) // save says itself that it failed, and that is tried again
}

// describePlan fills in the status, of a trial as well. m.mu is held.
func (m *Migration) describePlan(s *status.CutoverStatus) {
	if p := m.state.Plan; p.At != 0 {
		s.PlannedAt, s.PlannedUntil = status.Known(p.At), status.Known(p.Until)
	}
	s.PlannedProblem = m.plan.problem
	if until := m.state.TrialUntil; m.state.Phase == status.Reversed && until > time.Now().UnixMilli() {
		s.TrialUntil = status.Known(until)
	}
	s.TrialProblem = m.trial.problem
}

// followPlan carries out what is planned, as long as the process runs.
func (m *Migration) followPlan() {
	tick := time.NewTicker(planEvery)
	defer tick.Stop()
	for {
		select {
		case <-m.draining.Done():
			return
		case <-tick.C:
			m.tryPlan(time.Now())
		}
	}
}

// tryPlan tries what is planned, if it is time for that.
func (m *Migration) tryPlan(now time.Time) {
	m.mu.Lock()
	due := m.state.Plan.At != 0 && !now.Before(time.UnixMilli(m.state.Plan.At)) && !now.Before(m.plan.next)
	m.mu.Unlock()
	if !due || m.beginStep() != nil {
		return
	}
	defer m.step.Unlock()
	p := m.planned() // again: it may have been taken back, or another step taken
	if p.At == 0 || now.Before(time.UnixMilli(p.At)) {
		return
	}
	phase := m.phase()
	if phase == status.Reversed || phase == status.Finished {
		m.endPlan("")
		return
	}
	if now.After(time.UnixMilli(p.Until)) {
		m.mu.Lock()
		problem := m.plan.problem
		m.mu.Unlock()
		problem = cmp.Or(problem, "nobody was there to do it in its time")
		m.log.Error("the planned cutover was given up: its time is over", "problem", problem)
		m.record(journal.Event{Kind: journal.Step, Name: "cutover", State: journal.Failed, Message: "the planned cutover was given up: " + problem})
		m.endPlan("given up: " + problem)
		return
	}
	if left, err := without(m.blocking(), p.Force); phase != status.Synced || err != nil || len(left) > 0 {
		m.planProblem(now, waitingFor(left, phase), false)
		return
	}
	result, err := m.cutover(m.draining, admin.StepOptions{Force: p.Force})
	if err != nil {
		var refused *admin.Refused
		problem := err.Error()
		if errors.As(err, &refused) && len(refused.Blockers) > 0 {
			problem += ": " + waitingFor(refused.Blockers, m.phase())
		}
		m.log.Warn("the planned cutover could not be done yet", "error", problem)
		m.planProblem(now, problem, true)
		return
	}
	m.log.Info("the planned cutover is done", "pause", result.Pause.Round(time.Microsecond))
	m.endPlan("")
}

// planProblem notes why it was not done. tried: clients may have been held, and are left in peace for a while.
func (m *Migration) planProblem(now time.Time, problem string, tried bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.plan.problem = problem
	if tried {
		m.plan.pause = min(max(2*m.plan.pause, planRetryMin), planRetryMax)
		m.plan.next = now.Add(m.plan.pause)
	}
}

// waitingFor names blockers.
func waitingFor(blockers []status.Blocker, phase string) string {
	if len(blockers) == 0 {
		return "the phase is " + phase
	}
	var list []string
	for _, b := range blockers {
		list = append(list, fmt.Sprintf("%s (%s)", b.Code, b.Message))
	}
	return strings.Join(list, "; ")
}
