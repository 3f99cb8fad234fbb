// Package state keeps what a migration must remember over a restart: the state directory, locked by one
// process, and in it state.json, which is replaced atomically and never overwritten in place.
//
// It owns the directory's lock and state.json. Other files of the directory (the intent map) belong to
// others, who may rest on the lock. It decides nothing: what a phase means and when it changes is not known
// here.
package state

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
)

// Format is the version of state.json that this program writes, and the newest that it reads. It is raised
// with every change of State, for an older program would drop a field that it does not know.
const Format = 5

// Phases are the values that State.Phase takes, in the order of a migration. The first is that of a new
// directory.
var Phases = []string{"passthrough", "backfill", "synced", "two_way", "reversed", "finished"}

// State is the content of state.json.
type State struct {
	// Format is set by Save.
	Format int `json:"format"`
	// ID is random, made with the directory and never changed: connections carry it in their names.
	ID string `json:"id"`
	// Pair is the addresses of source and target, without credentials. Never changed.
	Pair [2]string `json:"pair"`
	// Generation is raised by each Open: connections of an earlier process carry a lower one.
	Generation int64 `json:"generation"`
	// Phase is one of Phases.
	Phase string `json:"phase"`
	// ScanEpoch is raised by each change of the primary: SCAN cursors of an older epoch start over.
	ScanEpoch int `json:"scan_epoch"`
	// SourceRunID and TargetRunID are the server processes that the rest speaks of; empty when unknown. A
	// different one may have lost data.
	SourceRunID string `json:"source_run_id"`
	TargetRunID string `json:"target_run_id"`
	// SourceReplicationID and TargetReplicationID are what each called its data when it was last seen as a master; empty
	// when it never was, or does not tell. A replica that is made a master changes it, and may hold other data.
	SourceReplicationID string `json:"source_replication_id"`
	TargetReplicationID string `json:"target_replication_id"`
	// SourceKeys and TargetKeys are how many keys each had when that was last noted. With far fewer it has lost data.
	SourceKeys int64 `json:"source_keys"`
	TargetKeys int64 `json:"target_keys"`
	// SourceWritten and TargetWritten: others have written to it past the proxy, and the two were not compared since.
	SourceWritten bool `json:"source_written"`
	TargetWritten bool `json:"target_written"`
	// Secret is what keys are hashed under. It is made with the directory: the stripes of the intent map mean the same
	// after a restart.
	Secret Secret `json:"hash_secret"`
	// Checkpoint is how far the sweep has come whose number it carries; the intent map says which one is owed.
	Checkpoint Checkpoint `json:"checkpoint"`
	// Plan is a cutover that is to come by itself.
	Plan Plan `json:"planned_cutover"`
	// TrialUntil is when the target is no longer on trial after a cutover, Unix ms; 0 if it is not on trial.
	TrialUntil int64 `json:"trial_until"`
	// Duplicates is about keys that the target held before the migration.
	Duplicates Duplicates `json:"duplicates"`
	// Paused: somebody has paused the backfill, and nobody has resumed it.
	Paused bool `json:"paused,omitempty"`
	// Moves is what moves (moves.Canonical), from when the backfill was started on; empty if everything does.
	Moves string `json:"moves,omitempty"`
}

// Plan is a cutover that is to come by itself. The zero value is none.
type Plan struct {
	// At is when it is tried first, Unix ms, and Until when it is given up.
	At    int64 `json:"at"`
	Until int64 `json:"until"`
	// Force names the blockers that it passes over, with commas in between.
	Force string `json:"force"`
}

// Duplicates counts what was decided, before the first copy, about the keys that the target held by then.
type Duplicates struct {
	// Found is how many there were: Skipped stay, Overwritten give way to the source's, Removed are removed.
	Found       int64 `json:"found"`
	Skipped     int64 `json:"skipped"`
	Overwritten int64 `json:"overwritten"`
	Removed     int64 `json:"removed"`
	// TargetOnly is how many of them the source had not, ByAge how many were decided by when they were used last.
	TargetOnly int64 `json:"target_only"`
	ByAge      int64 `json:"by_age"`
	// Kept is how many are on the list of kept keys, which must be there as long as writes go to both; 0: there is none.
	Kept int64 `json:"kept"`
	// List is the file that names all of them, empty if there is none.
	List string `json:"list"`
}

// Checkpoint is a place in a sweep's walk through the primary: what was found before it is on the secondary, or
// marked in the intent map.
type Checkpoint struct {
	// Sweep is the sweep's number; 0: there is no checkpoint.
	Sweep uint64 `json:"sweep"`
	// RunID is the server process that Cursor belongs to; for any other all of this is void.
	RunID string `json:"run_id"`
	// DB is the database that the walk is in. Those before it are done.
	DB int `json:"db"`
	// Cursor is SCAN's, in that database; empty at its beginning.
	Cursor string `json:"cursor"`
	// Scanned is how many keys were looked at by then.
	Scanned int64 `json:"scanned"`
}

// Secret is 16 random bytes that nobody but this file may be told. Printed or logged it says nothing.
type Secret [16]byte

// String hides it.
func (Secret) String() string { return "(hidden)" }

// GoString hides it too.
func (Secret) GoString() string { return "(hidden)" }

// LogValue hides it from logs, which would ask MarshalText.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText writes it out, for the state file.
func (s Secret) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, s[:]), nil }

// UnmarshalText reads it. The error does not repeat it.
func (s *Secret) UnmarshalText(b []byte) error {
	if hex.DecodedLen(len(b)) != len(s) {
		return errors.New("the hash secret has not 32 digits")
	}
	if _, err := hex.Decode(s[:], b); err != nil {
		return errors.New("the hash secret is not hexadecimal")
	}
	return nil
}

func newSecret() (s Secret) {
	_, _ = rand.Read(s[:]) // see newState
	return s
}

// What can be wrong with a state directory, for errors.Is. The messages name the directory and say what to do.
var (
	// ErrLocked: another process holds the directory.
	ErrLocked = errors.New("state directory is in use")
	// ErrOtherPair: the directory belongs to a migration between other servers.
	ErrOtherPair = errors.New("state directory belongs to another pair of servers")
	// ErrNewerFormat: a newer version of the program wrote the file.
	ErrNewerFormat = errors.New("state file has a newer format")
	// ErrCorrupt: the file is not what this program writes. It is left as it is.
	ErrCorrupt = errors.New("state file is damaged")
)

// newState is the state of a new directory.
func newState(pair [2]string) State {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails: it ends the program where the system has no randomness
	return State{Format: Format, ID: hex.EncodeToString(id[:]), Pair: pair, Phase: Phases[0], Secret: newSecret()}
}

// decode reads state.json. Its errors are ErrCorrupt or ErrNewerFormat, with the reason.
func decode(data []byte) (State, error) {
	// The format first, alone and leniently: a newer file may have any other field.
	var head struct {
		Format *int `json:"format"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return State{}, fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	if head.Format == nil {
		return State{}, fmt.Errorf("%w: it has no format number", ErrCorrupt)
	}
	if *head.Format > Format {
		return State{}, fmt.Errorf("%w: %d, this program knows %d and older", ErrNewerFormat, *head.Format, Format)
	}
	var s State
	var old formatOne
	into := any(&s)
	if *head.Format == 1 {
		into = &old
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return State{}, fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	if *head.Format == 1 {
		s = old.State
		s.Format, s.Secret = Format, newSecret() // nothing was kept by the one there was
	}
	if d.More() {
		return State{}, fmt.Errorf("%w: something follows its end", ErrCorrupt)
	}
	if err := s.check(); err != nil {
		return State{}, fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	return s, nil
}

// formatOne is the first format: without a secret and a checkpoint, and with two notes that nobody reads.
type formatOne struct {
	State
	OwedSweep    bool `json:"owed_sweep"`
	BackfillDone bool `json:"backfill_done"`
}

// encode writes it for people to read as well.
func (s State) encode() ([]byte, error) {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode state: %w", err)
	}
	return append(data, '\n'), nil
}

// check says what no state may be.
func (s State) check() error {
	if s.Format < 1 {
		return fmt.Errorf("format %d", s.Format)
	}
	// Names of connections are made of it.
	if id, err := hex.DecodeString(s.ID); err != nil || len(id) != 8 {
		return fmt.Errorf("id %q is not 16 hex digits", s.ID)
	}
	if s.Pair[0] == "" || s.Pair[1] == "" {
		return fmt.Errorf("pair %q lacks an address", s.Pair)
	}
	if s.Generation < 0 || s.ScanEpoch < 0 {
		return fmt.Errorf("generation %d, scan_epoch %d: below zero", s.Generation, s.ScanEpoch)
	}
	if c := s.Checkpoint; c.DB < 0 || c.Scanned < 0 || s.SourceKeys < 0 || s.TargetKeys < 0 {
		return fmt.Errorf("checkpoint in db %d behind %d keys, of %d and %d: below zero", c.DB, c.Scanned, s.SourceKeys, s.TargetKeys)
	}
	if p := s.Plan; p.At < 0 || p.Until < p.At {
		return fmt.Errorf("planned cutover at %d, until %d", p.At, p.Until)
	}
	if s.Secret == (Secret{}) {
		return errors.New("there is no hash secret")
	}
	if !slices.Contains(Phases, s.Phase) {
		return fmt.Errorf("phase %q is none of %q", s.Phase, Phases)
	}
	return nil
}
