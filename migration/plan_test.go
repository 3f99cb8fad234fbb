package migration

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/redisd"
	"tandem/internal/status"
)

// planned asks for a planned cutover.
func (w *world) planned(o admin.StepOptions) {
	w.t.Helper()
	r, err := w.Cutover(w.t.Context(), o)
	if err != nil || !r.Planned {
		w.t.Fatalf("%+v, %v", r, err)
	}
}

// inPhase waits for a phase.
func (w *world) inPhase(phase string) {
	w.t.Helper()
	w.until("phase "+phase, func(s status.Status) bool { return s.Phase == phase })
}

// Asked for before the backfill has begun, it comes as soon as nothing stands in its way.
func TestPlannedCutoverComesWhenReady(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) {
		c.Start = "manual"
		c.Cutover.RequireVerify = time.Hour
	})
	w.fill(w.source.Addr, 1000, 0)
	w.run()
	w.planned(admin.StepOptions{WhenReady: true})
	if _, err := w.Start(t.Context(), admin.StepOptions{}); err != nil {
		t.Fatal(err)
	}
	w.synced()
	w.until("it waits for a verify", func(s status.Status) bool {
		_, planned := s.Cutover.PlannedAt.Get()
		return planned && strings.Contains(s.Cutover.PlannedProblem, verifyMissing)
	})
	w.verified(admin.VerifyOptions{}, 0)
	w.inPhase(status.Reversed)
	w.until("the plan is gone", func(s status.Status) bool {
		_, planned := s.Cutover.PlannedAt.Get()
		return !planned && s.Cutover.PlannedProblem == ""
	})
	// It was done once: who rolls back is not cut over again.
	if _, err := w.Rollback(t.Context(), admin.StepOptions{}); err != nil {
		t.Fatal(err)
	}
	w.tryPlan(time.Now().Add(time.Minute))
	if s := w.Status(); s.Phase != status.Synced {
		t.Errorf("phase %s", s.Phase)
	}
	w.same(0)
}

// It comes at its time and not before, and a restart does not forget it.
func TestPlannedCutoverComesAtItsTimeAfterARestart(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, nil)
	w.fill(w.source.Addr, 100, 0)
	w.run()
	w.synced()
	at := time.Now().Add(time.Hour)
	w.planned(admin.StepOptions{At: at.UnixMilli(), Within: time.Minute.Milliseconds()})
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	w.run()
	w.synced()
	s := w.Status()
	if got, ok := s.Cutover.PlannedAt.Get(); !ok || got != at.UnixMilli() {
		t.Errorf("planned at %d, %t", got, ok)
	}
	if got, ok := s.Cutover.PlannedUntil.Get(); !ok || got != at.Add(time.Minute).UnixMilli() {
		t.Errorf("planned until %d, %t", got, ok)
	}
	w.until("ready", func(s status.Status) bool { return s.ReadyToCutover })
	w.tryPlan(at.Add(-time.Millisecond))
	if s := w.Status(); s.Phase != status.Synced {
		t.Errorf("phase %s before its time", s.Phase)
	}
	w.tryPlan(at.Add(time.Millisecond))
	if s := w.Status(); s.Phase != status.Reversed {
		t.Errorf("phase %s after its time: %s", s.Phase, s.Cutover.PlannedProblem)
	}
}

// What cannot be done in its time is given up, and says why.
func TestPlannedCutoverIsGivenUp(t *testing.T) {
	w, _, target := gated(t, nil)
	at := time.Now().Add(time.Hour)
	w.planned(admin.StepOptions{At: at.UnixMilli(), Within: time.Minute.Milliseconds()})
	w.do(target, "CONFIG", "SET", "maxmemory", "100mb")
	w.do(target, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	w.lookBeforeCutover(t.Context())
	w.tryPlan(at.Add(time.Second))
	if s := w.Status(); !strings.Contains(s.Cutover.PlannedProblem, targetEvicts) {
		t.Errorf("%+v", s.Cutover)
	}
	w.tryPlan(at.Add(61 * time.Second))
	s := w.Status()
	if _, planned := s.Cutover.PlannedAt.Get(); planned || s.Phase != status.Synced || !strings.Contains(s.Cutover.PlannedProblem, "given up: "+targetEvicts) {
		t.Errorf("%s, %+v", s.Phase, s.Cutover)
	}
	w.logged("the planned cutover was given up")
	// A gate that was forced with the plan does not keep it.
	w.planned(admin.StepOptions{WhenReady: true, Force: targetEvicts})
	w.inPhase(status.Reversed)
}

func TestPlannedCutoverIsTakenBack(t *testing.T) {
	w, _, _ := gated(t, nil)
	_, err := w.Cutover(t.Context(), admin.StepOptions{Cancel: true})
	refused(t, err, "not_planned")
	at := time.Now().Add(time.Hour)
	w.planned(admin.StepOptions{At: at.UnixMilli()})
	if _, err := w.Cutover(t.Context(), admin.StepOptions{Cancel: true}); err != nil {
		t.Fatal(err)
	}
	w.tryPlan(at.Add(time.Second))
	if s := w.Status(); s.Phase != status.Synced {
		t.Errorf("phase %s", s.Phase)
	}
	if _, err := w.Cutover(t.Context(), admin.StepOptions{At: time.Now().Add(-2 * time.Hour).UnixMilli()}); err == nil {
		t.Error("a plan of which the time is over was taken")
	}
	// A cutover that somebody asks for takes the place of the planned one.
	w.planned(admin.StepOptions{At: at.UnixMilli()})
	w.open("")
	w.tryPlan(at.Add(time.Second))
	if s := w.Status(); s.Phase != status.Synced {
		t.Errorf("phase %s", s.Phase)
	}
}

var errTestDisk = errors.New("the disk is full")

// One that is undone is tried again, and not at once: each attempt may hold clients.
func TestPlannedCutoverIsTriedAgain(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, nil)
	w.prepare()
	var full atomic.Bool
	var attempts atomic.Int64
	w.hooks.save = func() error {
		if full.Load() {
			attempts.Add(1)
			return errTestDisk
		}
		return nil
	}
	w.begin()
	w.synced()
	at := time.Now().Add(time.Hour)
	w.planned(admin.StepOptions{At: at.UnixMilli()})
	full.Store(true)
	w.tryPlan(at)
	w.logged("the planned cutover could not be done yet")
	before := attempts.Load()
	w.tryPlan(at.Add(planRetryMin - time.Millisecond))
	full.Store(false)
	if before == 0 || w.Status().Phase != status.Synced {
		t.Fatalf("%d attempts", before)
	}
	w.saveAgain()
	w.tryPlan(at.Add(planRetryMin - time.Millisecond))
	if s := w.Status(); s.Phase != status.Synced {
		t.Error("tried again at once")
	}
	w.tryPlan(at.Add(2 * planRetryMin))
	if s := w.Status(); s.Phase != status.Reversed {
		t.Errorf("phase %s: %s", s.Phase, s.Cutover.PlannedProblem)
	}
}
