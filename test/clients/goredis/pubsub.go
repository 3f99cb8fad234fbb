package goredis

import (
	"context"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"tandem/test/clients/stage"
)

// pubsub has a subscriber of a channel, one of a pattern and, where there is that, one of a sharded channel: each
// gets each message once and in order, and PUBLISH answers how many there are.
func pubsub(p *stage.Player, c *redis.Client) error {
	channel := p.Key("channel")
	named := subscribed{"channel", c.Subscribe(context.Background(), channel)}
	defer named.Close()
	pattern := subscribed{"pattern", c.PSubscribe(context.Background(), p.Key("chan*"))}
	defer pattern.Close()
	subs := []subscribed{named, pattern}
	var sharded subscribed
	if p.Features.Redis7 {
		sharded = subscribed{"sharded channel", c.SSubscribe(context.Background(), channel)}
		defer sharded.Close()
		subs = append(subs, sharded)
	}
	for _, s := range subs {
		if err := s.confirmed(p); err != nil {
			return err
		}
	}
	for n := int64(1); p.Going(); n++ {
		if err := publish(p, 2, strconv.FormatInt(n, 10), c.Publish, named, pattern); err != nil {
			return err
		}
		if p.Features.Redis7 {
			if err := publish(p, 1, "s"+strconv.FormatInt(n, 10), c.SPublish, sharded); err != nil {
				return err
			}
		}
		if n%8 == 0 {
			if err := comeAndGo(p, c, n, named, pattern); err != nil {
				return err
			}
		}
		p.Round()
	}
	return nil
}

// subscribed is one subscription and what it is called in messages.
type subscribed struct {
	what string
	*redis.PubSub
}

// confirmed waits for the server's word that it is subscribed.
func (s subscribed) confirmed(p *stage.Player) error {
	ctx, cancel := p.Context()
	defer cancel()
	reply, err := s.Receive(ctx)
	if err != nil {
		return fmt.Errorf("subscribe to a %s: %w", s.what, err)
	}
	if sub, ok := reply.(*redis.Subscription); !ok || sub.Count != 1 {
		return fmt.Errorf("subscribe to a %s: %v", s.what, reply)
	}
	return nil
}

// next is the next message, which must be the one that was just published.
func (s subscribed) next(p *stage.Player, want string) error {
	ctx, cancel := p.Context()
	defer cancel()
	m, err := s.ReceiveMessage(ctx)
	if err != nil {
		return fmt.Errorf("message %s of the %s: %w", want, s.what, err)
	}
	if m.Payload != want {
		return fmt.Errorf("the %s received %q, want %q", s.what, m.Payload, want)
	}
	return nil
}

// publish sends a message and has all of the subscribers receive it.
func publish(p *stage.Player, count int64, text string, send func(context.Context, string, any) *redis.IntCmd, to ...subscribed) error {
	ctx, cancel := p.Context()
	got, err := send(ctx, p.Key("channel"), text).Result()
	cancel()
	if err != nil || got != count {
		return fmt.Errorf("publish %s: %d subscribers (%v), want %d", text, got, err, count)
	}
	for _, s := range to {
		if err := s.next(p, text); err != nil {
			return err
		}
	}
	return nil
}

// comeAndGo has one more subscriber for one message.
func comeAndGo(p *stage.Player, c *redis.Client, n int64, others ...subscribed) error {
	guest := subscribed{"guest", c.Subscribe(context.Background(), p.Key("channel"))}
	defer guest.Close()
	if err := guest.confirmed(p); err != nil {
		return err
	}
	if err := publish(p, 3, fmt.Sprintf("g%d", n), c.Publish, append(others, guest)...); err != nil {
		return err
	}
	ctx, cancel := p.Context()
	defer cancel()
	if err := guest.Unsubscribe(ctx); err != nil {
		return fmt.Errorf("unsubscribe: %w", err)
	}
	reply, err := guest.Receive(ctx)
	if sub, ok := reply.(*redis.Subscription); err != nil || !ok || sub.Kind != "unsubscribe" || sub.Count != 0 {
		return fmt.Errorf("unsubscribe: %v %v", reply, err)
	}
	return publish(p, 2, fmt.Sprintf("h%d", n), c.Publish, others...)
}
