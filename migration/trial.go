package migration

import (
	"fmt"
	"time"

	"tandem/internal/admin"
	"tandem/internal/journal"
	"tandem/internal/status"
	"tandem/proxy"
)

// A trial is the time after a cutover in which Tandem rolls back by itself when clients fare badly with the target. What
// counts is what they see: errors, connections that break, and how long answers take. It ends with a rollback, a finish, or
// its time; a restart within it goes on with it.

const (
	// trialEvery is how often clients' answers are counted.
	trialEvery = 500 * time.Millisecond
	// trialWindow is how many counts are judged together: five seconds.
	trialWindow = 10
	// trialAnswers is how many answers a judgement needs: of fewer, a few say nothing.
	trialAnswers = 20
	// The pause after a rollback that could not be done, doubling: each attempt may hold clients for cutover.max_pause.
	trialRetryMin = time.Second
	trialRetryMax = 30 * time.Second
)

// trialState is what is known of the trial besides what the state file has.
type trialState struct {
	// problem is why the last one has failed, and failed how many have.
	problem string
	failed  uint64
}

// experience is what clients have got so far.
type experience struct{ answers, errors, late uint64 }

func (a experience) since(b experience) experience {
	return experience{a.answers - b.answers, a.errors - b.errors, a.late - b.late}
}

// experience counts connections that a lost primary has ended as errors, for so they are to their clients.
func (m *Migration) experience() experience {
	c := m.shard.Counts()
	broken := m.server.Closed(proxy.PrimaryLost)
	return experience{answers: c.Answers + broken, errors: c.Errors + broken, late: c.Late}
}

// trialUntil is when a trial ends that begins now with a phase, Unix ms; 0 for none.
func (m *Migration) trialUntil(phase string) int64 {
	if phase != status.Reversed || m.cfg.Cutover.Trial.Time == 0 {
		return 0
	}
	return time.Now().Add(m.cfg.Cutover.Trial.Time).UnixMilli()
}

// onTrial is until when the target is, 0 if it is not.
func (m *Migration) onTrial(now time.Time) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state.Phase != status.Reversed || m.state.TrialUntil <= now.UnixMilli() {
		return 0
	}
	return m.state.TrialUntil
}

// followTrial watches the target whenever it is on trial, as long as the process runs.
func (m *Migration) followTrial() {
	tick := time.NewTicker(trialEvery)
	defer tick.Stop()
	var watched int64 // the trial that the counts are of
	var counts []experience
	failed := ""
	var pause time.Duration
	var next time.Time
	for {
		select {
		case <-m.draining.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		until := m.onTrial(now)
		if until != watched || until == 0 {
			switch over := watched != 0 && until == 0 && m.phase() == status.Reversed; {
			case over && failed == "":
				m.log.Info("the target has passed its trial")
			case over:
				m.log.Error("the time of the trial is over, and the target has failed it: roll back by hand, or leave it so", "why", failed)
			}
			watched, counts, failed, pause, next = until, nil, "", 0, time.Time{}
		}
		if until == 0 {
			continue
		}
		counts = append(counts, m.experience())
		counts = counts[max(0, len(counts)-trialWindow-1):]
		if failed == "" {
			if failed = m.judgeTrial(counts[len(counts)-1].since(counts[0])); failed == "" {
				continue
			}
			m.trialFailed(failed)
		}
		if now.Before(next) {
			continue
		}
		if m.endTrial() {
			continue
		}
		pause = min(max(2*pause, trialRetryMin), trialRetryMax)
		next = now.Add(pause)
	}
}

// judgeTrial says what is wrong with what clients got in the last seconds, empty if nothing is.
func (m *Migration) judgeTrial(e experience) string {
	limits := m.cfg.Cutover.Trial
	m.ledger.Lock()
	silent := m.shard.SilentFor()
	m.ledger.Unlock()
	switch {
	case silent > 0:
		return fmt.Sprintf("the target has left commands unanswered for %s", silent.Round(time.Second))
	case e.answers < trialAnswers:
		return ""
	case limits.MaxErrorPercent > 0 && e.errors*100 > e.answers*uint64(limits.MaxErrorPercent):
		return fmt.Sprintf("%d of the last %d commands were answered with an error, more than cutover.trial.max_error_percent (%d)",
			e.errors, e.answers, limits.MaxErrorPercent)
	case limits.MaxLatency > 0 && e.late*2 > e.answers:
		return fmt.Sprintf("%d of the last %d commands took longer than cutover.trial.max_latency (%s)", e.late, e.answers, limits.MaxLatency)
	}
	return ""
}

// trialFailed says so.
func (m *Migration) trialFailed(why string) {
	m.log.Error("clients fare badly with the target, which is on trial: rolling back", "why", why)
	m.record(journal.Event{Kind: journal.Step, Name: "rollback", State: journal.Begins, Instance: "target", Message: "the trial has failed: " + why})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trial.problem = why
	m.trial.failed++
}

// endTrial rolls back, unless somebody has taken another step meanwhile. False: it could not be done.
func (m *Migration) endTrial() bool {
	if m.beginStep() != nil {
		return true
	}
	defer m.step.Unlock()
	if m.onTrial(time.Now()) == 0 {
		return true
	}
	result, err := m.rollback(m.draining, admin.StepOptions{})
	if err != nil {
		m.log.Error("the rollback of a trial that has failed could not be done yet", "error", err)
		return false
	}
	m.log.Warn("rolled back, for the target has failed its trial", "pause", result.Pause.Round(time.Microsecond))
	return true
}
