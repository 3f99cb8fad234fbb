// Bench measures what tandem costs, on this machine and beside what one would use otherwise: a direct
// connection, twemproxy, and for the backfill the barest loop that copies a keyspace. It starts all of
// them itself, runs them in turns, and prints and saves a report.
//
//	go run ./bench [--rounds 5] [--requests 200000] [--keys 1000000] [--pipelines 1,16] [--only ...] [--quick] [--judge]
//
// Rates depend on the machine and are only printed; goals are ratios within one run. What fails a run is
// said loudly and the run discarded, never averaged in.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	os.Exit(run())
}

// run returns the exit status: 0 measured (and, with --judge, every goal reached), 1 failed or missed, 2
// usage.
func run() int {
	o, err := parseOptions(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2
	}
	root, err := projectRoot()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if o.out == "" {
		o.out = filepath.Join(root, "bench", "results")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	r, failed := bench(ctx, log, root, o)
	if failed != nil {
		log.Error("benchmark failed", "error", failed)
		if r.empty() {
			return 1
		}
		// What took minutes to measure is worth reading even so.
		r.Incomplete = failed.Error()
	}
	r.markdown(os.Stdout)
	path, err := r.save(o.out)
	if err != nil {
		log.Error("report not saved", "error", err)
		return 1
	}
	log.Info("saved", "report", path)
	if failed != nil {
		return 1
	}
	if n := missed(r.Verdicts); n > 0 && o.judge {
		log.Error("goals missed", "missed", n, "of", len(r.Verdicts))
		return 1
	}
	return 0
}

// bench measures everything that was asked for. With an error comes what had been measured until then.
func bench(ctx context.Context, log *slog.Logger, root string, o options) (*report, error) {
	r := &report{Started: time.Now(), Machine: describeMachine(ctx, root), Options: o}
	err := benchLoad(ctx, log, root, o, &r.results)
	if err == nil {
		err = benchBackfill(ctx, log, root, o, &r.results)
	}
	r.Verdicts = judge(&r.results, o)
	r.TookS = time.Since(r.Started).Seconds()
	return r, err
}

// benchLoad measures the arrangements that were asked for. Each tandem has a pair of servers of its own,
// for two never share one; all servers hold the same keys.
func benchLoad(ctx context.Context, log *slog.Logger, root string, o options, into *results) error {
	if !o.hasAny("direct", "passthrough", "synced", "twemproxy") {
		return nil
	}
	f, err := newFleet(root, o.tandem)
	if err != nil {
		return err
	}
	defer f.stop()
	arrangements, err := f.arrange(ctx, o)
	if err != nil {
		return err
	}
	log.Info("measuring requests", "arrangements", len(arrangements), "rounds", o.Rounds)
	return runLoad(ctx, log, arrangements, o.workloads(), o.Rounds, into)
}

// benchBackfill measures the copies of a keyspace that were asked for.
func benchBackfill(ctx context.Context, log *slog.Logger, root string, o options, into *results) error {
	if !o.hasAny("backfill", "bare") {
		return nil
	}
	f, err := newFleet(root, o.tandem)
	if err != nil {
		return err
	}
	defer f.stop()
	source, err := f.server()
	if err != nil {
		return err
	}
	target, err := f.server()
	if err != nil {
		return err
	}
	b := &backfillBench{fleet: f, log: log, source: source, target: target, keys: o.Keys, withTandem: o.has("backfill")}
	if err := b.run(ctx, o.Rounds, o.Value, into); err != nil {
		return fmt.Errorf("backfill: %w", err)
	}
	return nil
}

// projectRoot is the directory of go.mod, at or above the current one.
func projectRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("looking for the project: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("looking for the project: no go.mod at or above the current directory")
		}
		dir = parent
	}
}
