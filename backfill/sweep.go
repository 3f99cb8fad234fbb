package backfill

import (
	"context"
	"log/slog"

	"tandem/internal/instance"
	"tandem/internal/ledger"
	"tandem/internal/status"
)

// SweepOptions are a sweep's bounds. Zero values take the defaults.
type SweepOptions struct {
	// Name is what the sweep's connections are called (instance.ConnName).
	Name string
	// Databases is how many there are, on the side that has more.
	Databases int
	// ScanCount is the COUNT of each SCAN. Default 1000.
	ScanCount int
	// Workers is how many pages are copied at once. Default 4.
	Workers int
	// KeysPerS is the most keys that are copied per second; 0 is no limit.
	KeysPerS int
	// Log takes what is not told by Progress. Default: nowhere.
	Log *slog.Logger
}

// Sweep makes the whole secondary equal to the primary: every key of the primary is copied unless the
// ledger knows it already, then every key of the secondary that the primary lacks is removed.
type Sweep struct{}

// NewSweep returns a sweep that feeds c, which must be running while it runs.
func NewSweep(l *ledger.Ledger, c *Copier, primary, secondary *instance.Instance, o SweepOptions) *Sweep {
	return &Sweep{}
}

// Run works off the owed sweep number gen, and a later one if it comes to be owed meanwhile. It returns nil
// once the ledger has ended the sweep (Swept). Trouble with either instance is waited out; an error is
// ctx's, or a command that an instance refuses, after which Progress says failed. It may be called again,
// but only one at a time.
func (s *Sweep) Run(ctx context.Context, gen uint64) error { return nil }

// Pause stops feeding the copier, after what is on the way; Resume goes on. Effects and dirty keys are not
// concerned.
func (s *Sweep) Pause()  {}
func (s *Sweep) Resume() {}

// SetRate changes KeysPerS, SetWorkers changes Workers, also while it runs.
func (s *Sweep) SetRate(keysPerS int) {}
func (s *Sweep) SetWorkers(n int)     {}

// Progress is the state of the sweep that runs, or ran last.
func (s *Sweep) Progress() status.BackfillStatus { return status.BackfillStatus{} }
