package migration

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/redisd"
	"tandem/internal/status"
)

// onTrialWorld is a world that is synced, with a trial of ten minutes.
func onTrialWorld(t *testing.T, change func(*config.Trial)) *world {
	t.Helper()
	w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) {
		c.Cutover.Trial.Time = 10 * time.Minute
		c.Cutover.Trial.MaxErrorPercent = 20
		if change != nil {
			change(&c.Cutover.Trial)
		}
	})
	w.run()
	w.synced()
	return w
}

// traffic has a client write through the proxy until end is called; what it is answered is its own affair.
func (w *world) traffic() (end func()) {
	w.t.Helper()
	c := w.conn("", 0)
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			select {
			case <-ended:
				return
			default:
			}
			if _, err := c.Pipe(w.t.Context(), []string{"INCR", "counter"}, []string{"GET", "counter"}); err != nil {
				return
			}
		}
	}()
	end = sync.OnceFunc(func() {
		close(ended)
		<-done
	})
	w.t.Cleanup(end)
	return end
}

// triedOut is the state of a target whose trial goes on.
func (w *world) triedOut() {
	w.t.Helper()
	if _, err := w.Cutover(w.t.Context(), admin.StepOptions{}); err != nil {
		w.t.Fatal(err)
	}
	until, on := w.Status().Cutover.TrialUntil.Get()
	if !on || time.UnixMilli(until).Before(time.Now().Add(9*time.Minute)) {
		w.t.Fatalf("on trial: %t, until %v", on, time.UnixMilli(until))
	}
}

// rolledBack waits until the trial has ended with a rollback.
func (w *world) rolledBack(why string) {
	w.t.Helper()
	w.until("the rollback", func(s status.Status) bool { return s.Primary == "source" })
	s := w.Status()
	if _, on := s.Cutover.TrialUntil.Get(); on || !strings.Contains(s.Cutover.TrialProblem, why) {
		w.t.Errorf("%+v", s.Cutover)
	}
	w.logged("rolled back, for the target has failed its trial")
}

// A target that answers errors is left again, and the source has all that was written meanwhile.
func TestTrialOfATargetThatAnswersErrors(t *testing.T) {
	w := onTrialWorld(t, nil)
	end := w.traffic()
	w.triedOut()
	target := w.conn(w.target.Addr, 0)
	w.do(target, "CONFIG", "SET", "min-replicas-to-write", "1") // half of the commands are refused
	w.rolledBack("answered with an error")
	w.do(target, "CONFIG", "SET", "min-replicas-to-write", "0")
	end()
	w.synced()
	w.same(0)
}

// A target that is slow is left again.
func TestTrialOfASlowTarget(t *testing.T) {
	w := onTrialWorld(t, func(c *config.Trial) { c.MaxLatency = 10 * time.Millisecond })
	w.traffic()
	w.triedOut()
	// Somebody's scripts keep the target busy.
	c := w.conn(w.target.Addr, 0)
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		const busy = `local b = redis.call('TIME') repeat local n = redis.call('TIME')
			until (n[1] - b[1]) * 1000000 + n[2] - b[2] > 60000`
		for {
			select {
			case <-ended:
				return
			default:
				if _, err := c.Do(w.t.Context(), "EVAL", busy, "0"); err != nil {
					return
				}
			}
		}
	}()
	w.rolledBack("took longer than cutover.trial.max_latency")
	close(ended)
	<-done
}

// A restart goes on with the trial.
func TestTrialGoesOnAfterARestart(t *testing.T) {
	w := onTrialWorld(t, nil)
	w.triedOut()
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	w.run()
	w.until("on trial", func(s status.Status) bool {
		_, on := s.Cutover.TrialUntil.Get()
		return on && s.Target.Connected && s.Source.Connected
	})
	w.do(w.conn(w.target.Addr, 0), "CONFIG", "SET", "min-replicas-to-write", "1")
	defer w.traffic()()
	w.rolledBack("answered with an error")
}

// A rollback that is undone when the roles are written already leaves everything as it was: the trial goes on, and the
// journal has no word of a phase that was not entered.
func TestTrialGoesOnAfterARollbackThatIsUndone(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) { c.Cutover.Trial.Time = 10 * time.Minute })
	w.observeEvery = time.Hour // after the first time the test looks itself
	w.prepare()
	o := &observer{m: w.Migration, faults: map[string]*standingFault{}, phase: status.Reversed, entered: time.Now()}
	var armed, looked atomic.Bool
	w.hooks.save = func() error {
		switch {
		case !armed.Load():
		case w.primaryOf(w.phase()) == w.shard.Primary(): // the roles are about to be written
			w.ledger.Lock()
			w.ledger.MakeDirty(w.dirtyKey([]byte("late")))
			w.ledger.Unlock()
		default: // they are, and about to be taken back
			o.lookAtPhase(time.Now())
			looked.Store(true)
		}
		return nil
	}
	w.begin()
	w.until("it was looked at", func(status.Status) bool { return lastPhase(w.Events(0, 0)) != "" })
	w.synced()
	w.triedOut()
	w.until("settled", func(s status.Status) bool { return s.DirtyKeys == 0 && s.UnsettledWrites == 0 })
	until, _ := w.Status().Cutover.TrialUntil.Get()
	armed.Store(true)
	_, err := w.Rollback(t.Context(), admin.StepOptions{})
	armed.Store(false)
	if !errors.Is(err, admin.ErrUndone) || !looked.Load() {
		t.Fatalf("looked: %t, %v", looked.Load(), err)
	}
	if s := w.Status(); s.Phase != status.Reversed || s.Cutover.TrialUntil != status.Known(until) {
		t.Errorf("phase %s, on trial until %+v, and not %d", s.Phase, s.Cutover.TrialUntil, until)
	}
	if o.phase != status.Reversed {
		t.Errorf("the journal has phase %s", o.phase)
	}
	if _, err := w.Rollback(t.Context(), admin.StepOptions{}); err != nil {
		t.Fatal(err)
	}
	if o.lookAtPhase(time.Now()); o.phase != status.Synced {
		t.Errorf("the journal has phase %s", o.phase)
	}
}

// A restart without trials ends the one that goes on: nobody watches it.
func TestTrialEndsWithTheSetting(t *testing.T) {
	w := onTrialWorld(t, nil)
	w.triedOut()
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	w.cfg.Cutover.Trial.Time = 0
	w.run()
	if until, on := w.Status().Cutover.TrialUntil.Get(); on {
		t.Errorf("on trial until %v", time.UnixMilli(until))
	}
}

// A target on which clients fare well stays, and who rolls back or finishes ends the trial.
func TestTrialThatIsPassed(t *testing.T) {
	w := onTrialWorld(t, func(c *config.Trial) { c.Time = 3 * time.Second; c.MaxLatency = 5 * time.Second })
	w.traffic()
	if _, err := w.Cutover(t.Context(), admin.StepOptions{}); err != nil {
		t.Fatal(err)
	}
	w.logged("the target has passed its trial")
	if s := w.Status(); s.Phase != status.Reversed || s.Cutover.TrialProblem != "" {
		t.Errorf("%s, %+v", s.Phase, s.Cutover)
	}
}

func TestJudgementOfATrial(t *testing.T) {
	w := onTrialWorld(t, func(c *config.Trial) { c.MaxLatency = time.Second })
	for _, c := range []struct {
		e     experience
		fails string
	}{
		{experience{}, ""},
		{experience{answers: 19, errors: 19, late: 19}, ""},
		{experience{answers: 100, errors: 20, late: 50}, ""},
		{experience{answers: 100, errors: 21}, "21 of the last 100"},
		{experience{answers: 100, late: 51}, "51 of the last 100"},
	} {
		if got := w.judgeTrial(c.e); (got == "") != (c.fails == "") || !strings.Contains(got, c.fails) {
			t.Errorf("%+v: %q", c.e, got)
		}
	}
}

// What is not asked for is not judged.
func TestJudgementOfATrialWithoutLimits(t *testing.T) {
	w := onTrialWorld(t, func(c *config.Trial) { c.MaxErrorPercent = 0 })
	if got := w.judgeTrial(experience{answers: 100, errors: 100, late: 100}); got != "" {
		t.Errorf("%q", got)
	}
}
