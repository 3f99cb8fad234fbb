package workload

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"tandem/test/clients/stage"
)

// Wait is how long a consumer blocks at a time: long enough to be blocked most of the time, and over switches.
const Wait = time.Second

// takeTime bounds the way of an item to a consumer, on a loaded machine and over a switch.
const takeTime = 30 * time.Second

// Queue is one way to hand over items, which are numbers, each to exactly one consumer.
type Queue struct {
	// Consumers is how many there are; they are called c0, c1, ...
	Consumers int
	// Put hands an item over.
	Put func(ctx context.Context, item string) error
	// Take blocks for up to Wait and gives an item, or "" when none came.
	Take func(ctx context.Context, consumer string) (string, error)
	// Left is how much the server still has when all items were taken; it must be 0.
	Left func(ctx context.Context) (int64, error)
}

// Play does rounds of one to three items, put when the consumers are blocked as often as not.
func (q Queue) Play(p *stage.Player) error {
	taken := NewOnce()
	g, ctx := errgroup.WithContext(context.Background())
	for i := range q.Consumers {
		g.Go(func() error { return q.consume(ctx, p, taken, "c"+strconv.Itoa(i)) })
	}
	g.Go(func() error {
		defer taken.Close()
		for n := 1; p.Going() && ctx.Err() == nil; n++ {
			for i := range 1 + n%3 { // some at once: a consumer that is served, and others that wait
				item := fmt.Sprintf("%d.%d", n, i)
				taken.Expect(item)
				bound, cancel := p.Context()
				err := q.Put(bound, item)
				cancel()
				if err != nil {
					return fmt.Errorf("put %s: %w", item, err)
				}
			}
			if err := taken.Wait(ctx, takeTime); err != nil {
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
	left, err := q.Left(bound)
	if err != nil || left != 0 {
		return fmt.Errorf("%d are left when all was taken (%v)", left, err)
	}
	return nil
}

// consume takes until no more items come.
func (q Queue) consume(ctx context.Context, p *stage.Player, taken *Once, name string) error {
	for ctx.Err() == nil && !taken.Closed() {
		bound, cancel := p.Context()
		item, err := q.Take(bound, name)
		cancel()
		if err != nil {
			return fmt.Errorf("consumer %s: %w", name, err)
		}
		if item == "" {
			continue
		}
		if err := taken.Take(item); err != nil {
			return fmt.Errorf("consumer %s: %w", name, err)
		}
	}
	return nil
}
