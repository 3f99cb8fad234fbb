package main

import (
	"strings"
	"testing"

	"tandem/internal/admin"
	"tandem/internal/status"
)

func TestWhatIsWaitedFor(t *testing.T) {
	s := func(change func(*status.Status)) status.Status {
		s := status.New()
		change(&s)
		return s
	}
	planned := func(s *status.Status) { s.Phase, s.Cutover.PlannedAt = status.Synced, status.Known[int64](1) }
	for name, c := range map[string]struct {
		reached func(status.Status) (bool, error)
		seen    []status.Status
		done    bool
		err     string
	}{
		"a copy": {untilSynced, []status.Status{s(func(s *status.Status) { s.Phase, s.Backfill.State = status.Backfill, status.Running })}, false, ""},
		"paused": {untilSynced, []status.Status{s(func(s *status.Status) { s.Phase, s.Backfill.State = status.Backfill, status.Paused })}, false, ""},
		"synced": {untilSynced, []status.Status{s(func(s *status.Status) { s.Phase = status.Synced })}, true, ""},
		"failed": {untilSynced, []status.Status{s(func(s *status.Status) { s.Phase, s.Backfill.State = status.Backfill, status.Failed })}, false, "given up: the backfill has failed"},
		"a plan": {untilCutOver(), []status.Status{s(planned), s(planned)}, false, ""},
		"done":   {untilCutOver(), []status.Status{s(planned), s(func(s *status.Status) { s.Phase = status.Reversed })}, true, ""},
		"done while it was looked at": {untilCutOver(), []status.Status{s(planned), s(func(s *status.Status) { s.Phase = status.Synced }),
			s(func(s *status.Status) { s.Phase = status.Reversed })}, true, ""},
		"given up": {untilCutOver(), []status.Status{s(planned), s(func(s *status.Status) { s.Cutover.PlannedProblem = "given up: lag" }),
			s(func(s *status.Status) { s.Cutover.PlannedProblem = "given up: lag" })}, false, "given up: lag"},
		"taken back":     {untilCutOver(), []status.Status{s(func(*status.Status) {}), s(func(*status.Status) {})}, false, "given up: it is not planned any more"},
		"a failed trial": {untilCutOver(), []status.Status{s(func(*status.Status) {}), s(func(s *status.Status) { s.Cutover.TrialProblem = "too slow" })}, false, "given up: too slow"},
	} {
		var done bool
		var err error
		for _, now := range c.seen {
			done, err = c.reached(now)
		}
		if done != c.done || (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
			t.Errorf("%s: %v, %v", name, done, err)
		}
	}
}

func TestStepsThatAreWaitedFor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args   []string
		change func(*status.Status)
		code   int
		out    string
	}{
		"start": {[]string{"start", "--wait"}, func(s *status.Status) { s.Phase, s.ReadyToCutover = status.Synced, true }, exitDone,
			"The phase is synced: the source answers, the target is kept equal.\nNext: tandem verify, then tandem cutover\n"},
		"cutover": {[]string{"cutover", "--when-ready", "--wait"}, func(s *status.Status) { s.Phase, s.Cutover.LastPauseMs = status.Reversed, status.Known(2.5) }, exitDone,
			"The target answers now; the source is kept equal.\nClients waited 2.50 ms.\n"},
		"given up": {[]string{"cutover", "--when-ready", "--wait"}, func(s *status.Status) { s.Phase, s.Cutover.PlannedProblem = status.Synced, "given up: lag" }, exitFailed, ""},
		"at once":  {[]string{"cutover", "--wait"}, func(*status.Status) {}, exitUsage, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &fakeMigration{id: "b7", status: status.New(), result: admin.Result{Planned: true}}
			c.change(&m.status)
			code, stdout, stderr := tandem(t, nil, append(c.args, "--admin", serveAdmin(t, m, ""))...)
			if code != c.code || !strings.HasPrefix(stdout, c.out) || c.out == "" && stdout != "" {
				t.Errorf("%d %q\n%s", code, stdout, stderr)
			}
			if name == "given up" {
				expectParts(t, "stderr", stderr, "tandem: cutover: given up: lag\n")
			}
		})
	}
}
