package workload

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Once keeps account of items that must be taken exactly once.
type Once struct {
	mu     sync.Mutex
	owed   map[string]bool
	last   string // the last item that was taken
	none   chan struct{}
	closed bool
}

// NewOnce is an account without items.
func NewOnce() *Once {
	return &Once{owed: map[string]bool{}, none: make(chan struct{}, 1)}
}

// Expect adds an item, before it is handed over.
func (o *Once) Expect(item string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.owed[item] = true
}

// Take is called by who has got an item. An item that is not owed was taken twice, or never given.
func (o *Once) Take(item string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.owed[item] {
		return fmt.Errorf("item %s was taken a second time, or never given (before it: %s)", item, o.last)
	}
	delete(o.owed, item)
	o.last = item
	if len(o.owed) == 0 {
		select {
		case o.none <- struct{}{}:
		default:
		}
	}
	return nil
}

// Wait returns when all items were taken; an error names some that were not.
func (o *Once) Wait(ctx context.Context, within time.Duration) error {
	timeout := time.NewTimer(within)
	defer timeout.Stop()
	for {
		o.mu.Lock()
		owed := len(o.owed)
		var one string
		for item := range o.owed {
			one = item
			break
		}
		o.mu.Unlock()
		if owed == 0 {
			return nil
		}
		select {
		case <-o.none:
		case <-ctx.Done():
			return nil // another's error says why
		case <-timeout.C:
			return fmt.Errorf("%d items were not taken within %v, %s is one", owed, within, one)
		}
	}
}

// Close says that no more items come.
func (o *Once) Close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
}

// Closed reports whether Close was called.
func (o *Once) Closed() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.closed
}
