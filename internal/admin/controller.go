package admin

import (
	"context"
	"errors"
	"time"

	"tandem/internal/history"
	"tandem/internal/journal"
	"tandem/internal/report"
	"tandem/internal/status"
)

// Controller is the migration as the admin API drives it. Its methods may be called from several
// goroutines at once; a ctx ends when the caller goes away, and a step that was not completed by then is
// undone. Asking again for a step that is already completed succeeds.
//
// Errors: *Refused when a step cannot be taken now, ErrPrimaryDown when the primary is what is missing,
// ErrUndone when a cutover or rollback was begun and undone, ErrUnknownVerify, ErrInvalid. All may be wrapped.
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
	// Throttle changes how fast is copied, until a restart, and returns what counts then. Without options it only returns it.
	Throttle(ctx context.Context, o ThrottleOptions) (status.ThrottleStatus, error)

	Cutover(ctx context.Context, o StepOptions) (Result, error)
	Rollback(ctx context.Context, o StepOptions) (Result, error)
	Finish(ctx context.Context, o StepOptions) (Result, error)

	// Verify starts a verify and returns its id without waiting for it.
	Verify(ctx context.Context, o VerifyOptions) (id string, err error)
	// VerifyResults gives yield the differences that verify id has found so far, in the order they were
	// found and without the first from of them, then returns the verify as it stands. It stops at, and
	// returns, an error of yield.
	VerifyResults(ctx context.Context, id string, from int, yield func(status.Difference) error) (status.VerifySummary, error)
	// LeadVerify pauses, resumes or cancels verify id, and returns it as it stands then.
	LeadVerify(ctx context.Context, id string, step VerifyStep) (status.VerifySummary, error)

	// Precheck makes the precheck of a start, and starts nothing; Checked is the last one that was made.
	Precheck(ctx context.Context) (status.Precheck, error)
	Checked() status.Precheck

	// History returns how the migration has fared since a time in Unix ms, for an hour at most.
	History(after int64) history.Series
	// Clients tells who is connected.
	Clients() status.Clients

	// LastEvent is the number of the last event of the journal, 0 before the first.
	LastEvent() int64
	// Events returns what the journal holds behind the event numbered after, oldest first and at most limit of it.
	Events(after int64, limit int) []journal.Event
	// Report tells the migration as a whole.
	Report() report.Report
}

// StepOptions go with a step.
type StepOptions struct {
	// Force names the one blocker that the step may ignore; empty for none.
	Force string `json:"force"`
	// Accept names warnings of the precheck that are as they should be, besides those of the configuration. Of start only.
	Accept []string `json:"accept,omitempty"`

	// Of cutover only: to have it come by itself. All times are Unix ms or ms.

	// At is when it is tried first; 0 is now.
	At int64 `json:"at,omitempty"`
	// WhenReady has it tried as soon as nothing stands in its way. With At, not before that.
	WhenReady bool `json:"when_ready,omitempty"`
	// Within is for how long it is tried; 0 is an hour.
	Within int64 `json:"within_ms,omitempty"`
	// Cancel takes back what is planned, and does nothing else.
	Cancel bool `json:"cancel,omitempty"`
}

// Plans reports whether a cutover is to come by itself.
func (o StepOptions) Plans() bool { return o.At != 0 || o.WhenReady }

// The modes of a verify.
const (
	VerifyFull   = "full"
	VerifySample = "sample"
	VerifyKeys   = "keys"
)

// VerifyStep is what can be done with a verify that runs.
type VerifyStep string

// The steps of a verify.
const (
	PauseVerify  VerifyStep = "pause"
	ResumeVerify VerifyStep = "resume"
	CancelVerify VerifyStep = "cancel"
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
	// Planned says that the step will come by itself, and has not been taken.
	Planned bool
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
	// ErrInvalid: what was asked for is no value of what it is for. It is wrapped with the reason.
	ErrInvalid = errors.New("not a value")
	// ErrUnknownVerify: no verify of this process has that id.
	ErrUnknownVerify = errors.New("no verify has this id")
)
