package backfill

import (
	"context"

	"tandem/internal/ledger"
)

// copyOverhead is the memory that a copy costs besides its payload until it is acknowledged: the ledger's
// note of it, its name, its place in the Sink.
const copyOverhead = 256

// window bounds the bytes of values that are between the primary and the secondary's acknowledgement. Who
// wants to read reserves what it expects; on the Sink, the ledger counts it (Copying).
type window struct {
	l     *ledger.Ledger
	wait  *waiters
	bytes func() int64
	// reserved is what is being read, under the ledger's lock.
	reserved int64
	// turn is held by the one who is let in next, so that small reads cannot keep a big one out for ever.
	turn chan struct{}
}

func newWindow(l *ledger.Ledger, wait *waiters, bytes func() int64) *window {
	return &window{l: l, wait: wait, bytes: bytes, turn: make(chan struct{}, 1)}
}

// enter reserves n bytes, and waits for them; what is larger than the window waits until nothing else is in
// it. False: ctx has ended.
func (w *window) enter(ctx context.Context, n int64) bool {
	select {
	case w.turn <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	defer func() { <-w.turn }()
	return w.wait.until(ctx, func() bool {
		copies, bytes := w.l.Copying()
		used := int64(bytes) + int64(copies)*copyOverhead + w.reserved
		if used > 0 && used+n > w.bytes() {
			return false
		}
		w.reserved += n
		return true
	})
}

// leave ends a reservation: what came of it is on the Sink, or dropped. The ledger's lock is held.
func (w *window) leave(n int64) {
	w.reserved -= n
	w.wait.wake()
}
