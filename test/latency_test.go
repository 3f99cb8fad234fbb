package test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/test/program"
	"tandem/test/wire"
)

// latencies are how long the commands of one kind took.
type latencies struct{ set, get []time.Duration }

// A target in trouble does not delay clients: SET and GET beside a run without a target, in turns, so that what else
// the machine does concerns all alike. The figures are printed; only what no busy machine explains is an error.
func TestClientsDoNotWaitForATargetInTrouble(t *testing.T) {
	each, rounds := 300*time.Millisecond, 2
	if program.Full {
		each, rounds = 5*time.Second, 5
	}
	alone := program.Serve(t, redisdtest.Start(t, redisd.Options{}), redisdtest.Start(t, redisd.Options{}), "start: manual")
	source, target := redisdtest.Start(t, redisd.Options{}), redisdtest.Start(t, redisd.Options{})
	relay := redisdtest.StartRelay(t, target.Addr)
	td := program.Prepare(t, source.URL(), "redis://"+relay.Addr, "max_lag_bytes: 1048576")
	td.Start()
	td.WaitSynced()

	stands := false
	states := []struct {
		name       string
		addr       string
		begin, end func()
		meanwhile  func() // all the time
	}{
		{"no target", alone.Addr, nil, nil, nil},
		{"target well", td.Addr, nil, nil, nil},
		{"target slow", td.Addr, nil, func() { stands = false; must(t, target.Continue()) }, func() {
			// It stands half of the time.
			if stands = !stands; stands {
				must(t, target.Pause())
			} else {
				must(t, target.Continue())
			}
		}},
		{"target hangs", td.Addr, func() { must(t, target.Pause()) }, func() { must(t, target.Continue()) }, nil},
		{"target refuses", td.Addr, func() { do(t, target.Addr, "CONFIG", "SET", "maxmemory", "1") },
			func() { do(t, target.Addr, "CONFIG", "SET", "maxmemory", "0") }, nil},
		{"target flaps", td.Addr, nil, nil, relay.Cut},
		{"target dead", td.Addr, func() { relay.Lead("127.0.0.1:1"); relay.Cut() }, func() { relay.Lead(target.Addr) }, nil},
	}
	found := make([]latencies, len(states))
	for range rounds {
		for i, s := range states {
			if s.begin != nil {
				s.begin()
			}
			measure(t, s.addr, each, s.meanwhile, &found[i])
			if s.end != nil {
				s.end()
			}
			td.WaitStatus("equal again", program.SyncTime(), func(s program.Status) bool {
				return s.Phase == "synced" && s.DirtyKeys == 0 && s.Target.Connected
			})
		}
	}
	for i, s := range states {
		t.Logf("%-15s SET p50 %6v p99 %6v, GET p50 %6v p99 %6v, longest %v (%d commands)", s.name, quantile(found[i].set, 0.5),
			quantile(found[i].set, 0.99), quantile(found[i].get, 0.5), quantile(found[i].get, 0.99),
			max(quantile(found[i].set, 1), quantile(found[i].get, 1)), len(found[i].set)+len(found[i].get))
		if p := quantile(found[i].set, 0.99); p > patience {
			t.Errorf("%s: one SET of a hundred took %v", s.name, p)
		}
	}
	if d := td.Status().Effects.Dropped; d == 0 {
		t.Error("the target missed nothing: it was not in trouble")
	}
	td.WaitSettled()
	td.MustVerify()
}

// measure has a few clients write and read for a time, one command at a time each.
func measure(t *testing.T, addr string, d time.Duration, meanwhile func(), into *latencies) {
	t.Helper()
	const clients = 4
	var mu sync.Mutex
	var work sync.WaitGroup
	end := time.Now().Add(d)
	for n := range clients {
		work.Go(func() {
			c, err := wire.Dial(addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			var l latencies
			for i := 0; time.Now().Before(end); i++ {
				key := fmt.Sprintf("client:%d:%d", n, i%1000)
				began := time.Now()
				_, err := c.Do("SET", key, "a value of some forty bytes, as many have")
				written := time.Now()
				if err == nil {
					_, err = c.Do("GET", key)
				}
				if err != nil {
					t.Errorf("a client: %v", err)
					return
				}
				l.set, l.get = append(l.set, written.Sub(began)), append(l.get, time.Since(written))
			}
			mu.Lock()
			defer mu.Unlock()
			into.set, into.get = append(into.set, l.set...), append(into.get, l.get...)
		})
	}
	if meanwhile != nil {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for time.Now().Before(end) {
			<-tick.C
			meanwhile()
		}
	}
	work.Wait()
}

// quantile is the duration that a share of them does not exceed.
func quantile(all []time.Duration, share float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))].Round(time.Microsecond)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
