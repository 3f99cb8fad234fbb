// Package journal keeps what happened to a migration: phases, steps, faults, sweeps, verifies. It is a file of JSON
// lines in the state directory, appended to and never rewritten, which outlives kill -9 and tells the next process,
// the report and whoever watches what came before.
//
// It owns journal.jsonl and the one before it, journal.1.jsonl. It decides nothing, and nobody waits for it: Add only
// takes a place in a queue, and a disk that is full costs events, never time.
package journal

import "time"

// Kind says what sort of thing an event is about. Hooks choose by it (hooks[].on).
type Kind string

// The kinds. They are a contract: scripts and hooks name them.
const (
	// Process: Tandem has started or ended.
	Process Kind = "process"
	// Phase: the migration has entered a phase, which is the event's name.
	Phase Kind = "phase"
	// Step: somebody has asked for a step, which is the event's name; its state says what came of it.
	Step Kind = "step"
	// Sweep: a walk through all keys, or those of marked stripes, has begun or ended.
	Sweep Kind = "sweep"
	// Fault: something is in the way, or is no longer. The name is that of the blocker in the status.
	Fault Kind = "fault"
	// Lag: the secondary is further behind than alarms.lag, or no longer.
	Lag Kind = "lag"
	// Verify: a verify has begun or ended.
	Verify Kind = "verify"
	// Difference: a verify or a shadow read has found the servers to differ.
	Difference Kind = "difference"
)

// Kinds are all of them.
var Kinds = []Kind{Process, Phase, Step, Sweep, Fault, Lag, Verify, Difference}

// The states of what takes a while, or may go wrong. An event of a moment has none.
const (
	Begins  = "begins"
	Ends    = "ends"
	Done    = "done"
	Failed  = "failed"
	Refused = "refused"
	Undone  = "undone"
)

// Event is one thing that happened. All fields are always there in JSON.
type Event struct {
	// Seq counts events from 1, over all processes of a state directory. A gap: events were lost, for they could not
	// be written for too long.
	Seq int64 `json:"seq"`
	// At is when it happened, in Unix ms.
	At   int64  `json:"at"`
	Kind Kind   `json:"kind"`
	Name string `json:"name"`
	// State is one of the states above, or empty.
	State string `json:"state"`
	// Instance is "source" or "target" where it is about one of them.
	Instance string `json:"instance"`
	// Message says it for a person. It may name keys and addresses, never a value or a password.
	Message string `json:"message"`
	// Numbers are what can be counted of it, with units in their names: lasted_ms, keys, copied_bytes.
	Numbers map[string]float64 `json:"numbers"`
}

// Time is when it happened.
func (e Event) Time() time.Time { return time.UnixMilli(e.At) }

// Is reports whether an event is of this kind and name.
func (e Event) Is(k Kind, name string) bool { return e.Kind == k && e.Name == name }
