package migration

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/history"
	"tandem/internal/redisd"
	"tandem/internal/status"
)

// TestASampleTellsWhatCameSince: the charts show what clients and the copier did, per second.
func TestASampleTellsWhatCameSince(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, nil)
	w.run()
	w.synced()
	c := w.conn("", 0)
	before, _ := w.sample(sampled{at: time.Now()})
	for i := range 30 {
		w.do(c, "SET", fmt.Sprint("w", i), "v")
	}
	for range 20 {
		w.do(c, "GET", "w0")
	}
	w.synced()
	before.at = time.Now().Add(-10 * time.Second) // as if that had taken ten seconds
	_, s := w.sample(before)
	about := func(what string, got, want float64) {
		t.Helper()
		if got < want*0.9 || got > want*1.1 {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	about("reads", s.ReadsPerS, 2)
	about("writes", s.WritesPerS, 3)
	about("effects", s.EffectsPerS, 3)
	about("sessions", s.Sessions, 1)
	if s.SourceP50Ms <= 0 || s.SourceP99Ms < s.SourceP50Ms || s.TargetP50Ms <= 0 || s.CopiesPerS != 0 {
		t.Errorf("%+v", s)
	}
	w.until("two samples", func(status.Status) bool { return len(w.History(0)) >= 2 })
	all := w.History(0)
	if step := all[1].At - all[0].At; step < 900 || len(w.History(all[0].At)) >= len(all)+1 {
		t.Errorf("%d ms between samples, every %v", step, history.Interval)
	}
}

// TestAPrecheckOnDemandStartsNothing, and is kept for who looks later; once the migration has begun it is refused, for its
// scratch key would be a write past the proxy.
func TestAPrecheckOnDemandStartsNothing(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) { c.Start = "manual" })
	w.run()
	w.until("connected", func(status.Status) bool { return w.Ready() == nil })
	if got := w.Checked(); got.Items == nil || len(got.Items) != 0 {
		t.Errorf("before the first: %+v", got)
	}
	if _, known := w.Checked().At.Get(); known {
		t.Error("the time of a precheck that nobody has made is known")
	}
	made, err := w.Precheck(context.Background())
	if err != nil || len(made.Items) < 20 || made.Result == "failed" {
		t.Fatalf("%+v, %v", made, err)
	}
	if at, known := w.Checked().At.Get(); !known || at == 0 || w.Status().Phase != status.Passthrough {
		t.Errorf("at %d, phase %s", at, w.Status().Phase)
	}
	if _, err := w.Start(context.Background(), admin.StepOptions{}); err != nil {
		t.Fatal(err)
	}
	var refused *admin.Refused
	if _, err := w.Precheck(context.Background()); !errors.As(err, &refused) {
		t.Errorf("once it has begun: %v", err)
	}
}
