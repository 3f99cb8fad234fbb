package test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tandem/test/load"
	"tandem/test/program"
)

// Ctrl-C at any moment: what was answered is on both sides or will be, the exit status is 0, and the next start
// goes on in the same phase. Clients that connect again miss nothing that they were answered.
func TestInterruptAtAnyMomentDrainsAndARestartResumes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{keys: sized(200_000), largeBytes: 1 << 20, clients: 8,
		settings: throttled(true, sized(200_000))})
	w.startLoad(func(c *load.Config) { c.Reconnect = true })
	r := rand.New(rand.NewPCG(seed, 1))

	// again interrupts and starts again. From its first answer on tandem must say that it is in one of the
	// phases: one moment of "synced" in the middle of a backfill is enough for somebody to cut over.
	again := func(moment string, phases ...string) {
		t.Helper()
		began := time.Now()
		if code := w.td.Signal(syscall.SIGINT); code != 0 {
			t.Fatalf("%s: exit status %d after SIGINT, want 0; end of the log:\n%s", moment, code, program.Last(w.td.Logged(), 2000))
		}
		drained := time.Since(began)
		seen := w.td.Start()
		t.Logf("%-20s drained in %5d ms, goes on in %s", moment, drained.Milliseconds(), strings.Join(seen, ", then "))
		for _, p := range seen {
			if !slices.Contains(phases, p) {
				t.Errorf("%s: the status said %s after the restart, want %s", moment, p, strings.Join(phases, " or "))
			}
		}
		w.commands(2000)
	}

	again("in passthrough", "passthrough")
	w.td.Step("start")
	for _, percent := range []float64{10, 30, 50} {
		w.td.WaitStatus("some of the backfill", program.SyncTime(), func(s program.Status) bool {
			return s.Backfill.Percent != nil && *s.Backfill.Percent >= percent
		})
		again("in backfill", "backfill")
		w.commands(int64(r.IntN(3000)))
	}
	w.td.WaitSynced()
	again("in synced", "synced", "backfill")
	w.td.WaitSynced()
	w.td.Step("verify")
	again("while verify runs", "synced", "backfill")
	w.td.WaitSynced()
	w.td.WaitStatus("ready to cut over", program.SyncTime(), func(s program.Status) bool { return s.ReadyToCutover })
	cut := make(chan struct{})
	go func() {
		defer close(cut)
		// Whether it comes before or after the end is what is left to chance: any answer is right.
		w.td.TryAsk("cutover")
	}()
	w.commands(int64(r.IntN(500)))
	again("during a cutover", "synced", "backfill", "reversed")
	<-cut
	if s := w.td.Status(); s.Phase != "reversed" {
		w.td.WaitSynced()
		w.td.WaitStatus("ready to cut over", program.SyncTime(), func(s program.Status) bool { return s.ReadyToCutover })
		w.td.SwitchOver("cutover")
	}
	w.commands(2000)
	again("in reversed", "reversed")
	w.settledAgain("reversed")
	w.td.SwitchOver("rollback")
	w.commands(2000)
	again("after a rollback", "synced", "backfill")
	w.td.WaitSynced()
	w.stopLoad()
	w.mustBeEqual()
	w.mustBeTruthful()
	w.td.MustVerify()
	w.checkMemory()
}

// SIGTERM, as service managers send it, is the same as Ctrl-C.
func TestTerminateDrains(t *testing.T) {
	w := newWorld(t, worldOptions{keys: 1000, clients: 4})
	w.startLoad(func(c *load.Config) { c.Reconnect = true })
	w.td.Step("start")
	w.td.WaitSynced()
	if code := w.td.Signal(syscall.SIGTERM); code != 0 {
		t.Errorf("exit status %d after SIGTERM", code)
	}
	w.load.Stop()
}

// After finish the target alone is served: the source gets nothing any more and may be switched off, and a
// restart keeps it so.
func TestFinishServesTheTargetAlone(t *testing.T) {
	w := newWorld(t, worldOptions{keys: sized(20_000), clients: 8})
	w.startLoad(nil)
	w.td.Step("start")
	w.td.WaitSynced()
	if code, answer := w.td.Ask("finish"); code != 409 {
		t.Errorf("finish before the cutover: %d %s, want 409", code, answer)
	}
	w.td.SwitchOver("cutover")
	w.commands(2000)
	w.td.Step("finish")
	s := w.td.Status()
	if s.Phase != "finished" || s.Primary != "target" {
		t.Fatalf("phase %s, primary %s after finish", s.Phase, s.Primary)
	}
	do(t, w.td.Addr, "SET", "after", "finish")
	if got := do(t, w.target.Addr, "GET", "after").Str; got != "finish" {
		t.Errorf("the target has %q", got)
	}
	w.commands(5000)
	if got := do(t, w.source.Addr, "EXISTS", "after").Int; got != 0 {
		t.Error("the source still gets writes")
	}
	if code, answer := w.td.Ask("rollback"); code != 409 {
		t.Errorf("rollback after finish: %d %s, want 409", code, answer)
	}
	w.source.Kill()
	w.commands(5000)
	w.stopLoad()
	if code := w.td.Signal(syscall.SIGINT); code != 0 {
		t.Errorf("exit status %d without the source", code)
	}
	w.td.Start()
	if s := w.td.Status(); s.Phase != "finished" {
		t.Errorf("phase %s after the restart", s.Phase)
	}
	if got := do(t, w.td.Addr, "GET", "after").Str; got != "finish" {
		t.Errorf("after the restart, without the source, GET answers %q", got)
	}
	do(t, w.td.Addr, "SET", "after", "restart")
	if got := do(t, w.target.Addr, "GET", "after").Str; got != "restart" {
		t.Errorf("the target has %q", got)
	}
}
