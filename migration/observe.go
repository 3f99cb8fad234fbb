package migration

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tandem/internal/instance"
	"tandem/internal/journal"
	"tandem/internal/report"
	"tandem/internal/status"
)

const (
	// observeEvery is how often what goes on is looked at for events. What is over sooner than the second look is none,
	// but for lost connections, which are counted.
	observeEvery = 500 * time.Millisecond
	// tallyEvery is how often what was moved is written down at most; a process that is killed loses as much of the count.
	tallyEvery = time.Second
	// lossesEvery is how often lost connections are told of at most.
	lossesEvery = 10 * time.Second
)

// ordinary are blockers that are no faults: what is asked for next has only not been done yet, or is an event of its own.
var ordinary = map[string]bool{"not_started": true, "starting": true, "sweep_owed": true, verifyMissing: true, verifyDifferent: true}

// tally is what was moved in each phase, by the process that is counting and those before it. It belongs to the
// goroutine of observe, but for phases, which m.mu guards.
type tally struct {
	phases  report.Tally
	counted report.Traffic // of this process, as far as it is in phases
	at      time.Time      // when that was counted
	written time.Time
	// unwritten: something was moved since.
	unwritten bool
	sick      bool
}

// standingFault is a fault that was seen at the last look.
type standingFault struct {
	since, last time.Time
	noted       bool // it was seen at two looks
	message     string
	instance    string
}

// observer finds events by comparing what goes on with what went on before.
type observer struct {
	m       *Migration
	phase   string
	entered time.Time
	faults  map[string]*standingFault
	lagging time.Time // since when; zero: not
	// Connections that had been lost when that was last told of, and when that was.
	lanes, effectLanes         uint64
	backLanes, backEffectLanes uint64 // of the target's clients, in two-way
	lossesAt                   time.Time
	// Shadow reads that had differed when that was last told of, and when that was.
	shadows   uint64
	shadowsAt time.Time
}

// observe looks for events until the process ends.
func (m *Migration) observe() {
	o := &observer{m: m, faults: map[string]*standingFault{}}
	m.chronicle.tally.at = time.Now()
	tick := time.NewTicker(cmp.Or(m.hooks.observeEvery, observeEvery))
	defer tick.Stop()
	for {
		o.look(time.Now())
		select {
		case <-m.ctx.Done():
			o.lookAtPhase(time.Now())
			m.count(o.phase, true)
			return
		case <-tick.C:
		}
	}
}

func (o *observer) look(now time.Time) {
	o.lookAtPhase(now)
	o.lookAtFaults(now)
	o.lookAtLag(now)
	o.lookAtLosses(now)
	o.lookAtShadows(now)
}

// lookAtPhase notes that another phase has been entered, and counts what was moved to the one before it.
func (o *observer) lookAtPhase(now time.Time) {
	m, phase := o.m, o.m.phase()
	if m.primaryOf(phase) != m.shard.Primary() {
		return // written down, and perhaps about to be undone
	}
	during := cmp.Or(o.phase, phase)
	if o.phase == status.Passthrough && phase != o.phase {
		during = status.Backfill // in passthrough nothing is copied
	}
	m.count(during, phase != o.phase)
	if o.phase == status.Passthrough && phase == status.Synced {
		o.enter(status.Backfill, now) // it was over before anybody looked
	}
	if phase != o.phase {
		o.enter(phase, now)
	}
}

// enter notes that a phase has been entered.
func (o *observer) enter(phase string, now time.Time) {
	m := o.m
	e := journal.Event{Kind: journal.Phase, Name: phase, Message: "the phase is " + phase}
	if o.phase != "" {
		e.Message += ", after " + o.phase
		e.Numbers = map[string]float64{"lasted_ms": float64(now.Sub(o.entered).Milliseconds())}
	}
	// A process that goes on in the phase of the one before it has entered none.
	entered := o.phase != "" || phase != lastPhase(m.Events(0, 0))
	o.phase, o.entered = phase, now
	if !entered {
		return
	}
	m.record(e)
	if phase == status.Finished {
		m.writeReport()
	}
}

// lastPhase is the phase that was entered last.
func lastPhase(events []journal.Event) string {
	for _, e := range slices.Backward(events) {
		if e.Kind == journal.Phase {
			return e.Name
		}
	}
	return ""
}

// lookAtFaults notes which blockers have come, and which have gone.
func (o *observer) lookAtFaults(now time.Time) {
	m := o.m
	for _, b := range m.blocking() {
		if ordinary[b.Code] {
			continue
		}
		f := o.faults[b.Code]
		if f == nil {
			f = &standingFault{since: now, instance: m.instanceOf(b.Code), message: b.Message}
			o.faults[b.Code] = f
		} else if !f.noted && f.last != now {
			f.noted = true
			m.record(journal.Event{Kind: journal.Fault, Name: b.Code, State: journal.Begins, Instance: f.instance,
				Message: b.Message + "; " + b.Remedy, Numbers: map[string]float64{"seen_ms": float64(now.Sub(f.since).Milliseconds())}})
		}
		f.last = now
	}
	for _, code := range slices.Sorted(maps.Keys(o.faults)) {
		f := o.faults[code]
		if f.last == now {
			continue
		}
		delete(o.faults, code)
		if f.noted {
			lasted := now.Sub(f.since)
			m.record(journal.Event{Kind: journal.Fault, Name: code, State: journal.Ends, Instance: f.instance,
				Message: fmt.Sprintf("%s: over after %s", f.message, lasted.Round(time.Millisecond)),
				Numbers: map[string]float64{"lasted_ms": float64(lasted.Milliseconds())}})
		}
	}
}

// instanceOf is the instance that a blocker is about, by its name; empty for those of neither.
func (m *Migration) instanceOf(code string) string {
	primary := m.shard.Primary()
	switch {
	case strings.HasPrefix(code, "two_way"):
		return ""
	case strings.HasPrefix(code, "primary_"):
		return string(primary.Role)
	case strings.HasPrefix(code, "secondary_"), code == "functions_missing", code == "copy_failing":
		return string(m.other(primary).Role)
	case strings.HasPrefix(code, "source_"):
		return string(instance.Source)
	case strings.HasPrefix(code, "target_"):
		return string(instance.Target)
	}
	return ""
}

// lookAtLag notes when the secondary falls behind, and when it has caught up by half.
func (o *observer) lookAtLag(now time.Time) {
	m, limit := o.m, o.m.live().Alarms.Lag
	l := m.linked.Load()
	if limit == 0 || l == nil {
		return
	}
	m.ledger.Lock()
	up, oldest := l.effects.Up() && (l.back == nil || l.back.effects.Up()), m.ledger.Oldest()
	m.ledger.Unlock()
	if !up {
		return // that is another fault, and nothing is known of the lag
	}
	var lag time.Duration
	if oldest != 0 {
		lag = max(0, now.Sub(time.Unix(0, oldest)))
	}
	behind, role := l.secondary.String(), string(l.secondary.Role)
	if l.back != nil {
		behind, role = "one of both servers", ""
	}
	e := journal.Event{Kind: journal.Lag, Name: "lag", Instance: role, Numbers: map[string]float64{"lag_ms": float64(lag.Milliseconds())}}
	switch {
	case lag >= limit && o.lagging.IsZero():
		o.lagging = now
		e.State, e.Message = journal.Begins, fmt.Sprintf("%s is %s behind; the alarm is set to %s", behind, lag.Round(time.Millisecond), limit)
	case lag < limit/2 && !o.lagging.IsZero():
		lasted := now.Sub(o.lagging)
		o.lagging = time.Time{}
		e.State, e.Message = journal.Ends, fmt.Sprintf("%s has caught up, after %s", behind, lasted.Round(time.Millisecond))
		e.Numbers["lasted_ms"] = float64(lasted.Milliseconds())
	default:
		return
	}
	m.record(e)
}

// lookAtLosses notes connections that broke, those too that were made again at once.
func (o *observer) lookAtLosses(now time.Time) {
	if now.Sub(o.lossesAt) < lossesEvery {
		return
	}
	counts := o.m.shard.Counts()
	primary := o.m.shard.Primary()
	tell := func(what string, of *instance.Instance, was *uint64, is uint64) {
		if is == *was {
			return
		}
		n := is - *was
		*was = is
		o.lossesAt = now
		o.m.record(journal.Event{Kind: journal.Fault, Name: "connection_lost", Instance: string(of.Role),
			Message: fmt.Sprintf("%d %s to %s broke", n, what, of), Numbers: map[string]float64{"times": float64(n)}})
	}
	tell("lanes", primary, &o.lanes, counts.LanesLost)
	tell("effect lanes", o.m.other(primary), &o.effectLanes, counts.EffectLanesLost)
	if o.m.twoWay() {
		counts = o.m.two.shard.Counts()
		tell("lanes", o.m.target, &o.backLanes, counts.LanesLost)
		tell("effect lanes", o.m.source, &o.backEffectLanes, counts.EffectLanesLost)
	}
}

// lookAtShadows notes reads that the secondary has answered otherwise.
func (o *observer) lookAtShadows(now time.Time) {
	c := o.m.shard.ShadowCounts()
	if c.Different == o.shadows || now.Sub(o.shadowsAt) < lossesEvery {
		return
	}
	n := c.Different - o.shadows
	o.shadows, o.shadowsAt = c.Different, now
	o.m.record(journal.Event{Kind: journal.Difference, Name: "shadow",
		Message: fmt.Sprintf("%d reads were answered otherwise by the secondary, the last a %s; their keys are copied", n, c.Last),
		Numbers: map[string]float64{"different": float64(n)}})
}

// traffic is all that this process has moved so far.
func (m *Migration) traffic() report.Traffic {
	counts, shadow := m.counts(), m.shard.ShadowCounts()
	m.ledger.Lock()
	s := m.ledger.Stats()
	m.ledger.Unlock()
	return report.Traffic{
		Commands: int64(counts.Commands), Writes: int64(counts.Writes),
		EffectsForwarded: int64(s.Forwarded), EffectBytes: int64(counts.EffectBytes), EffectsDropped: int64(s.Dropped),
		EffectsMismatched: int64(s.Mismatched), KeysCopied: int64(s.Copied), CopiedBytes: int64(counts.CopyBytes),
		CopiesFailed: int64(s.Failed), ForeignWrites: int64(s.Foreign), KeysRepaired: m.verifies.repaired.Load(),
		ShadowReads: int64(shadow.Same + shadow.Different), ShadowDifferences: int64(shadow.Different),
	}
}

// count adds to a phase what was moved since the last time, and writes it down from time to time, or now. Only the
// goroutine of observe calls it.
func (m *Migration) count(phase string, write bool) {
	t := &m.chronicle.tally
	now, total := time.Now(), m.traffic()
	news := total.Since(t.counted)
	news.ServedMs = now.Sub(t.at).Milliseconds()
	t.counted, t.at = total, now
	t.unwritten = t.unwritten || news != report.Traffic{ServedMs: news.ServedMs}
	m.mu.Lock()
	sum := t.phases[phase]
	sum.Add(news)
	t.phases[phase] = sum
	copied := maps.Clone(t.phases)
	m.mu.Unlock()
	if !write && (!t.unwritten || now.Sub(t.written) < tallyEvery) {
		return
	}
	t.written, t.unwritten = now, false
	err := copied.Write(m.cfg.StateDir)
	if err != nil && !t.sick {
		m.log.Error("what was moved cannot be written down; it is tried again", "error", err)
	}
	t.sick = err != nil
}
