package test

import (
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tandem/test/program"
)

// fillDisk makes every write of the program to a file fail, as on a full disk, until the returned function is called.
func fillDisk(t *testing.T, td *program.Tandem) (free func()) {
	t.Helper()
	limit := func(n uint64) {
		if err := unix.Prlimit(td.PID(), unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: n, Max: unix.RLIM_INFINITY}, nil); err != nil {
			t.Fatalf("limit the size of files: %v", err)
		}
	}
	limit(0)
	return func() { limit(unix.RLIM_INFINITY) }
}

// With a full disk under the state directory clients go on, what must be written down is refused with the reason, and
// all is well as soon as there is room.
func TestAFullDiskRefusesStepsAndNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{keys: sized(5000), clients: 4})
	w.startLoad(nil)
	blocked := func(s program.Status) bool {
		return slices.ContainsFunc(s.Blockers, func(b struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		}) bool {
			return b.Code == "state_unwritable" && strings.Contains(b.Message, "no room")
		})
	}
	refused := func(step, phase string) {
		t.Helper()
		// Once it is known, nobody is held to find it out again.
		for _, codes := range [][]int{{http.StatusGatewayTimeout, http.StatusConflict}, {http.StatusConflict}} {
			code, answer := w.td.Ask(step)
			if !slices.Contains(codes, code) || !strings.Contains(answer, "no room") {
				t.Fatalf("%s with a full disk: %d %s", step, code, answer)
			}
		}
		w.commands(300)
		s := w.td.WaitStatus("it says why", 20*time.Second, blocked)
		if s.Phase != phase {
			t.Fatalf("%s with a full disk: phase %s", step, s.Phase)
		}
	}
	room := func(free func()) {
		t.Helper()
		free()
		w.td.WaitStatus("there is room again", 20*time.Second, func(s program.Status) bool { return !blocked(s) })
	}

	w.td.Step("start")
	w.td.WaitSynced()
	free := fillDisk(t, w.td)
	refused("cutover", "synced")
	room(free)
	w.td.SwitchOver("cutover")
	free = fillDisk(t, w.td)
	refused("rollback", "reversed")
	refused("finish", "reversed")
	w.stopLoad()
	w.mustBeEqual()
	room(free)
	// What was written last is what the next process begins with.
	w.td.Signal(unix.SIGKILL)
	if phases := w.td.Start(); !slices.Contains(phases, "reversed") || slices.Contains(phases, "synced") {
		t.Errorf("after a restart: phases %q", phases)
	}
	w.mustBeEqual()
	w.mustBeTruthful()
}

// A start for which there is no room, or no place to write, says so and ends; nothing is left behind that would be in the
// way, and with room it begins, or goes on, as if nothing had been.
func TestAStartWithoutRoom(t *testing.T) {
	w := newWorld(t, worldOptions{keys: sized(2000)})
	w.td.Step("start")
	w.td.WaitSynced()
	w.td.Signal(unix.SIGTERM)
	binary, err := program.Binary()
	must(t, err)
	start := func(limit string, dir string) (status int, said string) {
		t.Helper()
		args := slices.Concat([]string{"-c", "ulimit -f " + limit + `; exec "$0" "$@"`, binary}, w.td.Args, []string{"--state-dir", dir})
		cmd := exec.Command("sh", args...)
		cmd.Env = program.Environment()
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			t.Fatalf("it ended with %v:\n%s", err, out)
		}
		return exit.ExitCode(), string(out)
	}
	fresh := filepath.Join(t.TempDir(), "state")
	plain := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(plain, nil, 0o600))
	for _, c := range []struct{ name, limit, dir, says string }{
		{"no room for the intent map", "8", fresh, "make intent map: write " + fresh}, // 4 KiB
		{"no room at all", "0", fresh, "there is no room in " + fresh},
		{"no directory", "unlimited", filepath.Join(plain, "state"), "state directory"},
		{"no room for what there is", "0", w.td.Dir, "there is no room in " + w.td.Dir},
	} {
		if status, said := start(c.limit, c.dir); status != 1 || !strings.Contains(said, c.says) {
			t.Errorf("%s: exit status %d, %q", c.name, status, said)
		}
	}
	if names, err := filepath.Glob(filepath.Join(fresh, "*.tmp")); err != nil || len(names) > 0 {
		t.Errorf("%v is left behind, %v", names, err)
	}
	before := len(w.td.Logged())
	w.td.Start()
	w.td.WaitSettled()
	if log := w.td.Logged()[before:]; !strings.Contains(log, "nothing was left unsettled") {
		t.Errorf("with room again:\n%s", log)
	}
	w.mustBeEqual()
}
