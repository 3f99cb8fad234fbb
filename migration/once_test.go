package migration

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/redisd"
	"tandem/internal/status"
)

// newOnce is a world for a keyspace that is moved once: without clients of its own.
func newOnce(t *testing.T, change func(*config.Config)) *world {
	t.Helper()
	return newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) {
		c.Listen, c.Start = "", "manual"
		if change != nil {
			change(c)
		}
	})
}

// direct has somebody write past the migration until end is called: a hundred keys in turn, one in each pace.
func (w *world) direct(addr string, pace time.Duration) (end func()) {
	w.t.Helper()
	c := w.conn(addr, 0)
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(pace)
		defer tick.Stop()
		for n := 0; ctx.Err() == nil; n++ {
			if _, err := c.Do(w.t.Context(), "SET", "key:"+strconv.Itoa(n%100), strconv.Itoa(n)); err != nil {
				return
			}
			<-tick.C
		}
	}()
	end = func() {
		cancel()
		<-done
	}
	w.t.Cleanup(end)
	return end
}

// once sends one command to a server, on a connection that does not look as if somebody might write again.
func (w *world) once(addr string, db int, args ...string) {
	w.t.Helper()
	c := w.conn(addr, db)
	w.do(c, args...)
	_ = c.Close()
}

func TestMoveOnce(t *testing.T) {
	w := newOnce(t, nil)
	w.fill(w.source.Addr, 200, 0, 3)
	w.run()
	var stages []string
	moved, err := w.Once(t.Context(), OnceOptions{Stage: func(s string) { stages = append(stages, s) }})
	if err != nil || moved.Rounds != 1 || moved.Verify.Compared < 400 || moved.Repaired != 0 {
		t.Fatalf("%+v, %v", moved, err)
	}
	if len(stages) != 3 || stages[0] != StageStart || stages[1] != StageCopy || stages[2] != StageVerify {
		t.Errorf("stages %v", stages)
	}
	w.same(0, 3)

	// Again, after both servers were changed behind its back while nobody ran.
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	w.once(w.source.Addr, 0, "SET", "key:5", "changed")
	w.once(w.source.Addr, 3, "DEL", "key:6")
	w.once(w.target.Addr, 0, "SET", "extra", "1")
	w.run()
	moved, err = w.Once(t.Context(), OnceOptions{})
	if err != nil || moved.Rounds != 2 || moved.Repaired != 3 || moved.Verify.Different != 0 {
		t.Fatalf("%+v, %v", moved, err)
	}
	w.same(0, 3)
}

// Somebody writes past it, and stops before it ends: all is there.
func TestMoveOnceWithAWriterWhoStops(t *testing.T) {
	w := newOnce(t, nil)
	w.fill(w.source.Addr, 200, 0)
	w.run()
	end := w.direct(w.source.Addr, time.Millisecond)
	rounds := 0
	_, err := w.Once(t.Context(), OnceOptions{For: time.Minute, Stage: func(s string) {
		if s == StageRepair {
			if rounds++; rounds == 2 {
				end()
			}
		}
		if s == StageVerify && rounds == 0 {
			// With keys copied, and before they are compared.
			w.do(w.conn(w.source.Addr, 0), "SET", "key:150", "past the proxy")
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	end()
	w.same(0)
}

// Somebody writes past it who never stops, and nobody is told what is written: that is said, and it ends.
func TestMoveOnceWithAWriterWhoNeverStops(t *testing.T) {
	w := newOnce(t, func(c *config.Config) { c.Tracking = "off" })
	w.fill(w.source.Addr, 200, 0)
	w.run()
	w.direct(w.source.Addr, time.Millisecond)
	moved, err := w.Once(t.Context(), OnceOptions{})
	switch {
	case errors.Is(err, ErrUnwatched) && moved.Verify.Different == 0: // by chance it has met him at no key
	case !errors.Is(err, ErrDifferent) || moved.Verify.Different == 0 || len(moved.Differences) == 0 || moved.Rounds < 2:
		t.Fatalf("%+v, %v", moved, err)
	}
}

// Somebody writes past it who never stops, and the server tells what is written: it ends, and goes on equal.
func TestMoveOnceFollowsAWriterWhoNeverStops(t *testing.T) {
	w := newOnce(t, func(c *config.Config) { c.Tracking = "on" })
	w.fill(w.source.Addr, 200, 0)
	w.run()
	end := w.direct(w.source.Addr, 5*time.Millisecond)
	moved, err := w.Once(t.Context(), OnceOptions{For: time.Minute})
	if err != nil {
		t.Fatalf("%+v, %v", moved, err)
	}
	if s := w.Status(); s.Tracking.State != status.Running {
		t.Errorf("%+v", s.Tracking)
	}
	end()
	w.synced()
	w.same(0)
}

// Somebody writes past it who changes nothing, and the server does not tell: no comparison finds a difference, and nobody knows
// whether there is one. Once he has stopped, all is well.
func TestMoveOnceWithAWriterWhomNobodyWatches(t *testing.T) {
	w := newOnce(t, func(c *config.Config) { c.Tracking = "off" })
	w.fill(w.source.Addr, 200, 0)
	w.run()
	c := w.conn(w.source.Addr, 0)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if _, err := c.Do(t.Context(), "SET", "key:1", "value 0 1"); err != nil {
				return
			}
			_ = wait(ctx, time.Millisecond)
		}
	}()
	moved, err := w.Once(t.Context(), OnceOptions{})
	if !errors.Is(err, ErrUnwatched) || moved.Verify.Different != 0 || moved.Verify.Compared != 200 {
		t.Errorf("%+v, %v", moved, err)
	}
	cancel()
	<-done
	_ = c.Close()
	if moved, err = w.Once(t.Context(), OnceOptions{}); err != nil {
		t.Errorf("%+v, %v", moved, err)
	}
	w.same(0)
}

func TestMoveOnceIsRefused(t *testing.T) {
	w := newOnce(t, nil)
	w.fill(w.target.Addr, 1, 0)
	w.run()
	_, err := w.Once(t.Context(), OnceOptions{})
	refused(t, err, "target_empty")
	w.do(w.conn(w.target.Addr, 0), "FLUSHALL")
	if _, err := w.Once(t.Context(), OnceOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Cutover(t.Context(), admin.StepOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err = w.Once(t.Context(), OnceOptions{})
	refused(t, err, status.Reversed)
}

// What does not move is not waited for forever.
func TestMoveOnceGivesUp(t *testing.T) {
	w := newOnce(t, nil)
	w.fill(w.source.Addr, 10, 0)
	w.run()
	_, err := w.Once(t.Context(), OnceOptions{stuck: 200 * time.Millisecond, Stage: func(s string) {
		if s == StageCopy {
			if err := w.target.Pause(); err != nil {
				t.Error(err)
			}
			if err := w.Pause(t.Context(), admin.StepOptions{}); err != nil {
				t.Error(err)
			}
			w.ledger.Lock()
			w.ledger.OweSweep("more dirty keys than max_dirty_keys", 0)
			w.ledger.Unlock()
		}
	}})
	refused(t, err, "sweep_owed")
}

// Who asks for the end gets it, and the next run goes on.
func TestMoveOnceIsInterrupted(t *testing.T) {
	w := newOnce(t, nil)
	w.fill(w.source.Addr, 200, 0)
	w.run()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := w.Once(ctx, OnceOptions{Stage: func(s string) {
		if s == StageVerify {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	w.run()
	if _, err := w.Once(t.Context(), OnceOptions{}); err != nil {
		t.Fatal(err)
	}
	w.same(0)
}

// Nobody can connect to it.
func TestNobodyListens(t *testing.T) {
	w := newOnce(t, nil)
	w.run()
	if w.Addr() != "nowhere" {
		t.Errorf("it listens on %s", w.Addr())
	}
}
