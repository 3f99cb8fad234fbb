package backfill

import (
	"context"
	"sync"
	"time"
)

// rested is how much of an allowance can be saved up as a rule, as the time in which it comes: more would be a burst that
// clients notice.
const rested = 50 * time.Millisecond

// allowance is how much of something may pass per second. Unlike a rate.Limiter it may be overdrawn, for what a read
// brings is known only afterwards and may be more than comes in seconds; and whoever waits goes on at once when the rate
// is raised. It is safe for concurrent use; the zero value lets everything pass.
type allowance struct {
	mu      sync.Mutex
	perS    float64       // 0: no limit
	saved   time.Duration // how much can be saved up, as the time in which it comes
	left    float64       // below 0: overdrawn
	at      time.Time
	changed chan struct{} // closed when the rate changes
}

// set changes the rate, of which 0 is no limit, and how much can be saved up. What was overdrawn stays so.
func (a *allowance) set(perS float64, saved time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.saved = saved
	if perS == a.perS {
		return
	}
	a.refill(time.Now())
	a.perS = perS
	if a.changed != nil {
		close(a.changed)
		a.changed = nil
	}
}

// limited reports whether there is a limit.
func (a *allowance) limited() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.perS > 0
}

// most is how much of n may be asked for at once, which is at least 1.
func (a *allowance) most(n int) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.perS <= 0 {
		return n
	}
	return max(1, min(n, int(a.burst())))
}

func (a *allowance) burst() float64 { return max(1, a.perS*a.saved.Seconds()) }

// spend takes n without waiting.
func (a *allowance) spend(n float64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refill(time.Now())
	a.left -= n
}

// pass waits until n is there and takes it. Who may go ahead of others gives an overdraft: as if what comes in that time
// were there already. The error is ctx's.
func (a *allowance) pass(ctx context.Context, n float64, overdraft time.Duration) error {
	for {
		wait, changed := a.try(n, overdraft)
		if wait <= 0 {
			return nil
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-changed:
			t.Stop()
		case <-ctx.Done():
			t.Stop()
			return context.Cause(ctx)
		}
	}
}

// try takes n if it is there, else says how long that takes, at least, unless the rate changes.
func (a *allowance) try(n float64, overdraft time.Duration) (wait time.Duration, changed <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refill(time.Now())
	if a.perS > 0 {
		// More than the burst is never there.
		if missing := min(n, a.burst()) - overdraft.Seconds()*a.perS - a.left; missing > 1e-6*a.perS {
			if a.changed == nil {
				a.changed = make(chan struct{})
			}
			const longest = time.Hour // what it is says nothing; too much for a Duration is no wait at all
			return time.Duration(min(missing/a.perS, longest.Seconds()) * float64(time.Second)), a.changed
		}
	}
	a.left -= n
	return 0, nil
}

// refill adds what has come since the last time. The lock is held.
func (a *allowance) refill(now time.Time) {
	if a.perS <= 0 {
		a.left = 0
	} else if !a.at.IsZero() {
		a.left = min(a.burst(), a.left+now.Sub(a.at).Seconds()*a.perS)
	}
	a.at = now
}
