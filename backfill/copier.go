package backfill

import (
	"context"
	"log/slog"
	"time"

	"tandem/internal/instance"
	"tandem/internal/ledger"
)

// CopierOptions are a copier's bounds. Zero values take the defaults.
type CopierOptions struct {
	// Name is what the copier's connections are called on the primary (instance.ConnName).
	Name string
	// Workers is how many batches of dirty keys are copied at once, each on a connection of its own. Default 4.
	Workers int
	// WindowBytes is how many bytes of values may wait for the secondary's acknowledgement. A single larger
	// value passes alone. Default 16 MiB.
	WindowBytes int64
	// BigKeyBytes is the size from which a key is copied by itself, one at a time in the whole process.
	// Default 8 MiB.
	BigKeyBytes int64
	// ReadTimeout bounds the reading of one batch. Default 10 s.
	ReadTimeout time.Duration
	// OrderedTimeout is how long a copy that kept losing may own its key's stripe, which holds back the
	// clients' writes there. Default 2 s.
	OrderedTimeout time.Duration
	// Shift returns the milliseconds to add to expiry times: the secondary's clock minus the primary's, where
	// that is to be corrected. Default 0.
	Shift func() int64
	// Log takes what is not told by counters. Default: nowhere.
	Log *slog.Logger
}

// CopierStats are counts since the copier was made.
type CopierStats struct {
	// Copied keys are on the Sink; Bytes are their values.
	Copied, Bytes uint64
	// Races are copies thrown away because a write came in between.
	Races uint64
	// Ordered are copies that owned their stripe.
	Ordered uint64
	// Failed are copies that could not be read.
	Failed uint64
	// Panics are batches that ended in a panic; their keys are tried again.
	Panics uint64
}

// Copier copies keys from the primary to the ledger's Sink.
type Copier struct {
	l       *ledger.Ledger
	primary *instance.Instance
	opt     CopierOptions
}

// NewCopier returns a copier of the primary's keys. It does not connect, and starts nothing, before Run or
// CopyPage is called. After a cutover the new primary needs a new one.
func NewCopier(l *ledger.Ledger, primary *instance.Instance, o CopierOptions) *Copier {
	return &Copier{l: l, primary: primary, opt: o}
}

// Run copies dirty keys until ctx ends, then gives back what it holds, closes its connections and returns
// nil. Trouble with either instance is waited out. It is called once.
func (c *Copier) Run(ctx context.Context) error { return nil }

// CopyPage copies a page of db's keys for a sweep. It returns nil when each of them is on the Sink, was
// known to the ledger, or is dirty and so left to Run, which must be running. It waits while the secondary
// takes no copies or the primary cannot be reached; the only error is that ctx has ended.
func (c *Copier) CopyPage(ctx context.Context, db int, names []string) error { return nil }

// Wake looks whether anybody waits for what has just changed in the ledger. The owner of the ledger calls it
// from OnChange, with the lock held; it does not block.
func (c *Copier) Wake() {}

// SetWorkers changes how many batches of dirty keys are copied at once.
func (c *Copier) SetWorkers(n int) {}

// Stats returns the counts so far. It needs no lock.
func (c *Copier) Stats() CopierStats { return CopierStats{} }
