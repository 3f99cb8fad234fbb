package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"tandem/internal/admin"
	"tandem/internal/demo/child"
	"tandem/internal/demo/text"
	"tandem/internal/latency"
	"tandem/internal/redisd"
	"tandem/internal/status"
)

// What happens beside the clients whose commands are timed.
const (
	besideNothing  = "no backfill" // it is paused
	besideGovernor = "governed"
	besideFree     = "free"
)

const (
	// yieldClients ask once every yieldEvery: a load that leaves the machine idle most of the time, so that its latency is
	// the server's and not a queue's.
	yieldClients = 8
	yieldEvery   = 2 * time.Millisecond
	// yieldValue is the size of the values that are copied, and yieldKeys how many there are: half a gigabyte.
	yieldValue = 2048
	yieldKeys  = 250_000
	// A round has yieldTurns slices without and as many with a governed backfill, in turns, so that what the machine does
	// meanwhile meets both, and one with a free one, which is over soonest.
	yieldTurns = 4
	// Each slice is measured for sliceTime, after sliceSettle: what the last one has left ends by then, and the governor has
	// seen how clients fare without.
	sliceTime   = time.Second
	sliceSettle = 700 * time.Millisecond
)

// yieldSample is what clients' commands took in all slices of a round beside the same.
type yieldSample struct {
	Beside   string  `json:"beside"`
	Round    int     `json:"round"`
	Commands int     `json:"commands"`
	P50Ms    float64 `json:"p50_ms"`
	P99Ms    float64 `json:"p99_ms"`
	// KeysPerS is how fast was copied.
	KeysPerS float64 `json:"keys_per_s"`
}

// yieldBench times clients' commands without a backfill, beside a governed one, and beside one that is not, in turns of
// seconds: what the machine does meanwhile meets all three.
type yieldBench struct {
	fleet          *fleet
	log            *slog.Logger
	source, target *redisd.Server
	tandem         *child.Proxy
}

// benchYield measures what clients notice of a backfill, if that was asked for.
func benchYield(ctx context.Context, log *slog.Logger, root string, o options, into *results) error {
	if !o.has("yield") {
		return nil
	}
	f, err := newFleet(root, o.tandem)
	if err != nil {
		return err
	}
	defer f.stop()
	b := &yieldBench{fleet: f, log: log}
	if b.source, b.target, err = f.pair(); err != nil {
		return err
	}
	// In service the target is on a machine of its own. Here it gives way to what clients wait for.
	if err := syscall.Setpriority(syscall.PRIO_PROCESS, b.target.PID(), 19); err != nil {
		return fmt.Errorf("priority of the target: %w", err)
	}
	log.Info("filling", "keys", text.Count(yieldKeys), "value_bytes", yieldValue)
	if err := fill(ctx, b.source.Addr, yieldKeys, yieldValue, 1); err != nil {
		return err
	}
	for round := 1; round <= o.Rounds; round++ {
		samples, err := b.round(ctx, round)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			into.fail(log, "yield", round, err)
			continue
		}
		into.Yield = append(into.Yield, samples...)
	}
	return nil
}

// round begins a backfill and measures a slice of each kind, each round in another order.
func (b *yieldBench) round(ctx context.Context, round int) (samples []yieldSample, err error) {
	if err := flush(ctx, b.target.Addr); err != nil {
		return nil, err
	}
	if b.tandem, err = b.fleet.serve(ctx, b.source, b.target); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.tandem.Stop()) }()
	for _, step := range []string{"start", "pause"} {
		if _, _, err := b.tandem.Step(ctx, step, admin.StepOptions{}); err != nil {
			return nil, fmt.Errorf("%s: %w", step, err)
		}
	}
	tallies := map[string]*yieldTally{besideNothing: {}, besideGovernor: {}, besideFree: {}}
	slice := func(beside string) error {
		if err := b.slice(ctx, beside, tallies[beside]); err != nil {
			return fmt.Errorf("%s: %w", beside, err)
		}
		return nil
	}
	for turn := range yieldTurns {
		first, second := besideNothing, besideGovernor
		if (round+turn)%2 == 0 {
			first, second = second, first
		}
		if err := errors.Join(slice(first), slice(second)); err != nil {
			return nil, err
		}
	}
	// What the free one leaves over is not enough for the others.
	if err := slice(besideFree); err != nil {
		return nil, err
	}
	for _, beside := range []string{besideNothing, besideGovernor, besideFree} {
		s := tallies[beside].sample(beside, round)
		samples = append(samples, s)
		b.log.Info("yield", "round", round, "beside", beside, "p50_ms", s.P50Ms, "p99_ms", s.P99Ms, "keys_per_s", text.Count(s.KeysPerS))
	}
	return samples, nil
}

// yieldTally adds up slices.
type yieldTally struct {
	answers latency.Histogram
	copied  int64
	took    time.Duration
}

func (y *yieldTally) sample(beside string, round int) yieldSample {
	ms := func(share float64) float64 { return y.answers.Quantile(share).Seconds() * 1000 }
	return yieldSample{
		Beside: beside, Round: round, Commands: y.answers.Count(), P50Ms: ms(0.5), P99Ms: ms(0.99),
		KeysPerS: float64(y.copied) / y.took.Seconds(),
	}
}

// slice times clients' commands for a second.
func (b *yieldBench) slice(ctx context.Context, beside string, into *yieldTally) error {
	governed := beside == besideGovernor
	if _, err := b.tandem.Throttle(ctx, admin.ThrottleOptions{Governor: &governed}); err != nil {
		return err
	}
	step := "resume"
	if beside == besideNothing {
		step = "pause"
	}
	if _, _, err := b.tandem.Step(ctx, step, admin.StepOptions{}); err != nil {
		return err
	}
	if _, err := b.load(ctx, sliceSettle); err != nil { // clients are there all the time
		return err
	}
	before, err := b.tandem.Status(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	answers, err := b.load(ctx, sliceTime)
	if err != nil {
		return err
	}
	took := time.Since(began)
	after, err := b.tandem.Status(ctx)
	if err != nil {
		return err
	}
	if _, _, err := b.tandem.Step(ctx, "pause", admin.StepOptions{}); err != nil {
		return err
	}
	if beside != besideNothing && after.Backfill.State == status.Done {
		return errors.New("the backfill was over before it was measured")
	}
	into.answers.Merge(answers)
	into.copied += after.Backfill.KeysCopied - before.Backfill.KeysCopied
	into.took += took
	return nil
}

// load has clients read and write for a time, and returns how long their commands took.
func (b *yieldBench) load(ctx context.Context, length time.Duration) (*latency.Histogram, error) {
	var each [yieldClients]latency.Histogram
	until := time.Now().Add(length)
	var clients errgroup.Group
	for i := range each {
		clients.Go(func() error { return yieldClient(ctx, b.tandem.Listen, i, until, &each[i]) })
	}
	err := clients.Wait()
	all := new(latency.Histogram)
	for i := range each {
		all.Merge(&each[i])
	}
	return all, err
}

// yieldClient sends a GET or a SET at each beat, and times the answer.
func yieldClient(ctx context.Context, addr string, number int, until time.Time, into *latency.Histogram) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("client of the load: %w", err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	beat := time.NewTicker(yieldEvery)
	defer beat.Stop()
	for n := 0; time.Now().Before(until); n++ {
		select {
		case <-beat.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		command := fmt.Sprintf("GET load:%d:%d\r\n", number, n%100)
		if n%5 == 0 {
			command = fmt.Sprintf("SET load:%d:%d 0123456789abcdef\r\n", number, n%100)
		}
		began := time.Now()
		if _, err := io.WriteString(conn, command); err != nil {
			return fmt.Errorf("client of the load: %w", err)
		}
		line, err := r.ReadString('\n')
		if err == nil && strings.HasPrefix(line, "$") && !strings.HasPrefix(line, "$-") {
			_, err = r.ReadString('\n')
		}
		if err == nil && strings.HasPrefix(line, "-") {
			err = errors.New(strings.TrimSpace(line))
		}
		if err != nil {
			return fmt.Errorf("client of the load: %w", err)
		}
		into.Add(int64(time.Since(began)))
	}
	return nil
}

// yieldSeries picks one number of each slice of one kind, by round.
func (r *results) yieldSeries(beside string, pick func(yieldSample) float64) map[int]float64 {
	found := make(map[int]float64)
	for _, s := range r.Yield {
		if s.Beside == beside {
			found[s.Round] = pick(s)
		}
	}
	return found
}

func p99Of(s yieldSample) float64 { return s.P99Ms }

// writeYield prints what clients notice of a backfill.
func (r *report) writeYield(w io.Writer) {
	t := table{words: 1, header: []string{"beside", "p50 ms", "p99 ms", "p99 / no backfill", "lowest", "highest", "keys/s copied"}}
	for _, beside := range []string{besideNothing, besideGovernor, besideFree} {
		pick := func(of func(yieldSample) float64) figure { return inOrder(r.yieldSeries(beside, of)) }
		p99 := pick(p99Of)
		if !p99.known() {
			continue
		}
		ratio := perRound(r.yieldSeries(beside, p99Of), r.yieldSeries(besideNothing, p99Of))
		t.add(beside, fmt.Sprintf("%.3f", pick(func(s yieldSample) float64 { return s.P50Ms }).Median), fmt.Sprintf("%.3f", p99.Median),
			fmt.Sprintf("%.2f", ratio.Median), fmt.Sprintf("%.2f", ratio.Min), fmt.Sprintf("%.2f", ratio.Max),
			text.Count(pick(func(s yieldSample) float64 { return s.KeysPerS }).Median))
	}
	if len(t.rows) == 0 {
		return
	}
	fmt.Fprintf(w, "## What clients notice of a backfill of %d-byte values\n\n%d clients that send a GET, or each fifth time a SET, every %s, "+
		"for some seconds beside each.\n\n", yieldValue, yieldClients, yieldEvery)
	t.write(w)
}
