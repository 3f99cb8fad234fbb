package rueidis

import (
	"context"
	"fmt"

	"github.com/redis/rueidis"
	"golang.org/x/sync/errgroup"

	"tandem/test/clients/stage"
	"tandem/test/clients/workload"
)

// manyOnOne has workers on one connection, whose pipelines the library merges.
func manyOnOne(p *stage.Player, c rueidis.Client) error {
	g, ctx := errgroup.WithContext(context.Background())
	for i := range 4 {
		g.Go(func() error { return batches(p, c, p.Key("%d:", i), ctx.Done()) })
	}
	return g.Wait()
}

func pubsub(p *stage.Player, c rueidis.Client) error {
	return workload.PubSub{
		Subscribe: func(ctx context.Context, command, channel string) (workload.Subscription, error) {
			return subscribe(ctx, c, command, channel)
		},
		Publish: func(ctx context.Context, command, channel, text string) (int64, error) {
			if command == "SPUBLISH" {
				return c.Do(ctx, c.B().Spublish().Channel(channel).Message(text).Build()).AsInt64()
			}
			return c.Do(ctx, c.B().Publish().Channel(channel).Message(text).Build()).AsInt64()
		},
	}.Play(p)
}

// subscription has a connection of its own, for on the shared one the library subscribes once per channel.
type subscription struct {
	d        rueidis.DedicatedClient
	release  func()
	channel  string
	leave    rueidis.Completed
	messages chan string
	changes  chan rueidis.PubSubSubscription
	ended    <-chan error
}

func subscribe(ctx context.Context, c rueidis.Client, command, channel string) (workload.Subscription, error) {
	s := subscription{channel: channel, messages: make(chan string, 16), changes: make(chan rueidis.PubSubSubscription, 16)}
	s.d, s.release = c.Dedicate()
	s.ended = s.d.SetPubSubHooks(rueidis.PubSubHooks{
		OnMessage:      func(m rueidis.PubSubMessage) { s.messages <- m.Message },
		OnSubscription: func(sub rueidis.PubSubSubscription) { s.changes <- sub },
	})
	var join rueidis.Completed
	switch command {
	case "SUBSCRIBE":
		join, s.leave = s.d.B().Subscribe().Channel(channel).Build(), s.d.B().Unsubscribe().Channel(channel).Build()
	case "PSUBSCRIBE":
		join, s.leave = s.d.B().Psubscribe().Pattern(channel).Build(), s.d.B().Punsubscribe().Pattern(channel).Build()
	case "SSUBSCRIBE":
		join, s.leave = s.d.B().Ssubscribe().Channel(channel).Build(), s.d.B().Sunsubscribe().Channel(channel).Build()
	}
	if err := s.d.Do(ctx, join).Error(); err != nil {
		return nil, err
	}
	return s, s.confirm(ctx, 1)
}

// confirm waits for the server's word.
func (s subscription) confirm(ctx context.Context, count int64) error {
	select {
	case got := <-s.changes:
		if got.Channel != s.channel || got.Count != count {
			return fmt.Errorf("%+v, want %d subscriptions", got, count)
		}
		return nil
	case err := <-s.ended:
		return fmt.Errorf("the connection ended: %w", err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s subscription) Next(ctx context.Context) (string, error) {
	select {
	case m := <-s.messages:
		return m, nil
	case err := <-s.ended:
		return "", fmt.Errorf("the connection ended: %w", err)
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (s subscription) Leave(ctx context.Context) error {
	defer s.release()
	if err := s.d.Do(ctx, s.leave).Error(); err != nil {
		return err
	}
	return s.confirm(ctx, 0)
}

// scripts runs one that the library sends when it is missing, and one that was loaded and must never be missing.
func scripts(p *stage.Player, c rueidis.Client) error {
	ctx, cancel := p.Context()
	sha, err := c.Do(ctx, c.B().ScriptLoad().Script(workload.Loaded).Build()).ToString()
	cancel()
	if err != nil {
		return fmt.Errorf("SCRIPT LOAD: %w", err)
	}
	counted := rueidis.NewLuaScript(workload.Counted)
	for n := int64(1); p.Going(); n++ {
		ctx, cancel := p.Context()
		reply, err := counted.Exec(ctx, c, []string{p.Key("n"), p.Key("log"), p.Key("last")}, []string{"x"}).ToAny()
		if want := workload.CountedReply(n, "x"); err != nil || workload.Text(reply) != want {
			cancel()
			return fmt.Errorf("script %d: %q %w, want %q", n, workload.Text(reply), err, want)
		}
		got, err := c.Do(ctx, c.B().Evalsha().Sha1(sha).Numkeys(1).Key(p.Key("m")).Arg("2").Build()).AsInt64()
		cancel()
		if err != nil || got != 2*n {
			return fmt.Errorf("EVALSHA %d of a script that was loaded: %d %w", n, got, err)
		}
		p.Round()
	}
	return nil
}

// functions calls one of a library that was loaded once.
func functions(p *stage.Player, c rueidis.Client) error {
	name := workload.Word(p.Prefix)
	if p.Features.Redis7 {
		ctx, cancel := p.Context()
		err := c.Do(ctx, c.B().FunctionLoad().Replace().FunctionCode(workload.Library(name)).Build()).Error()
		cancel()
		if err != nil {
			return fmt.Errorf("FUNCTION LOAD: %w", err)
		}
	}
	for n := int64(1); p.Going(); n++ {
		ctx, cancel := p.Context()
		call := c.B().Incrby().Key(p.Key("n")).Increment(3).Build() // where there are no functions
		if p.Features.Redis7 {
			call = c.B().Fcall().Function(name).Numkeys(1).Key(p.Key("n")).Arg("3").Build()
		}
		got, err := c.Do(ctx, call).AsInt64()
		cancel()
		if err != nil || got != 3*n {
			return fmt.Errorf("FCALL %d: %d %w", n, got, err)
		}
		p.Round()
	}
	return nil
}

func scans(p *stage.Player, c rueidis.Client) error {
	scan := workload.Scanner(func(ctx context.Context, command, key string) (elements []string, err error) {
		for cursor := uint64(0); ; {
			next := c.B().Scan().Cursor(cursor).Match(key).Count(400).Build()
			switch command {
			case "HSCAN":
				next = c.B().Hscan().Key(key).Cursor(cursor).Count(100).Build()
			case "SSCAN":
				next = c.B().Sscan().Key(key).Cursor(cursor).Count(100).Build()
			case "ZSCAN":
				next = c.B().Zscan().Key(key).Cursor(cursor).Count(100).Build()
			}
			page, err := c.Do(ctx, next).AsScanEntry()
			if err != nil {
				return nil, err
			}
			elements = append(elements, page.Elements...)
			if cursor = page.Cursor; cursor == 0 {
				return elements, nil
			}
		}
	})
	return scan.Play(p, do(c))
}
