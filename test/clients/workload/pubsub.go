package workload

import (
	"context"
	"fmt"

	"tandem/test/clients/stage"
)

// Subscription is one subscriber, confirmed by the server.
type Subscription interface {
	// Next is the next message.
	Next(ctx context.Context) (string, error)
	// Leave unsubscribes, waits for the server's word, and ends the subscriber.
	Leave(ctx context.Context) error
}

// PubSub is how a client subscribes and publishes.
type PubSub struct {
	// Subscribe subscribes by SUBSCRIBE, PSUBSCRIBE or SSUBSCRIBE.
	Subscribe func(ctx context.Context, command, channel string) (Subscription, error)
	// Publish publishes by PUBLISH or SPUBLISH and returns the number of receivers.
	Publish func(ctx context.Context, command, channel, text string) (int64, error)
}

// subscriber is one that is there, and what it is called in messages.
type subscriber struct {
	Subscription
	name string
}

// Play has a subscriber of a channel, one of a pattern and, where there is that, one of a sharded channel: each
// gets each message once and in order, and PUBLISH answers how many there are. Others come and go.
func (b PubSub) Play(p *stage.Player) error {
	channel := p.Key("channel")
	ctx, cancel := p.Context()
	defer cancel()
	named, err := b.join(ctx, "SUBSCRIBE", channel)
	if err != nil {
		return err
	}
	pattern, err := b.join(ctx, "PSUBSCRIBE", p.Key("chan*"))
	if err != nil {
		return err
	}
	all := []subscriber{named, pattern}
	var sharded subscriber
	if p.Features.Redis7 {
		if sharded, err = b.join(ctx, "SSUBSCRIBE", channel); err != nil {
			return err
		}
	}
	for n := int64(1); p.Going(); n++ {
		if err := b.tell(p, "PUBLISH", channel, fmt.Sprint(n), all...); err != nil {
			return err
		}
		if p.Features.Redis7 {
			if err := b.tell(p, "SPUBLISH", channel, fmt.Sprint("s", n), sharded); err != nil {
				return err
			}
		}
		if n%8 == 0 {
			if err := b.guest(p, channel, n, all); err != nil {
				return err
			}
		}
		p.Round()
	}
	ctx, cancel = p.Context()
	defer cancel()
	if p.Features.Redis7 {
		all = append(all, sharded)
	}
	for _, s := range all {
		if err := s.Leave(ctx); err != nil {
			return fmt.Errorf("%s, leaving: %w", s.name, err)
		}
	}
	return nil
}

func (b PubSub) join(ctx context.Context, command, channel string) (subscriber, error) {
	s, err := b.Subscribe(ctx, command, channel)
	if err != nil {
		return subscriber{}, fmt.Errorf("%s %s: %w", command, channel, err)
	}
	return subscriber{s, command}, nil
}

// tell publishes a message and has all of the subscribers receive it.
func (b PubSub) tell(p *stage.Player, command, channel, text string, to ...subscriber) error {
	ctx, cancel := p.Context()
	defer cancel()
	got, err := b.Publish(ctx, command, channel, text)
	if err != nil {
		return fmt.Errorf("%s %s: %w", command, text, err)
	}
	if got != int64(len(to)) {
		return fmt.Errorf("%s %s: %d receivers, want %d", command, text, got, len(to))
	}
	for _, s := range to {
		message, err := s.Next(ctx)
		if err != nil {
			return fmt.Errorf("message %s by %s: %w", text, s.name, err)
		}
		if message != text {
			return fmt.Errorf("by %s came %q, want %q", s.name, message, text)
		}
	}
	return nil
}

// guest is one more subscriber for one message.
func (b PubSub) guest(p *stage.Player, channel string, n int64, others []subscriber) error {
	ctx, cancel := p.Context()
	defer cancel()
	guest, err := b.join(ctx, "SUBSCRIBE", channel)
	if err != nil {
		return err
	}
	if err := b.tell(p, "PUBLISH", channel, fmt.Sprint("g", n), append([]subscriber{guest}, others...)...); err != nil {
		return err
	}
	if err := guest.Leave(ctx); err != nil {
		return fmt.Errorf("UNSUBSCRIBE: %w", err)
	}
	return b.tell(p, "PUBLISH", channel, fmt.Sprint("h", n), others...)
}
