package migration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/journal"
	"tandem/internal/redisd"
	"tandem/internal/report"
	"tandem/internal/status"
)

// endOf waits until a verify has ended and returns what it has found.
func (w *world) endOf(id string) (status.VerifySummary, []string) {
	w.t.Helper()
	var s status.VerifySummary
	var found []string
	w.until("the end of verify "+id, func(status.Status) bool {
		found = found[:0]
		var err error
		s, err = w.VerifyResults(w.t.Context(), id, 0, func(d status.Difference) error {
			found = append(found, fmt.Sprintf("%d %s %s", d.DB, d.Key, d.Kind))
			return nil
		})
		return err == nil && (s.State == status.Done || s.State == status.Failed)
	})
	slices.Sort(found)
	return s, found
}

func (w *world) startVerifying(o admin.VerifyOptions) string {
	w.t.Helper()
	id, err := w.Verify(w.t.Context(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// A verify that a restart interrupts goes on in the next process, under its id, with what it had found; also after kill -9,
// when the list holds what the point does not know of.
func TestAVerifyGoesOnAfterARestart(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) {
		c.Backfill.ScanCount = 50
		c.Verify.MaxKeysPerS = 500
	})
	w.observeEvery, w.saveVerifyEvery = 10*time.Millisecond, time.Nanosecond
	const keys = 1500
	w.fill(w.source.Addr, keys, 0)
	w.run()
	w.synced()
	target := w.conn(w.target.Addr, 0)
	for i := range 10 {
		w.do(target, "SET", fmt.Sprint("key:", i*100), "damaged")
	}
	id := w.startVerifying(admin.VerifyOptions{})
	point := filepath.Join(w.cfg.StateDir, "verify-"+id+".json")
	saved := func() (s savedVerify) {
		data, err := os.ReadFile(point)
		if err == nil {
			err = json.Unmarshal(data, &s)
		}
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	w.until("a point with differences", func(status.Status) bool { s := saved(); return s.Point != nil && s.Different > 1 })
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	was := saved()
	if was.Point.Scanned >= keys {
		t.Fatalf("it was too fast for this test: %+v", was)
	}
	// As after kill -9: more is listed than the point knows of, and a line is torn.
	list := filepath.Join(w.cfg.StateDir, "verify-"+id+".jsonl")
	f, err := os.OpenFile(list, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(`{"key":"twice","db":0,"kind":"value","detail":""}` + "\n" + `{"key":"to`)
	f.Close()

	w.cfg.Verify.MaxKeysPerS = 0
	w.run()
	s, found := w.endOf(id)
	if s.State != status.Done || s.Compared < keys || s.Compared > keys+keys/4 || s.Different != 10 || s.File != list {
		t.Errorf("%+v", s)
	}
	var want []string
	for i := range 10 {
		want = append(want, fmt.Sprint("0 key:", i*100, " value"))
	}
	slices.Sort(want)
	if !slices.Equal(found, want) {
		t.Errorf("found %q", found)
	}
	data, err := os.ReadFile(list)
	if err != nil || strings.Count(string(data), "\n") != 10 || strings.Contains(string(data), "twice") {
		t.Errorf("%v:\n%s", err, data)
	}
	w.until("the end of the point", func(status.Status) bool { _, err := os.Stat(point); return os.IsNotExist(err) })
	if next := w.startVerifying(admin.VerifyOptions{Mode: admin.VerifyKeys}); next <= id {
		t.Errorf("the next one has the id %s, after %s", next, id)
	}
	w.noted(journal.Difference, "verify", "")
	if r := w.Report(); r.Verdict.Result == report.Equal {
		t.Errorf("%+v", r.Verdict)
	}
}

// After a cutover a verify of an earlier process compares what is no more.
func TestAVerifyOfOtherRolesIsNotTakenUp(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, nil)
	w.observeEvery = 10 * time.Millisecond
	w.fill(w.source.Addr, 10, 0)
	w.run()
	w.synced()
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	v := verify{id: "4", opts: admin.VerifyOptions{Mode: admin.VerifyFull}, state: status.Running, primary: "target",
		files: verifyFiles{dir: w.cfg.StateDir, id: "4", log: w.Migration.log}}
	v.save(nil)
	w.run()
	w.noted(journal.Verify, admin.VerifyFull, journal.Failed)
	w.logged("a verify of an earlier process is given up")
	if _, err := os.Stat(filepath.Join(w.cfg.StateDir, "verify-4.json")); !os.IsNotExist(err) {
		t.Error("it would be given up again")
	}
}

// With verify.every verifies begin by themselves, one after the other, once the phase is synced, and a difference is an
// event.
func TestVerifiesBeginByThemselves(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) {
		c.Start, c.Verify.Every, c.Verify.Mode = "manual", 300*time.Millisecond, admin.VerifyFull
	})
	w.observeEvery = 10 * time.Millisecond
	w.fill(w.source.Addr, 10, 0)
	w.run()
	w.until("the time of the next", func(s status.Status) bool { next, known := s.Verify.NextAt.Get(); return known && next > 0 })
	w.until("that time to pass", func(s status.Status) bool { next, _ := s.Verify.NextAt.Get(); return time.Now().UnixMilli() > next+100 })
	if s := w.Status().Verify; s.State != status.Idle {
		t.Errorf("a verify in passthrough: %+v", s)
	}
	if _, err := w.Start(t.Context(), admin.StepOptions{}); err != nil {
		t.Fatal(err)
	}
	w.synced()
	w.until("a verify", func(s status.Status) bool { return s.Verify.State == status.Done && s.Verify.Different == 0 })
	w.do(w.conn(w.target.Addr, 0), "SET", "key:3", "damaged")
	if e := w.noted(journal.Difference, "verify", ""); e.Numbers["different"] != 1 || !strings.Contains(e.Message, ".jsonl") {
		t.Errorf("%+v", e)
	}
	w.do(w.conn("", 0), "SET", "key:3", "mended")
	w.until("another that finds nothing", func(s status.Status) bool { return s.Verify.State == status.Done && s.Verify.Different == 0 })
	if n := strings.Count(w.log.String(), "by=schedule"); n < 3 {
		t.Errorf("the log tells of %d", n)
	}
}

func TestAVerifyIsPausedAndCancelled(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) { c.Verify.MaxKeysPerS, c.Backfill.ScanCount = 200, 10 })
	w.fill(w.source.Addr, 500, 0)
	w.run()
	w.synced()
	lead := func(id string, step admin.VerifyStep) status.VerifySummary {
		t.Helper()
		s, err := w.LeadVerify(t.Context(), id, step)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	id := w.startVerifying(admin.VerifyOptions{})
	if s := lead(id, admin.PauseVerify); s.State != status.Paused || w.Status().Verify.State != status.Paused || w.Status().Verify.ID != id {
		t.Errorf("%+v, status %+v", s, w.Status().Verify)
	}
	if s := lead(id, admin.ResumeVerify); s.State != status.Running {
		t.Errorf("%+v", s)
	}
	lead(id, admin.CancelVerify)
	s, _ := w.endOf(id)
	if s.State != status.Failed || s.Error != errCancelled.Error() {
		t.Errorf("%+v", s)
	}
	w.until("the end of its point", func(status.Status) bool {
		_, err := os.Stat(filepath.Join(w.cfg.StateDir, "verify-"+id+".json"))
		return os.IsNotExist(err)
	})
	if s := lead(id, admin.PauseVerify); s.State != status.Failed {
		t.Errorf("one that has ended: %+v", s)
	}
	if _, err := w.LeadVerify(t.Context(), "99", admin.PauseVerify); err != admin.ErrUnknownVerify {
		t.Errorf("an unknown one: %v", err)
	}
}

// What verifies have come to is known after a restart, for the gates of a cutover.
func TestTheLastVerifyIsKnownAfterARestart(t *testing.T) {
	vs := verifies{count: 1}
	event := func(at int64, mode, state string, different float64) journal.Event {
		return journal.Event{Kind: journal.Verify, Name: mode, State: state, At: at, Numbers: map[string]float64{"different": different}}
	}
	vs.before(7, []journal.Event{event(1000, "full", journal.Done, 0), event(2000, "full", journal.Failed, 0), event(3000, "keys", journal.Done, 0),
		event(4000, "full", journal.Begins, 0)})
	equal, last := vs.last()
	if equal.UnixMilli() != 1000 || last == nil || last.finished.UnixMilli() != 3000 || last.count != 0 || vs.count != 7 {
		t.Errorf("equal %v, last %+v, count %d", equal, last, vs.count)
	}
	// What was found stands until a full one finds nothing, in an earlier process or in this one.
	vs.before(0, []journal.Event{event(5000, "full", journal.Done, 3), event(6000, "keys", journal.Done, 0), event(7000, "sample", journal.Done, 0)})
	if _, last = vs.last(); last.count != 3 {
		t.Errorf("last %+v", last)
	}
	ended := func(mode string) {
		vs.all = append(vs.all, &verify{opts: admin.VerifyOptions{Mode: mode}, state: status.Done, finished: time.UnixMilli(8000)})
	}
	ended(admin.VerifyKeys)
	ended(admin.VerifySample)
	if _, last = vs.last(); last.count != 3 || last.finished.UnixMilli() != 5000 {
		t.Errorf("last %+v", last)
	}
	ended(admin.VerifyFull)
	if equal, last = vs.last(); last.count != 0 || equal.UnixMilli() != 8000 {
		t.Errorf("equal %v, last %+v", equal, last)
	}
}

// A sample says how sure it is, in its summary, its event and the status; the other modes do not.
func TestASampleSaysHowSureItIsEverywhere(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) { c.Verify.SampleShare = 0.5 })
	w.fill(w.source.Addr, 400, 0)
	w.run()
	w.synced()
	s, _ := w.endOf(w.startVerifying(admin.VerifyOptions{Mode: admin.VerifySample}))
	share, known := s.AtMostDifferent.Get()
	// Of 100 to 300 keys none: 3 to 1 percent.
	if !known || share < 0.009 || share > 0.031 || s.Compared < 100 || s.Compared > 300 {
		t.Errorf("%+v", s)
	}
	if in, _ := w.Status().Verify.AtMostDifferent.Get(); in != share {
		t.Errorf("the status says %v", in)
	}
	if e := w.noted(journal.Verify, admin.VerifySample, journal.Done); e.Numbers["at_most_different"] != share || !strings.Contains(e.Message, "95 % confidence") {
		t.Errorf("%+v", e)
	}
	s, _ = w.endOf(w.startVerifying(admin.VerifyOptions{}))
	if _, known := s.AtMostDifferent.Get(); known {
		t.Errorf("a full verify: %+v", s)
	}
}

func TestOldListsArePruned(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"verify-1.jsonl", "verify-2.jsonl", "verify-10.jsonl", "verify-3.json", "verify-x.jsonl", "verify-0.jsonl", "state.json"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := pruneLists(dir, 2); err != nil {
		t.Fatal(err)
	}
	highest, interrupted, err := verifyFilesIn(dir)
	if highest != 10 || len(interrupted) != 0 || err != nil {
		t.Errorf("%d, %v, %v", highest, interrupted, err)
	}
	entries, _ := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	// 3.json cannot be read as a verify, and is gone.
	if got := strings.Join(names, " "); got != "state.json verify-0.jsonl verify-10.jsonl verify-2.jsonl verify-x.jsonl" {
		t.Errorf("left: %s", got)
	}
}
