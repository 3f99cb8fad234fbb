package goredis

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"tandem/test/clients/stage"
	"tandem/test/clients/workload"
)

func pubsub(p *stage.Player, c *redis.Client) error {
	return workload.PubSub{
		Subscribe: func(ctx context.Context, command, channel string) (workload.Subscription, error) {
			var s subscription
			switch command {
			case "SUBSCRIBE":
				s = subscription{c.Subscribe(ctx, channel), (*redis.PubSub).Unsubscribe}
			case "PSUBSCRIBE":
				s = subscription{c.PSubscribe(ctx, channel), (*redis.PubSub).PUnsubscribe}
			case "SSUBSCRIBE":
				s = subscription{c.SSubscribe(ctx, channel), (*redis.PubSub).SUnsubscribe}
			}
			return s, s.confirm(ctx, 1)
		},
		Publish: func(ctx context.Context, command, channel, text string) (int64, error) {
			if command == "SPUBLISH" {
				return c.SPublish(ctx, channel, text).Result()
			}
			return c.Publish(ctx, channel, text).Result()
		},
	}.Play(p)
}

type subscription struct {
	sub   *redis.PubSub
	leave func(*redis.PubSub, context.Context, ...string) error
}

// confirm waits for the server's word, with the number of its subscriptions.
func (s subscription) confirm(ctx context.Context, count int) error {
	reply, err := s.sub.Receive(ctx)
	if err != nil {
		return err
	}
	if got, ok := reply.(*redis.Subscription); !ok || got.Count != count {
		return fmt.Errorf("%v, want %d subscriptions", reply, count)
	}
	return nil
}

func (s subscription) Next(ctx context.Context) (string, error) {
	reply, err := s.sub.Receive(ctx)
	if err != nil {
		return "", err
	}
	m, ok := reply.(*redis.Message)
	if !ok {
		// A second confirmation would mean that the library has connected again.
		return "", fmt.Errorf("%v instead of a message", reply)
	}
	return m.Payload, nil
}

func (s subscription) Leave(ctx context.Context) error {
	defer s.sub.Close()
	if err := s.leave(s.sub, ctx); err != nil {
		return err
	}
	return s.confirm(ctx, 0)
}
