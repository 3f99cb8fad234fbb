package main

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"tandem/internal/admin"
	"tandem/internal/status"
)

func TestStepsSayWhatCameOfThem(t *testing.T) {
	for name, c := range map[string]struct {
		phase  string
		pause  time.Duration
		id     string
		stdout string
	}{
		"start":    {id: "b7", stdout: "The backfill has started (b7).\nNext: tandem status --watch\n"},
		"pause":    {phase: status.Backfill, stdout: "The backfill is paused.\nNext: tandem resume\n"},
		"resume":   {phase: status.Backfill, stdout: "The backfill goes on.\nNext: wait for the phase synced: tandem status --watch\n"},
		"cutover":  {phase: status.Reversed, pause: 23400 * time.Microsecond, stdout: "The target answers now; the source is kept equal.\nClients waited 23.4 ms.\nNext: tandem verify; then tandem finish, or tandem rollback to go back\n"},
		"rollback": {phase: status.Synced, stdout: "The source answers again; the target is kept equal.\nNext: tandem verify, then tandem cutover\n"},
		"finish":   {phase: status.Finished, stdout: "The migration is finished: the target alone is served.\nNext: point the application at the target itself, then end tandem\n"},
	} {
		t.Run(name, func(t *testing.T) {
			m := &fakeMigration{id: c.id, status: status.New(), result: admin.Result{Phase: c.phase, Pause: c.pause}}
			m.status.Phase = c.phase
			code, stdout, stderr := tandem(t, nil, name, "--admin", serveAdmin(t, m, ""), "--force", "a_blocker")
			if code != exitDone || stdout != c.stdout {
				t.Errorf("%d %q, want %q", code, stdout, c.stdout)
			}
			expectParts(t, "progress on stderr", stderr, name+": ")
			if !slices.Equal(m.asked, []string{name + " a_blocker"}) {
				t.Errorf("asked %q", m.asked)
			}
		})
	}
}

func TestRefusedStepExitsWith3AndListsBlockers(t *testing.T) {
	m := &fakeMigration{err: &admin.Refused{Message: "not ready", Blockers: []status.Blocker{
		{Code: "backfill_running", Message: "12 keys are still to copy", Remedy: "wait"}, {Code: "lag", Message: "the target is slow"},
	}}}
	url := serveAdmin(t, m, "")
	for _, s := range steps {
		code, stdout, stderr := tandem(t, nil, s.name, "--admin", url)
		if code != exitRefused || stdout != "" {
			t.Errorf("%s: %d %q", s.name, code, stdout)
		}
		expectParts(t, "stderr", stderr, "tandem: "+s.name+": not ready\n",
			"  backfill_running  12 keys are still to copy\n                    -> wait\n  lag               the target is slow\n")
	}
}

func TestStepThatFailsExitsWith1(t *testing.T) {
	for text, err := range map[string]error{
		"undone: it took too long":                    fmt.Errorf("%w: it took too long", admin.ErrUndone),
		"the primary is not reachable: 10.0.0.1:6379": fmt.Errorf("%w: 10.0.0.1:6379", admin.ErrPrimaryDown),
	} {
		code, _, stderr := tandem(t, nil, "cutover", "--admin", serveAdmin(t, &fakeMigration{err: err}, ""))
		if code != exitFailed {
			t.Errorf("%v: %d", err, code)
		}
		expectParts(t, "stderr", stderr, "tandem: cutover: "+text+"\n")
	}
}

func TestNoTandemThereExitsWith1(t *testing.T) {
	for _, args := range [][]string{{"status"}, {"cutover"}, {"verify"}, {"status", "--watch"}} {
		code, _, stderr := tandem(t, nil, append(args, "--admin", "127.0.0.1:1")...)
		if code != exitFailed {
			t.Errorf("%v: %d", args, code)
		}
		expectParts(t, "stderr", stderr, "the admin address does not answer: http://127.0.0.1:1", "connection refused", "Is tandem serve running there?")
	}
}

func TestTokenAndAddressComeFromTheEnvironment(t *testing.T) {
	const token = "correct-horse-battery"
	url := serveAdmin(t, &fakeMigration{status: status.New()}, token)
	listen := "TANDEM_ADMIN_LISTEN=" + url[len("http://"):]
	if code, _, stderr := tandem(t, []string{listen, "TANDEM_ADMIN_TOKEN=" + token}, "status"); code != exitDone {
		t.Errorf("%d %s", code, stderr)
	}
	for _, env := range [][]string{{listen}, {listen, "TANDEM_ADMIN_TOKEN=wrong"}} {
		code, _, stderr := tandem(t, env, "status")
		if code != exitUsage {
			t.Errorf("%v: %d", env, code)
		}
		expectParts(t, "stderr", stderr, "the token is missing or wrong", "TANDEM_ADMIN_TOKEN_FILE")
	}
}

func TestReachableAddress(t *testing.T) {
	for listen, want := range map[string]string{
		"": "127.0.0.1:6390", ":1": "127.0.0.1:1", "0.0.0.0:1": "127.0.0.1:1", "[::]:1": "127.0.0.1:1",
		"10.0.0.1:1": "10.0.0.1:1", "localhost:1": "localhost:1", "[::1]:1": "[::1]:1", "odd": "odd",
	} {
		if got := reachable(listen); got != want {
			t.Errorf("%q: %q, want %q", listen, got, want)
		}
	}
}
