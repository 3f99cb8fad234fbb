package report

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"tandem/internal/journal"
	"tandem/internal/status"
)

// maxListed bounds the steps, the sweeps and the verifies of a report: the last ones are in it.
const maxListed = 200

// fullMode is the mode of a verify that compares everything.
const fullMode = "full"

// order is that of a migration.
var order = []string{status.Passthrough, status.Backfill, status.Synced, status.TwoWay, status.Reversed, status.Finished}

// Make makes a report.
func Make(in Input) Report {
	b := builder{now: in.Now.UnixMilli(), r: Report{
		MadeAt: in.Now.UnixMilli(), ID: in.ID, Phase: in.Status.Phase, Primary: in.Status.Primary,
		Source: in.Source, Target: in.Target, Duplicates: in.Status.Duplicates,
		Phases: []Phase{}, Steps: []Step{}, Faults: []Fault{}, Sweeps: []Sweep{}, Verifies: []Verify{},
	}}
	for _, e := range in.Events {
		b.take(e)
	}
	b.leavePhase(b.now)
	for name, t := range in.Tally {
		b.phase(name).Traffic = t
		b.r.Total.Add(t)
	}
	slices.SortStableFunc(b.r.Phases, func(x, y Phase) int {
		return cmp.Compare(slices.Index(order, x.Name), slices.Index(order, y.Name))
	})
	b.r.Steps, b.r.Sweeps, b.r.Verifies = last(b.r.Steps), last(b.r.Sweeps), last(b.r.Verifies)
	if n := len(in.Events); n > 0 && in.Events[0].Seq > 1 {
		b.r.Incomplete = fmt.Sprintf("events before %s are not in the journal any more", moment(in.Events[0].At))
	} else if n > 0 && in.Events[n-1].Seq != int64(n) {
		b.r.Incomplete = "some events could not be written to the journal in time"
	}
	b.r.Verdict = b.verdict(in.Status)
	return b.r
}

func last[T any](list []T) []T { return list[max(0, len(list)-maxListed):] }

// builder makes a report of events, one after the other.
type builder struct {
	r   Report
	now int64

	present string // the phase, since entered; empty before the first
	entered int64
	swept   int64 // when the last sweep over all keys began or ended
	// differences is when a shadow read was last found to differ.
	differed int64
}

func (b *builder) take(e journal.Event) {
	switch e.Kind {
	case journal.Process:
		if e.State == journal.Begins {
			b.r.Processes.Starts++
			if e.Numbers["crashed"] > 0 {
				b.r.Processes.Crashes++
			}
		}
		b.interrupt(e)
	case journal.Phase:
		b.leavePhase(e.At)
		b.enterPhase(e)
	case journal.Step:
		s := Step{At: e.At, Name: e.Name, State: e.State, Message: e.Message}
		if ms, ok := e.Numbers["pause_ms"]; ok {
			s.PauseMs = status.Known(ms)
			if longest, known := b.r.LongestPauseMs.Get(); !known || ms > longest {
				b.r.LongestPauseMs = status.Known(ms)
			}
		}
		b.r.Steps = append(b.r.Steps, s)
	case journal.Sweep:
		b.sweep(e)
	case journal.Fault, journal.Lag:
		b.fault(e)
	case journal.Verify:
		if e.State != journal.Begins {
			b.r.Verifies = append(b.r.Verifies, Verify{At: e.At, Mode: e.Name, State: e.State, Compared: int64(e.Numbers["compared"]),
				Different: int64(e.Numbers["different"]), Repaired: int64(e.Numbers["repaired"]), TookMs: int64(e.Numbers["took_ms"]),
				Message: e.Message})
		}
	case journal.Difference:
		b.differed = e.At
	}
}

// interrupt ends what the end of a process has ended. One that crashed has not said so; the next one's start does.
func (b *builder) interrupt(e journal.Event) {
	for i := range b.r.Sweeps {
		if s := &b.r.Sweeps[i]; s.State == status.Running {
			s.State = "interrupted"
		}
	}
	for i := range b.r.Faults {
		if f := &b.r.Faults[i]; f.Standing {
			f.Standing = false
			f.lasted(e.At - f.LastAt)
		}
	}
}

func (b *builder) phase(name string) *Phase {
	i := slices.IndexFunc(b.r.Phases, func(p Phase) bool { return p.Name == name })
	if i < 0 {
		i = len(b.r.Phases)
		b.r.Phases = append(b.r.Phases, Phase{Name: name})
	}
	return &b.r.Phases[i]
}

func (b *builder) enterPhase(e journal.Event) {
	p := b.phase(e.Name)
	if p.Times++; p.Times == 1 {
		p.FirstAt = e.At
	}
	b.present, b.entered = e.Name, e.At
	switch _, began := b.r.BeganAt.Get(); {
	case e.Name == status.Backfill && !began:
		b.r.BeganAt = status.Known(e.At)
	case e.Name == status.Finished:
		b.r.FinishedAt = status.Known(e.At)
	}
}

func (b *builder) leavePhase(at int64) {
	if b.present != "" {
		b.phase(b.present).LastedMs += at - b.entered
	}
	b.present = ""
}

func (b *builder) sweep(e journal.Event) {
	b.swept = e.At
	if e.State == journal.Begins {
		b.r.Sweeps = append(b.r.Sweeps, Sweep{At: e.At, Why: e.Message, State: status.Running})
		return
	}
	if n := len(b.r.Sweeps); n > 0 && b.r.Sweeps[n-1].State == status.Running {
		s := &b.r.Sweeps[n-1]
		s.State = "interrupted"
		if e.State == journal.Done {
			s.State = status.Done
		}
		s.Keys, s.Copied = status.Known(int64(e.Numbers["keys"])), status.Known(int64(e.Numbers["copied"]))
		s.TookMs = status.Known(e.At - s.At)
	}
}

func (b *builder) fault(e journal.Event) {
	name := e.Name
	if e.Kind == journal.Lag {
		name = string(journal.Lag)
	}
	i := slices.IndexFunc(b.r.Faults, func(f Fault) bool { return f.Name == name && f.Instance == e.Instance })
	if i < 0 {
		i = len(b.r.Faults)
		b.r.Faults = append(b.r.Faults, Fault{Name: name, Instance: e.Instance})
	}
	f := &b.r.Faults[i]
	switch e.State {
	case journal.Begins:
		f.Times++
		f.Standing, f.LastAt, f.Message = true, e.At-int64(e.Numbers["seen_ms"]), e.Message
	case journal.Ends:
		if f.Times == 0 { // its beginning is not in the journal any more
			f.Times, f.LastAt, f.Message = 1, e.At, e.Message
		}
		f.Standing = false
		f.lasted(int64(e.Numbers["lasted_ms"]))
	default: // of a moment, perhaps several at once
		f.Times += max(1, int(e.Numbers["times"]))
		f.LastAt, f.Message = e.At, e.Message
	}
}

func (f *Fault) lasted(ms int64) {
	f.LastedMs += ms
	f.LongestMs = max(f.LongestMs, ms)
}

// verdict says whether both servers were seen to be equal, as far as that is known.
func (b *builder) verdict(s status.Status) Verdict {
	// What one has found stands until a full one finds nothing.
	var last, equal, different *Verify
	for i := range b.r.Verifies {
		v := &b.r.Verifies[i]
		if v.State != journal.Done {
			continue
		}
		last = v
		switch {
		case v.Different > 0:
			different = v
		case v.Mode == fullMode:
			equal, different = v, nil
		}
	}
	v := cmp.Or(different, equal, last)
	switch {
	case s.Phase == status.Passthrough:
		return Verdict{Running, "The migration has not been started."}
	case s.Phase == status.Backfill:
		return Verdict{Running, "The backfill is not done: the target does not hold all data yet."}
	case v == nil:
		return Verdict{Unverified, "The servers have not been compared. Run a verify."}
	case v.At < b.swept:
		return Verdict{Unverified, fmt.Sprintf("The last verify that counts, of mode %s, ended at %s, before the last sweep. Run it again.", v.Mode, moment(v.At))}
	case b.differed > v.At:
		return Verdict{Different, fmt.Sprintf("A read at %s was answered differently by the two servers, after the last verify. "+
			"Run it again.", moment(b.differed))}
	case v.Different > 0:
		return Verdict{Different, fmt.Sprintf("The last verify, of mode %s, ended at %s and found %d of %d keys to differ.", v.Mode,
			moment(v.At), v.Different, v.Compared)}
	case v.Mode != fullMode:
		return Verdict{Unverified, fmt.Sprintf("The last verify, of mode %s, ended at %s and found no difference, but it has not compared all: %s. "+
			"Run a full one.", v.Mode, moment(v.At), v.Message)}
	}
	return Verdict{Equal, fmt.Sprintf("The last verify ended at %s: %s", moment(v.At), v.Message)}
}

// moment writes a point in time for people.
func moment(at int64) string { return time.UnixMilli(at).UTC().Format("2006-01-02 15:04:05 UTC") }
