package program

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/test/wire"
)

// Tandem is one `tandem serve` with its state directory; it can be ended and started again. One goroutine starts and
// ends it; its admin API may be asked by several.
type Tandem struct {
	// Addr is its listener, Admin the URL of its admin address.
	Addr, Admin string
	// Dir is its state directory.
	Dir string
	// Args are the arguments that it is started with.
	Args []string
	// Files is how many files it may open; 0: as many as the test.
	Files int

	t      testing.TB
	log    string // file that takes stdout and stderr of all runs
	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has been waited for
	peak   int64         // most memory of all runs that have ended, bytes
}

// Serve starts the program between two servers, with settings as lines of its configuration file, and waits until
// it serves. It is killed when the test ends; after a failure, what may explain it is shown first.
func Serve(t testing.TB, source, target *redisd.Server, settings ...string) *Tandem {
	t.Helper()
	td := Prepare(t, source.URL(), target.URL(), settings...)
	td.Start()
	return td
}

// Prepare is Serve by the servers' URLs and without starting it. Tests write to both servers themselves, so nobody is looked
// for who does, unless the settings say something of tracking.
func Prepare(t testing.TB, source, target string, settings ...string) *Tandem {
	t.Helper()
	dir, admin := t.TempDir(), FreeAddr(t)
	td := &Tandem{t: t, Addr: FreeAddr(t), Admin: "http://" + admin, Dir: filepath.Join(dir, "state"), log: filepath.Join(dir, "tandem.log")}
	if !slices.ContainsFunc(settings, func(s string) bool { return strings.HasPrefix(s, "tracking:") }) {
		settings = append([]string{"tracking: off"}, settings...)
	}
	file := filepath.Join(dir, "tandem.yaml")
	if err := os.WriteFile(file, []byte(strings.Join(settings, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	td.Args = []string{"serve", "-c", file, "--listen", td.Addr, "--admin", admin, "--source", source, "--target", target, "--state-dir", td.Dir}
	t.Cleanup(td.Stop)
	return td
}

// Ports that tests listen on are below those that the system takes for outgoing connections. A client that keeps
// dialling a program that was killed could else be given that very port, be connected to itself, and keep the
// program from listening again.
const firstPort, lastPort = 10_000, 32_000

// nextPort goes through the ports from one at random, so that none is given to two that have not listened yet.
var nextPort atomic.Int64

func init() { nextPort.Store(rand.Int64N(lastPort - firstPort)) }

// FreePort is one on 127.0.0.1 that nothing listens on now, and that nobody else has been given lately.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := firstPort + int(nextPort.Add(1)%(lastPort-firstPort))
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			l.Close()
			return port
		}
	}
	t.Fatalf("no free port between %d and %d", firstPort, lastPort)
	return 0
}

// FreeAddr is an address on 127.0.0.1 that nothing listens on now.
func FreeAddr(t testing.TB) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(FreePort(t)))
}

// Launch starts the process and does not wait for anything.
func (td *Tandem) Launch() {
	td.t.Helper()
	binary, err := Binary()
	if err != nil {
		td.t.Fatal(err)
	}
	td.launch(binary)
}

// LaunchCrashing is Launch of a program that kills itself when it comes by a point (internal/crashpoint) for the nth
// time.
func (td *Tandem) LaunchCrashing(point string, n int) {
	td.t.Helper()
	binary, err := Crashing()
	if err != nil {
		td.t.Fatal(err)
	}
	td.launch(binary, fmt.Sprintf("TEST_CRASH_AT=%s:%d", point, n))
}

func (td *Tandem) launch(binary string, env ...string) {
	td.t.Helper()
	log, err := os.OpenFile(td.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		td.t.Fatal(err)
	}
	defer log.Close() // the process has its own
	cmd := exec.Command(binary, td.Args...)
	if td.Files > 0 {
		cmd = exec.Command("sh", append([]string{"-c", fmt.Sprintf(`ulimit -n %d; exec "$0" "$@"`, td.Files), binary}, td.Args...)...)
	}
	cmd.Env = Environment(env...)
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

// startTime bounds the time from exec until clients are served.
const startTime = 30 * time.Second

// Start launches it and waits until it is ready, listens and has a primary that answers. It returns the phases that
// its status showed from its first answer on, each once.
func (td *Tandem) Start() (phases []string) {
	td.t.Helper()
	td.Launch()
	td.UntilEvery(time.Millisecond, "ready and listening", startTime, func() bool {
		s, err := td.TryStatus()
		if err != nil {
			return false
		}
		if !slices.Contains(phases, s.Phase) {
			phases = append(phases, s.Phase)
		}
		if code, _, err := td.Get("/readyz"); err != nil || code != http.StatusOK {
			return false
		}
		_, err = wire.Once(td.Addr, "PING")
		return err == nil
	})
	return phases
}

// Signal sends a signal, waits for the end and returns the exit status.
func (td *Tandem) Signal(sig syscall.Signal) int {
	td.t.Helper()
	td.peak = td.Peak()
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

// Pause stops the process with SIGSTOP, Continue lets it run again: its connections stay open meanwhile.
func (td *Tandem) Pause() error    { return td.cmd.Process.Signal(syscall.SIGSTOP) }
func (td *Tandem) Continue() error { return td.cmd.Process.Signal(syscall.SIGCONT) }

// Stop ends the process with SIGKILL if it runs. A panic that it has recovered from fails the test. After a failure it first shows what may explain it.
func (td *Tandem) Stop() {
	if td.log == "" {
		return // it was done
	}
	td.panics()
	if td.t.Failed() {
		td.explain()
	}
	if td.Running() {
		td.cmd.Process.Kill()
		<-td.exited
	}
	td.log = ""
}

// Until waits for a condition with a deadline, asking often; it fails the test when the program has ended.
func (td *Tandem) Until(what string, within time.Duration, ok func() bool) {
	td.t.Helper()
	td.UntilEvery(20*time.Millisecond, what, within, ok)
}

// UntilEvery is Until with the pause between two questions.
func (td *Tandem) UntilEvery(pause time.Duration, what string, within time.Duration, ok func() bool) {
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

// Exited is closed when the process that was started last has ended.
func (td *Tandem) Exited() <-chan struct{} { return td.exited }

// ExitCode is the exit status of its last run, which has ended.
func (td *Tandem) ExitCode() int { return td.cmd.ProcessState.ExitCode() }

// Killed says whether it was SIGKILL that has ended it.
func (td *Tandem) Killed() bool {
	if td.Running() {
		return false
	}
	status, ok := td.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// Running says whether the process was started and has not ended.
func (td *Tandem) Running() bool {
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

// Peak is the most resident memory of all its processes so far, in bytes (VmHWM).
func (td *Tandem) Peak() int64 {
	if !td.Running() {
		return td.peak
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", td.cmd.Process.Pid))
	if err != nil {
		return td.peak
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")), 10, 64)
			if err != nil {
				return td.peak
			}
			return max(td.peak, kb<<10)
		}
	}
	return td.peak
}

// PID is the process id of its last run.
func (td *Tandem) PID() int { return td.cmd.Process.Pid }
