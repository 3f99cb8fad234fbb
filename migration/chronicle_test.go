package migration

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/hook"
	"tandem/internal/journal"
	"tandem/internal/redisd"
	"tandem/internal/report"
	"tandem/internal/status"
)

// noted waits for an event and returns it.
func (w *world) noted(kind journal.Kind, name, state string) journal.Event {
	w.t.Helper()
	var found journal.Event
	w.until(fmt.Sprintf("event %s %s %s", kind, name, state), func(status.Status) bool {
		for _, e := range w.Events(0, 0) {
			if e.Is(kind, name) && e.State == state {
				found = e
				return true
			}
		}
		return false
	})
	return found
}

// told are events as "kind name state", those of one kind if it is given.
func told(events []journal.Event, kind journal.Kind) []string {
	var list []string
	for _, e := range events {
		if kind == "" || e.Kind == kind {
			list = append(list, strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Kind, e.Name, e.State)))
		}
	}
	return list
}

// A whole migration, with an outage in it, is in the journal, in the report, and was told to a hook.
func TestAMigrationIsChronicled(t *testing.T) {
	var mu sync.Mutex
	var heard []journal.Event
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m hook.Message
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		heard = append(heard, m.Event)
	}))
	defer receiver.Close()
	w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) {
		c.Start = "manual"
		c.Hooks = []config.Hook{{On: []string{"phase", "fault", "process"}, URL: config.Secret(receiver.URL), Timeout: 5 * time.Second}}
	})
	r := w.relay(w.target)
	w.observeEvery = 20 * time.Millisecond
	w.fill(w.source.Addr, 100, 0, 3)
	w.run()
	w.noted(journal.Phase, "passthrough", "")
	if _, err := w.Cutover(t.Context(), admin.StepOptions{}); err == nil {
		t.Fatal("a cutover before the start")
	}
	if e := w.noted(journal.Step, "cutover", journal.Refused); !strings.Contains(e.Message, "not_started") {
		t.Errorf("refused: %+v", e)
	}
	if _, err := w.Start(t.Context(), admin.StepOptions{}); err != nil {
		t.Fatal(err)
	}
	w.synced()
	if e := w.noted(journal.Sweep, "all", journal.Done); e.Numbers["keys"] < 200 || e.Numbers["copied"] < 200 {
		t.Errorf("the sweep: %+v", e)
	}
	w.noted(journal.Phase, "synced", "")

	// An outage of the target, in which clients write.
	r.Lead("127.0.0.1:1")
	r.Cut()
	if e := w.noted(journal.Fault, "secondary_down", journal.Begins); e.Instance != "target" || e.Message == "" {
		t.Errorf("the outage: %+v", e)
	}
	c := w.conn("", 0)
	for i := range 50 {
		w.do(c, "SET", fmt.Sprint("during:", i), "x")
	}
	r.Lead(w.target.Addr)
	if e := w.noted(journal.Fault, "secondary_down", journal.Ends); e.Numbers["lasted_ms"] <= 0 {
		t.Errorf("the end of the outage: %+v", e)
	}
	w.synced()
	if err := w.step(w.Cutover); err != nil {
		t.Fatal(err)
	}
	w.noted(journal.Phase, "reversed", "")
	if e := w.noted(journal.Step, "cutover", journal.Done); e.Numbers["pause_ms"] <= 0 {
		t.Errorf("the cutover: %+v", e)
	}
	if err := w.step(w.Finish); err != nil {
		t.Fatal(err)
	}
	w.noted(journal.Phase, "finished", "")
	w.logged("report written")
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}

	events := w.Events(0, 0)
	var phases []string
	for _, e := range told(events, journal.Phase) {
		if len(phases) == 0 || phases[len(phases)-1] != e {
			phases = append(phases, e)
		}
	}
	// The outage may or may not have been long enough for a sweep.
	phases = slices.DeleteFunc(phases, func(p string) bool { return p == "phase backfill" })
	if got := strings.Join(slices.Compact(phases), ", "); got != "phase passthrough, phase synced, phase reversed, phase finished" {
		t.Errorf("phases: %s", got)
	}
	if got := told(events, journal.Process); !slices.Equal(got, []string{"process tandem begins", "process tandem ends"}) {
		t.Errorf("processes: %q", got)
	}
	mu.Lock()
	want := slices.DeleteFunc(events, func(e journal.Event) bool {
		return e.Kind != journal.Phase && e.Kind != journal.Fault && e.Kind != journal.Process
	})
	if !slices.Equal(told(heard, ""), told(want, "")) {
		t.Errorf("the hook was told\n%s\nof\n%s", strings.Join(told(heard, ""), "\n"), strings.Join(told(want, ""), "\n"))
	}
	mu.Unlock()

	data, err := os.ReadFile(filepath.Join(w.cfg.StateDir, reportJSON))
	var rep report.Report
	if err != nil || json.Unmarshal(data, &rep) != nil {
		t.Fatalf("%v: %s", err, data)
	}
	i := slices.IndexFunc(rep.Faults, func(f report.Fault) bool { return f.Name == "secondary_down" })
	if i < 0 || rep.Faults[i].LastedMs <= 0 {
		t.Errorf("faults %+v", rep.Faults)
	}
	if ms, known := rep.LongestPauseMs.Get(); !known || ms <= 0 || rep.Phase != "finished" || rep.Total.KeysCopied < 250 || rep.Total.CopiedBytes == 0 {
		t.Errorf("report: %s", data)
	}
	if page, err := os.ReadFile(filepath.Join(w.cfg.StateDir, reportPage)); err != nil || !strings.Contains(string(page), w.source.Addr) {
		t.Errorf("page: %v, %.200s", err, page)
	}
}

// step takes a step that must succeed, though a server may be slow once.
func (w *world) step(f func(context.Context, admin.StepOptions) (admin.Result, error)) error {
	w.t.Helper()
	var err error
	for range 3 {
		if _, err = f(w.t.Context(), admin.StepOptions{}); err == nil {
			return nil
		}
	}
	return err
}

// What one process has counted and noted, the next one adds to; one that ends without a word is noticed.
func TestTheChronicleGoesOnInTheNextProcess(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, nil)
	w.observeEvery = 10 * time.Millisecond
	w.fill(w.source.Addr, 100, 0)
	w.run()
	w.synced()
	w.noted(journal.Phase, "synced", "")
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	before := w.Report()
	if err := os.WriteFile(filepath.Join(w.cfg.StateDir, "journal.jsonl"), cutLastLine(t, w.cfg.StateDir), 0o600); err != nil {
		t.Fatal(err) // as if it had been killed before it said that it ends
	}
	w.run()
	w.synced()
	w.noted(journal.Process, "tandem", journal.Begins)
	c := w.conn("", 0)
	for i := range 50 {
		w.do(c, "SET", fmt.Sprint("more:", i), "x")
	}
	w.until("effects counted", func(status.Status) bool {
		t := w.Report().Total
		return t.EffectsForwarded+t.EffectsDropped >= 50 // its lane may not have been there at once
	})
	r := w.Report()
	if r.Processes != (report.Processes{Starts: 2, Crashes: 1}) || r.Total.KeysCopied < before.Total.KeysCopied || before.Total.KeysCopied < 100 {
		t.Errorf("processes %+v, copied %d and %d before", r.Processes, r.Total.KeysCopied, before.Total.KeysCopied)
	}
	if n := len(told(w.Events(0, 0), journal.Phase)); n != len(told(w.Events(0, 0), journal.Phase)) || r.Phase != status.Synced {
		t.Errorf("phases %q", told(w.Events(0, 0), journal.Phase))
	}
	for _, p := range r.Phases {
		if p.Name == status.Synced && p.Times != 1 {
			t.Errorf("synced was entered %d times", p.Times)
		}
	}
}

func cutLastLine(t *testing.T, dir string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "journal.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(string(data), "\n"), "\n")
	if last := lines[len(lines)-1]; !strings.Contains(last, `"state":"ends"`) {
		t.Fatalf("the last line is %s", last)
	}
	return []byte(strings.Join(lines[:len(lines)-1], ""))
}

// A secondary that does not answer is an alarm once it is far enough behind, and its end is told too.
func TestTheLagIsAnAlarm(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) { c.Alarms.Lag = 100 * time.Millisecond })
	w.observeEvery = 10 * time.Millisecond
	w.fill(w.source.Addr, 10, 0)
	w.run()
	w.synced()
	if err := w.target.Pause(); err != nil {
		t.Fatal(err)
	}
	w.do(w.conn("", 0), "SET", "key:1", "x")
	if e := w.noted(journal.Lag, "lag", journal.Begins); e.Instance != "target" || e.Numbers["lag_ms"] < 100 {
		t.Errorf("%+v", e)
	}
	if err := w.target.Continue(); err != nil {
		t.Fatal(err)
	}
	if e := w.noted(journal.Lag, "lag", journal.Ends); e.Numbers["lasted_ms"] <= 0 {
		t.Errorf("%+v", e)
	}
}

// With shadow reads a difference is found by who reads it, mended, and told.
func TestShadowReadsMendWhatTheyFind(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) { c.Verify.ShadowReads = 1 })
	w.observeEvery = 10 * time.Millisecond
	w.fill(w.source.Addr, 20, 0, 3)
	w.run()
	w.synced()
	c, target := w.conn("", 3), w.conn(w.target.Addr, 3)
	for i := range 20 {
		w.do(c, "GET", fmt.Sprint("key:", i))
	}
	w.until("reads compared", func(s status.Status) bool { return s.Shadow.Compared == 20 && s.Shadow.Different == 0 })
	w.do(target, "SET", "key:7", "damaged")
	if got := w.do(c, "GET", "key:7"); got != "value 3 7" {
		t.Errorf("the client read %q", got)
	}
	w.until("the difference", func(s status.Status) bool { return s.Shadow.Different == 1 })
	if e := w.noted(journal.Difference, "shadow", ""); !strings.Contains(e.Message, `GET of key "key:7" in db 3`) {
		t.Errorf("%+v", e)
	}
	w.synced()
	w.same(0, 3)
	w.until("the difference in the report", func(status.Status) bool { return w.Report().Total.ShadowDifferences == 1 })
}
