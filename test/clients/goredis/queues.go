package goredis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"tandem/test/clients/stage"
	"tandem/test/clients/workload"
)

// wait is how long a consumer blocks at a time: long enough to be blocked most of the time, and over switches.
const wait = 2 * time.Second

// queue is one way to hand over items that are numbers, each to exactly one consumer.
type queue struct {
	put func(ctx context.Context, item string) error
	// take blocks for up to wait; "" when nothing came.
	take      func(ctx context.Context, consumer string) (string, error)
	consumers int
	// left is how many items the server still has, when all were taken.
	left func(ctx context.Context) (int64, error)
}

// run plays rounds of one item each, put when the consumers are blocked as often as not.
func (q queue) run(p *stage.Player) error {
	taken := workload.NewOnce()
	g, ctx := errgroup.WithContext(context.Background())
	for i := range q.consumers {
		g.Go(func() error {
			for ctx.Err() == nil && !taken.Closed() {
				bound, cancel := p.Context()
				item, err := q.take(bound, "c"+strconv.Itoa(i))
				cancel()
				if err != nil {
					return fmt.Errorf("consumer %d: %w", i, err)
				}
				if item == "" {
					continue
				}
				if err := taken.Take(item); err != nil {
					return err
				}
			}
			return nil
		})
	}
	g.Go(func() error {
		defer taken.Close()
		for n := 1; p.Going() && ctx.Err() == nil; n++ {
			for i := range 1 + n%3 { // some at once: a consumer that is served, and others that wait
				item := fmt.Sprintf("%d.%d", n, i)
				taken.Expect(item)
				bound, cancel := p.Context()
				err := q.put(bound, item)
				cancel()
				if err != nil {
					return fmt.Errorf("put %s: %w", item, err)
				}
			}
			if err := taken.Wait(ctx, 30*time.Second); err != nil {
				return err
			}
			p.Round()
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return err
	}
	bound, cancel := p.Context()
	defer cancel()
	left, err := q.left(bound)
	if err != nil || left != 0 {
		return fmt.Errorf("%d items are left (%v)", left, err)
	}
	return nil
}

// queues is a list with consumers of all kinds.
func queues(p *stage.Player, c *redis.Client) error {
	list, other, work := p.Key("list"), p.Key("empty"), p.Key("work")
	return queue{
		consumers: 4,
		put:       func(ctx context.Context, item string) error { return c.RPush(ctx, list, item).Err() },
		take: func(ctx context.Context, consumer string) (string, error) {
			switch {
			case consumer == "c0":
				return popped(c.BLPop(ctx, wait, other, list).Result())
			case consumer == "c1":
				return popped(c.BRPop(ctx, wait, list).Result())
			case consumer == "c2" && p.Features.Redis7:
				_, items, err := c.BLMPop(ctx, wait, "left", 1, other, list).Result()
				return first(items, err)
			}
			// A reliable queue: taken over to the list of what is being worked on, then removed there.
			item, err := c.BRPopLPush(ctx, list, work, wait).Result()
			if errors.Is(err, redis.Nil) {
				return "", nil
			}
			if err != nil {
				return "", err
			}
			if n, err := c.LRem(ctx, work, 1, item).Result(); err != nil || n != 1 {
				return "", fmt.Errorf("LREM of %s: %d %v", item, n, err)
			}
			return item, nil
		},
		left: func(ctx context.Context) (int64, error) { return c.Exists(ctx, list, other, work).Result() },
	}.run(p)
}

// popped is the item of a BLPOP's reply.
func popped(reply []string, err error) (string, error) {
	if errors.Is(err, redis.Nil) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return reply[1], nil
}

func first(items []string, err error) (string, error) {
	if errors.Is(err, redis.Nil) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return items[0], nil
}

// sortedQueue is a sorted set, its least or greatest taken.
func sortedQueue(p *stage.Player, c *redis.Client) error {
	key := p.Key("zset")
	return queue{
		consumers: 2,
		put: func(ctx context.Context, item string) error {
			score, err := strconv.ParseFloat(item, 64)
			if err != nil {
				return err
			}
			return c.ZAdd(ctx, key, redis.Z{Score: score, Member: item}).Err()
		},
		take: func(ctx context.Context, consumer string) (string, error) {
			pop := c.BZPopMin
			if consumer == "c1" {
				pop = c.BZPopMax
			}
			z, err := pop(ctx, wait, key).Result()
			if errors.Is(err, redis.Nil) {
				return "", nil
			}
			if err != nil {
				return "", err
			}
			if item := z.Member.(string); strconv.FormatFloat(z.Score, 'f', 1, 64) == item {
				return item, nil
			}
			return "", fmt.Errorf("popped %v", z)
		},
		left: func(ctx context.Context) (int64, error) { return c.Exists(ctx, key).Result() },
	}.run(p)
}

// group is a stream with a consumer group: each entry is delivered to one consumer, and acknowledged once.
func group(p *stage.Player, c *redis.Client) error {
	key := p.Key("stream")
	ctx, cancel := p.Context()
	err := c.XGroupCreateMkStream(ctx, key, "g", "0").Err()
	cancel()
	if err != nil {
		return err
	}
	return queue{
		consumers: 2,
		put: func(ctx context.Context, item string) error {
			return c.XAdd(ctx, &redis.XAddArgs{Stream: key, MaxLen: 100, Values: []any{"item", item}}).Err()
		},
		take: func(ctx context.Context, consumer string) (string, error) {
			streams, err := c.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "g", Consumer: consumer,
				Streams: []string{key, ">"}, Count: 1, Block: wait}).Result()
			if errors.Is(err, redis.Nil) {
				return "", nil
			}
			if err != nil {
				return "", err
			}
			m := streams[0].Messages[0]
			if n, err := c.XAck(ctx, key, "g", m.ID).Result(); err != nil || n != 1 {
				return "", fmt.Errorf("XACK of %s: %d %v", m.ID, n, err)
			}
			return m.Values["item"].(string), nil
		},
		left: func(ctx context.Context) (int64, error) {
			pending, err := c.XPending(ctx, key, "g").Result()
			if err != nil {
				return 0, err
			}
			return pending.Count, nil
		},
	}.run(p)
}

// timeouts pops from what is empty: nothing comes, and not before its time.
func timeouts(p *stage.Player, c *redis.Client) error {
	commands := [][]any{{"BLPOP", p.Key("none"), "0.1"}, {"BZPOPMAX", p.Key("none"), p.Key("more"), "0.1"},
		{"XREAD", "BLOCK", "100", "STREAMS", p.Key("none"), "$"}}
	for n := 0; p.Going(); n++ {
		command := commands[n%len(commands)]
		ctx, cancel := p.Context()
		began := time.Now()
		reply, err := c.Do(ctx, command...).Result()
		cancel()
		if took := time.Since(began); !errors.Is(err, redis.Nil) || took < 95*time.Millisecond {
			return fmt.Errorf("%v of nothing: %v %v after %v", command, reply, err, took)
		}
		p.Round()
	}
	return nil
}
