package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"tandem/internal/admin"
	"tandem/internal/demo/text"
	"tandem/internal/status"
)

const (
	// besideThrottle is a backfill that may copy so many keys a second, as somebody would set it who knows the servers.
	besideThrottle = "throttled"
	throttledKeys  = 5_000
)

// benchBusy measures how many requests clients get answered that ask as fast as they can, beside a backfill and without.
// It has the servers and the values of yield, whose clients ask seldom.
func benchBusy(ctx context.Context, log *slog.Logger, root string, o options, into *results) error {
	if !o.has("busy") {
		return nil
	}
	f, err := newFleet(root, o.tandem)
	if err != nil {
		return err
	}
	defer f.stop()
	source, target, err := f.pair()
	if err != nil {
		return err
	}
	log.Info("filling", "keys", text.Count(yieldKeys), "value_bytes", yieldValue)
	if err := fill(ctx, source.Addr, yieldKeys, yieldValue, 1); err != nil {
		return err
	}
	b := &yieldBench{fleet: f, log: log, source: source, target: target}
	for round := 1; round <= o.Rounds; round++ {
		if err := b.busyRound(ctx, round, o, into); ctx.Err() != nil {
			return ctx.Err()
		} else if err != nil {
			into.fail(log, "busy", round, err)
		}
	}
	inTheOrder([]string{besideNothing, besideGovernor, besideThrottle}, into.Measured, "busy")
	return nil
}

// busyRound begins a backfill and measures clients without it and beside it, each round in another order.
func (b *yieldBench) busyRound(ctx context.Context, round int, o options, into *results) (err error) {
	if err := flush(ctx, b.target.Addr); err != nil {
		return err
	}
	if b.tandem, err = b.fleet.serve(ctx, b.source, b.target); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.tandem.Stop()) }()
	for _, step := range []string{"start", "pause"} {
		if _, _, err := b.tandem.Step(ctx, step, admin.StepOptions{}); err != nil {
			return fmt.Errorf("%s: %w", step, err)
		}
	}
	kinds := []string{besideNothing, besideGovernor, besideThrottle}
	for i := range kinds {
		beside := kinds[(i+round)%len(kinds)]
		figures, err := b.busySlice(ctx, beside, o)
		if err != nil {
			return fmt.Errorf("%s: %w", beside, err)
		}
		into.measured(b.log, "busy", beside, round, figures)
	}
	return nil
}

// busySlice has clients ask as fast as they can, for GETs and then for SETs, beside one kind of backfill.
func (b *yieldBench) busySlice(ctx context.Context, beside string, o options) (map[string]float64, error) {
	governed, limit, step := beside != besideThrottle, 0, "resume"
	switch beside {
	case besideNothing:
		step = "pause"
	case besideThrottle:
		limit = throttledKeys
	}
	if _, err := b.tandem.Throttle(ctx, admin.ThrottleOptions{Governor: &governed, MaxKeysPerS: &limit}); err != nil {
		return nil, err
	}
	if _, _, err := b.tandem.Step(ctx, step, admin.StepOptions{}); err != nil {
		return nil, err
	}
	// Clients are there before it counts: a governor finds its speed by them.
	if _, err := b.load(ctx, sliceSettle); err != nil {
		return nil, err
	}
	before, err := b.tandem.Status(ctx)
	if err != nil {
		return nil, err
	}
	var seconds, requests, p99 float64
	for _, command := range usualCommands {
		w := newWorkload(command, 1, usualClients, usualValue, o.Requests)
		run, err := runClient(ctx, b.tandem.Listen, w)
		if err != nil {
			return nil, err
		}
		requests, seconds, p99 = requests+float64(w.Requests), seconds+float64(w.Requests)/run.RPS, max(p99, run.P99)
	}
	after, err := b.tandem.Status(ctx)
	if err != nil {
		return nil, err
	}
	if _, _, err := b.tandem.Step(ctx, "pause", admin.StepOptions{}); err != nil {
		return nil, err
	}
	if beside != besideNothing && after.Backfill.State == status.Done {
		return nil, errors.New("the backfill was over before it was measured")
	}
	return map[string]float64{
		"requests/s": requests / seconds, "p99 ms": p99,
		"keys/s copied": float64(after.Backfill.KeysCopied-before.Backfill.KeysCopied) / seconds,
	}, nil
}
