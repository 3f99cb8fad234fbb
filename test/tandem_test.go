package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/test/wire"
)

// tandem is one `tandem serve` process and its state directory; it can be ended and started again.
type tandem struct {
	t *testing.T
	// Addr is its listener, Admin the URL of its admin address.
	Addr, Admin string
	// Dir is its state directory.
	Dir string

	args   []string
	log    string // file that takes stdout and stderr of all runs
	cmd    *exec.Cmd
	exited chan struct{}
	peak   int64 // most memory of all runs that have ended, bytes
}

// serve starts tandem between two servers, with settings as lines of a configuration file, and waits until it
// is healthy. When the test fails, what it knows is shown; when the test ends, it is killed.
func serve(t *testing.T, source, target *redisd.Server, settings ...string) *tandem {
	t.Helper()
	td := prepare(t, source.URL(), target.URL(), settings...)
	td.start()
	return td
}

// prepare is serve without starting it.
func prepare(t *testing.T, source, target string, settings ...string) *tandem {
	t.Helper()
	dir := t.TempDir()
	td := &tandem{t: t, Addr: freeAddr(t), Dir: filepath.Join(dir, "state"), log: filepath.Join(dir, "tandem.log")}
	admin := freeAddr(t)
	td.Admin = "http://" + admin
	file := filepath.Join(dir, "tandem.yaml")
	if err := os.WriteFile(file, []byte(strings.Join(settings, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	td.args = []string{"serve", "-c", file, "--listen", td.Addr, "--admin", admin, "--source", source, "--target", target, "--state-dir", td.Dir}
	t.Cleanup(td.cleanup)
	return td
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// launch starts the process and does not wait for anything.
func (td *tandem) launch() {
	td.t.Helper()
	log, err := os.OpenFile(td.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		td.t.Fatal(err)
	}
	defer log.Close() // the process has its own
	cmd := exec.Command(binary, td.args...)
	cmd.Env = environment()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		td.t.Fatalf("start tandem: %v", err)
	}
	exited := make(chan struct{})
	go func() {
		cmd.Wait() // the exit status is read from cmd
		close(exited)
	}()
	td.cmd, td.exited = cmd, exited
}

// start launches it and waits until it is healthy and listens. It returns the phases that its status showed
// from its first answer on, each once.
func (td *tandem) start() (phases []string) {
	td.t.Helper()
	td.launch()
	td.untilEvery(time.Millisecond, "healthy and listening", 20*time.Second, func() bool {
		code, body, err := td.get("/api/v1/status")
		if err != nil || code != http.StatusOK {
			return false
		}
		var s statusReply
		if err := json.Unmarshal(body, &s); err != nil {
			td.t.Fatalf("status: %v in %s", err, body)
		}
		if !slices.Contains(phases, s.Phase) {
			phases = append(phases, s.Phase)
		}
		if code, _, err = td.get("/healthz"); err != nil || code != http.StatusOK {
			return false
		}
		_, err = wire.Once(td.Addr, "PING")
		return err == nil
	})
	return phases
}

// signal sends a signal, waits for the end and returns the exit status.
func (td *tandem) signal(sig syscall.Signal) int {
	td.t.Helper()
	td.peak = max(td.peak, td.memory())
	if err := td.cmd.Process.Signal(sig); err != nil {
		td.t.Fatalf("signal %v: %v", sig, err)
	}
	select {
	case <-td.exited:
	case <-time.After(30 * time.Second):
		td.t.Fatalf("tandem has not ended 30 s after %v", sig)
	}
	return td.cmd.ProcessState.ExitCode()
}

// until waits for a condition with a deadline, asking often; it fails the test when the program has ended.
func (td *tandem) until(what string, within time.Duration, ok func() bool) {
	td.t.Helper()
	td.untilEvery(20*time.Millisecond, what, within, ok)
}

func (td *tandem) untilEvery(pause time.Duration, what string, within time.Duration, ok func() bool) {
	td.t.Helper()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for deadline := time.Now().Add(within); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			td.t.Fatalf("not within %v: %s", within, what)
		}
		select {
		case <-td.exited:
			td.t.Fatalf("tandem ended (%v) while waiting: %s", td.cmd.ProcessState, what)
		default:
		}
	}
}

func (td *tandem) running() bool {
	if td.cmd == nil {
		return false
	}
	select {
	case <-td.exited:
		return false
	default:
		return true
	}
}

// memory is the most resident memory that the process ever had, in bytes (VmHWM); 0 when it has ended.
func (td *tandem) memory() int64 {
	if !td.running() {
		return 0
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", td.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for _, line := range strings.Split(string(b), "\n") {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")), 10, 64)
			if err != nil {
				return 0
			}
			return kb << 10
		}
	}
	return 0
}

// memoryBound is the promise for any size of keyspace and values up to 100 MB.
const memoryBound = 300 << 20

// checkMemory prints the most memory of all runs so far; in full size it is a bound.
func (td *tandem) checkMemory() {
	td.t.Helper()
	td.peak = max(td.peak, td.memory())
	td.t.Logf("memory of the proxy: at most %d MB", td.peak>>20)
	if full && td.peak > memoryBound {
		td.t.Errorf("memory of the proxy: %d MB, bound %d MB", td.peak>>20, memoryBound>>20)
	}
}

// logged is what the program has printed so far.
func (td *tandem) logged() string {
	b, err := os.ReadFile(td.log)
	if err != nil {
		return ""
	}
	return string(b)
}

// cleanup ends the process; after a failure it first shows all that may explain it.
func (td *tandem) cleanup() {
	if td.t.Failed() {
		td.explain()
	}
	if td.running() {
		td.cmd.Process.Kill()
		<-td.exited
	}
}

// How much of the log and of the goroutines a failure shows.
const (
	logTail       = 6 << 10
	goroutineText = 24 << 10
)

func (td *tandem) explain() {
	td.t.Logf("seed %d", seed)
	log := td.logged()
	if !td.running() {
		state := "was not started"
		if td.cmd != nil {
			state = fmt.Sprintf("has ended: %v", td.cmd.ProcessState)
		}
		td.t.Logf("tandem %s; end of its log:\n%s", state, last(log, logTail))
		return
	}
	if code, body, err := td.get("/api/v1/status"); err != nil {
		td.t.Logf("status: %v", err)
	} else {
		td.t.Logf("status (%d): %s", code, bytes.TrimSpace(body))
	}
	td.t.Logf("end of tandem's log:\n%s", last(log, logTail))
	if err := td.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		return
	}
	select {
	case <-td.exited:
	case <-time.After(5 * time.Second):
	}
	td.t.Logf("tandem's goroutines, those of its own:\n%s", ownGoroutines(strings.TrimPrefix(td.logged(), log)))
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

func last(s string, n int) string {
	if len(s) > n {
		return "..." + s[len(s)-n:]
	}
	return s
}
