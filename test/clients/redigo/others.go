package redigo

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomodule/redigo/redis"

	"tandem/test/clients/stage"
	"tandem/test/clients/workload"
)

func pubsub(p *stage.Player, pool *redis.Pool) error {
	return workload.PubSub{
		Subscribe: func(ctx context.Context, command, channel string) (workload.Subscription, error) {
			conn, err := pool.Dial()
			if err != nil {
				return nil, err
			}
			s := subscription{redis.PubSubConn{Conn: conn}, command, channel}
			if err := conn.Send(command, channel); err != nil {
				return nil, err
			}
			if err := conn.Flush(); err != nil {
				return nil, err
			}
			return s, s.confirm(1)
		},
		Publish: func(ctx context.Context, command, channel, text string) (int64, error) {
			return redis.Int64(once(pool, command, channel, text))
		},
	}.Play(p)
}

type subscription struct {
	redis.PubSubConn
	command, channel string
}

// receive is the next message or confirmation. The library knows nothing of sharded channels, so the reply is read
// as it is.
func (s subscription) receive() (kind string, values []any, err error) {
	values, err = redis.Values(s.Conn.Receive())
	if err != nil {
		return "", nil, err
	}
	kind, err = redis.String(values[0], nil)
	return kind, values, err
}

func (s subscription) confirm(count int64) error {
	kind, values, err := s.receive()
	if err != nil {
		return err
	}
	if got := workload.Text(values[1:]); got != fmt.Sprintf("%s %d", s.channel, count) {
		return fmt.Errorf("%s: %q, want %s and %d", kind, got, s.channel, count)
	}
	return nil
}

func (s subscription) Next(context.Context) (string, error) {
	kind, values, err := s.receive()
	if err != nil {
		return "", err
	}
	switch kind {
	case "message", "smessage", "pmessage":
		return redis.String(values[len(values)-1], nil)
	}
	return "", fmt.Errorf("%s instead of a message", kind)
}

func (s subscription) Leave(context.Context) error {
	defer s.Close()
	leave := map[string]string{"SUBSCRIBE": "UNSUBSCRIBE", "PSUBSCRIBE": "PUNSUBSCRIBE", "SSUBSCRIBE": "SUNSUBSCRIBE"}
	if err := s.Conn.Send(leave[s.command], s.channel); err != nil {
		return err
	}
	if err := s.Conn.Flush(); err != nil {
		return err
	}
	return s.confirm(0)
}

// queues is a list with consumers of all kinds.
func queues(p *stage.Player, pool *redis.Pool) error {
	list, work := p.Key("list"), p.Key("work")
	seconds := workload.Wait.Seconds()
	return workload.Queue{
		Consumers: 3,
		Put: func(ctx context.Context, item string) error {
			_, err := once(pool, "RPUSH", list, item)
			return err
		},
		Take: func(ctx context.Context, consumer string) (string, error) {
			if consumer == "c0" {
				item, err := redis.String(once(pool, "BRPOPLPUSH", list, work, seconds))
				if errors.Is(err, redis.ErrNil) {
					return "", nil
				}
				if err != nil {
					return "", err
				}
				if n, err := redis.Int(once(pool, "LREM", work, 1, item)); err != nil || n != 1 {
					return "", fmt.Errorf("LREM of %s: %d %w", item, n, err)
				}
				return item, nil
			}
			pair, err := redis.Strings(once(pool, "BLPOP", work+":none", list, seconds))
			if errors.Is(err, redis.ErrNil) {
				return "", nil
			}
			if err != nil || len(pair) != 2 {
				return "", fmt.Errorf("BLPOP: %v %w", pair, err)
			}
			return pair[1], nil
		},
		Left: func(context.Context) (int64, error) { return redis.Int64(once(pool, "EXISTS", list, work)) },
	}.Play(p)
}

// group is a stream with a consumer group.
func group(p *stage.Player, pool *redis.Pool) error {
	key := p.Key("stream")
	if _, err := once(pool, "XGROUP", "CREATE", key, "g", "$", "MKSTREAM"); err != nil {
		return err
	}
	return workload.Queue{
		Consumers: 2,
		Put: func(ctx context.Context, item string) error {
			_, err := once(pool, "XADD", key, "MAXLEN", "~", 100, "*", "item", item)
			return err
		},
		Take: func(ctx context.Context, consumer string) (string, error) {
			reply, err := once(pool, "XREADGROUP", "GROUP", "g", consumer, "COUNT", 1, "BLOCK", workload.Wait.Milliseconds(), "STREAMS", key, ">")
			if err != nil || reply == nil {
				return "", err
			}
			var stream, id, field, item string // of one stream with one entry
			if _, err := fmt.Sscan(workload.Text(reply), &stream, &id, &field, &item); err != nil || stream != key || field != "item" {
				return "", fmt.Errorf("XREADGROUP: %q %w", workload.Text(reply), err)
			}
			if n, err := redis.Int(once(pool, "XACK", key, "g", id)); err != nil || n != 1 {
				return "", fmt.Errorf("XACK of %s: %d %w", id, n, err)
			}
			return item, nil
		},
		Left: func(context.Context) (int64, error) {
			summary, err := redis.Values(once(pool, "XPENDING", key, "g"))
			if err != nil {
				return 0, err
			}
			return redis.Int64(summary[0], nil)
		},
	}.Play(p)
}

func scripts(p *stage.Player, pool *redis.Pool) error {
	c := pool.Get()
	defer c.Close()
	loaded := redis.NewScript(1, workload.Loaded)
	if err := loaded.Load(c); err != nil {
		return fmt.Errorf("SCRIPT LOAD: %w", err)
	}
	counted := redis.NewScript(3, workload.Counted)
	for n := int64(1); p.Going(); n++ {
		reply, err := counted.Do(c, p.Key("n"), p.Key("log"), p.Key("last"), "x")
		if want := workload.CountedReply(n, "x"); err != nil || workload.Text(reply) != want {
			return fmt.Errorf("script %d: %q %w, want %q", n, workload.Text(reply), err, want)
		}
		// By its hash alone, in a pipeline with what it has changed.
		if err := loaded.SendHash(c, p.Key("m"), 2); err != nil {
			return err
		}
		got, err := redis.Int64(c.Do("GET", p.Key("m")))
		if err != nil || got != 2*n {
			return fmt.Errorf("behind EVALSHA %d of a script that was loaded: %d %w", n, got, err)
		}
		p.Round()
	}
	return nil
}

func scans(p *stage.Player, pool *redis.Pool) error {
	scan := workload.Scanner(func(ctx context.Context, command, key string) (elements []string, err error) {
		for cursor := "0"; ; {
			args := []any{command, key, cursor, "COUNT", 100}
			if command == "SCAN" {
				args = []any{command, cursor, "MATCH", key, "COUNT", 400}
			}
			page, err := redis.Values(once(pool, args...))
			if err != nil {
				return nil, err
			}
			var some []string
			if _, err := redis.Scan(page, &cursor, &some); err != nil {
				return nil, err
			}
			if elements = append(elements, some...); cursor == "0" {
				return elements, nil
			}
		}
	})
	return scan.Play(p, func(ctx context.Context, args ...string) error {
		_, err := once(pool, words(args)...)
		return err
	})
}
