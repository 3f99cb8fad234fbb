package rueidis

import (
	"context"
	"fmt"
	"strconv"

	"github.com/redis/rueidis"

	"tandem/test/clients/stage"
	"tandem/test/clients/workload"
)

// seconds is workload.Wait as commands take it.
var seconds = workload.Wait.Seconds()

// queues is a list with consumers of all kinds.
func queues(p *stage.Player, c rueidis.Client) error {
	list, other, work := p.Key("list"), p.Key("empty"), p.Key("work")
	return workload.Queue{
		Consumers: 4,
		Put: func(ctx context.Context, item string) error {
			return c.Do(ctx, c.B().Lpush().Key(list).Element(item).Build()).Error()
		},
		Take: func(ctx context.Context, consumer string) (string, error) {
			switch {
			case consumer == "c0":
				return second(c.Do(ctx, c.B().Brpop().Key(other, list).Timeout(seconds).Build()))
			case consumer == "c1":
				return second(c.Do(ctx, c.B().Blpop().Key(list).Timeout(seconds).Build()))
			case consumer == "c2" && p.Features.Redis7:
				popped, err := c.Do(ctx, c.B().Blmpop().Timeout(seconds).Numkeys(2).Key(other, list).Right().Count(1).Build()).AsLMPop()
				if rueidis.IsRedisNil(err) {
					return "", nil
				}
				if err != nil || len(popped.Values) != 1 {
					return "", fmt.Errorf("BLMPOP: %v %w", popped, err)
				}
				return popped.Values[0], nil
			}
			return reliable(ctx, p, c, list, work)
		},
		Left: exists(c, list, other, work),
	}.Play(p)
}

// second is the item of a BLPOP's reply.
func second(r rueidis.RedisResult) (string, error) {
	pair, err := r.AsStrSlice()
	if rueidis.IsRedisNil(err) {
		return "", nil
	}
	if err != nil || len(pair) != 2 {
		return "", fmt.Errorf("%v %w", pair, err)
	}
	return pair[1], nil
}

// reliable takes an item over to the list of what is being worked on, then removes it there.
func reliable(ctx context.Context, p *stage.Player, c rueidis.Client, list, work string) (string, error) {
	take := c.B().Brpoplpush().Source(list).Destination(work).Timeout(seconds).Build()
	if p.Features.Redis62 {
		take = c.B().Blmove().Source(list).Destination(work).Right().Left().Timeout(seconds).Build()
	}
	item, err := c.Do(ctx, take).ToString()
	if rueidis.IsRedisNil(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if n, err := c.Do(ctx, c.B().Lrem().Key(work).Count(1).Element(item).Build()).AsInt64(); err != nil || n != 1 {
		return "", fmt.Errorf("LREM of %s: %d %w", item, n, err)
	}
	return item, nil
}

func exists(c rueidis.Client, keys ...string) func(context.Context) (int64, error) {
	return func(ctx context.Context) (int64, error) {
		return c.Do(ctx, c.B().Exists().Key(keys...).Build()).AsInt64()
	}
}

// sortedQueue is a sorted set, its least or greatest taken.
func sortedQueue(p *stage.Player, c rueidis.Client) error {
	key := p.Key("zset")
	return workload.Queue{
		Consumers: 2,
		Put: func(ctx context.Context, item string) error {
			score, err := strconv.ParseFloat(item, 64)
			if err != nil {
				return err
			}
			return c.Do(ctx, c.B().Zadd().Key(key).ScoreMember().ScoreMember(score, item).Build()).Error()
		},
		Take: func(ctx context.Context, consumer string) (string, error) {
			take := c.B().Bzpopmin().Key(key).Timeout(seconds).Build()
			if consumer == "c1" {
				take = c.B().Bzpopmax().Key(key).Timeout(seconds).Build()
			}
			reply, err := c.Do(ctx, take).ToArray()
			if rueidis.IsRedisNil(err) {
				return "", nil
			}
			if err != nil || len(reply) != 3 {
				return "", fmt.Errorf("%v %w", reply, err)
			}
			item, err := reply[1].ToString()
			if err != nil {
				return "", err
			}
			// RESP3 has a double, RESP2 a string: AsFloat64 takes both.
			if score, err := reply[2].AsFloat64(); err != nil || strconv.FormatFloat(score, 'f', 1, 64) != item {
				return "", fmt.Errorf("popped %s with %v %w", item, score, err)
			}
			return item, nil
		},
		Left: exists(c, key),
	}.Play(p)
}

// group is a stream with a consumer group: each entry is delivered to one consumer, and acknowledged once.
func group(p *stage.Player, c rueidis.Client) error {
	key := p.Key("stream")
	ctx, cancel := p.Context()
	err := c.Do(ctx, c.B().XgroupCreate().Key(key).Group("g").Id("0").Mkstream().Build()).Error()
	cancel()
	if err != nil {
		return err
	}
	return workload.Queue{
		Consumers: 2,
		Put: func(ctx context.Context, item string) error {
			return c.Do(ctx, c.B().Xadd().Key(key).Maxlen().Almost().Threshold("100").Id("*").FieldValue().FieldValue("item", item).Build()).Error()
		},
		Take: func(ctx context.Context, consumer string) (string, error) {
			streams, err := c.Do(ctx, c.B().Xreadgroup().Group("g", consumer).Count(1).Block(workload.Wait.Milliseconds()).
				Streams().Key(key).Id(">").Build()).AsXRead()
			if rueidis.IsRedisNil(err) {
				return "", nil
			}
			if err != nil || len(streams[key]) != 1 {
				return "", fmt.Errorf("XREADGROUP: %v %w", streams, err)
			}
			entry := streams[key][0]
			if n, err := c.Do(ctx, c.B().Xack().Key(key).Group("g").Id(entry.ID).Build()).AsInt64(); err != nil || n != 1 {
				return "", fmt.Errorf("XACK of %s: %d %w", entry.ID, n, err)
			}
			return entry.FieldValues["item"], nil
		},
		Left: func(ctx context.Context) (int64, error) {
			reply, err := c.Do(ctx, c.B().Xpending().Key(key).Group("g").Build()).ToArray()
			if err != nil {
				return 0, err
			}
			return reply[0].AsInt64()
		},
	}.Play(p)
}
