package migration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/redisd"
	"tandem/internal/status"
	"tandem/proxy"
)

// Real clients on a real server: when that becomes slow, copying goes down to the floor, and up again when it is over. With
// the governor off nothing holds it up.
func TestGovernorWatchesTheClients(t *testing.T) {
	const floor = 200
	w := newWorld(t, redisd.Options{Args: []string{"--enable-debug-command", "yes"}}, redisd.Options{}, func(c *config.Config) {
		// Tests of others run beside, and make answers late, too: only what is far beyond counts.
		c.Backfill.Governor, c.Backfill.GovernorFloor, c.Backfill.GovernorRise = "on", floor, 20
		c.Backfill.MaxKeysPerS = 5 * floor // it must not be over before all is seen
	})
	w.fill(w.source.Addr, 50_000, 0)
	w.run()
	ctx, end := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	defer clients.Wait()
	defer end()
	// So few that a probe has hardly an answer when each takes 80 ms.
	for i := range 4 {
		c := w.conn("", 0)
		clients.Go(func() {
			for ctx.Err() == nil {
				if _, err := c.Do(ctx, "GET", fmt.Sprint("key:", i)); err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	speed := func(s status.Status) int64 {
		n, _ := s.Throttle.GovernorKeysPerS.Get()
		return n
	}
	w.until("it knows what is usual, and is faster than the floor", func(s status.Status) bool {
		_, known := s.Throttle.UsualLatencyMs.Get()
		return known && speed(s) > floor
	})
	slow, over := context.WithCancel(ctx)
	debug := w.conn(w.source.Addr, 0)
	clients.Go(func() {
		for slow.Err() == nil {
			if _, err := debug.Do(ctx, "DEBUG", "SLEEP", "0.08"); err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
		}
	})
	w.until("the floor", func(s status.Status) bool {
		now, _ := s.Throttle.LatencyMs.Get()
		return speed(s) == floor && now > 20 && s.Throttle.Slowed > 0 && s.Throttle.KeysPerS == status.Known[int64](floor)
	})
	over()
	w.until("it is faster again", func(s status.Status) bool { return speed(s) > floor })
	off, unlimited := false, 0
	began := time.Now()
	if s := w.throttled(admin.ThrottleOptions{Governor: &off, MaxKeysPerS: &unlimited}); s.Governor != status.GovernorOff || !s.Changed {
		t.Errorf("off: %+v", s)
	}
	w.until("the end of the sweep", func(s status.Status) bool { return s.Phase == status.Synced })
	t.Logf("without the governor the rest took %v", time.Since(began))
	end()
	clients.Wait()
	w.synced()
	w.same(0)
}

// With clients on both servers those of the target count, too: when it becomes slow, copying does.
func TestGovernorWatchesTheClientsOfBothServers(t *testing.T) {
	const floor = 200
	w := twoWayWorld(t, redisd.Options{Args: []string{"--enable-debug-command", "yes"}}, func(c *config.Config) {
		c.Backfill.Governor, c.Backfill.GovernorFloor, c.Backfill.GovernorRise = "on", floor, 20
		c.Backfill.MaxKeysPerS = 2 * floor // it must not be over before all is seen
	})
	w.fill(w.source.Addr, 100, 0)
	w.run()
	w.bothWays()
	w.fill(w.source.Addr, 10_000, 0) // nobody has seen that: the sweep copies it
	ctx, end := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	defer clients.Wait()
	defer end()
	for i := range 8 {
		c := w.conn([]string{w.TargetAddr(), w.Addr()}[i%2], 0)
		clients.Go(func() {
			for ctx.Err() == nil {
				if _, err := c.Do(ctx, "GET", fmt.Sprint("key:", i)); err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	w.do(w.conn("", 0), "EVAL", "return redis.call('SET', 'unnamed', '1')", "0") // all keys are compared after it
	w.until("it is faster than the floor", func(s status.Status) bool {
		speed, _ := s.Throttle.GovernorKeysPerS.Get()
		return speed > floor
	})
	debug := w.conn(w.target.Addr, 0)
	clients.Go(func() {
		for ctx.Err() == nil {
			if _, err := debug.Do(ctx, "DEBUG", "SLEEP", "0.08"); err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
		}
	})
	w.until("it has seen that", func(s status.Status) bool {
		now, _ := s.Throttle.LatencyMs.Get()
		return now > 40 && s.Throttle.Slowed > 0
	})
	if _, target := w.timings(); target.Commands[proxy.ReadCommand].Count() < 20 {
		t.Errorf("%d reads of the target's clients are in the histograms", target.Commands[proxy.ReadCommand].Count())
	}
	end()
	clients.Wait()
	off, unlimited := false, 0
	w.throttled(admin.ThrottleOptions{Governor: &off, MaxKeysPerS: &unlimited})
	w.settled()
	w.same(0)
}

// A verify yields to clients, too, and to the limit of bytes.
func TestGovernorSlowsAVerifyDown(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) { c.Backfill.Governor = "on" })
	c, noise := w.conn(w.source.Addr, 0), rand.NewChaCha8([32]byte{1})
	for i := range 500 {
		value := make([]byte, 1000)
		_, _ = noise.Read(value)
		w.do(c, "SET", fmt.Sprint("key:", i), string(value))
	}
	w.run()
	w.synced()
	few, unlimited := int64(64<<10), int64(0) // of half a million
	w.throttled(admin.ThrottleOptions{MaxBytesPerS: &few})
	id, err := w.Verify(t.Context(), admin.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.until("the governor knows what is usual", func(s status.Status) bool {
		_, usual := s.Throttle.UsualLatencyMs.Get()
		if s.Verify.State != status.Running {
			t.Fatalf("the verify is %+v, with a governor that is %s", s.Verify, s.Throttle.Governor)
		}
		return usual && s.Throttle.Governor == status.Running
	})
	w.throttled(admin.ThrottleOptions{MaxBytesPerS: &unlimited})
	if s, found := w.endOf(id); len(found) > 0 || s.Compared != 500 {
		t.Errorf("%+v, found %v", s, found)
	}
	w.until("there is nothing to slow down", func(s status.Status) bool { return s.Throttle.Governor == status.Idle })
}
