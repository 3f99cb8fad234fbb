package stage

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/test/wire"
)

// tandem is one `tandem serve` process.
type tandem struct {
	t      *testing.T
	addr   string // of its listener
	admin  string // URL of its admin address
	log    string // file of its output
	cmd    *exec.Cmd
	exited chan struct{}
}

// buildOnce makes the program, unless TANDEM_TEST_BINARY names one.
var buildOnce = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("TANDEM_TEST_BINARY"); path != "" {
		return filepath.Abs(path)
	}
	dir, err := findRoot()
	if err != nil {
		return "", err
	}
	// It is built as its own module says, not with this one's versions of what both use.
	path := filepath.Join(os.TempDir(), fmt.Sprintf("tandem-clients-%d", os.Getpid()))
	cmd := exec.Command("go", "build", "-o", path, "./cmd/tandem")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build tandem: %w\n%s", err, out)
	}
	return path, nil
})

// Main runs a package's tests and removes the program that they have built.
func Main(m *testing.M) {
	code := m.Run()
	if os.Getenv("TANDEM_TEST_BINARY") == "" {
		if path, err := buildOnce(); err == nil {
			os.Remove(path)
		}
	}
	os.Exit(code)
}

// Environment is this process' without the suite's own variables: the program refuses those of its prefix that it
// does not know.
func Environment() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "TANDEM_") {
			env = append(env, v)
		}
	}
	return env
}

// serve starts the program between two servers, in passthrough, and waits until it listens.
func serve(t *testing.T, source, target *redisd.Server, settings []string) *tandem {
	t.Helper()
	binary, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	listen, admin := freeAddr(t), freeAddr(t)
	td := &tandem{t: t, addr: listen, admin: "http://" + admin, log: filepath.Join(dir, "tandem.log"), exited: make(chan struct{})}
	file := filepath.Join(dir, "tandem.yaml")
	lines := append([]string{"start: manual"}, settings...)
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(td.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close() // the process has its own
	td.cmd = exec.Command(binary, "serve", "-c", file, "--listen", listen, "--admin", admin,
		"--source", source.URL(), "--target", target.URL(), "--state-dir", filepath.Join(dir, "state"))
	td.cmd.Env = Environment()
	td.cmd.Stdout, td.cmd.Stderr = log, log
	td.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := td.cmd.Start(); err != nil {
		t.Fatalf("start tandem: %v", err)
	}
	go func() {
		td.cmd.Wait() // how it ended is read from cmd
		close(td.exited)
	}()
	t.Cleanup(td.end)
	td.until("tandem healthy and listening", 20*time.Second, func() bool {
		resp, err := adminClient.Get(td.admin + "/healthz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		_, err = wire.Once(td.addr, "PING")
		return resp.StatusCode == http.StatusOK && err == nil
	})
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

// adminClient bounds every request; a cutover takes up to 10 s by itself.
var adminClient = &http.Client{Timeout: 30 * time.Second}

// status is the part of the program's status that the walk decides by.
type status struct {
	Phase           string `json:"phase"`
	ReadyToCutover  bool   `json:"ready_to_cutover"`
	DirtyKeys       int64  `json:"dirty_keys"`
	UnsettledWrites int64  `json:"unsettled_writes"`
	LagBytes        int64  `json:"lag_bytes"`
	Backfill        struct {
		State string `json:"state"`
	} `json:"backfill"`
	Effects struct {
		Forwarded  int64 `json:"forwarded"`
		Mismatched int64 `json:"mismatched"`
		Dropped    int64 `json:"dropped"`
	} `json:"effects"`
	Copies struct {
		Done   int64 `json:"done"`
		Races  int64 `json:"races"`
		Failed int64 `json:"failed"`
	} `json:"copies"`
	Cutover struct {
		LastPauseMs *float64 `json:"last_pause_ms"`
	} `json:"cutover"`
}

func (td *tandem) status() (s status, raw []byte) {
	td.t.Helper()
	resp, err := adminClient.Get(td.admin + "/api/v1/status")
	if err != nil {
		td.t.Fatalf("status: %v", err)
	}
	defer resp.Body.Close()
	if raw, err = io.ReadAll(resp.Body); err == nil {
		err = json.Unmarshal(raw, &s)
	}
	if err != nil || resp.StatusCode != http.StatusOK {
		td.t.Fatalf("status: %d %v in %s", resp.StatusCode, err, raw)
	}
	return s, raw
}

// mismatches are the effects that the secondary has answered otherwise than they should be, counted by command.
func (td *tandem) mismatches() string {
	resp, err := adminClient.Get(td.admin + "/metrics")
	if err != nil {
		return " " + err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return " " + err.Error()
	}
	found := ""
	for line := range strings.Lines(string(body)) {
		if counted, ok := strings.CutPrefix(line, "tandem_effects_mismatched_total{command="); ok {
			found += " " + strings.TrimSpace(strings.Replace(counted, "}", "", 1))
		}
	}
	return found
}

// post asks for a step and returns the answer.
func (td *tandem) post(step string) (code int, answer string) {
	td.t.Helper()
	resp, err := adminClient.Post(td.admin+"/api/v1/"+step, "application/json", nil)
	if err != nil {
		td.t.Fatalf("%s: %v", step, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		td.t.Fatalf("%s: %v", step, err)
	}
	return resp.StatusCode, string(bytes.TrimSpace(body))
}

// until waits for a condition with a deadline, asking often; it ends the test when the program has ended.
func (td *tandem) until(what string, within time.Duration, ok func() bool) {
	td.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
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

// end kills the process; after a failure it first shows what may explain it.
func (td *tandem) end() {
	select {
	case <-td.exited:
		td.t.Logf("tandem has ended: %v", td.cmd.ProcessState)
	default:
	}
	if td.t.Failed() {
		td.explain()
	}
	td.cmd.Process.Kill() // an error says that it has ended
	<-td.exited
}

// How much of the goroutines a failure shows, in bytes, and how long the program may take to show them.
const (
	goroutineText = 24 << 10
	dumpTime      = 5 * time.Second
)

func (td *tandem) explain() {
	if resp, err := (&http.Client{Timeout: dumpTime}).Get(td.admin + "/api/v1/status"); err == nil {
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		td.t.Logf("status: %s", body)
	}
	log := td.logged()
	td.t.Logf("end of tandem's log:\n%s", log[max(0, len(log)-logTail):])
	td.cmd.Process.Signal(syscall.SIGQUIT) // an error says that it has ended
	select {
	case <-td.exited:
	case <-time.After(dumpTime):
	}
	var own strings.Builder
	for _, g := range strings.Split(strings.TrimPrefix(td.logged(), log), "\n\n") {
		if strings.HasPrefix(g, "goroutine ") && strings.Contains(g, "\ntandem/") && own.Len()+len(g) < goroutineText {
			own.WriteString(g + "\n\n")
		}
	}
	td.t.Logf("tandem's goroutines, those of its own:\n%s", own.String())
}

// logTail is how much of the program's log a failure shows, in bytes.
const logTail = 4 << 10

// logged is what the program has printed.
func (td *tandem) logged() string {
	b, err := os.ReadFile(td.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
