package admin

import (
	"context"
	"errors"
	"time"

	"tandem/internal/status"
)

// Controller is the migration as the admin API drives it. Its methods may be called from several
// goroutines at once; a ctx ends when the caller goes away, and a step that was not completed by then is
// undone. Asking again for a step that is already completed succeeds.
//
// Errors: *Refused when a step cannot be taken now, ErrPrimaryDown when the primary is what is missing,
// ErrUndone when a cutover or rollback was begun and undone, ErrUnknownVerify. All may be wrapped.
type Controller interface {
	// Status returns the whole status; it does not wait for a server.
	Status() status.Status
	// Ready returns nil when clients' commands can be served, else why not.
	Ready() error

	// Start runs the precheck and starts the backfill. The id names the sweep; it is empty when the
	// backfill had been started before, which is no error.
	Start(ctx context.Context, o StepOptions) (id string, err error)
	// Pause and Resume concern the sweep and its copies; effects go on.
	Pause(ctx context.Context, o StepOptions) error
	Resume(ctx context.Context, o StepOptions) error

	Cutover(ctx context.Context, o StepOptions) (Result, error)
	Rollback(ctx context.Context, o StepOptions) (Result, error)
	Finish(ctx context.Context, o StepOptions) (Result, error)

	// Verify starts a verify and returns its id without waiting for it.
	Verify(ctx context.Context, o VerifyOptions) (id string, err error)
	// VerifyResults gives yield the differences that verify id has found so far, in the order they were
	// found and without the first from of them, then returns the verify as it stands. It stops at, and
	// returns, an error of yield.
	VerifyResults(ctx context.Context, id string, from int, yield func(status.Difference) error) (status.VerifySummary, error)
}

// StepOptions go with a step.
type StepOptions struct {
	// Force names the one blocker that the step may ignore; empty for none.
	Force string `json:"force"`
}

// The modes of a verify.
const (
	VerifyFull   = "full"
	VerifySample = "sample"
	VerifyKeys   = "keys"
)

// VerifyOptions go with a verify.
type VerifyOptions struct {
	// Mode is full (the default), sample or keys; the server has checked it.
	Mode string `json:"mode"`
	// Repair makes the keys dirty that are found to differ.
	Repair bool `json:"repair"`
}

// Result is what a completed step led to.
type Result struct {
	// Phase is the phase afterwards.
	Phase string
	// Pause is how long clients' commands were held; 0 when they were not.
	Pause time.Duration
}

// Refused says that a step cannot be taken now, and why.
type Refused struct {
	Message  string
	Blockers []status.Blocker
}

func (r *Refused) Error() string { return r.Message }

var (
	// ErrPrimaryDown: the step needs the primary, and it is not reachable.
	ErrPrimaryDown = errors.New("the primary is not reachable")
	// ErrUndone: the cutover or rollback did not complete in its time and was undone, as if never asked
	// for. It is wrapped with the reason.
	ErrUndone = errors.New("undone")
	// ErrUnknownVerify: no verify of this process has that id.
	ErrUnknownVerify = errors.New("no verify has this id")
)
