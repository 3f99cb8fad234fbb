package migration

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"tandem/config"
	"tandem/internal/redisd"
	"tandem/internal/status"
)

// A primary that is gone will answer nobody: the drain does not wait for it, whether clients wait for it, or writes were on
// the way when it went. Who waits is closed, and what was on the way is left to the next start.
func TestADrainDoesNotWaitForADeadPrimary(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redisd.Options{Save: true}, redisd.Options{}, func(c *config.Config) {
		c.Primary.Wait, c.Shutdown.Timeout = time.Minute, time.Minute
	})
	w.fill(w.source.Addr, 20, 0)
	w.run()
	w.synced()
	c, other := w.conn("", 0), w.conn("", 0)
	w.do(c, "SET", "a", "1")
	w.do(other, "SET", "b", "1")
	w.synced()
	w.pause(w.source)
	lost := make(chan error, 1)
	go func() {
		_, err := c.Do(context.Background(), "SET", "a", "2")
		lost <- err
	}()
	w.until("a write is on the way", func(s status.Status) bool { return s.UnsettledWrites == 1 })
	w.source.Kill()
	if err := <-lost; err == nil {
		t.Error("a write was answered by nobody")
	}
	waiting := make(chan error, 1)
	go func() {
		_, err := other.Do(context.Background(), "SET", "b", "2")
		waiting <- err
	}()
	w.until("it is missed", func(s status.Status) bool { return w.blocked(s, primaryDown) })
	began := time.Now()
	if err := w.stop(); !errors.Is(err, ErrUnsettled) || !strings.Contains(err.Error(), "is not connected") {
		t.Errorf("it ended with %v", err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the drain took %v", took)
	}
	if err := <-waiting; err == nil {
		t.Error("a command was answered by nobody")
	}

	if err := w.source.Restart(true); err != nil {
		t.Fatal(err)
	}
	w.run()
	w.synced()
	w.same(0)
}

// One that only hangs may have executed what it was sent, and answers it yet: clients get that.
func TestADrainWaitsForAPrimaryThatHangs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) { c.Shutdown.Timeout = time.Minute })
	w.fill(w.source.Addr, 20, 0)
	w.run()
	w.synced()
	c := w.conn("", 0)
	w.do(c, "SET", "a", "1")
	w.synced()
	w.pause(w.source)
	answered := make(chan error, 1)
	go func() {
		_, err := c.Do(context.Background(), "SET", "a", "2")
		answered <- err
	}()
	w.until("a write is on the way", func(s status.Status) bool { return s.UnsettledWrites == 1 })
	w.end()
	w.logged("draining")
	began := time.Now()
	w.until("it had time to give up", func(status.Status) bool { return time.Since(began) > 2*reconnects })
	if err := w.source.Continue(); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Errorf("the write that waited: %v", err)
	}
	w.end = nil
	if err := <-w.ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
	w.run()
	w.logged("nothing was left unsettled")
	w.same(0)
}
