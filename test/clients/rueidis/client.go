// Package rueidis plays scenarios of github.com/redis/rueidis, in RESP2 and RESP3. It sends the commands of all
// goroutines as pipelines on one connection, so replies out of order would show at once.
package rueidis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/rueidis"

	"tandem/test/clients/stage"
	"tandem/test/clients/workload"
)

// protocol is 2 or 3.
type protocol int

// open makes a client that never retries: what a retry would hide is what the tests look for.
func (v protocol) open(p *stage.Player) (rueidis.Client, error) {
	return rueidis.NewClient(rueidis.ClientOption{
		InitAddress:       []string{p.Addr},
		ForceSingleClient: true,
		DisableRetry:      true,
		AlwaysRESP2:       v == 2,
		DisableCache:      v == 2,
		ConnWriteTimeout:  roundTrip,
	})
}

// roundTrip is how long a reply may take: the library's ten seconds are less than a loaded machine may need.
const roundTrip = 40 * time.Second

// parts are all scenarios in one protocol.
func (v protocol) parts() []stage.Part {
	named := func(name string, play func(*stage.Player, rueidis.Client) error) stage.Part {
		return stage.Part{Name: fmt.Sprintf("rueidis resp%d %s", v, name), Play: func(p *stage.Player) error {
			c, err := v.open(p)
			if err != nil {
				return fmt.Errorf("connect: %w", err)
			}
			defer c.Close()
			return play(p, c)
		}}
	}
	parts := []stage.Part{
		named("pipelines", pipelines),
		named("many on one", manyOnOne),
		named("blocks", blocks),
		named("watch", func(p *stage.Player, c rueidis.Client) error { return watcher(c).Own(p) }),
		named("contended", func(p *stage.Player, c rueidis.Client) error { return watcher(c).Shared(p) }),
		named("pubsub", pubsub),
		named("queues", queues),
		named("sorted queue", sortedQueue),
		named("group", group),
		named("scripts", scripts),
		named("functions", functions),
		named("scans", scans),
	}
	if v == 3 {
		parts = append(parts, named("cache", cache), named("cache of many", cacheMany))
	}
	return parts
}

// command makes a request of any words.
func command(c rueidis.Client, args []string) rueidis.Completed {
	return c.B().Arbitrary(args[0]).Args(args[1:]...).Build()
}

// do runs a command that must not fail.
func do(c rueidis.Client) func(context.Context, ...string) error {
	return func(ctx context.Context, args ...string) error { return c.Do(ctx, command(c, args)).Error() }
}

// decoded are replies as values, errors among them.
func decoded(results []rueidis.RedisResult) []any {
	replies := make([]any, len(results))
	for i, r := range results {
		value, err := r.ToAny()
		switch {
		case rueidis.IsRedisNil(err):
		case err != nil:
			replies[i] = err
		default:
			replies[i] = value
		}
	}
	return replies
}

// pipelines sends batches by DoMulti.
func pipelines(p *stage.Player, c rueidis.Client) error { return batches(p, c, p.Prefix, nil) }

// batches plays until the player stops, or another worker has failed.
func batches(p *stage.Player, c rueidis.Client, prefix string, failed <-chan struct{}) error {
	for n := int64(1); p.Going(); n++ {
		select {
		case <-failed:
			return nil
		default:
		}
		ctx, cancel := p.Context()
		steps := workload.Batch(n, prefix, p.Features)
		cmds := make([]rueidis.Completed, len(steps))
		for i, s := range steps {
			cmds[i] = command(c, s.Args)
		}
		err := workload.Check(steps, decoded(c.DoMulti(ctx, cmds...)))
		cancel()
		if err != nil {
			return fmt.Errorf("batch %d of %s: %w", n, prefix, err)
		}
		p.Round()
	}
	return nil
}

// blocks sends batches as transactions in one pipeline.
func blocks(p *stage.Player, c rueidis.Client) error {
	for n := int64(1); p.Going(); n++ {
		ctx, cancel := p.Context()
		steps := workload.Batch(n, p.Prefix, p.Features)
		cmds := []rueidis.Completed{c.B().Multi().Build()}
		for _, s := range steps {
			cmds = append(cmds, command(c, s.Args))
		}
		cmds = append(cmds, c.B().Exec().Build())
		results := c.DoMulti(ctx, cmds...)
		cancel()
		for i, r := range results[1 : len(results)-1] {
			if text, err := r.ToString(); err != nil || text != "QUEUED" {
				return fmt.Errorf("transaction %d, queueing %s: %q %v", n, steps[i], text, err)
			}
		}
		values, err := results[len(results)-1].ToAny()
		if err != nil {
			return fmt.Errorf("transaction %d: %w", n, err)
		}
		replies, ok := values.([]any)
		if !ok {
			return fmt.Errorf("transaction %d: EXEC answers %v", n, values)
		}
		if err := workload.Check(steps, replies); err != nil {
			return fmt.Errorf("transaction %d: %w", n, err)
		}
		p.Round()
	}
	return nil
}

func watcher(c rueidis.Client) workload.Watcher {
	return workload.Watcher{
		Add: func(ctx context.Context, key string, want int64, between func() error) (committed bool, err error) {
			err = c.Dedicated(func(d rueidis.DedicatedClient) error {
				committed, err = increment(ctx, d, key, want, between)
				return err
			})
			return committed, err
		},
		Incr: func(ctx context.Context, key string) error { return c.Do(ctx, c.B().Incr().Key(key).Build()).Error() },
		Get: func(ctx context.Context, key string) (int64, error) {
			return c.Do(ctx, c.B().Get().Key(key).Build()).AsInt64()
		},
	}
}

// increment runs on a connection of its own.
func increment(ctx context.Context, d rueidis.DedicatedClient, key string, want int64, between func() error) (bool, error) {
	if err := d.Do(ctx, d.B().Watch().Key(key).Build()).Error(); err != nil {
		return false, fmt.Errorf("WATCH: %w", err)
	}
	n, err := d.Do(ctx, d.B().Get().Key(key).Build()).AsInt64()
	if err != nil && !rueidis.IsRedisNil(err) {
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
	next := fmt.Sprint(n + 1)
	results := d.DoMulti(ctx, d.B().Multi().Build(), d.B().Set().Key(key).Value(next).Build(),
		d.B().Get().Key(key).Build(), d.B().Exec().Build())
	for _, r := range results[:3] {
		if err := r.Error(); err != nil {
			return false, fmt.Errorf("MULTI: %w", err)
		}
	}
	replies, err := results[3].ToArray()
	if rueidis.IsRedisNil(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("EXEC: %w", err)
	}
	if len(replies) != 2 {
		return false, errors.New("EXEC answers something else")
	}
	if got, err := replies[1].ToString(); err != nil || got != next {
		return false, fmt.Errorf("GET in EXEC: %q %v, want %s", got, err, next)
	}
	return true, nil
}
