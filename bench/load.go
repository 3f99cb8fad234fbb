package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"tandem/internal/demo/text"
)

// sample is one run of one workload on one arrangement.
type sample struct {
	Arrangement string `json:"arrangement"`
	Command     string `json:"command"`
	Pipeline    int    `json:"pipeline"`
	Clients     int    `json:"clients"`
	Value       int    `json:"value_bytes"`
	Round       int    `json:"round"`
	// RPS counts the time until everything had arrived everywhere; ClientRPS is what the client saw. They
	// differ where writes travel on after their reply.
	RPS       float64 `json:"rps"`
	ClientRPS float64 `json:"client_rps"`
	SettleMs  float64 `json:"settle_ms"`
	P50Ms     float64 `json:"p50_ms"`
	P99Ms     float64 `json:"p99_ms"`
	// CPU is microseconds per request by role: client, proxy, source, target.
	CPU map[string]float64 `json:"cpu_us_per_request"`
}

// discard is a run that does not count, and why.
type discard struct {
	What   string `json:"what"`
	Round  int    `json:"round"`
	Reason string `json:"reason"`
}

// results is everything measured.
type results struct {
	Samples   []sample         `json:"samples"`
	Backfill  []backfillSample `json:"backfill"`
	Yield     []yieldSample    `json:"yield"`
	Measured  []measurement    `json:"measured"`
	Discarded []discard        `json:"discarded"`
}

// empty reports whether nothing was measured.
func (r *results) empty() bool {
	return len(r.Samples) == 0 && len(r.Backfill) == 0 && len(r.Yield) == 0 && len(r.Measured) == 0
}

// fail records a run that does not count, and says so at once.
func (r *results) fail(log *slog.Logger, what string, round int, err error) {
	log.Error("run discarded", "what", what, "round", round, "reason", err)
	r.Discarded = append(r.Discarded, discard{What: what, Round: round, Reason: err.Error()})
}

// runLoad measures every workload on every arrangement that it is for, rounds times, after one round that warms up
// and does not count. The arrangements are the innermost loop and each round begins with another one: what is
// compared is measured within seconds, and none is always the first after a pause.
func runLoad(ctx context.Context, log *slog.Logger, arrangements []*arrangement, workloads []workload, o options, into *results) error {
	for round := 0; round <= o.Rounds; round++ {
		order := slices.Concat(arrangements[round%len(arrangements):], arrangements[:round%len(arrangements)])
		for _, w := range workloads {
			if round == 0 {
				w.Requests = max(w.Requests/10, w.Clients*w.Pipeline)
			}
			for _, a := range order {
				if !o.runsOn(a.name, w) {
					continue
				}
				s, err := measure(ctx, a, w)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if err != nil && a.proxy != nil {
					err = errors.Join(a.proxy.Ended(), err)
				}
				if err != nil {
					into.fail(log, a.name+" "+w.String(), round, err)
					continue
				}
				if round == 0 {
					continue
				}
				s.Round = round
				into.Samples = append(into.Samples, s)
				log.Info("run", "round", round, "what", w, "arrangement", a.name, "rps", text.Count(s.RPS),
					"p99_ms", s.P99Ms, "proxy_us", fmt.Sprintf("%.2f", s.CPU["proxy"]))
			}
		}
	}
	return nil
}

// measure runs one workload once on one arrangement.
func measure(ctx context.Context, a *arrangement, w workload) (sample, error) {
	meter, err := meterCPU(a.pids)
	if err != nil {
		return sample{}, err
	}
	run, err := a.load(ctx, w)
	if err != nil {
		return sample{}, err
	}
	answered := time.Now()
	if a.settle != nil {
		if err := a.settle(ctx); err != nil {
			return sample{}, err
		}
	}
	settle := time.Since(answered)
	cpu, err := meter.used()
	if err != nil {
		return sample{}, err
	}
	cpu["client"] = run.CPU
	if w.Command == "LPUSH" { // its list would grow from run to run
		if err := a.forget(ctx); err != nil {
			return sample{}, err
		}
	}
	requests := float64(w.Requests)
	s := sample{
		Arrangement: a.name, Command: w.Command, Pipeline: w.Pipeline, Clients: w.Clients, Value: w.Value,
		RPS:       requests / (requests/run.RPS + settle.Seconds()),
		ClientRPS: run.RPS, SettleMs: settle.Seconds() * 1000, P50Ms: run.P50, P99Ms: run.P99,
		CPU: make(map[string]float64, len(cpu)),
	}
	for role, used := range cpu {
		s.CPU[role] = float64(used.Microseconds()) / requests
	}
	return s, nil
}

// series picks one number of each sample of one workload on one arrangement, by round.
func (r *results) series(arrangement string, w workload, pick func(sample) float64) map[int]float64 {
	found := make(map[int]float64)
	for _, s := range r.Samples {
		if s.Arrangement == arrangement && s.Command == w.Command && s.Pipeline == w.Pipeline && s.Clients == w.Clients && s.Value == w.Value {
			found[s.Round] = pick(s)
		}
	}
	return found
}

func rateOf(s sample) float64     { return s.RPS }
func proxyCPUOf(s sample) float64 { return s.CPU["proxy"] }

// inOrder turns a series into a figure.
func inOrder(byRound map[int]float64) figure {
	ones := make(map[int]float64, len(byRound))
	for round := range byRound {
		ones[round] = 1
	}
	return perRound(byRound, ones)
}
