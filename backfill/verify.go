package backfill

import (
	"context"
	"log/slog"
	"time"

	"tandem/internal/instance"
	"tandem/internal/ledger"
	"tandem/internal/status"
)

// Mode says how much a verify compares.
type Mode string

const (
	// Full compares every key's value, type and expiry.
	Full Mode = "full"
	// Sample compares some keys, chosen anew by each verify, and looks for all that are too many.
	Sample Mode = "sample"
	// KeysOnly compares which keys there are.
	KeysOnly Mode = "keys"
)

// VerifyOptions are a verify's bounds. Zero values take the defaults.
type VerifyOptions struct {
	// Name is what the connections are called (instance.ConnName).
	Name string
	// Mode is Full by default.
	Mode Mode
	// SampleShare is the share of keys that Sample compares, above 0 and up to 1. Default 0.05.
	SampleShare float64
	// Repair makes the keys dirty that are reported.
	Repair bool
	// Databases is how many there are, on the side that has more.
	Databases int
	// ScanCount is the COUNT of each SCAN. Default 1000.
	ScanCount int
	// Workers is how many pages are compared at once. Default 2.
	Workers int
	// TTLTolerance is the difference of two expiry times that counts as none. Default 1 s.
	TTLTolerance time.Duration
	// BigKeyBytes is the size from which a key is compared in chunks. Default 8 MiB.
	BigKeyBytes int64
	// ReadTimeout bounds the reading of one batch. Default 10 s.
	ReadTimeout time.Duration
	// HoldTimeout is how long a comparison may hold back the writes to one key that is written all the time.
	// Default 1 s.
	HoldTimeout time.Duration
	// Shift is what the copier adds to expiry times (CopierOptions.Shift). Default 0.
	Shift func() int64
	// Report is given each difference, from one goroutine at a time, and may keep it.
	Report func(status.Difference)
	// Log takes what is not told by Progress. Default: nowhere.
	Log *slog.Logger
}

// VerifyProgress is the state of a verify.
type VerifyProgress struct {
	// State is one of package status.
	State string
	// Total is how many keys there were on the primary at the start; 0 before that is known.
	Total int64
	// Compared keys are those of the primary that are settled; Different of all keys were reported.
	Compared, Different int64
	// Percent is between 0 and 100.
	Percent float64
}

// Verify compares both instances key by key while clients write.
type Verify struct{}

// NewVerify returns a verify that has not begun.
func NewVerify(l *ledger.Ledger, primary, secondary *instance.Instance, o VerifyOptions) *Verify {
	return &Verify{}
}

// Run compares. It returns nil when all is compared, however many differences it reported. Short trouble
// with either instance is waited out; an error is ctx's, or says what could not be read. It is called once.
func (v *Verify) Run(ctx context.Context) error { return nil }

// Progress may be called at any time.
func (v *Verify) Progress() VerifyProgress { return VerifyProgress{} }
