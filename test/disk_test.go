package test

import (
	"net/http"
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
