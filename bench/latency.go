package main

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"

	"tandem/internal/admin"
	"tandem/internal/demo/text"
	"tandem/internal/status"
)

const (
	// loopTime is how long an open loop runs in a round.
	loopTime = 3 * time.Second
	// tooLate is how far the generator may be behind its schedule, at the 99th percentile: beyond that, what was timed is
	// how busy the machine is.
	tooLate = 5 * time.Millisecond
	// cutoverRate is the commands per second that a cutover is measured at.
	cutoverRate = 20_000
)

// benchLatency times requests at half of the rate that the slowest of the core arrangements can serve.
func benchLatency(ctx context.Context, log *slog.Logger, root string, o options, into *results) error {
	if !o.has("latency") {
		return nil
	}
	f, err := newFleet(root, o.tandem)
	if err != nil {
		return err
	}
	defer f.stop()
	usual := o
	usual.Only, usual.Matrix, usual.Load = core, matrixChosen, usualMatrix
	arrangements, err := f.arrange(ctx, usual, usualValue)
	if err != nil {
		return err
	}
	rate := math.Inf(1)
	for _, a := range arrangements {
		run, err := runApplication(ctx, []string{a.addr}, newWorkload("SET", 1, usualClients, usualValue, o.Requests/2))
		if err != nil {
			return fmt.Errorf("saturating %s: %w", a.name, err)
		}
		log.Info("latency", "saturated", a.name, "requests_per_s", text.Count(run.RPS))
		rate = min(rate, run.RPS/2)
		if a.settle == nil {
			continue
		}
		if err := a.settle(ctx); err != nil {
			return fmt.Errorf("saturating %s: %w", a.name, err)
		}
	}
	for round := 1; round <= o.Rounds; round++ {
		for i := range arrangements {
			a := arrangements[(i+round)%len(arrangements)]
			loop := openLoop{addr: a.addr, conns: usualClients, rate: rate, length: o.scaled(loopTime), value: usualValue, keyspace: keyspace(usualValue)}
			found, err := loop.run(ctx)
			if err == nil && a.settle != nil {
				err = a.settle(ctx)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err == nil {
				err = found.inTime()
			}
			if err != nil {
				into.fail(log, "latency of "+a.name, round, err)
				continue
			}
			quantile := func(percent float64) float64 { return float64(found.latency.ValueAtQuantile(percent)) }
			into.measured(log, "latency", a.name, round, map[string]float64{
				"requests/s": rate, "p50 µs": quantile(50), "p99 µs": quantile(99), "p99.9 µs": quantile(99.9),
				"late µs": float64(found.late.ValueAtQuantile(99)),
			})
		}
	}
	inTheOrder(core, into.Measured, "latency")
	return nil
}

// inTime fails if the generator was too late for its latencies to be those of what it asked.
func (t timed) inTime() error {
	if late := time.Duration(t.late.ValueAtQuantile(99)) * time.Microsecond; late > tooLate {
		return fmt.Errorf("requests were sent up to %v late: the machine is too busy to time anything", late)
	}
	return nil
}

// inTheOrder sorts what a part has measured by its rows, for the table: rounds begin with another row each.
func inTheOrder(rows []string, all []measurement, part string) {
	slices.SortStableFunc(all, func(a, b measurement) int {
		if a.Part != part || b.Part != part {
			return 0
		}
		return slices.Index(rows, a.Of) - slices.Index(rows, b.Of)
	})
}

// scaled is a time that --quick makes a third.
func (o options) scaled(t time.Duration) time.Duration {
	if o.Quick {
		return t / 3
	}
	return t
}

// The steps whose pause is measured.
const (
	noStep   = "none"
	cutover  = "cutover"
	rollback = "rollback"
)

// benchCutover has clients send on a schedule and takes a step in the middle of it: first none, then a cutover, then a
// rollback, which is one the other way.
func benchCutover(ctx context.Context, log *slog.Logger, root string, o options, into *results) error {
	if !o.has("cutover") {
		return nil
	}
	f, err := newFleet(root, o.tandem)
	if err != nil {
		return err
	}
	defer f.stop()
	source, err := f.filled(ctx, usualValue)
	if err != nil {
		return err
	}
	target, err := f.server()
	if err != nil {
		return err
	}
	_, drain, err := f.dualWrite(ctx, cutover, source, target)
	if err != nil {
		return err
	}
	for round := 1; round <= o.Rounds; round++ {
		for _, step := range []string{noStep, cutover, rollback} {
			figures, err := stepUnderLoad(ctx, drain, step, o)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				into.fail(log, "pause of "+step, round, err)
				if err := rolledBack(ctx, drain); err != nil {
					return fmt.Errorf("after a %s that failed: %w", step, err)
				}
				break // the other steps of this round would begin in the wrong phase
			}
			into.measured(log, "cutover", step, round, figures)
		}
	}
	return nil
}

// rolledBack has the source answer again, whatever has been done until now.
func rolledBack(ctx context.Context, drain *drain) error {
	if _, _, err := drain.proxy.Step(ctx, rollback, admin.StepOptions{}); err != nil {
		return err
	}
	drain.phase = status.Synced
	return drain.wait(ctx)
}

// stepUnderLoad takes a step in the middle of a load, and returns when everything has settled after it.
func stepUnderLoad(ctx context.Context, drain *drain, step string, o options) (map[string]float64, error) {
	rate := float64(cutoverRate)
	if o.Quick {
		rate /= 4
	}
	figures := map[string]float64{"commands/s": rate}
	taken := make(chan error, 1)
	loop := openLoop{addr: drain.proxy.Listen, conns: usualClients, rate: rate, length: o.scaled(loopTime), value: usualValue, keyspace: keyspace(usualValue)}
	loop.started = func() {
		go func() {
			middle := time.NewTimer(loop.length / 2)
			defer middle.Stop()
			select {
			case <-middle.C:
			case <-ctx.Done():
				taken <- ctx.Err()
				return
			}
			if step == noStep {
				taken <- nil
				return
			}
			result, _, err := drain.proxy.Step(ctx, step, admin.StepOptions{})
			figures["pause ms"] = result.Pause.Seconds() * 1000
			taken <- err
		}()
	}
	found, err := loop.run(ctx)
	if err != nil {
		return nil, err
	}
	if err := <-taken; err != nil {
		return nil, fmt.Errorf("%s: %w", step, err)
	}
	switch step {
	case cutover:
		drain.phase = status.Reversed
	case rollback:
		drain.phase = status.Synced
	}
	figures["slowest ms"] = float64(found.latency.Max()) / 1000
	figures["p99.9 ms"] = float64(found.latency.ValueAtQuantile(99.9)) / 1000
	return figures, drain.wait(ctx)
}
