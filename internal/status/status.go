// Package status is what Tandem says about itself: one value that the admin API serves as one JSON
// object, that the command line prints, and that metrics agree with.
//
// It owns the names and the shape, which are a contract: fields may be added, never renamed, retyped or
// left out. A number that is not known is null, a list without elements is []. It computes nothing;
// whoever knows a number puts it here.
//
// Durations end in _ms or _s, sizes in _bytes; points in time are Unix ms.
package status

//go:generate go test . -run TestReferenceIsCurrent -update

import "encoding/json"

// The phases of a migration.
const (
	Passthrough = "passthrough"
	Backfill    = "backfill"
	Synced      = "synced"
	Reversed    = "reversed"
	Finished    = "finished"
)

// The states of what runs beside the clients' commands: backfill, verify, tracking.
const (
	Idle    = "idle"
	Running = "running"
	Paused  = "paused"
	Done    = "done"
	Failed  = "failed"
)

// Status is the state of one tandem process.
type Status struct {
	// Phase is one of passthrough, backfill, synced, reversed and finished. It is synced only when no sweep is
	// owed or running and the dirty set has been empty since.
	Phase string `json:"phase"`
	// Primary is "source" or "target": the instance that answers clients.
	Primary string `json:"primary"`
	// ReadyToCutover: a cutover asked for now would be tried. Blockers says why not.
	ReadyToCutover bool `json:"ready_to_cutover"`
	// Blockers are the reasons why the next step cannot be taken now.
	Blockers []Blocker `json:"blockers"`
	// UptimeS is how long this process runs.
	UptimeS int64 `json:"uptime_s"`
	// Sessions is the number of connected clients.
	Sessions int64 `json:"sessions"`

	Backfill BackfillStatus `json:"backfill"`

	// DirtyKeys is how many keys may differ and wait for their copy; never 0 while a sweep is owed or
	// running.
	DirtyKeys int64 `json:"dirty_keys"`
	// UnsettledWrites are writes sent to the primary whose effect the secondary has not acknowledged and
	// whose keys are not dirty. Blocked commands do not count.
	UnsettledWrites int64 `json:"unsettled_writes"`
	// LagMs is the age of the oldest effect that the secondary has not acknowledged; null while the
	// secondary is not connected.
	LagMs Optional[float64] `json:"lag_ms"`
	// LagBytes is the size of the effects that wait for the secondary.
	LagBytes int64 `json:"lag_bytes"`

	Effects    EffectsStatus    `json:"effects"`
	Copies     CopiesStatus     `json:"copies"`
	Duplicates DuplicatesStatus `json:"duplicates"`
	Verify     VerifyStatus     `json:"verify"`
	Cutover    CutoverStatus    `json:"cutover"`
	Tracking   TrackingStatus   `json:"tracking"`
	Source     InstanceStatus   `json:"source"`
	Target     InstanceStatus   `json:"target"`
}

// Blocker is one reason why a step cannot be taken now.
type Blocker struct {
	// Code is a stable name such as "backfill_running"; --force names it.
	Code string `json:"code"`
	// Message says what was found.
	Message string `json:"message"`
	// Remedy says what to do about it.
	Remedy string `json:"remedy"`
}

// BackfillStatus is the progress of the sweep that runs, or ran last.
type BackfillStatus struct {
	// State is one of idle, running, paused, done and failed.
	State string `json:"state"`
	// KeysTotal is an estimate that moves with the keyspace.
	KeysTotal Optional[int64] `json:"keys_total"`
	// KeysScanned is how many keys the sweep has seen.
	KeysScanned int64 `json:"keys_scanned"`
	// KeysCopied is how many had to be copied: a key that a client has written whole needs no copy.
	KeysCopied int64 `json:"keys_copied"`
	// BytesCopied is the size of the values copied, as DUMP gives them.
	BytesCopied int64 `json:"bytes_copied"`
	// KeysPerS is the rate of the last seconds.
	KeysPerS Optional[float64] `json:"keys_per_s"`
	// Percent is how much of the sweep is done, between 0 and 100.
	Percent Optional[float64] `json:"percent"`
	// EtaS is the time left at that rate.
	EtaS Optional[int64] `json:"eta_s"`
}

// EffectsStatus counts effects since the process started.
type EffectsStatus struct {
	// Forwarded counts those that were sent to the secondary.
	Forwarded int64 `json:"forwarded"`
	// Mismatched counts those that were answered otherwise than expected; their keys became dirty. Without a fault there
	// are none.
	Mismatched int64 `json:"mismatched"`
	// Dropped counts those that were not sent because the secondary was away or too slow; their keys became dirty.
	Dropped int64 `json:"dropped"`
}

// CopiesStatus counts copies since the process started.
type CopiesStatus struct {
	// Done counts those that the secondary has taken.
	Done int64 `json:"done"`
	// Races counts those thrown away because a write came in between; each is tried again.
	Races int64 `json:"races"`
	// Failed counts those that could not be made; each is tried again, less and less often.
	Failed int64 `json:"failed"`
}

// DuplicatesStatus counts keys that were on the target before the migration.
type DuplicatesStatus struct {
	// Found counts all of them.
	Found int64 `json:"found"`
	// Overwritten counts those that gave way to the source's.
	Overwritten int64 `json:"overwritten"`
	// Skipped counts those that were kept.
	Skipped int64 `json:"skipped"`
}

// VerifyStatus is about the verify that runs, or ran last.
type VerifyStatus struct {
	// State is one of idle, running, done and failed.
	State string `json:"state"`
	// Compared is how many keys have been compared.
	Compared int64 `json:"compared"`
	// Different is how many keys differ and stayed so when looked at again.
	Different int64 `json:"different"`
	// FinishedAt is when it ended, in Unix ms; null before the first verify has ended.
	FinishedAt Optional[int64] `json:"finished_at"`
}

// CutoverStatus is about the last cutover or rollback; null before the first.
type CutoverStatus struct {
	// LastPauseMs is how long clients' commands were held.
	LastPauseMs Optional[float64] `json:"last_pause_ms"`
	// At is when it was done, in Unix ms.
	At Optional[int64] `json:"at"`
}

// TrackingStatus is about the watch for writers that bypass the proxy.
type TrackingStatus struct {
	// State is running while somebody watches, else idle.
	State string `json:"state"`
	// ForeignWrites is how many writes were seen that bypassed the proxy; null as long as nobody has watched.
	ForeignWrites Optional[int64] `json:"foreign_writes"`
}

// InstanceStatus is one of the two servers as it was last seen.
type InstanceStatus struct {
	// Connected: the connections that a migration needs are there.
	Connected bool `json:"connected"`
	// Version is the server's; empty until it has been reached once.
	Version string `json:"version"`
	// RunID names the server's process; empty until it has been reached once.
	RunID string `json:"run_id"`
	// ClockOffsetMs is the server's clock minus ours.
	ClockOffsetMs Optional[float64] `json:"clock_offset_ms"`
}

// New is the status of a process that knows nothing yet: every state idle, every number 0 or null.
func New() Status {
	return Status{
		Phase:    Passthrough,
		Primary:  "source",
		Blockers: []Blocker{},
		Backfill: BackfillStatus{State: Idle},
		Verify:   VerifyStatus{State: Idle},
		Tracking: TrackingStatus{State: Idle},
	}
}

// MarshalJSON writes a status whose lists are never null.
func (s Status) MarshalJSON() ([]byte, error) {
	type plain Status // without this method
	if s.Blockers == nil {
		s.Blockers = []Blocker{}
	}
	return json.Marshal(plain(s))
}
