package test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tandem/internal/report"
	"tandem/test/program"
)

// A process that is killed in the middle of a verify: the next one goes on with it, and the report knows of the crash, of
// what both have copied, and that the servers were seen to be equal.
func TestTheReportOutlivesAKill(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{keys: 4000, settings: []string{"verify: {max_keys_per_s: 20000}", "backfill: {scan_count: 100}"}})
	w.td.Step("start")
	w.td.WaitSynced()
	w.td.Until("the count of the backfill on disk", 30*time.Second, func() bool {
		tally, err := report.ReadTally(w.td.Dir)
		return err == nil && tally["backfill"].KeysCopied+tally["synced"].KeysCopied >= 3500 // some have expired
	})
	w.td.Step("verify")
	w.td.Step("verify/1/pause")
	w.td.Signal(syscall.SIGKILL)
	if _, err := os.Stat(filepath.Join(w.td.Dir, "verify-1.json")); err != nil {
		t.Fatalf("the verify was not under way: %v", err)
	}
	w.td.Start()
	w.td.WaitStatus("the verify of the process before", program.SyncTime(), func(s program.Status) bool {
		return s.Verify.State == "done" && s.Verify.Different == 0
	})
	if !strings.Contains(w.td.Logged(), "goes_on=true") {
		t.Error("the verify was begun anew")
	}
	in(t, w.target.Addr, 0, "SET plant:many v")
	if code, lines := w.td.Verify("--repair"); code != 4 || len(lines) != 1 {
		t.Errorf("exit status %d, %s", code, program.ShowDifferences(lines))
	}
	list, err := os.ReadFile(filepath.Join(w.td.Dir, "verify-2.jsonl"))
	if err != nil || strings.Count(string(list), "\n") != 1 || !strings.Contains(string(list), `"plant:many"`) {
		t.Errorf("the list: %v\n%s", err, list)
	}
	w.td.WaitSettled()
	w.td.MustVerify()
	w.td.SwitchOver("cutover")
	w.td.Step("finish")
	var r report.Report
	w.td.Until("the report of the end", 30*time.Second, func() bool {
		data, err := os.ReadFile(filepath.Join(w.td.Dir, "report.json"))
		return err == nil && json.Unmarshal(data, &r) == nil
	})
	if r.Processes != (report.Processes{Starts: 2, Crashes: 1}) || r.Verdict.Result != report.Equal || r.Total.KeysCopied < 3500 || r.Phase != "finished" {
		t.Errorf("%+v, %+v, %d copied, phase %s", r.Processes, r.Verdict, r.Total.KeysCopied, r.Phase)
	}
	if _, known := r.LongestPauseMs.Get(); !known || len(r.Verifies) < 3 || !slices.ContainsFunc(r.Steps, func(s report.Step) bool { return s.Name == "finish" }) {
		t.Errorf("steps %+v, verifies %+v", r.Steps, r.Verifies)
	}
	code, text, stderr := program.Command(t, nil, "report", "--admin", w.td.Admin)
	if code != 0 || !strings.Contains(text, "Both servers were compared and are equal.") || !strings.Contains(text, "2 starts, 1 crash\n") {
		t.Errorf("exit status %d: %s\n%s", code, stderr, text)
	}
	t.Logf("\n%s", text)
}
