package backfill

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
)

// Strings are read by GET: of a value of some KiB it takes the server a tenth of what DUMP does, which compresses it and
// sums it up. Of what kind a key is, is not known before it is read, so this is done where nearly all are strings; the
// others of a batch are read again, by DUMP.

// The commands that read a value.
const (
	byDump = "DUMP"
	byGet  = "GET"
)

// mostlyStrings is which share of the keys that were read of late must have been strings for GET to be tried first. What
// it costs in vain is a round trip for the batch.
const mostlyStrings = 0.95

// errNoGet says that the server has no GET, or that this user may not run it at all.
var errNoGet = errors.New("GET is refused")

// stringsShare is the share of strings among the keys read of late. It is safe for concurrent use; what one of several
// notes at a time may be forgotten.
type stringsShare struct {
	bits    atomic.Uint64 // of a float64
	refused atomic.Bool   // GET is
	// always: GET is tried first, whatever the share; for tests.
	always bool
}

// likely reports whether the next keys are taken for strings.
func (s *stringsShare) likely() bool {
	return s.always || math.Float64frombits(s.bits.Load()) >= mostlyStrings
}

// note takes what a batch has shown.
func (s *stringsShare) note(batch []reading) {
	texts, others := 0, 0
	for i := range batch {
		switch {
		case batch[i].found != present:
		case batch[i].isString():
			texts++
		default:
			others++
		}
	}
	if n := texts + others; n > 0 {
		share := math.Float64frombits(s.bits.Load())
		weight := min(1, float64(n)/64)
		s.bits.Store(math.Float64bits(share + weight*(float64(texts)/float64(n)-share)))
	}
}

// readValues is read, which takes the server less time where most keys are strings. A value without limits is large, and
// alone: there a round trip in vain is nothing beside a DUMP.
func (r *reader) readValues(ctx context.Context, db int, names []string, lim limits, out []reading) error {
	defer func() { r.strings.note(out) }()
	if lim != noLimits && !r.strings.likely() || r.strings.refused.Load() {
		return r.read(ctx, db, names, lim, out)
	}
	err := r.readBy(ctx, byGet, db, names, lim, out)
	if errors.Is(err, errNoGet) {
		r.strings.refused.Store(true)
		return r.read(ctx, db, names, lim, out)
	}
	if err != nil {
		return err
	}
	var others []string
	for i := range out {
		if out[i].found == noString {
			others = append(others, names[i])
		}
	}
	if len(others) == 0 {
		return nil
	}
	rest := make([]reading, len(others))
	if err := r.read(ctx, db, others, lim, rest); err != nil {
		return fmt.Errorf("those that are not strings: %w", err)
	}
	for i := range out {
		if out[i].found == noString {
			if out[i].err != nil && rest[0].found == present {
				r.strings.refused.Store(true) // this user may GET some keys only
			}
			out[i], rest = rest[0], rest[1:]
		}
	}
	return nil
}
