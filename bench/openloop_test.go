package main

import (
	"context"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

// A server that answers nothing for a while delays all that is due meanwhile, and all of that is counted: clients that
// wait for a reply before they send again would count one slow request each.
func TestAnOpenLoopCountsWhatIsDueMeanwhile(t *testing.T) {
	s := redisdtest.Start(t, redisd.Options{})
	client, err := dial(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	const paused = 150 * time.Millisecond
	loop := openLoop{addr: s.Addr, conns: 4, rate: 2000, length: 300 * time.Millisecond, value: 64, keyspace: 10}
	loop.started = func() {
		pause := client.B().ClientPause().Timeout(paused.Milliseconds()).All().Build()
		if err := client.Do(t.Context(), pause).Error(); err != nil {
			t.Error(err)
		}
	}
	found, err := loop.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The first tenth does not count.
	if n := found.latency.TotalCount(); n < 535 || n > 545 || found.late.TotalCount() != n {
		t.Errorf("%d latencies, %d times of sending, of 600 requests", n, found.late.TotalCount())
	}
	if p := time.Duration(found.latency.ValueAtQuantile(80)) * time.Microsecond; p < paused/5 {
		t.Errorf("of what was due within %v, a fifth took at most %v", paused, p)
	}
}

func TestAnOpenLoopFailsWithTheServer(t *testing.T) {
	full := redisdtest.Start(t, redisd.Options{Args: []string{"--maxmemory", "1", "--maxmemory-policy", "noeviction"}})
	loop := openLoop{addr: full.Addr, conns: 2, rate: 100_000, length: time.Minute, value: 64, keyspace: 10}
	if _, err := loop.run(t.Context()); err == nil {
		t.Error("error replies were timed")
	}
	loop.addr = "127.0.0.1:1"
	if _, err := loop.run(context.Background()); err == nil {
		t.Error("nothing was timed")
	}
	loop.rate = 0.001
	if _, err := loop.run(context.Background()); err == nil {
		t.Error("a rate of nothing")
	}
}

func TestALateGeneratorTimesNothing(t *testing.T) {
	found := timed{latency: newHistogram(), late: newHistogram()}
	for range 100 {
		record(found.late, tooLate/2)
	}
	if err := found.inTime(); err != nil {
		t.Error(err)
	}
	for range 5 {
		record(found.late, 3*tooLate)
	}
	if found.inTime() == nil {
		t.Error("a generator three times too late")
	}
}
