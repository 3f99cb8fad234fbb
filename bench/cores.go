package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"slices"
)

// benchCores measures how far tandem gets with 1, 2, 4 and so on of the machine's cores, beside the server itself. Each
// tandem is one of its own, for it reads only at its start how many it may use.
func benchCores(ctx context.Context, log *slog.Logger, root string, o options, into *results) error {
	if !o.has("cores") {
		return nil
	}
	f, err := newFleet(root, o.tandem)
	if err != nil {
		return err
	}
	defer f.stop()
	o.Matrix, o.Load = matrixChosen, usualMatrix // whatever else is measured
	// As many as a tandem takes here by itself, be they the machine's or those of a container.
	arrangements, err := f.withCores(ctx, coreCounts(runtime.GOMAXPROCS(0)), o)
	if err != nil {
		return err
	}
	// The two ends of what a proxy is asked for: one read at a time, which is nearly all system calls, and many writes at
	// once, which are its own code and go to two servers.
	workloads := []workload{
		newWorkload("GET", 1, usualClients, usualValue, o.Requests/2),
		newWorkload("SET", deepPipeline, usualClients, usualValue, o.Requests/2),
	}
	log.Info("measuring cores", "arrangements", len(arrangements), "rounds", o.Rounds)
	var runs results
	err = runLoad(ctx, log, arrangements, workloads, o, &runs)
	into.Discarded = append(into.Discarded, runs.Discarded...)
	into.Measured = append(into.Measured, runs.byCores(arrangements, workloads)...)
	return err
}

// coreCounts are the powers of two up to most, and most itself.
func coreCounts(most int) []int {
	var counts []int
	for n := 1; n < most; n *= 2 {
		counts = append(counts, n)
	}
	return append(counts, most)
}

// withCores starts a server without a proxy, and for each number of cores two tandems: one before a migration, and one
// that writes to two servers.
func (f *fleet) withCores(ctx context.Context, counts []int, o options) ([]*arrangement, error) {
	o.Only = []string{"direct"}
	all, err := f.arrange(ctx, o, usualValue)
	if err != nil {
		return nil, err
	}
	for _, part := range []string{"passthrough", "synced"} {
		o.Only = []string{part}
		for _, f.cores = range counts {
			some, err := f.arrange(ctx, o, usualValue)
			if err != nil {
				return nil, fmt.Errorf("with %d cores: %w", f.cores, err)
			}
			for _, a := range some {
				a.name = namedByCores(a.name, f.cores)
			}
			all = append(all, some...)
		}
	}
	return all, nil
}

// namedByCores is what an arrangement is called whose tandem may use so many cores.
func namedByCores(arrangement string, cores int) string {
	if cores == 1 {
		return arrangement + ", 1 core"
	}
	return fmt.Sprintf("%s, %d cores", arrangement, cores)
}

// byCores are the rows of the part's table, in its order. What is compared with direct is of the same round.
func (r *results) byCores(arrangements []*arrangement, workloads []workload) []measurement {
	var all []measurement
	for _, w := range workloads {
		direct := r.series("direct", w, rateOf)
		for _, a := range arrangements {
			rates, cpu := r.series(a.name, w, rateOf), r.series(a.name, w, proxyCPUOf)
			for _, round := range slices.Sorted(maps.Keys(rates)) {
				figures := map[string]float64{"requests/s": rates[round]}
				if a.name != "direct" {
					figures["CPU µs"] = cpu[round]
					if direct[round] > 0 {
						figures["of direct"] = rates[round] / direct[round]
					}
				}
				all = append(all, measurement{Part: "cores", Of: w.String() + " " + a.name, Round: round, Figures: figures})
			}
		}
	}
	return all
}
