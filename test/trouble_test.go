package test

import (
	"fmt"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/test/program"
)

// The secondary dies and comes back, empty or with its data, in each phase, under load. Clients see no error
// and no long wait, and both sides become equal.
func TestSecondaryKilledAndRestarted(t *testing.T) {
	t.Parallel()
	for _, phase := range []string{"backfill", "synced", "reversed"} {
		for _, keeps := range []bool{false, true} {
			name := map[bool]string{false: "empty", true: "with its data"}[keeps]
			t.Run(fmt.Sprintf("in %s, back %s", phase, name), func(t *testing.T) {
				w := newWorld(t, worldOptions{keys: sized(200_000), clients: 8, save: true,
					settings: throttled(phase == "backfill", sized(200_000))})
				w.startLoad(nil)
				secondary := w.reach(phase)
				w.load.Pauses()
				if !keeps && secondary == w.target {
					w.watcher.Reset() // it will be empty, and say so
				}
				secondary.Kill()
				w.commands(5000) // nobody notices
				if !keeps && secondary == w.target {
					w.watcher.Reset()
				}
				if err := secondary.Restart(keeps); err != nil {
					t.Fatal(err)
				}
				w.commands(5000)
				w.settledAgain(phase)
				p := w.load.Pauses()
				t.Logf("longest wait of a client from the kill to the end: %v", p.Slowest.Round(time.Millisecond))
				if p.Slowest > patience {
					t.Errorf("a client waited %v because the secondary was away", p.Slowest)
				}
				w.stopLoad()
				w.mustBeEqual()
				w.mustBeTruthful()
				w.checkMemory()
			})
		}
	}
}

// patience is the longest that trouble on the secondary may delay a client, on a machine of two cores that also
// runs everything else. Without trouble waits are two orders below.
const patience = 3 * time.Second

// throttled are the settings that make a backfill of n keys last some seconds, if wanted.
func throttled(wanted bool, n int) []string {
	if !wanted {
		return nil
	}
	return []string{"backfill:", fmt.Sprintf("  max_keys_per_s: %d", n/4)}
}

// reach brings the migration into a phase, in backfill to a quarter of it, and returns the secondary.
func (w *world) reach(phase string) *redisd.Server {
	w.t.Helper()
	w.td.Step("start")
	if phase == "backfill" {
		w.td.WaitStatus("a quarter of the backfill", program.SyncTime(), func(s program.Status) bool {
			return s.Phase == "backfill" && s.Backfill.Percent != nil && *s.Backfill.Percent > 25
		})
		return w.target
	}
	w.td.WaitSynced()
	if phase == "reversed" {
		w.td.SwitchOver("cutover")
		return w.source
	}
	return w.target
}

// settledAgain waits, under load, until the phase is what it was and no sweep is owed any more.
func (w *world) settledAgain(phase string) {
	w.t.Helper()
	if phase == "backfill" {
		phase = "synced"
	}
	w.td.WaitStatus("phase "+phase+" and no sweep running", program.SyncTime(), func(s program.Status) bool {
		w.mustBeFine()
		return s.Phase == phase && s.Backfill.State != "running" && s.Source.Connected && s.Target.Connected
	})
}

// A secondary that hangs (stopped, its connections open) for some seconds is dropped when too much waits for
// it, and caught up with when it is back. Clients notice nothing; memory stays bounded.
func TestSecondaryHangs(t *testing.T) {
	t.Parallel()
	for _, phase := range []string{"backfill", "synced", "reversed"} {
		t.Run("in "+phase, func(t *testing.T) {
			w := newWorld(t, worldOptions{keys: sized(200_000), clients: 8,
				settings: append(throttled(phase == "backfill", sized(200_000)), "max_lag_bytes: 1048576")})
			w.startLoad(nil)
			secondary := w.reach(phase)
			w.load.Pauses()
			if err := secondary.Pause(); err != nil {
				t.Fatal(err)
			}
			w.during(4 * time.Second)
			dropped := w.td.Status().Effects.Dropped
			if err := secondary.Continue(); err != nil {
				t.Fatal(err)
			}
			w.commands(5000)
			w.settledAgain(phase)
			p := w.load.Pauses()
			t.Logf("longest wait of a client: %v; %d effects dropped while it hung", p.Slowest.Round(time.Millisecond), dropped)
			if p.Slowest > patience {
				t.Errorf("a client waited %v because the secondary hung", p.Slowest)
			}
			w.stopLoad()
			w.mustBeEqual()
			w.mustBeTruthful()
			w.checkMemory()
		})
	}
}

// With the target away a cutover is refused, and says so; nothing changes.
func TestCutoverIsRefusedWhileTheTargetIsAway(t *testing.T) {
	w := newWorld(t, worldOptions{keys: 1000, save: true})
	w.td.Step("start")
	w.td.WaitSynced()
	w.target.Kill()
	w.td.WaitStatus("target seen as gone", 30*time.Second, func(s program.Status) bool { return !s.Target.Connected })
	if s := w.td.Status(); s.ReadyToCutover || len(s.Blockers) == 0 {
		t.Errorf("ready %v with blockers %v, want not ready and why", s.ReadyToCutover, s.Blockers)
	}
	if code, answer := w.td.Ask("cutover"); code != 409 {
		t.Errorf("cutover: %d %s, want 409", code, answer)
	}
	do(t, w.td.Addr, "SET", "still", "served")
	if err := w.target.Restart(true); err != nil {
		t.Fatal(err)
	}
	w.td.WaitStatus("ready again", program.SyncTime(), func(s program.Status) bool { return s.ReadyToCutover })
	w.mustBeEqual()
}
