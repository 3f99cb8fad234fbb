package goredis

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"tandem/test/clients/stage"
	"tandem/test/clients/workload"
)

func watch(p *stage.Player, c *redis.Client) error     { return watcher(c).Own(p) }
func contended(p *stage.Player, c *redis.Client) error { return watcher(c).Shared(p) }

func watcher(c *redis.Client) workload.Watcher {
	return workload.Watcher{
		Add: func(ctx context.Context, key string, want int64, between func() error) (bool, error) {
			err := c.Watch(ctx, func(tx *redis.Tx) error { return increment(ctx, tx, key, want, between) }, key)
			if errors.Is(err, redis.TxFailedErr) {
				return false, nil
			}
			return err == nil, err
		},
		Incr: func(ctx context.Context, key string) error { return c.Incr(ctx, key).Err() },
		Get:  func(ctx context.Context, key string) (int64, error) { return c.Get(ctx, key).Int64() },
	}
}

// increment is what happens behind WATCH.
func increment(ctx context.Context, tx *redis.Tx, key string, want int64, between func() error) error {
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
}
