// Bench measures what tandem costs, on this machine and beside what one would use otherwise: a direct
// connection, twemproxy, HAProxy, an application that writes to both servers itself, and for the backfill the barest loop
// that copies a keyspace. It starts all of them itself, runs them in turns, and prints and saves a report.
//
//	go run ./bench [--rounds 5] [--matrix full] [--commands ...] [--pipelines ...] [--only ...] [--quick] [--judge]
//	go run ./bench --render bench/results/latest.json --into docs/performance.md
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
	"slices"
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
	if o.render != "" {
		return render(o)
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

// render prints a report that was saved, or puts it into a page.
func render(o options) int {
	r, err := readReport(o.render)
	if err == nil && o.into != "" {
		err = r.renderInto(o.into)
	} else if err == nil {
		r.markdown(os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// bench measures everything that was asked for. With an error comes what had been measured until then.
func bench(ctx context.Context, log *slog.Logger, root string, o options) (*report, error) {
	r := &report{Started: time.Now(), Machine: describeMachine(ctx, root), Options: o}
	var err error
	for _, part := range []func(context.Context, *slog.Logger, string, options, *results) error{
		benchLoad, benchBackfill, benchYield, benchLatency, benchBusy, benchCutover, benchMemory, benchSizes, benchCores,
	} {
		if err = part(ctx, log, root, o, &r.results); err != nil {
			break
		}
	}
	r.Verdicts = judge(&r.results, o)
	r.TookS = time.Since(r.Started).Seconds()
	return r, err
}

// benchLoad measures the arrangements that were asked for. Each tandem has a pair of servers of its own,
// for two never share one; all servers hold the same keys. Servers are started anew for each size of values.
func benchLoad(ctx context.Context, log *slog.Logger, root string, o options, into *results) error {
	if !o.hasAny(loaded...) {
		return nil
	}
	for _, value := range o.sizes() {
		if err := benchValues(ctx, log, root, o, value, into); err != nil {
			return err
		}
	}
	return nil
}

// benchValues measures the workloads that have values of one size.
func benchValues(ctx context.Context, log *slog.Logger, root string, o options, value int, into *results) error {
	f, err := newFleet(root, o.tandem)
	if err != nil {
		return err
	}
	defer f.stop()
	arrangements, err := f.arrange(ctx, o, value)
	if err != nil || len(arrangements) == 0 {
		return err
	}
	workloads := slices.DeleteFunc(o.workloads(), func(w workload) bool { return w.Value != value })
	log.Info("measuring requests", "arrangements", len(arrangements), "workloads", len(workloads), "value", size(value), "rounds", o.Rounds)
	return runLoad(ctx, log, arrangements, workloads, o, into)
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
	source, target, err := f.pair()
	if err != nil {
		return err
	}
	for _, value := range o.backfilled() {
		b := &backfillBench{fleet: f, log: log, source: source, target: target, keys: o.backfillKeys(value), value: value, withTandem: o.has("backfill")}
		if err := b.run(ctx, o.Rounds, into); err != nil {
			return fmt.Errorf("backfill of %s values: %w", size(value), err)
		}
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
