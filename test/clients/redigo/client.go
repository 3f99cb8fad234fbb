// Package redigo plays scenarios of github.com/gomodule/redigo, which speaks RESP2 and leaves pipelines and
// transactions to its user: Send, Flush, Receive.
package redigo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gomodule/redigo/redis"

	"tandem/test/clients/stage"
	"tandem/test/clients/workload"
)

// readTime bounds a reply: commands block for less.
const readTime = 40 * time.Second

// parts are all scenarios.
func parts() []stage.Part {
	named := func(name string, play func(*stage.Player, *redis.Pool) error) stage.Part {
		return stage.Part{Name: "redigo " + name, Play: func(p *stage.Player) error {
			pool := redis.NewPool(func() (redis.Conn, error) {
				return redis.Dial("tcp", p.Addr, redis.DialReadTimeout(readTime), redis.DialWriteTimeout(readTime))
			}, 8)
			defer pool.Close()
			return play(p, pool)
		}}
	}
	return []stage.Part{
		named("pipelines", func(p *stage.Player, pool *redis.Pool) error { return batches(p, pool, false) }),
		named("blocks", func(p *stage.Player, pool *redis.Pool) error { return batches(p, pool, true) }),
		named("watch", func(p *stage.Player, pool *redis.Pool) error { return watcher(pool).Own(p) }),
		named("contended", func(p *stage.Player, pool *redis.Pool) error { return watcher(pool).Shared(p) }),
		named("pubsub", pubsub),
		named("queues", queues),
		named("group", group),
		named("scripts", scripts),
		named("scans", scans),
	}
}

// once runs one command on a connection of the pool.
func once(pool *redis.Pool, args ...any) (any, error) {
	c := pool.Get()
	defer c.Close()
	return c.Do(args[0].(string), args[1:]...)
}

// words are a command's words as the library takes them.
func words(args []string) []any {
	all := make([]any, len(args))
	for i, a := range args {
		all[i] = a
	}
	return all
}

// batches sends batches on one connection that lasts, as pipelines or as transactions.
func batches(p *stage.Player, pool *redis.Pool, block bool) error {
	c := pool.Get()
	defer c.Close()
	for n := int64(1); p.Going(); n++ {
		steps := workload.Batch(n, p.Prefix, p.Features)
		replies, err := batch(c, steps, block)
		if err == nil {
			err = workload.Check(steps, replies)
		}
		if err != nil {
			return fmt.Errorf("batch %d: %w", n, err)
		}
		p.Round()
	}
	return nil
}

func batch(c redis.Conn, steps []workload.Step, block bool) ([]any, error) {
	if block {
		if err := c.Send("MULTI"); err != nil {
			return nil, err
		}
	}
	for _, s := range steps {
		if err := c.Send(s.Args[0], words(s.Args[1:])...); err != nil {
			return nil, err
		}
	}
	if block {
		return redis.Values(c.Do("EXEC")) // it receives the replies before its own, too
	}
	if err := c.Flush(); err != nil {
		return nil, err
	}
	replies := make([]any, len(steps))
	for i := range steps {
		reply, err := c.Receive()
		var refused redis.Error
		switch {
		case errors.As(err, &refused):
			reply = refused
		case err != nil:
			return nil, err
		}
		replies[i] = reply
	}
	return replies, nil
}

func watcher(pool *redis.Pool) workload.Watcher {
	return workload.Watcher{
		Add: func(ctx context.Context, key string, want int64, between func() error) (bool, error) {
			c := pool.Get()
			defer c.Close()
			return increment(c, key, want, between)
		},
		Incr: func(ctx context.Context, key string) error {
			_, err := once(pool, "INCR", key)
			return err
		},
		Get: func(ctx context.Context, key string) (int64, error) { return redis.Int64(once(pool, "GET", key)) },
	}
}

// increment sends the transaction piece by piece, each waited for.
func increment(c redis.Conn, key string, want int64, between func() error) (bool, error) {
	if _, err := c.Do("WATCH", key); err != nil {
		return false, fmt.Errorf("WATCH: %w", err)
	}
	n, err := redis.Int64(c.Do("GET", key))
	if err != nil && !errors.Is(err, redis.ErrNil) {
		return false, err
	}
	if want >= 0 && n != want {
		return false, fmt.Errorf("%s is %d, want %d", key, n, want)
	}
	if between != nil {
		if err := between(); err != nil {
			return false, err
		}
	}
	for _, command := range [][]any{{"MULTI", "OK"}, {"SET", "QUEUED", key, n + 1}, {"GET", "QUEUED", key}} {
		if reply, err := redis.String(c.Do(command[0].(string), command[2:]...)); err != nil || reply != command[1] {
			return false, fmt.Errorf("%v in a transaction: %q %w", command[0], reply, err)
		}
	}
	replies, err := redis.Values(c.Do("EXEC"))
	if errors.Is(err, redis.ErrNil) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("EXEC: %w", err)
	}
	if got := workload.Text(replies); got != fmt.Sprintf("OK %d", n+1) {
		return false, fmt.Errorf("EXEC: %q, want OK and %d", got, n+1)
	}
	return true, nil
}
