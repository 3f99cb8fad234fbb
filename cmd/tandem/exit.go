package main

import (
	"errors"

	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/intent"
	"tandem/internal/kept"
	"tandem/internal/state"
	"tandem/internal/status"
	"tandem/migration"
)

// The exit statuses, a contract: scripts decide by them.
const (
	exitDone      = 0
	exitFailed    = 1
	exitUsage     = 2
	exitRefused   = 3
	exitDifferent = 4
)

// exitStatuses says for the reference what each one means.
var exitStatuses = []struct {
	code    int
	meaning string
}{
	{exitDone, "Done."},
	{exitFailed, "Failed: the admin address is not reachable, a step was undone, or `serve` ended with writes unsettled."},
	{exitUsage, "Usage or configuration: nothing was tried."},
	{exitRefused, "Refused: the precheck failed, a step is not ready, another process holds the state directory or this pair of servers, " +
		"or the state directory belongs to another pair or a newer version, or has changes of two-way that only listen_target can go on with."},
	{exitDifferent, "Differences were found, or `migrate` cannot promise that there are none: others wrote to the source, which does not report changes."},
}

// usageError is a mistake on the command line.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

var (
	// errRefused: what was asked for must not be done now. It is wrapped with the reason.
	errRefused = errors.New("refused")
	// errDifferent: a comparison found differences.
	errDifferent = errors.New("differences found")
	// errSaid: the output has said it all; nothing is to be added on stderr.
	errSaid = errors.New("see the output")
)

// exitCode is the one place where errors become exit statuses.
func exitCode(err error) int {
	var usage *usageError
	var configuration *config.Error
	var refused *admin.Refused
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &usage), errors.As(err, &configuration), errors.Is(err, admin.ErrUnauthorized):
		return exitUsage
	case errors.As(err, &refused), errors.Is(err, errRefused), errors.Is(err, state.ErrLocked), errors.Is(err, state.ErrOtherPair), errors.Is(err, migration.ErrMoves), errors.Is(err, migration.ErrTwoWay),
		errors.Is(err, state.ErrNewerFormat), errors.Is(err, intent.ErrNewerFormat), errors.Is(err, kept.ErrNewerFormat):
		return exitRefused
	case errors.Is(err, errDifferent), errors.Is(err, migration.ErrDifferent), errors.Is(err, migration.ErrUnwatched):
		return exitDifferent
	}
	return exitFailed
}

// blockersOf are those that an error carries.
func blockersOf(err error) []status.Blocker {
	var refused *admin.Refused
	if errors.As(err, &refused) {
		return refused.Blockers
	}
	return nil
}
