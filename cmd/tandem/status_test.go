package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"tandem/internal/status"
)

// running is a migration in the middle of its backfill.
func running() status.Status {
	s := status.New()
	s.Phase, s.UptimeS, s.Sessions = status.Backfill, 200, 1234
	s.Blockers = []status.Blocker{{Code: "backfill_running", Message: "477,000 keys are still to copy", Remedy: "wait for the phase synced"}}
	s.Backfill = status.BackfillStatus{State: status.Running, KeysTotal: status.Known[int64](1000000), KeysScanned: 523000, KeysCopied: 500000,
		BytesCopied: 3 << 20, KeysPerS: status.Known(81234.0), Percent: status.Known(52.3), EtaS: status.Known[int64](6)}
	s.DirtyKeys, s.UnsettledWrites, s.LagMs, s.LagBytes = 102, 4, status.Known(3.25), 12345
	s.Effects = status.EffectsStatus{Forwarded: 7654321, Mismatched: 1, Dropped: 2}
	s.Source = status.InstanceStatus{Connected: true, Version: "7.0.15", ClockOffsetMs: status.Known(-0.25)}
	return s
}

func TestStatusForPeople(t *testing.T) {
	var out bytes.Buffer
	if err := writeStatus(&out, running()); err != nil {
		t.Fatal(err)
	}
	want := `phase     backfill: the source answers, the target is being filled
          up 3 min 20 s, 1,234 sessions

backfill  [###############---------------]  52.3 %  running
          523,000 of 1,000,000 keys scanned, 500,000 copied, 3.00 MiB
          81,234 keys/s, 6.0 s left
lag       3.25 ms, 12.1 KiB
          102 dirty keys, 4 unsettled writes
effects   7,654,321 forwarded, 1 mismatched, 2 dropped
copies    0 done, 0 raced, 0 failed
verify    none since tandem has started
cutover   none since tandem has started
tracking  nobody is seen to write past tandem

source    connected, version 7.0.15, clock -0.3 ms
target    not connected

blockers
  backfill_running  477,000 keys are still to copy
                    -> wait for the phase synced
next      wait for the phase synced: tandem status --watch
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestStatusSaysWhatIsNext(t *testing.T) {
	for want, change := range map[string]func(*status.Status){
		"next      tandem start\n":                        func(s *status.Status) {},
		"next      tandem resume\n":                       func(s *status.Status) { s.Phase, s.Backfill.State = status.Backfill, status.Paused },
		"next      tandem verify, then tandem cutover\n":  func(s *status.Status) { s.Phase, s.ReadyToCutover = status.Synced, true },
		"next      remove what blocks the cutover\n":      func(s *status.Status) { s.Phase = status.Synced },
		"next      tandem verify; then tandem finish, or": func(s *status.Status) { s.Phase = status.Reversed },
		"next      point the application at":              func(s *status.Status) { s.Phase = status.Finished },
		"verify    done: 10 keys compared, 2 different, finished 20": func(s *status.Status) {
			s.Verify = status.VerifyStatus{State: status.Done, Compared: 10, Different: 2, FinishedAt: status.Known[int64](1767312000000)}
		},
		"verify    running: 10 keys compared, 0 different\n": func(s *status.Status) {
			s.Verify = status.VerifyStatus{State: status.Running, Compared: 10, FinishedAt: status.Known[int64](1)}
		},
		", clients waited 23.4 ms\n": func(s *status.Status) {
			s.Cutover = status.CutoverStatus{At: status.Known[int64](1767312000000), LastPauseMs: status.Known(23.4)}
		},
		"tracking  running: 3 writes bypassed tandem\n": func(s *status.Status) {
			s.Tracking = status.TrackingStatus{State: status.Running, ForeignWrites: status.Known[int64](3)}
		},
		"9 keys were on the target before: 4 overwritten, 3 skipped, 2 removed; 1 still kept; listed in /var/lib/list\n": func(s *status.Status) {
			s.Duplicates = status.DuplicatesStatus{Found: 9, Overwritten: 4, Skipped: 3, Removed: 2, Kept: 1, List: "/var/lib/list"}
		},
		"verify    done: 10 keys compared, 0 different, 3 kept keys left out\n": func(s *status.Status) {
			s.Verify = status.VerifyStatus{State: status.Done, Compared: 10, Kept: 3}
		},
		"5 keys were on the target before: 4 overwritten, 1 skipped\n":      func(s *status.Status) { s.Duplicates = status.DuplicatesStatus{Found: 5, Overwritten: 4, Skipped: 1} },
		"backfill  running\n          0 of unknown keys scanned, 0 copied,": func(s *status.Status) { s.Backfill.State = status.Running },
		"connected, version 7, clock +0.0 ms\n": func(s *status.Status) {
			s.Target = status.InstanceStatus{Connected: true, Version: "7", ClockOffsetMs: status.Known(-0.01)}
		},
		"unknown keys/s, unknown left\n": func(s *status.Status) { s.Backfill.State = status.Running },
	} {
		s := status.New()
		change(&s)
		var out bytes.Buffer
		if err := writeStatus(&out, s); err != nil {
			t.Fatal(err)
		}
		expectParts(t, "status", out.String(), want)
	}
}

// A client's name may hold what a terminal obeys.
func TestStatusObeysNobody(t *testing.T) {
	s := running()
	s.Blockers[0].Message, s.Blockers[0].Remedy, s.Duplicates = "by \x1b[2Jclient\n\x07", "a\rb", status.DuplicatesStatus{Found: 1, List: "\x1b]0;x"}
	var out bytes.Buffer
	if err := writeStatus(&out, s); err != nil || strings.ContainsAny(out.String(), "\x1b\x07\r") {
		t.Errorf("%q, %v", out.String(), err)
	}
	expectParts(t, "status", out.String(), "  backfill_running  by ?[2Jclient ?\n")
}

func TestStatusJSONIsWhatTheServerSays(t *testing.T) {
	m := &fakeMigration{status: running()}
	code, stdout, _ := tandem(t, nil, "status", "--json", "--admin", serveAdmin(t, m, ""))
	var got status.Status
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != exitDone || !reflect.DeepEqual(got, m.status) {
		t.Errorf("%d %v\n%s", code, err, stdout)
	}
	if strings.Count(stdout, "\n") != 1 {
		t.Errorf("not one line: %q", stdout)
	}
}

func TestWatchShowsChangesUntilInterrupted(t *testing.T) {
	m := &fakeMigration{status: running()}
	cmd := command(t, nil, "status", "--watch", "--json", "--admin", serveAdmin(t, m, ""))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for _, phase := range []string{status.Backfill, status.Synced} {
		var s status.Status
		for s.Phase != phase {
			if !lines.Scan() {
				t.Fatalf("ended before the phase %s", phase)
			}
			if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
				t.Fatal(err)
			}
		}
		m.mu.Lock()
		m.status.Phase = status.Synced
		m.mu.Unlock()
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("interrupting a watch is its normal end, but: %v", err)
	}
}
