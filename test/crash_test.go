package test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tandem/internal/crashpoint"
	"tandem/test/load"
	"tandem/test/program"
	"tandem/test/wire"
)

// crash is one way to die: at a point of the code that the process comes by for the nth time.
type crash struct {
	point crashpoint.Point
	n     int
}

// crashes are those of a run: in full each point a few times, early and in the middle of things; otherwise those that
// part what is known from what is sent, once.
func crashes() []crash {
	steps := []crashpoint.Point{crashpoint.RolesSaved, crashpoint.RolesSwapped,
		crashpoint.KeptListed, crashpoint.KeptReleased, crashpoint.KeptSynced}
	start := []crashpoint.Point{crashpoint.Folding, crashpoint.Resumed, crashpoint.SweepEnds, crashpoint.SweepEnded}
	var all []crash
	for _, p := range crashpoint.Points {
		switch {
		case slices.Contains(steps, p), p == crashpoint.CopyBuilt:
			continue // they have tests of their own
		case slices.Contains(start, p):
			all = append(all, crash{p, 1})
		case p == crashpoint.StateWritten || p == crashpoint.StateRenamed || p == crashpoint.BeforeTurn || p == crashpoint.Cleared ||
			p == crashpoint.CopyRead || p == crashpoint.CopyAppended:
			all = append(all, crash{p, 1})
			if program.Full && p != crashpoint.StateWritten && p != crashpoint.StateRenamed {
				all = append(all, crash{p, 2})
			}
		default:
			all = append(all, crash{p, 300})
			if program.Full {
				all = append(all, crash{p, 1}, crash{p, 5000})
			}
		}
	}
	if program.Full {
		return all
	}
	few := []crashpoint.Point{crashpoint.Marked, crashpoint.Sent, crashpoint.Judged, crashpoint.EffectSent, crashpoint.Acked,
		crashpoint.CopyAppended, crashpoint.Cleared, crashpoint.SweepEnds, crashpoint.Folding, crashpoint.StateWritten}
	return slices.DeleteFunc(all, func(c crash) bool { return !slices.Contains(few, c.point) })
}

// crashed waits until the process has killed itself.
func (w *world) crashed(c crash) {
	w.t.Helper()
	select {
	case <-w.td.Exited():
	case <-time.After(60 * time.Second):
		w.t.Fatalf("%s was not passed %d times", c.point, c.n)
	}
	if !w.td.Killed() {
		w.t.Fatalf("%s: the process has ended otherwise; end of its log:\n%s", c.point, program.Last(w.td.Logged(), 2000))
	}
}

// Killed at any point, under load, and started again: no manual step, nobody misses what he was answered, and both
// servers become equal. The process that is to die at a point is itself one that comes after a crash.
func TestKilledAtAnyPoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{keys: sized(20_000), clients: 6})
	w.startLoad(func(c *load.Config) { c.Reconnect = true })
	w.td.Step("start")
	w.td.WaitSynced()
	for _, c := range crashes() {
		began := time.Now()
		w.td.Signal(syscall.SIGKILL)
		w.td.LaunchCrashing(string(c.point), c.n)
		w.crashed(c)
		phases := w.td.Start()
		s := w.td.WaitSynced()
		if s.Backfill.State == "running" {
			t.Errorf("after %s: synced while a sweep runs: %s", c.point, s)
		}
		w.commands(300)
		w.td.MustVerify()
		t.Logf("%-14s %4d: %s, then synced after %v with %d keys copied", c.point, c.n, strings.Join(phases, ", "),
			time.Since(began).Round(time.Millisecond), s.Backfill.KeysCopied)
		if t.Failed() {
			return
		}
	}
	w.stopLoad()
	w.mustBeEqual()
	w.mustBeTruthful()
}

// Killed around the moment in which the roles change: the next process has the one or the other, whole.
func TestKilledDuringACutover(t *testing.T) {
	w := newWorld(t, worldOptions{keys: sized(20_000), clients: 6})
	w.startLoad(func(c *load.Config) { c.Reconnect = true })
	w.td.Step("start")
	w.td.WaitSynced()
	moments := []crash{{crashpoint.RolesSaved, 1}, {crashpoint.RolesSwapped, 1}}
	if !program.Full {
		moments = moments[seed%2:][:1]
	}
	for _, c := range moments {
		w.td.Signal(syscall.SIGKILL)
		w.td.LaunchCrashing(string(c.point), c.n)
		began := time.Now()
		for asked := false; w.td.Running(); {
			s, err := w.td.TryStatus()
			if asked = asked || err == nil && s.ReadyToCutover; asked {
				_, _, _ = w.td.TryAsk("cutover") // undone, or the end of the process
			}
			if time.Since(began) > 60*time.Second {
				t.Fatalf("there was no cutover to die in: %s", s)
			}
		}
		w.crashed(c)
		if s := strings.Join(w.td.Start(), ", "); s != "reversed" {
			t.Errorf("killed at %s, it went on in %s", c.point, s)
		}
		w.commands(300)
		w.td.WaitStatus("the sweep is done", program.SyncTime(), func(s program.Status) bool { return s.Backfill.State != "running" })
		w.td.MustVerify()
		w.td.WaitStatus("nothing in the way", program.SyncTime(), func(s program.Status) bool { return len(s.Blockers) == 0 })
		w.td.SwitchOver("rollback")
		w.commands(300)
	}
	w.stopLoad()
	w.mustBeEqual()
	w.mustBeTruthful()
}

// What did not change is not copied again: after kill -9 the keys of marked stripes are, after a drain none.
func TestARestartCopiesOnlyWhatChanged(t *testing.T) {
	keys := sized(200_000)
	w := newWorld(t, worldOptions{keys: keys})
	w.td.Step("start")
	w.td.WaitSynced()
	conn, err := wire.Dial(w.td.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const written = 200
	for i := range written {
		for _, args := range [][]string{{"SET", fmt.Sprint("changed:", i), "1"}, {"INCR", fmt.Sprint("changed:", i)}} {
			if r, err := conn.Do(args...); err != nil || r.IsErr() {
				t.Fatalf("%q: %v %s", args, err, r)
			}
		}
	}
	w.td.Signal(syscall.SIGKILL)
	before := len(w.td.Logged())
	w.td.Start()
	w.td.WaitSynced()
	w.td.Until("the end of the sweep is in the log", program.SyncTime(), func() bool {
		return strings.Contains(w.td.Logged()[before:], "sweep done")
	})
	copied := logged(t, w.td.Logged()[before:], "sweep done", "copied")
	marked := logged(t, w.td.Logged()[before:], "resuming: keys in marked stripes are copied", "marked_stripes")
	t.Logf("%d keys, %d of them written in the last moments: %d stripes marked, %d keys copied", keys, written, marked, copied)
	if copied > 2*written || marked > 2*written || marked == 0 {
		t.Errorf("%d stripes were marked, %d keys copied", marked, copied)
	}
	w.mustBeEqual()

	if code := w.td.Signal(syscall.SIGTERM); code != 0 {
		t.Fatalf("exit status %d after SIGTERM", code)
	}
	before = len(w.td.Logged())
	w.td.Start()
	w.td.WaitSettled()
	if log := w.td.Logged()[before:]; strings.Contains(log, "sweep begins") || !strings.Contains(log, "nothing was left unsettled") {
		t.Errorf("after a drain:\n%s", log)
	}
	w.mustBeEqual()
}

// logged is a number in the first line of a log with a message.
func logged(t *testing.T, log, message, attribute string) int {
	t.Helper()
	for line := range strings.Lines(log) {
		if !strings.Contains(line, `msg="`+message+`"`) {
			continue
		}
		_, value, _ := strings.Cut(line, " "+attribute+"=")
		value, _, _ = strings.Cut(strings.TrimSpace(value), " ")
		if n, err := strconv.Atoi(value); err == nil {
			return n
		}
	}
	t.Fatalf("no %s of %q in the log:\n%s", attribute, message, log)
	return 0
}

// A backfill that is killed goes on at its checkpoint, while a client writes.
func TestAKilledBackfillGoesOn(t *testing.T) {
	t.Parallel()
	keys := sized(120_000)
	w := newWorld(t, worldOptions{keys: keys,
		settings: []string{"backfill:", fmt.Sprintf("  max_keys_per_s: %d", keys/8), "  scan_count: 100"}})
	w.td.Step("start")
	stopWriting := w.write()
	defer stopWriting()
	w.td.Until("a checkpoint on disk", program.SyncTime(), func() bool {
		var s struct{ Checkpoint struct{ Scanned int } }
		b, err := os.ReadFile(filepath.Join(w.td.Dir, "state.json"))
		if err == nil {
			err = json.Unmarshal(b, &s)
		}
		if err != nil {
			t.Fatal(err)
		}
		return s.Checkpoint.Scanned > 0
	})
	w.td.Signal(syscall.SIGKILL)
	before := len(w.td.Logged())
	if phases := strings.Join(w.td.Start(), ", "); phases != "backfill" {
		t.Errorf("it went on in %s", phases)
	}
	s := w.td.WaitSynced()
	log := w.td.Logged()[before:]
	from := logged(t, log, "the sweep goes on where it was", "scanned")
	t.Logf("%d keys: it went on at %d, and copied %d", keys, from, s.Backfill.KeysCopied)
	if from < keys/4 || s.Backfill.KeysCopied > int64(keys-from+keys/4) {
		t.Errorf("it went on at %d of %d keys, and copied %d", from, keys, s.Backfill.KeysCopied)
	}
	w.td.MustVerify()
	stopWriting()
	w.mustBeEqual()
}

// write has one client write a few keys, all the time and whatever becomes of its connection, until it is stopped.
func (w *world) write() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() {
		pace := time.NewTicker(time.Millisecond)
		defer pace.Stop()
		var conn *wire.Conn
		for i := 0; ctx.Err() == nil; i++ {
			<-pace.C
			if conn == nil {
				if conn, _ = wire.Dial(w.td.Addr); conn == nil {
					continue
				}
			}
			if _, err := conn.Do("INCR", fmt.Sprint("counter:", i%200)); err != nil {
				conn.Close()
				conn = nil
			}
		}
		if conn != nil {
			conn.Close()
		}
	})
	return func() {
		cancel()
		work.Wait()
	}
}
