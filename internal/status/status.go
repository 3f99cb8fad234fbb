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
	TwoWay      = "two_way"
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
	// Phase is one of passthrough, backfill, synced, two_way, reversed and finished. It is synced only when no sweep is
	// owed or running and the dirty set has been empty since; two_way and reversed stay what they are while one runs.
	Phase string `json:"phase"`
	// Primary is "source" or "target": the instance that answers clients.
	Primary string `json:"primary"`
	// ReadyToCutover: a cutover asked for now would be tried. Blockers says why not.
	ReadyToCutover bool `json:"ready_to_cutover"`
	// Blockers are the reasons why the next step cannot be taken now.
	Blockers []Blocker `json:"blockers"`
	// Warnings are what is not guaranteed at this moment, though no step is refused for it.
	Warnings []Blocker `json:"warnings"`
	// UptimeS is how long this process runs.
	UptimeS int64 `json:"uptime_s"`
	// Sessions is the number of connected clients.
	Sessions int64 `json:"sessions"`
	// Listen is where clients connect, host:port.
	Listen string `json:"listen"`

	Backfill BackfillStatus `json:"backfill"`
	Throttle ThrottleStatus `json:"throttle"`

	// DirtyKeys is how many keys may differ and wait for their copy, or for the secondary to acknowledge it; never 0
	// while a sweep is owed or running.
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
	Shadow     ShadowStatus     `json:"shadow"`
	Cutover    CutoverStatus    `json:"cutover"`
	TwoWay     TwoWayStatus     `json:"two_way"`
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
	// BytesCopied is the size of the values copied, as DUMP or GET gives them.
	BytesCopied int64 `json:"bytes_copied"`
	// KeysPerS is the rate of the last seconds.
	KeysPerS Optional[float64] `json:"keys_per_s"`
	// Percent is how much of the sweep is done, between 0 and 100.
	Percent Optional[float64] `json:"percent"`
	// EtaS is the time left at that rate.
	EtaS Optional[int64] `json:"eta_s"`
	// KeysStaying is how many keys of the primary the sweep has found that do not move (databases, keys): none of the other
	// numbers counts them.
	KeysStaying int64 `json:"keys_staying"`
}

// The states of the windows of the day.
const (
	NoWindows      = "none"
	WindowOpen     = "open"
	WindowClosed   = "closed"
	WindowsIgnored = "ignored"
)

// GovernorOff is the state of a governor that there is not; otherwise it is Idle or Running.
const GovernorOff = "off"

// ThrottleStatus is how fast may be copied at this moment.
type ThrottleStatus struct {
	// KeysPerS is the most keys that are copied per second; null without a limit. It is the least of what was configured or
	// asked for, of what the window of the day allows, and of what the governor does.
	KeysPerS Optional[int64] `json:"keys_per_s"`
	// BytesPerS is the same for bytes of values.
	BytesPerS Optional[int64] `json:"bytes_per_s"`
	// WindowBytes is how many bytes of values may be between the servers.
	WindowBytes int64 `json:"window_bytes"`
	// Workers is how many batches are copied at once.
	Workers int64 `json:"workers"`
	// Changed: something of it is not as it was configured; a restart goes by the configuration.
	Changed bool `json:"changed"`
	// Window is none if there are no windows of the day, open or closed, or ignored if somebody has asked for that. While it
	// is closed no sweep runs.
	Window string `json:"window"`
	// WindowUntil is when the next window begins, or the present one ends, in Unix ms; null if that does not change.
	WindowUntil Optional[int64] `json:"window_until"`
	// Governor is off, idle while it has nothing to slow down, or running.
	Governor string `json:"governor"`
	// GovernorKeysPerS is the speed that it allows; null unless it is running.
	GovernorKeysPerS Optional[int64] `json:"governor_keys_per_s"`
	// LatencyMs is what 99 % of the clients' commands did not exceed when it was last looked at; null if it is not known.
	LatencyMs Optional[float64] `json:"latency_ms"`
	// UsualLatencyMs is the same while nothing is copied.
	UsualLatencyMs Optional[float64] `json:"usual_latency_ms"`
	// Slowed is how often the governor has made copying slower.
	Slowed int64 `json:"slowed"`
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
	// Removed counts those that only the target had, and that were removed.
	Removed int64 `json:"removed"`
	// TargetOnly counts those that only the target had, whatever was decided about them.
	TargetOnly int64 `json:"target_only"`
	// ByAge counts those that both had, and that were decided by which was used last.
	ByAge int64 `json:"by_age"`
	// Kept counts those that are still kept: no client has written to them.
	Kept int64 `json:"kept"`
	// List is the file on Tandem's machine that names all of them, with what was decided; empty if there is none.
	List string `json:"list"`
}

// VerifyStatus is about the verify that runs, or ran last.
type VerifyStatus struct {
	// State is one of idle, running, paused, done and failed.
	State string `json:"state"`
	// ID names it; empty before the first.
	ID string `json:"id"`
	// Mode is full, sample or keys; empty before the first.
	Mode string `json:"mode"`
	// Percent is how much of it is done, between 0 and 100; null before the first.
	Percent Optional[float64] `json:"percent"`
	// Compared is how many keys have been compared.
	Compared int64 `json:"compared"`
	// Different is how many keys differ and stayed so when looked at again.
	Different int64 `json:"different"`
	// FinishedAt is when it ended, in Unix ms; null before the first verify has ended.
	FinishedAt Optional[int64] `json:"finished_at"`
	// AtMostDifferent is the share of all keys that at most differs, with 95 % confidence, as a verify of mode sample has
	// found; null for other modes.
	AtMostDifferent Optional[float64] `json:"at_most_different"`
	// NextAt is when the next verify begins by itself, in Unix ms, if the phase is synced or reversed then; null without
	// verify.every.
	NextAt Optional[int64] `json:"next_at"`
	// Kept is how many were left out because the target keeps its own (duplicates).
	Kept int64 `json:"kept"`
	// Staying is how many were left out because they do not move (databases, keys).
	Staying int64 `json:"staying"`
}

// ShadowStatus counts reads that were sent to the secondary too, since the process started.
type ShadowStatus struct {
	// Compared counts those whose replies were compared.
	Compared int64 `json:"compared"`
	// Different counts those whose replies differed though their keys were known to be equal; these were copied.
	Different int64 `json:"different"`
	// Skipped counts those that were chosen and could not be compared: their keys were being written to, not equal yet or
	// about to expire, or the secondary was behind.
	Skipped int64 `json:"skipped"`
}

// CutoverStatus is about the last cutover or rollback, null before the first, and about one that is planned.
type CutoverStatus struct {
	// LastPauseMs is how long clients' commands were held.
	LastPauseMs Optional[float64] `json:"last_pause_ms"`
	// At is when it was done, in Unix ms.
	At Optional[int64] `json:"at"`
	// PlannedAt is when a planned cutover is tried first, in Unix ms; null without one.
	PlannedAt Optional[int64] `json:"planned_at"`
	// PlannedUntil is when it is given up, in Unix ms.
	PlannedUntil Optional[int64] `json:"planned_until"`
	// PlannedProblem is what has kept it from being done so far, or why the last one was given up; empty if nothing has.
	PlannedProblem string `json:"planned_problem"`
	// TrialUntil is when the target has passed its trial, in Unix ms; null while it is not on trial.
	TrialUntil Optional[int64] `json:"trial_until"`
	// TrialProblem is why the last trial has failed; empty if it has not.
	TrialProblem string `json:"trial_problem"`
	// MaxPauseMs is how long clients' commands may be held before it is undone (cutover.max_pause).
	MaxPauseMs int64 `json:"max_pause_ms"`
	// TrialMs is how long the target is on trial after a cutover (cutover.trial.time); 0 for no trial.
	TrialMs int64 `json:"trial_ms"`
}

// TwoWayStatus is about clients on both instances (listen_target).
type TwoWayStatus struct {
	// State is idle without listen_target and before the phase two_way, running in that phase, and failed where the address
	// is open and the phase is one in which nobody may be let in.
	State string `json:"state"`
	// Sessions is the number of clients at listen_target. They are among the sessions of all.
	Sessions int64 `json:"sessions"`
	// Conflicts is how many keys were decided (two_way.conflict) since the process started: what one instance had of them alone
	// was replaced by what the other one has.
	Conflicts int64 `json:"conflicts"`
	// List is the file of the state directory in which they are listed, JSON lines; empty while there are none.
	List string `json:"list"`
}

// TrackingStatus is about the watch for writers that bypass the proxy.
type TrackingStatus struct {
	// State is running while the server that answers is asked to report what others change, failed if it does not do so,
	// else idle.
	State string `json:"state"`
	// ForeignWrites is how many writes were reported that bypassed the proxy: fewer than there were if keys expire or are
	// evicted all the time, which is reported in the same way. Null as long as nobody has watched.
	ForeignWrites Optional[int64] `json:"foreign_writes"`
	// ForeignFlushes is how many times others were reported to have emptied a database.
	ForeignFlushes int64 `json:"foreign_flushes"`
	// Since is when the watch began, in Unix ms; null while there is none.
	Since Optional[int64] `json:"since"`
	// Writers is how many connections to both servers bypass the proxy and write, by their last command.
	Writers int64 `json:"writers"`
	// Readers is how many of those that bypass it read.
	Readers int64 `json:"readers"`
	// Connections are some of them, those that write first.
	Connections []ForeignConnection `json:"connections"`
}

// ForeignConnection is a connection to one of the servers that is not Tandem's and uses keys, as CLIENT LIST shows it.
type ForeignConnection struct {
	// Instance is "source" or "target".
	Instance string `json:"instance"`
	// Addr is where it comes from.
	Addr string `json:"addr"`
	// Name is what it has named itself.
	Name string `json:"name"`
	// User is whom it has logged in as.
	User string `json:"user"`
	// DB is its database.
	DB int `json:"db"`
	// Command is its last one.
	Command string `json:"command"`
	// Writes: that command writes, or may.
	Writes bool `json:"writes"`
	// IdleS is how long ago it was.
	IdleS int64 `json:"idle_s"`
}

// InstanceStatus is one of the two servers as it was last seen.
type InstanceStatus struct {
	// Address is host:port.
	Address string `json:"address"`
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
		Warnings: []Blocker{},
		Backfill: BackfillStatus{State: Idle},
		Throttle: ThrottleStatus{Window: NoWindows, Governor: GovernorOff},
		Verify:   VerifyStatus{State: Idle},
		TwoWay:   TwoWayStatus{State: Idle},
		Tracking: TrackingStatus{State: Idle, Connections: []ForeignConnection{}},
	}
}

// MarshalJSON writes a status whose lists are never null.
func (s Status) MarshalJSON() ([]byte, error) {
	type plain Status // without this method
	if s.Blockers == nil {
		s.Blockers = []Blocker{}
	}
	if s.Warnings == nil {
		s.Warnings = []Blocker{}
	}
	if s.Tracking.Connections == nil {
		s.Tracking.Connections = []ForeignConnection{}
	}
	return json.Marshal(plain(s))
}
