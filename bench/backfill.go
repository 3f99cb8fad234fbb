package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"tandem/internal/demo/text"
	"tandem/internal/redisd"
)

// bareWorkers is how many workers the bare loop has: one for each core of the machine that the published
// figures come from.
const bareWorkers = 2

// The ways of copying a keyspace: the yardstick of small values, that of big ones, and tandem.
const (
	byBareLoop  = "bare loop"
	byPlainCopy = "plain copy"
	byTandem    = "tandem"
)

var waysOfBackfill = []string{byBareLoop, byPlainCopy, byTandem}

// backfillSample is one copy of the whole keyspace from one server to another, empty one.
type backfillSample struct {
	How      string  `json:"how"` // byBareLoop, byPlainCopy or byTandem
	Value    int     `json:"value_bytes"`
	Round    int     `json:"round"`
	Keys     int64   `json:"keys"`
	Seconds  float64 `json:"seconds"`
	KeysPerS float64 `json:"keys_per_s"`
	// CPU is microseconds per key by role: copier (the process that copies), source, target.
	CPU map[string]float64 `json:"cpu_us_per_key"`
}

// backfillBench copies the same keyspace in turns, by a yardstick and by tandem.
type backfillBench struct {
	fleet          *fleet
	log            *slog.Logger
	source, target *redisd.Server
	keys           int64
	value          int // bytes of each value; from bigValue on the yardstick is the plain copy
	withTandem     bool
}

// run fills the source and measures rounds copies of each kind.
func (b *backfillBench) run(ctx context.Context, rounds int, into *results) error {
	b.log.Info("filling", "keys", text.Count(b.keys), "value", size(b.value))
	if err := flush(ctx, b.source.Addr); err != nil {
		return err
	}
	if err := fill(ctx, b.source.Addr, int(b.keys), b.value, 1); err != nil {
		return err
	}
	type way struct {
		how  string
		copy func(context.Context) (backfillSample, error)
	}
	ways := []way{{byBareLoop, b.copyBare}}
	if b.value >= bigValue {
		ways = []way{{byPlainCopy, b.copyPlain}}
	}
	if b.withTandem {
		ways = append(ways, way{byTandem, b.copyTandem})
	}
	for round := 1; round <= rounds; round++ {
		for i := range ways {
			way := ways[(i+round)%len(ways)]
			if err := flush(ctx, b.target.Addr); err != nil {
				return err
			}
			s, err := way.copy(ctx)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err == nil {
				err = b.complete(ctx)
			}
			if err != nil {
				into.fail(b.log, "backfill of "+size(b.value)+" values by "+way.how, round, err)
				continue
			}
			s.How, s.Value, s.Round, s.Keys = way.how, b.value, round, b.keys
			s.KeysPerS = float64(b.keys) / s.Seconds
			into.Backfill = append(into.Backfill, s)
			b.log.Info("backfill", "round", round, "by", way.how, "value", size(b.value), "keys_per_s", number(s.KeysPerS),
				"copier_us", fmt.Sprintf("%.2f", s.CPU["copier"]))
		}
	}
	return nil
}

// complete fails unless the target has as many keys as were to be copied.
func (b *backfillBench) complete(ctx context.Context) error {
	n, err := countKeys(ctx, b.target.Addr)
	if err != nil {
		return err
	}
	if n != b.keys {
		return fmt.Errorf("the target has %d keys of %d", n, b.keys)
	}
	return nil
}

func (b *backfillBench) copyBare(ctx context.Context) (backfillSample, error) {
	return b.timed(os.Getpid(), func() (time.Duration, error) {
		began := time.Now()
		_, err := copyBare(ctx, b.source.Addr, b.target.Addr, bareWorkers)
		return time.Since(began), err
	})
}

func (b *backfillBench) copyPlain(ctx context.Context) (backfillSample, error) {
	return b.timed(os.Getpid(), func() (time.Duration, error) {
		began := time.Now()
		_, err := copyPlain(ctx, b.source.Addr, b.target.Addr)
		return time.Since(began), err
	})
}

// copyTandem starts a tandem that knows nothing yet, then times from `start` to the phase synced: precheck,
// both sweeps and every acknowledgement included.
func (b *backfillBench) copyTandem(ctx context.Context) (backfillSample, error) {
	p, err := b.fleet.serve(ctx, b.source, b.target)
	if err != nil {
		return backfillSample{}, err
	}
	s, err := b.timed(p.PID(), func() (time.Duration, error) { return startBackfill(ctx, p) })
	if stopErr := p.Stop(); err == nil {
		err = stopErr
	}
	return s, err
}

// timed meters the copying process and both servers while work runs.
func (b *backfillBench) timed(copier int, work func() (time.Duration, error)) (backfillSample, error) {
	meter, err := meterCPU(map[string]int{"copier": copier, "source": b.source.PID(), "target": b.target.PID()})
	if err != nil {
		return backfillSample{}, err
	}
	took, err := work()
	if err != nil {
		return backfillSample{}, err
	}
	cpu, err := meter.used()
	if err != nil {
		return backfillSample{}, err
	}
	s := backfillSample{Seconds: took.Seconds(), CPU: make(map[string]float64, len(cpu))}
	for role, used := range cpu {
		s.CPU[role] = float64(used.Microseconds()) / float64(b.keys)
	}
	return s, nil
}

// backfillKind is a keyspace that was copied, and how its speed is told.
type backfillKind struct {
	value int
	keys  int64
	unit  string
	pick  func(backfillSample) float64
}

// backfills are the keyspaces that were copied, in the order they were.
func (r *results) backfills() []backfillKind {
	var all []backfillKind
	for _, s := range r.Backfill {
		if slices.ContainsFunc(all, func(k backfillKind) bool { return k.value == s.Value }) {
			continue
		}
		kind := backfillKind{value: s.Value, keys: s.Keys, unit: "keys/s", pick: keysRateOf}
		if s.Value >= bigValue {
			kind.unit, kind.pick = "MB/s", megabytesRateOf
		}
		all = append(all, kind)
	}
	return all
}

// backfillSeries picks one number of each copy of one kind and size of values, by round.
func (r *results) backfillSeries(how string, value int, pick func(backfillSample) float64) map[int]float64 {
	found := make(map[int]float64)
	for _, s := range r.Backfill {
		if s.How == how && s.Value == value {
			found[s.Round] = pick(s)
		}
	}
	return found
}

func keysRateOf(s backfillSample) float64      { return s.KeysPerS }
func megabytesRateOf(s backfillSample) float64 { return s.KeysPerS * megabytes(int64(s.Value)) }
