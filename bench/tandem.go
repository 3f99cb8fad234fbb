package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"tandem/internal/admin"
	"tandem/internal/demo/child"
	"tandem/internal/redisd"
	"tandem/internal/status"
)

const (
	// syncTimeout bounds a backfill, settleTimeout the time that the effects of one run may still need.
	syncTimeout   = 10 * time.Minute
	settleTimeout = time.Minute
	// askEvery is how often tandem is asked for its status while something is timed: often enough to be
	// precise, rare enough to cost nothing.
	askEvery = 10 * time.Millisecond
)

// binary is the tandem to measure: the one that was asked for, else built from this tree, once.
func (f *fleet) binary(ctx context.Context) (string, error) {
	if f.tandem != "" {
		return f.tandem, nil
	}
	path := filepath.Join(f.dir, "tandem")
	build := exec.CommandContext(ctx, "go", "build", "-o", path, "./cmd/tandem")
	build.Dir = f.root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building tandem: %w\n%s", err, out)
	}
	f.tandem = path
	return path, nil
}

// serve starts tandem between two servers, with a state directory of its own and no backfill yet; settings are what its
// configuration file says, all else is the default. The caller stops it; the fleet does if the caller does not.
func (f *fleet) serve(ctx context.Context, source, target *redisd.Server, settings ...string) (*child.Proxy, error) {
	path, err := f.binary(ctx)
	if err != nil {
		return nil, err
	}
	f.states++
	var args []string
	if len(settings) > 0 {
		file := filepath.Join(f.dir, fmt.Sprintf("tandem-%d.yaml", f.states))
		if err := os.WriteFile(file, []byte(strings.Join(settings, "")), 0o600); err != nil {
			return nil, fmt.Errorf("tandem's configuration: %w", err)
		}
		args = []string{"-c", file}
	}
	var environment []string
	if f.cores > 0 {
		environment = []string{fmt.Sprintf("GOMAXPROCS=%d", f.cores)}
	}
	p, err := child.Serve(ctx, child.ServeOptions{
		Binary: path, Source: source.URL(), Target: target.URL(), Start: "manual",
		StateDir: filepath.Join(f.dir, fmt.Sprintf("state-%d", f.states)), Args: args, Environment: environment,
	})
	if err != nil {
		return nil, err
	}
	f.stops = append(f.stops, func() { p.Stop() }) // a second Stop is harmless, and its error was seen by the first
	return p, nil
}

// passthrough is tandem before any migration: one server behind it, nothing written twice.
func (f *fleet) passthrough(ctx context.Context, source, target *redisd.Server) (*arrangement, error) {
	p, err := f.serve(ctx, source, target)
	if err != nil {
		return nil, err
	}
	return &arrangement{
		name: "passthrough", addr: p.Listen, proxy: p.Process, behind: source,
		pids: map[string]int{"proxy": p.PID(), "source": source.PID()},
	}, nil
}

// synced is tandem in dual write, its backfill done: every SET goes to both servers.
func (f *fleet) synced(ctx context.Context, source, target *redisd.Server) (*arrangement, error) {
	a, _, err := f.dualWrite(ctx, "synced", source, target)
	return a, err
}

// tracking is synced with the source reporting every key that others change.
func (f *fleet) tracking(ctx context.Context, source, target *redisd.Server) (*arrangement, error) {
	a, _, err := f.dualWrite(ctx, "tracking", source, target, "tracking: on\n")
	return a, err
}

// reversed is tandem after a cutover: the target answers, and the source is kept equal.
func (f *fleet) reversed(ctx context.Context, source, target *redisd.Server) (*arrangement, error) {
	a, drain, err := f.dualWrite(ctx, "reversed", source, target)
	if err != nil {
		return nil, err
	}
	if _, _, err := drain.proxy.Step(ctx, "cutover", admin.StepOptions{}); err != nil {
		return nil, fmt.Errorf("cutover: %w", err)
	}
	a.behind, drain.phase = target, status.Reversed
	return a, drain.wait(ctx)
}

// dualWrite is a tandem that has copied everything and writes to both servers, and the drain that its runs settle by.
func (f *fleet) dualWrite(ctx context.Context, name string, source, target *redisd.Server, settings ...string) (*arrangement, *drain, error) {
	p, err := f.serve(ctx, source, target, settings...)
	if err != nil {
		return nil, nil, err
	}
	if _, err := startBackfill(ctx, p); err != nil {
		return nil, nil, err
	}
	drain := &drain{proxy: p, phase: status.Synced}
	if err := drain.wait(ctx); err != nil {
		return nil, nil, err
	}
	return &arrangement{
		name: name, addr: p.Listen, proxy: p.Process, settle: drain.wait, behind: source,
		pids: map[string]int{"proxy": p.PID(), "source": source.PID(), "target": target.PID()},
	}, drain, nil
}

// startBackfill starts the migration and returns how long it took until the phase was synced.
func startBackfill(ctx context.Context, p *child.Proxy) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	began := time.Now()
	if _, _, err := p.Step(ctx, "start", admin.StepOptions{}); err != nil {
		return 0, fmt.Errorf("start: %w", err)
	}
	err := p.Watch(ctx, askEvery, func(s status.Status) (bool, error) {
		if s.Backfill.State == status.Failed {
			return false, fmt.Errorf("the backfill failed\n%s", p.Log())
		}
		return s.Phase == status.Synced, nil
	})
	if err != nil {
		return 0, fmt.Errorf("waiting for synced: %w", err)
	}
	return time.Since(began), nil
}

// drain waits until the target holds all that was answered, and remembers how many effects were dropped or
// answered unexpectedly: a rate at which effects had to be dropped is not a rate of dual writes.
type drain struct {
	proxy               *child.Proxy
	phase               string // that it is in when everything has arrived
	dropped, mismatched int64
}

func (d *drain) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	var last status.Status
	err := d.proxy.Watch(ctx, askEvery, func(s status.Status) (bool, error) {
		last = s
		return s.Phase == d.phase && child.Settled(s), nil
	})
	dropped, mismatched := last.Effects.Dropped-d.dropped, last.Effects.Mismatched-d.mismatched
	d.dropped, d.mismatched = last.Effects.Dropped, last.Effects.Mismatched
	switch {
	case err != nil:
		return fmt.Errorf("waiting for the target to hold everything (phase %s, %d unsettled, %d dirty, %d bytes behind): %w",
			last.Phase, last.UnsettledWrites, last.DirtyKeys, last.LagBytes, err)
	case dropped > 0:
		return fmt.Errorf("%d effects were dropped because the target could not follow", dropped)
	case mismatched > 0:
		return fmt.Errorf("%d effects were answered unexpectedly by the target", mismatched)
	}
	return nil
}
