// Package report tells a migration as a whole, for who was not there: what moved and how long it took, what clients
// felt, what went wrong and was survived, and whether both servers were seen to be equal.
//
// It makes a Report of the journal, the traffic of each phase, and the status, and writes it as JSON, as text, and as a
// page that is complete in itself. It owns traffic.json in the state directory. It measures nothing itself.
package report

import (
	"time"

	"tandem/internal/journal"
	"tandem/internal/status"
)

// Report is a migration as a whole. It is a contract, as the status is: fields may be added, never renamed; points in
// time are Unix ms, what is not known is null, lists are never null.
type Report struct {
	// MadeAt is when the report was made.
	MadeAt int64 `json:"made_at"`
	// ID is that of the state directory.
	ID      string  `json:"id"`
	Verdict Verdict `json:"verdict"`
	// Phase and Primary are as in the status.
	Phase   string `json:"phase"`
	Primary string `json:"primary"`
	// BeganAt is when the first backfill began; FinishedAt when the migration was finished.
	BeganAt    status.Optional[int64] `json:"began_at"`
	FinishedAt status.Optional[int64] `json:"finished_at"`
	Source     Server                 `json:"source"`
	Target     Server                 `json:"target"`
	// Total is the traffic of all phases.
	Total Traffic `json:"total"`
	// Phases are those that were entered, in the order of a migration.
	Phases []Phase `json:"phases"`
	// LongestPauseMs is the longest time that a cutover or rollback has held clients' commands.
	LongestPauseMs status.Optional[float64] `json:"longest_pause_ms"`
	// Steps are those that were asked for.
	Steps []Step `json:"steps"`
	// Duplicates are keys that were on the target before, and what was done with them.
	Duplicates status.DuplicatesStatus `json:"duplicates"`
	// Processes are those that have worked on the migration.
	Processes Processes `json:"processes"`
	// Faults are what went wrong, by name and instance.
	Faults []Fault `json:"faults"`
	// Sweeps are walks through all keys, or those of marked stripes, and why they were owed.
	Sweeps []Sweep `json:"sweeps"`
	// Verifies are those that have ended.
	Verifies []Verify `json:"verifies"`
	// Incomplete says what the report does not know, empty if it knows all.
	Incomplete string `json:"incomplete"`
}

// Verdict is the answer to: is it safe?
type Verdict struct {
	// Result is equal, different, unverified (nothing was compared since the last backfill) or running (a backfill is
	// not done).
	Result string `json:"result"`
	// Text says it in a sentence.
	Text string `json:"text"`
}

// The results of a Verdict.
const (
	Equal      = "equal"
	Different  = "different"
	Unverified = "unverified"
	Running    = "running"
)

// Server is one of the two.
type Server struct {
	// Address is host:port; Version is empty until it was reached.
	Address string `json:"address"`
	Version string `json:"version"`
	// Keys is how many it held when it was last asked.
	Keys status.Optional[int64] `json:"keys"`
}

// Phase is one phase, over all times that it was entered.
type Phase struct {
	Name string `json:"name"`
	// FirstAt is when it was first entered, Times how often.
	FirstAt int64 `json:"first_at"`
	Times   int   `json:"times"`
	// LastedMs is how long it has lasted, with times in which no process ran.
	LastedMs int64   `json:"lasted_ms"`
	Traffic  Traffic `json:"traffic"`
}

// Step is a step that somebody has asked for.
type Step struct {
	At   int64  `json:"at"`
	Name string `json:"name"`
	// State is done, refused, undone or failed.
	State   string                   `json:"state"`
	PauseMs status.Optional[float64] `json:"pause_ms"`
	Message string                   `json:"message"`
}

// Processes counts starts.
type Processes struct {
	Starts int `json:"starts"`
	// Crashes is how many ended without saying so: kill -9, a crash of the machine.
	Crashes int `json:"crashes"`
}

// Fault is what went wrong in one way.
type Fault struct {
	// Name is that of the blocker, or lag.
	Name     string `json:"name"`
	Instance string `json:"instance"`
	// Times is how often it happened.
	Times  int   `json:"times"`
	LastAt int64 `json:"last_at"`
	// LastedMs is how long all of them lasted together, LongestMs the longest.
	LastedMs  int64 `json:"lasted_ms"`
	LongestMs int64 `json:"longest_ms"`
	// Standing: it has not passed.
	Standing bool `json:"standing"`
	// Message is the last one's.
	Message string `json:"message"`
}

// Sweep is one walk.
type Sweep struct {
	At int64 `json:"at"`
	// Why it was owed.
	Why string `json:"why"`
	// State is running, done, or interrupted by the end of a process or a change of the roles.
	State  string                 `json:"state"`
	Keys   status.Optional[int64] `json:"keys"`
	Copied status.Optional[int64] `json:"copied"`
	TookMs status.Optional[int64] `json:"took_ms"`
}

// Verify is one that has ended.
type Verify struct {
	// At is when it ended.
	At int64 `json:"at"`
	// Mode is full, sample or keys; State done or failed.
	Mode      string `json:"mode"`
	State     string `json:"state"`
	Compared  int64  `json:"compared"`
	Different int64  `json:"different"`
	Repaired  int64  `json:"repaired"`
	TookMs    int64  `json:"took_ms"`
	// Message says it in a sentence.
	Message string `json:"message"`
}

// Input is what a report is made of.
type Input struct {
	ID             string
	Now            time.Time
	Status         status.Status
	Source, Target Server
	Events         []journal.Event // all there are, in order
	Tally          Tally
}
