package test

import (
	"testing"
	"time"

	"tandem/test/program"
	"tandem/test/wire"
)

// Ten cutovers and rollbacks in a row under full load: no client sees an error, and none loses or doubles a
// write that was acknowledged: each knows its own keys exactly. The pauses that clients saw are printed.
func TestCutoverAndRollbackTenInARowUnderLoad(t *testing.T) {
	w := newWorld(t, worldOptions{keys: sized(200_000), largeBytes: 1 << 20, clients: 32})
	w.startLoad(nil)
	w.td.Step("start")
	w.td.WaitSynced()
	var worst, all time.Duration
	undone, switches := 0, 0
	for round := range 10 {
		name, phase, primary := "cutover", "reversed", "target"
		if round%2 == 1 {
			name, phase, primary = "rollback", "synced", "source"
		}
		w.td.WaitStatus("ready to switch", 60*time.Second, func(s program.Status) bool {
			return s.Phase != "backfill" && (s.ReadyToCutover || s.Phase == "reversed")
		})
		w.load.Pauses()
		undone += w.td.SwitchOver(name)
		w.commands(2000) // served by the other side
		p := w.load.Pauses()
		s := w.td.Status()
		if s.Phase != phase || s.Primary != primary {
			t.Fatalf("after %s: phase %s, primary %s, want %s and %s", name, s.Phase, s.Primary, phase, primary)
		}
		held := 0.0
		if s.Cutover.LastPauseMs != nil {
			held = *s.Cutover.LastPauseMs
		}
		t.Logf("%-8s held %6.1f ms; longest wait of a client %6.1f ms, nobody answered for %6.1f ms", name, held,
			float64(p.Slowest.Microseconds())/1000, float64(p.Silence.Microseconds())/1000)
		worst, all = max(worst, p.Silence), all+p.Silence
		switches++
		w.mustBeFine()
	}
	t.Logf("longest pause %v, mean %v, of %d switches; %d attempts were undone first", worst.Round(time.Millisecond/10),
		(all / time.Duration(switches)).Round(time.Millisecond/10), switches, undone)
	w.stopLoad()
	w.mustBeEqual()
	w.mustBeTruthful()
	w.td.MustMatch()
	w.td.MustVerify()
	w.checkMemory()
}

// In reversed the target answers, and the source is kept equal: what is written through the proxy is on both.
func TestAfterACutoverTheTargetAnswersAndTheSourceFollows(t *testing.T) {
	w := newWorld(t, worldOptions{keys: 2000})
	w.td.Step("start")
	w.td.WaitSynced()
	w.td.SwitchOver("cutover")
	do(t, w.td.Addr, "SET", "after", "cutover")
	if got := do(t, w.target.Addr, "GET", "after").Str; got != "cutover" {
		t.Errorf("the target has %q right after the reply", got)
	}
	w.mustBeEqual()
	if got := do(t, w.source.Addr, "GET", "after").Str; got != "cutover" {
		t.Errorf("the source has %q", got)
	}
	// The primary of the phase really is the one that answers.
	do(t, w.target.Addr, "SET", "only", "target")
	if got := do(t, w.td.Addr, "GET", "only").Str; got != "target" {
		t.Errorf("the proxy answers %q, the target has another value", got)
	}
	w.td.SwitchOver("rollback")
	do(t, w.source.Addr, "SET", "only", "source")
	if got := do(t, w.td.Addr, "GET", "only").Str; got != "source" {
		t.Errorf("after the rollback the proxy answers %q, the source has another value", got)
	}
}

// A cutover repeated, and a rollback repeated, are done already: 200 and no second switch.
func TestRepeatingACompletedStepIsDone(t *testing.T) {
	w := newWorld(t, worldOptions{keys: 1000})
	w.td.Step("start")
	w.td.WaitSynced()
	for _, name := range []string{"cutover", "cutover", "rollback", "rollback", "cutover", "finish", "finish"} {
		if code, answer := w.td.Ask(name); code != 200 {
			t.Fatalf("%s: %d %s", name, code, answer)
		}
	}
	if s := w.td.Status(); s.Phase != "finished" {
		t.Errorf("phase %s, want finished", s.Phase)
	}
}

// An idle connection, one with a transaction open, and one in another database go on across a switch.
func TestSessionsGoOnAcrossASwitch(t *testing.T) {
	w := newWorld(t, worldOptions{keys: 1000})
	w.td.Step("start")
	w.td.WaitSynced()
	open := func() *wire.Conn {
		c, err := wire.Dial(w.td.Addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	idle, elsewhere := open(), open()
	must := func(c *wire.Conn, want string, args ...string) {
		t.Helper()
		reply, err := c.Do(args...)
		if err != nil || reply.String() != want {
			t.Fatalf("%q: %s %v, want %s", args, reply, err, want)
		}
	}
	must(idle, "+PONG", "PING")
	must(idle, "+OK", "CLIENT", "SETNAME", "idle-one")
	must(elsewhere, "+OK", "SELECT", "5")
	must(elsewhere, "+OK", "SET", "here", "5")
	w.td.SwitchOver("cutover")
	must(elsewhere, `"5"`, "GET", "here")
	must(elsewhere, "1", "INCR", "counted")
	must(idle, `"idle-one"`, "CLIENT", "GETNAME")
	must(idle, "nil", "GET", "here")

	// A transaction that is open while the switch is asked for either ends before it or runs after it, whole.
	must(idle, "+OK", "MULTI")
	must(idle, "+QUEUED", "INCR", "in:multi")
	switched := make(chan int, 1)
	go func() {
		code, _ := w.td.Ask("rollback")
		switched <- code
	}()
	must(idle, "+QUEUED", "INCR", "in:multi")
	must(idle, "[1 2]", "EXEC")
	if code := <-switched; code != 200 {
		t.Errorf("rollback beside an open transaction: %d", code)
	}
	must(idle, `"2"`, "GET", "in:multi")
	must(elsewhere, `"1"`, "GET", "counted")
	w.mustBeEqual()
}
