package goredis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"tandem/test/clients/stage"
	"tandem/test/clients/workload"
)

// queues is a list with consumers of all kinds.
func queues(p *stage.Player, c *redis.Client) error {
	list, other, work := p.Key("list"), p.Key("empty"), p.Key("work")
	return workload.Queue{
		Consumers: 4,
		Put:       func(ctx context.Context, item string) error { return c.RPush(ctx, list, item).Err() },
		Take: func(ctx context.Context, consumer string) (string, error) {
			switch {
			case consumer == "c0":
				return popped(c.BLPop(ctx, workload.Wait, other, list).Result())
			case consumer == "c1":
				return popped(c.BRPop(ctx, workload.Wait, list).Result())
			case consumer == "c2" && p.Features.Redis7:
				_, items, err := c.BLMPop(ctx, workload.Wait, "left", 1, other, list).Result()
				return first(items, err)
			}
			// A reliable queue: taken over to the list of what is being worked on, then removed there.
			item, err := c.BRPopLPush(ctx, list, work, workload.Wait).Result()
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
		Left: func(ctx context.Context) (int64, error) { return c.Exists(ctx, list, other, work).Result() },
	}.Play(p)
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
	return workload.Queue{
		Consumers: 2,
		Put: func(ctx context.Context, item string) error {
			score, err := strconv.ParseFloat(item, 64)
			if err != nil {
				return err
			}
			return c.ZAdd(ctx, key, redis.Z{Score: score, Member: item}).Err()
		},
		Take: func(ctx context.Context, consumer string) (string, error) {
			pop := c.BZPopMin
			if consumer == "c1" {
				pop = c.BZPopMax
			}
			z, err := pop(ctx, workload.Wait, key).Result()
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
		Left: func(ctx context.Context) (int64, error) { return c.Exists(ctx, key).Result() },
	}.Play(p)
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
	return workload.Queue{
		Consumers: 2,
		Put: func(ctx context.Context, item string) error {
			return c.XAdd(ctx, &redis.XAddArgs{Stream: key, MaxLen: 100, Values: []any{"item", item}}).Err()
		},
		Take: func(ctx context.Context, consumer string) (string, error) {
			streams, err := c.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "g", Consumer: consumer,
				Streams: []string{key, ">"}, Count: 1, Block: workload.Wait}).Result()
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
		Left: func(ctx context.Context) (int64, error) {
			pending, err := c.XPending(ctx, key, "g").Result()
			if err != nil {
				return 0, err
			}
			return pending.Count, nil
		},
	}.Play(p)
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
