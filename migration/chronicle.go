package migration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"tandem/internal/admin"
	"tandem/internal/hook"
	"tandem/internal/journal"
	"tandem/internal/report"
	"tandem/internal/status"
)

// hooksEnd is how long the end of a process waits for hooks that have not been told yet.
const hooksEnd = 3 * time.Second

// chronicle is what is noted of a migration for others than its clients: events, in the journal, which hooks are told;
// and how much was moved in each phase.
type chronicle struct {
	journal *journal.Journal
	hooks   atomic.Pointer[[]hooked]
	events  eventCounts
	tally   tally

	// lastStep is the last step that was noted, under the lock of steps: what tries again by itself is noted once.
	lastStep journal.Event
}

// openChronicle opens the journal of the state directory, and notes that a process has begun.
func (m *Migration) openChronicle() {
	c := &m.chronicle
	m.setHooks(m.cfg.Hooks)
	c.journal = journal.Open(m.cfg.StateDir, journal.Options{Log: m.log, Observe: func(e journal.Event) {
		c.events.add(e)
		for _, h := range *c.hooks.Load() {
			h.Tell(e)
		}
	}})
	var err error
	if c.tally.phases, err = report.ReadTally(m.cfg.StateDir); err != nil {
		m.log.Warn("the report lacks what was moved before", "error", err)
	}
	crashed := false
	for _, e := range c.journal.Events(0, 0) {
		if e.Kind == journal.Process {
			crashed = e.State == journal.Begins
		}
	}
	e := journal.Event{Kind: journal.Process, Name: "tandem", State: journal.Begins, Message: "tandem has started, in phase " + m.state.Phase}
	if crashed {
		e.Message += "; the process before it has ended without a word"
		e.Numbers = map[string]float64{"crashed": 1}
	}
	m.record(e)
}

// closeChronicle notes how the process ended, and tells those who have not been told yet.
func (m *Migration) closeChronicle(why error) {
	c := &m.chronicle
	e := journal.Event{Kind: journal.Process, Name: "tandem", State: journal.Ends, Message: "tandem has ended"}
	if why != nil {
		e.State, e.Message = journal.Failed, "tandem has ended: "+why.Error()
	}
	m.record(e)
	if err := c.journal.Close(); err != nil {
		m.log.Warn("the journal is not closed", "error", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), hooksEnd)
	defer cancel()
	for _, h := range *c.hooks.Load() {
		h.Stop(ctx)
	}
}

// record adds an event to the journal. It may be called at any time, and waits for nothing.
func (m *Migration) record(e journal.Event) { m.chronicle.journal.Add(e) }

// Events are those of the journal behind number after, at most limit of them. (admin.Controller)
func (m *Migration) Events(after int64, limit int) []journal.Event {
	return m.chronicle.journal.Events(after, limit)
}

// LastEvent is the number of the last one; 0 before the first. (admin.Controller)
func (m *Migration) LastEvent() int64 { return m.chronicle.journal.Last() }

// noteStep notes what came of a step. It is deferred: r and err are what the step returns. before is the phase in which
// it was asked for. The lock of steps is held.
func (m *Migration) noteStep(name, before string, o admin.StepOptions, r *admin.Result, err *error) {
	e := journal.Event{Kind: journal.Step, Name: name, State: journal.Done}
	var refused *admin.Refused
	switch {
	case *err == nil:
		if r.Phase == before && r.Pause == 0 {
			return // it was done before
		}
		e.Message = "from " + before + " to " + r.Phase
		if r.Pause > 0 {
			e.Numbers = map[string]float64{"pause_ms": float64(r.Pause.Microseconds()) / 1000}
			e.Message += fmt.Sprintf(", clients were held for %s", r.Pause.Round(time.Microsecond))
		}
	case errors.As(*err, &refused):
		e.State, e.Message = journal.Refused, refused.Message
		var codes []string
		for _, b := range refused.Blockers {
			codes = append(codes, b.Code)
		}
		if len(codes) > 0 {
			e.Message += " (" + strings.Join(codes, ", ") + ")"
		}
	case errors.Is(*err, admin.ErrUndone):
		e.State, e.Message = journal.Undone, (*err).Error()
	default:
		e.State, e.Message = journal.Failed, (*err).Error()
	}
	if o.Force != "" {
		e.Message += "; forced: " + o.Force
	}
	last := m.chronicle.lastStep
	if e.State != journal.Done && last.Name == e.Name && last.State == e.State && last.Message == e.Message {
		return
	}
	m.chronicle.lastStep = e
	m.record(e)
}

// sweepName tells a sweep over all keys from one over those that a crash has left in doubt.
func sweepName(only bool) string {
	if only {
		return "marked"
	}
	return "all"
}

func (m *Migration) noteSweepBegins(why string, only bool, marked int) {
	e := journal.Event{Kind: journal.Sweep, Name: sweepName(only), State: journal.Begins, Message: why}
	if only {
		e.Numbers = map[string]float64{"marked_stripes": float64(marked)}
	}
	m.record(e)
}

func (m *Migration) noteSweepDone(p status.BackfillStatus, only bool) {
	m.record(journal.Event{Kind: journal.Sweep, Name: sweepName(only), State: journal.Done,
		Message: fmt.Sprintf("%d keys, %d of them copied", p.KeysScanned, p.KeysCopied),
		Numbers: map[string]float64{"keys": float64(p.KeysScanned), "copied": float64(p.KeysCopied), "copied_bytes": float64(p.BytesCopied)}})
}

func (m *Migration) noteSweepFailed(err error, only bool) {
	m.record(journal.Event{Kind: journal.Sweep, Name: sweepName(only), State: journal.Failed, Message: err.Error()})
}

// hookCounts is what has become of events, by the hooks' names; those of one name are one.
func (m *Migration) hookCounts() map[string]hook.Counts {
	sums := map[string]hook.Counts{}
	for _, h := range *m.chronicle.hooks.Load() {
		s, c := sums[h.Name()], h.Counts()
		sums[h.Name()] = hook.Counts{Delivered: s.Delivered + c.Delivered, Failed: s.Failed + c.Failed, LeftOut: s.LeftOut + c.LeftOut,
			Attempts: s.Attempts + c.Attempts}
	}
	return sums
}
