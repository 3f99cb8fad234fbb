package migration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/instance"
	"tandem/internal/redisd"
	"tandem/internal/status"
)

func TestTheWholeWay(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) { c.Start = "manual" })
	w.fill(w.source.Addr, 500, 0, 3)
	w.run()
	c := w.conn("", 0)
	w.do(c, "SET", "before", "1")
	if _, err := w.Cutover(t.Context(), admin.StepOptions{}); true {
		refused(t, err, "not_started")
	}
	if _, err := w.Start(t.Context(), admin.StepOptions{}); err != nil {
		t.Fatal(err)
	}
	w.synced()
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for i := range 4 {
		clients.Go(func() {
			c := w.conn("", 0)
			for n := 1; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if got := w.do(c, "INCR", fmt.Sprint("n", i)); got != fmt.Sprint(n) {
					t.Errorf("counter %d is %s after %d", i, got, n-1)
					return
				}
			}
		})
	}
	step := func(f func(context.Context, admin.StepOptions) (admin.Result, error), phase string) {
		t.Helper()
		for range 2 { // again is no error
			r, err := f(t.Context(), admin.StepOptions{})
			if err != nil || r.Phase != phase {
				t.Fatalf("%+v %v", r, err)
			}
		}
	}
	for range 3 {
		step(w.Cutover, status.Reversed)
		if s := w.Status(); s.Primary != "target" || s.Phase != status.Reversed {
			t.Errorf("%+v", s)
		}
		step(w.Rollback, status.Synced)
	}
	step(w.Cutover, status.Reversed)
	close(stop)
	clients.Wait()
	w.until("settled", func(s status.Status) bool { return s.UnsettledWrites == 0 && s.DirtyKeys == 0 })
	w.same(0, 3)
	step(w.Finish, status.Finished)
	w.do(c, "SET", "after", "1")
	if got := w.do(w.conn(w.source.Addr, 0), "EXISTS", "after"); got != "0" {
		t.Error("the source is written to after the end")
	}
	if _, err := w.Rollback(t.Context(), admin.StepOptions{}); true {
		refused(t, err, "finished")
	}
	if err := w.stop(); err != nil {
		t.Error(err)
	}
}

// The admin address answers before what an earlier process left is taken up. A step that is asked for then waits for that,
// and nothing is said to be ready.
func TestAStepWaitsUntilTheEarlierPhaseIsTakenUp(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, nil)
	w.fill(w.source.Addr, 50, 0)
	w.run()
	w.synced()
	if _, err := w.Cutover(t.Context(), admin.StepOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"rollback", "finish"} {
		w.prepare()
		asked := make(chan error, 1)
		go func() {
			step := w.Rollback
			if name == "finish" {
				step = w.Finish
			}
			_, err := step(t.Context(), admin.StepOptions{})
			asked <- err
		}()
		if s := w.Status(); s.ReadyToCutover || !slices.ContainsFunc(s.Blockers, func(b status.Blocker) bool { return b.Code == "starting" }) {
			t.Errorf("before it serves: %+v", s)
		}
		select {
		case err := <-asked:
			t.Fatalf("%s before it serves: %v", name, err)
		case <-time.After(20 * time.Millisecond): // as long as it takes to come so far, wrongly
		}
		w.begin()
		err := <-asked
		var refused *admin.Refused
		if err != nil && !errors.As(err, &refused) && !errors.Is(err, admin.ErrPrimaryDown) {
			t.Errorf("%s: %v", name, err)
		}
		if err := w.stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// What an earlier process left in the primary's buffers is executed before the first sweep reads, or never.
func TestNoSweepBeforeOldConnectionsAreDead(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, nil)
	w.fill(w.source.Addr, 10, 0)
	w.run()
	w.synced()
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	w.loseIntents()
	old := w.conn(w.source.Addr, 0)
	w.do(old, "CLIENT", "SETNAME", instance.ConnName(w.id, "lane-0-7", "1.5"))
	w.run()
	w.until("the sweep runs", func(s status.Status) bool { return s.Backfill.State != status.Idle && s.Phase == status.Synced })
	if _, err := old.Do(t.Context(), "SET", "key:1", "late"); err == nil {
		t.Error("a connection of the process before this one is alive while the keyspaces are compared")
	}
}

func TestARestartedServerIsNoticedByItsLane(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, nil)
	w.fill(w.source.Addr, 100, 0)
	w.run()
	w.synced()
	facts := w.factsOf(w.Migration.target)
	changed := facts
	changed.RunID = "another"
	// The watch looks first.
	w.note(w.Migration.target, changed)
	w.ledger.Lock()
	w.onConnect(w.Migration.target, changed)
	sweeping := w.ledger.Sweeping()
	w.ledger.Unlock()
	if !sweeping {
		t.Error("a server that was restarted is trusted")
	}
	w.synced()

	// The same for real: it comes back empty.
	w.target.Kill()
	if err := w.target.Restart(false); err != nil {
		t.Fatal(err)
	}
	w.look(w.Migration.target)
	w.until("its lane notices", func(status.Status) bool { return strings.Count(w.log.String(), "restarted or replaced: all keys") == 2 })
	w.synced()
	w.same(0)
}

func TestAnInstanceThatHoldsLessIsCompared(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, nil)
	w.fill(w.source.Addr, 100, 0)
	w.run()
	w.synced()
	w.look(w.Migration.target) // it has 100 keys
	w.do(w.conn(w.target.Addr, 0), "FLUSHALL")
	w.do(w.conn(w.target.Addr, 0), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	w.logged("holds fewer keys than before")
	w.synced()
	w.same(0)
}

func TestAStartThatCannotBeWrittenIsUndone(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) { c.Start = "manual" })
	w.fill(w.source.Addr, 10, 0)
	w.run()
	c := w.conn("", 0)
	full := errors.New("disk full")
	w.failSaves(full)
	if _, err := w.Start(t.Context(), admin.StepOptions{}); !errors.Is(err, admin.ErrUndone) || !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
	w.do(c, "SET", "a", "b")
	if s := w.Status(); s.Phase != status.Passthrough {
		t.Errorf("%+v", s)
	}
	w.failSaves(nil)
	if _, err := w.Start(t.Context(), admin.StepOptions{}); err != nil {
		t.Fatal(err)
	}
	w.synced()
	w.until("that is written down", func(status.Status) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.state.Phase == status.Synced
	})
	w.failSaves(full)
	if _, err := w.Cutover(t.Context(), admin.StepOptions{}); !errors.Is(err, admin.ErrUndone) || !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
	w.do(c, "SET", "a", "c")
	if s := w.Status(); s.Phase != status.Synced || s.Primary != "source" {
		t.Errorf("%+v", s)
	}
	w.failSaves(nil)
	if _, err := w.Cutover(t.Context(), admin.StepOptions{}); err != nil {
		t.Fatal(err)
	}
	w.do(c, "SET", "a", "d")
	w.until("settled", func(s status.Status) bool { return s.UnsettledWrites == 0 && s.DirtyKeys == 0 })
	w.same(0)
}

func TestTheProcessEndsWhateverIsGoingOn(t *testing.T) {
	for _, test := range []struct {
		name  string
		setup func(w *world) // leaves something that does not end by itself
	}{
		{"a start whose servers do not answer", func(w *world) {
			w.pause(w.target)
			go func() { _, _ = w.Start(context.Background(), admin.StepOptions{}) }()
		}},
		{"a cutover that waits", func(w *world) {
			w.start()
			w.pause(w.target)
			w.do(w.conn("", 0), "SET", "a", "b")
			go func() { _, _ = w.Cutover(context.Background(), admin.StepOptions{}) }()
		}},
		{"a cutover that holds everybody", func(w *world) {
			w.start()
			held := make(chan struct{})
			w.hooks.drained = func() { close(held) }
			go func() { _, _ = w.Cutover(context.Background(), admin.StepOptions{}) }()
			<-held
		}},
		{"a primary that does not answer", func(w *world) {
			w.start()
			w.pause(w.source)
			for _, args := range [][]string{{"INCR", "a"}, {"MULTI"}, {"SELECT", "5"}, {"GET", "a"}} {
				c := w.conn("", 0)
				go func() { _, _ = c.Do(context.Background(), args...) }()
			}
		}},
		{"a verify", func(w *world) {
			w.start()
			if _, err := w.Verify(w.t.Context(), admin.VerifyOptions{Mode: admin.VerifyFull}); err != nil {
				w.t.Fatal(err)
			}
			w.pause(w.target)
		}},
		{"both servers dead", func(w *world) {
			w.start()
			w.source.Kill()
			w.target.Kill()
			c := w.conn("", 0)
			go func() { _, _ = c.Do(context.Background(), "SET", "a", "b") }()
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) {
				c.Start = "manual"
				c.Shutdown.Timeout = time.Second
			})
			w.fill(w.source.Addr, 100, 0)
			w.run()
			test.setup(w)
			began := time.Now()
			err := w.stop()
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("took %s", took)
			}
			if err != nil && !errors.Is(err, ErrUnsettled) {
				t.Error(err)
			}
			if _, err := w.Start(context.Background(), admin.StepOptions{}); true {
				refused(t, err, "ending")
			}
			if _, err := w.Verify(context.Background(), admin.VerifyOptions{}); err == nil {
				t.Error("a verify begins after the end")
			}
		})
	}
}

func TestFinishLeavesNothingUnsettled(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) { c.Cutover.Wait = time.Second })
	w.fill(w.source.Addr, 100, 0)
	w.run()
	w.synced()
	if _, err := w.Cutover(t.Context(), admin.StepOptions{}); err != nil {
		t.Fatal(err)
	}
	w.pause(w.source)
	c := w.conn("", 0)
	for i := range 50 {
		w.do(c, "SET", fmt.Sprint("x", i), "1")
	}
	if r, err := w.Finish(t.Context(), admin.StepOptions{}); err != nil || r.Phase != status.Finished {
		t.Fatal(r, err)
	}
	w.do(c, "SET", "y", "1")
	if s := w.Status(); s.UnsettledWrites != 0 || s.DirtyKeys != 0 {
		t.Errorf("%+v", s)
	}
	if err := w.stop(); err != nil {
		t.Error(err)
	}
}

func TestAPauseOutlivesTheLink(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) { c.Start = "manual" })
	w.fill(w.source.Addr, 50, 0) // of nothing there is nothing to pause
	w.run()
	if err := w.Pause(t.Context(), admin.StepOptions{}); true {
		refused(t, err, "not_started")
	}
	w.start()
	if err := w.Pause(t.Context(), admin.StepOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Cutover(t.Context(), admin.StepOptions{}); err != nil {
		t.Fatal(err)
	}
	w.source.Kill() // the secondary now
	if err := w.source.Restart(false); err != nil {
		t.Fatal(err)
	}
	w.until("paused", func(s status.Status) bool { return s.Backfill.State == status.Paused })
	found := false
	for _, b := range w.Status().Blockers {
		found = found || b.Code == "sweep_owed" && strings.Contains(b.Remedy, "resume")
	}
	if !found {
		t.Errorf("%+v", w.Status().Blockers)
	}
	if err := w.Resume(t.Context(), admin.StepOptions{}); err != nil {
		t.Fatal(err)
	}
	w.until("swept", func(s status.Status) bool { return s.Backfill.State == status.Done && s.DirtyKeys == 0 })
	w.same(0)
}

// Another process is connected to one of the two servers only: it is said until it is gone.
func TestAnotherProcessIsABlockerAsLongAsItIsThere(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, nil)
	w.run()
	w.synced()
	other := w.conn(w.source.Addr, 0)
	w.do(other, "CLIENT", "SETNAME", instance.ConnName("0123456789abcdef", "lane-0-0", "1.1"))
	for range 2 {
		w.look(w.Migration.source)
		w.look(w.Migration.target)
		if _, err := w.Cutover(t.Context(), admin.StepOptions{}); true {
			refused(t, err, "another_process")
		}
	}
	if n := strings.Count(w.log.String(), "another tandem process"); n != 1 {
		t.Errorf("it was logged %d times", n)
	}
	_ = other.Close()
	w.until("it is gone", func(s status.Status) bool {
		w.look(w.Migration.source)
		return len(w.Status().Blockers) == 0
	})
}

func TestAVerifyEndsWithTheRolesItCompares(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, nil)
	w.fill(w.source.Addr, 3000, 0)
	w.run()
	w.synced()
	id, err := w.Verify(t.Context(), admin.VerifyOptions{Mode: admin.VerifyFull})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Cutover(t.Context(), admin.StepOptions{}); err != nil {
		t.Fatal(err)
	}
	c := w.conn("", 0)
	for i := range 500 {
		w.do(c, "SET", fmt.Sprint("key:", i), "new")
	}
	sum, err := w.VerifyResults(t.Context(), id, 0, func(d status.Difference) error { return fmt.Errorf("%+v", d) })
	if err != nil || sum.State == status.Running || sum.State == status.Failed && !strings.Contains(sum.Error, "roles") {
		t.Errorf("%+v %v", sum, err)
	}
	id, err = w.Verify(t.Context(), admin.VerifyOptions{Mode: admin.VerifyFull})
	if err != nil {
		t.Fatal(err)
	}
	w.until("verified", func(s status.Status) bool { return s.Verify.State == status.Done })
	sum, err = w.VerifyResults(t.Context(), id, 0, func(d status.Difference) error { return fmt.Errorf("%+v", d) })
	if err != nil || sum.Compared < 3000 || sum.Different != 0 {
		t.Errorf("%+v %v", sum, err)
	}
}
