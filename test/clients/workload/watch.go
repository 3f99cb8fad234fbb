package workload

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"tandem/test/clients/stage"
)

// Watcher changes counters under WATCH.
type Watcher struct {
	// Add adds one to a counter: WATCH, GET, MULTI, SET, GET, EXEC. The value before must be want, unless want is
	// negative. between, if not nil, runs before MULTI. Without an error, committed says whether EXEC was not nil.
	Add func(ctx context.Context, key string, want int64, between func() error) (committed bool, err error)
	// Incr is INCR on another connection, and Get reads a counter.
	Incr func(ctx context.Context, key string) error
	Get  func(ctx context.Context, key string) (int64, error)
}

// Own plays with a counter of its own: every EXEC succeeds, unless a switch came in between, and none does when
// another connection has changed the key.
func (w Watcher) Own(p *stage.Player) error {
	key := p.Key("own")
	for want := int64(0); p.Going(); {
		ctx, cancel := p.Context()
		m := p.Moment()
		committed, err := w.Add(ctx, key, want, nil)
		if err == nil && !committed && !p.Switched(m) {
			err = errors.New("EXEC answers nil though nobody has changed the watched key")
		}
		if err != nil {
			cancel()
			return err
		}
		if committed {
			want++
		}
		committed, err = w.Add(ctx, key, want, func() error { return w.Incr(ctx, key) })
		cancel()
		if err == nil && committed {
			err = errors.New("EXEC succeeds though another connection has changed the watched key")
		}
		if err != nil {
			return err
		}
		want++ // by Incr
		p.Round()
	}
	return nil
}

// Shared has workers change one counter: as often as EXEC said so, it has changed.
func (w Watcher) Shared(p *stage.Player) error {
	key := p.Key("shared")
	for done := int64(0); p.Going(); {
		ctx, cancel := p.Context()
		var won atomic.Int64
		g, bound := errgroup.WithContext(ctx)
		for range 3 {
			g.Go(func() error {
				for range 5 {
					committed, err := w.Add(bound, key, -1, nil)
					if err != nil {
						return err
					}
					if committed {
						won.Add(1)
					}
				}
				return nil
			})
		}
		err := g.Wait()
		done += won.Load()
		var n int64
		if err == nil {
			n, err = w.Get(ctx, key)
		}
		cancel()
		if err != nil {
			return err
		}
		if n != done {
			return fmt.Errorf("the counter is %d after %d transactions that succeeded", n, done)
		}
		p.Round()
	}
	return nil
}
