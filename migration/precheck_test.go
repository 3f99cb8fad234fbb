package migration

import (
	"strings"
	"testing"
	"time"

	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/redisd"
	"tandem/internal/status"
)

// A warning stops a start only where that is wanted, until somebody accepts it by name.
func TestStartRefusesWarningsThatNobodyAccepts(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{Args: []string{"--timeout", "300"}}, func(c *config.Config) {
		c.Start = "manual"
		c.Precheck.Warnings = "refuse"
	})
	w.run()
	_, err := w.Start(t.Context(), admin.StepOptions{})
	refused(t, err, "target_idle_timeout")
	if s := w.Status(); s.Phase != status.Passthrough || len(s.Blockers) != 1 || !strings.Contains(s.Blockers[0].Remedy, "--accept target_idle_timeout") {
		t.Errorf("%+v", s.Blockers)
	}
	if _, err := w.Start(t.Context(), admin.StepOptions{Accept: []string{"idle_timeout"}}); err == nil || !strings.Contains(err.Error(), "no item") {
		t.Errorf("a name that is none: %v", err)
	}
	if _, err := w.Start(t.Context(), admin.StepOptions{Accept: []string{"target_idle_timeout"}}); err != nil {
		t.Fatal(err)
	}
	w.synced()
}

func TestStartGoesOnWithWarnings(t *testing.T) {
	for name, accept := range map[string][]config.CheckName{"": nil, "target_idle_timeout": {"target_idle_timeout"}} {
		w := newWorld(t, redisd.Options{}, redisd.Options{Args: []string{"--timeout", "300"}}, func(c *config.Config) {
			c.Precheck.Accept = accept
			if name != "" {
				c.Precheck.Warnings = "refuse"
			}
		})
		w.run()
		w.synced()
		if said := strings.Contains(w.log.String(), "the precheck warns"); said != (name == "") {
			t.Errorf("accepted %q: said so: %t", name, said)
		}
		if err := w.stop(); err != nil {
			t.Error(err)
		}
	}
}

// The windows of the day and the limits in each are part of the estimate.
func TestPaceOfTheBackfill(t *testing.T) {
	b := config.Default().Backfill
	if p := paceOf(b); p.Window != nil || p.KeysPerS != 0 || p.BytesPerS != 0 {
		t.Errorf("by default %+v", p)
	}
	b.MaxKeysPerS, b.MaxBytesPerS, b.TimeZone = 7, 1<<20, "Europe/Berlin"
	b.Windows = []config.Window{{From: "22:00", To: "06:00", MaxKeysPerS: 5, MaxBytesPerS: 1 << 10}}
	p := paceOf(b)
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	open, _, _, until := p.Window(noon)
	if p.KeysPerS != 7 || p.BytesPerS != 1<<20 || open || !until.Equal(noon.Add(9*time.Hour)) { // 22:00 there
		t.Errorf("%+v, %v until %v", p, open, until)
	}
	if open, keys, bytes, until := p.Window(until); !open || keys != 5 || bytes != 1<<10 || !until.Equal(noon.Add(17*time.Hour)) {
		t.Errorf("%v, %d keys and %d bytes until %v", open, keys, bytes, until)
	}
}
