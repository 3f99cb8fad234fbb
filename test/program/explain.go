package program

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"
)

// How much of the log and of the goroutines a failure shows, in bytes, and how long the program may take to say
// them: one that was stopped or is stuck must not hold up the test for long.
const (
	logText       = 6 << 10
	goroutineText = 24 << 10
	explainTime   = 5 * time.Second
)

// Logged is what the program has printed so far.
func (td *Tandem) Logged() string {
	b, err := os.ReadFile(td.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// panics fails the test with those that the program says it has recovered from.
func (td *Tandem) panics() {
	for line := range strings.Lines(td.Logged()) {
		if strings.Contains(line, " panic=") {
			td.t.Errorf("tandem: %.4000s", line)
		}
	}
}

// explain shows the status, the end of the log and the goroutines. The process ends by it.
func (td *Tandem) explain() {
	log := td.Logged()
	if !td.Running() {
		state := "was not started"
		if td.cmd != nil {
			state = fmt.Sprintf("has ended: %v", td.cmd.ProcessState)
		}
		td.t.Logf("tandem %s; end of its log:\n%s", state, Last(log, logText))
		return
	}
	td.Continue() // an error says that it has ended, which shows below
	if code, body, err := get(&http.Client{Timeout: explainTime}, td.Admin+"/api/v1/status"); err != nil {
		td.t.Logf("status: %v", err)
	} else {
		td.t.Logf("status (%d): %s", code, body)
	}
	td.t.Logf("end of tandem's log:\n%s", Last(log, logText))
	if err := td.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		return
	}
	select {
	case <-td.exited:
	case <-time.After(explainTime):
	}
	td.t.Logf("tandem's goroutines, those of its own:\n%s", ownGoroutines(strings.TrimPrefix(td.Logged(), log)))
}

// ownGoroutines leaves out of a dump what only the runtime and the libraries do.
func ownGoroutines(dump string) string {
	var b strings.Builder
	for _, g := range strings.Split(dump, "\n\n") {
		if strings.HasPrefix(g, "goroutine ") && strings.Contains(g, "\ntandem/") && b.Len()+len(g) < goroutineText {
			b.WriteString(g + "\n\n")
		}
	}
	return b.String()
}
