// Package goredis plays scenarios of github.com/redis/go-redis, in RESP2 and RESP3.
package goredis

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"tandem/test/clients/stage"
	"tandem/test/clients/workload"
)

// protocol is 2 or 3.
type protocol int

// open makes a client that never retries: what a retry would hide is what the tests look for.
func (v protocol) open(p *stage.Player, more ...func(*redis.Options)) *redis.Client {
	o := &redis.Options{Addr: p.Addr, Protocol: int(v), MaxRetries: -1, PoolSize: 8, ContextTimeoutEnabled: true}
	for _, f := range more {
		f(o)
	}
	return redis.NewClient(o)
}

// parts are all scenarios in one protocol.
func (v protocol) parts() []stage.Part {
	named := func(name string, play func(*stage.Player, *redis.Client) error) stage.Part {
		return stage.Part{Name: fmt.Sprintf("go-redis resp%d %s", v, name), Play: func(p *stage.Player) error {
			c := v.open(p)
			defer c.Close()
			return play(p, c)
		}}
	}
	parts := []stage.Part{
		named("pipelines", pipelines),
		named("blocks", blocks),
		named("watch", watch),
		named("contended", contended),
		named("pubsub", pubsub),
		named("queues", queues),
		named("sorted queue", sortedQueue),
		named("group", group),
		named("timeouts", timeouts),
		named("scripts", scripts),
		named("functions", functions),
		named("scans", scans),
	}
	if v == 3 {
		parts = append(parts, stage.Part{Name: "go-redis resp3 cache", Play: v.cache})
	}
	return parts
}

// texts are the replies of commands, errors among them.
func texts(cmds []redis.Cmder) []any {
	replies := make([]any, len(cmds))
	for i, c := range cmds {
		value, err := c.(*redis.Cmd).Result()
		switch {
		case errors.Is(err, redis.Nil):
		case err != nil:
			replies[i] = err
		default:
			replies[i] = value
		}
	}
	return replies
}

// add queues a batch.
func add(ctx context.Context, pipe redis.Pipeliner, steps []workload.Step) {
	for _, s := range steps {
		pipe.Do(ctx, words(s.Args)...)
	}
}

// words are a command's words as the library takes them.
func words(args []string) []any {
	all := make([]any, len(args))
	for i, a := range args {
		all[i] = a
	}
	return all
}

// pipelines sends batches as pipelines, and now and then one command at a time.
func pipelines(p *stage.Player, c *redis.Client) error {
	for n := int64(1); p.Going(); n++ {
		ctx, cancel := p.Context()
		steps := workload.Batch(n, p.Prefix, p.Features)
		pipe := c.Pipeline()
		add(ctx, pipe, steps)
		var cmds []redis.Cmder
		if n%4 != 0 {
			cmds, _ = pipe.Exec(ctx) // its error is one of the replies'
		} else {
			for _, s := range steps {
				cmds = append(cmds, c.Do(ctx, words(s.Args)...))
			}
		}
		cancel()
		if err := workload.Check(steps, texts(cmds)); err != nil {
			return fmt.Errorf("batch %d: %w", n, err)
		}
		p.Round()
	}
	return nil
}

// blocks sends batches as transactions: an error of a command in it is its reply, and the others are executed.
func blocks(p *stage.Player, c *redis.Client) error {
	for n := int64(1); p.Going(); n++ {
		ctx, cancel := p.Context()
		steps := workload.Batch(n, p.Prefix, p.Features)
		pipe := c.TxPipeline()
		add(ctx, pipe, steps)
		cmds, _ := pipe.Exec(ctx) // its error is one of the replies'
		if err := workload.Check(steps, texts(cmds)); err != nil {
			cancel()
			return fmt.Errorf("transaction %d: %w", n, err)
		}
		// One that the server refuses while queueing executes nothing.
		pipe = c.TxPipeline()
		pipe.Incr(ctx, p.Key("refused"))
		pipe.Do(ctx, "GET")
		_, err := pipe.Exec(ctx)
		if err == nil {
			cancel()
			return errors.New("EXEC behind a wrong command succeeded")
		}
		exists, err := c.Exists(ctx, p.Key("refused")).Result()
		cancel()
		if err != nil || exists != 0 {
			return fmt.Errorf("behind a refused transaction: EXISTS %d %v", exists, err)
		}
		p.Round()
	}
	return nil
}
