package goredis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"tandem/test/clients/stage"
)

// watch changes a counter of its own under WATCH: every EXEC succeeds, unless a switch came in between, and none
// does when another connection has changed the key.
func watch(p *stage.Player, c *redis.Client) error {
	key := p.Key("own")
	for want := int64(0); p.Going(); {
		ctx, cancel := p.Context()
		m := p.Moment()
		err := increment(ctx, c, key, want, nil)
		switch {
		case err == nil:
			want++
		case errors.Is(err, redis.TxFailedErr) && p.Switched(m):
		default:
			cancel()
			return fmt.Errorf("WATCH of an own key: %w", err)
		}
		err = increment(ctx, c, key, want, func() error { return c.Incr(ctx, key).Err() })
		cancel()
		if !errors.Is(err, redis.TxFailedErr) {
			return fmt.Errorf("EXEC after the watched key was changed by another connection: %v", err)
		}
		want++
		p.Round()
	}
	return nil
}

// increment adds one to a counter under WATCH, checking its value first; between runs before EXEC.
func increment(ctx context.Context, c *redis.Client, key string, want int64, between func() error) error {
	return c.Watch(ctx, func(tx *redis.Tx) error {
		n, err := tx.Get(ctx, key).Int64()
		if err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		if want >= 0 && n != want {
			return fmt.Errorf("%s is %d, want %d", key, n, want)
		}
		if between != nil {
			if err := between(); err != nil {
				return err
			}
		}
		cmds, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
			pipe.Set(ctx, key, n+1, 0)
			pipe.Get(ctx, key)
			return nil
		})
		if err != nil {
			return err
		}
		if got := cmds[1].(*redis.StringCmd).Val(); got != strconv.FormatInt(n+1, 10) {
			return fmt.Errorf("GET in EXEC: %q, want %d", got, n+1)
		}
		return nil
	}, key)
}

// contended has workers change one counter under WATCH: as often as EXEC said so, it has changed.
func contended(p *stage.Player, c *redis.Client) error {
	key := p.Key("shared")
	for done := int64(0); p.Going(); {
		ctx, cancel := p.Context()
		var won atomic.Int64
		g, ctx := errgroup.WithContext(ctx)
		for range 3 {
			g.Go(func() error {
				for range 5 {
					switch err := increment(ctx, c, key, -1, nil); {
					case err == nil:
						won.Add(1)
					case !errors.Is(err, redis.TxFailedErr):
						return err
					}
				}
				return nil
			})
		}
		err := g.Wait()
		cancel()
		if err != nil {
			return err
		}
		done += won.Load()
		check, cancel := p.Context()
		n, err := c.Get(check, key).Int64()
		cancel()
		if err != nil || n != done {
			return fmt.Errorf("the counter is %d (%v) after %d transactions that succeeded", n, err, done)
		}
		p.Round()
	}
	return nil
}
