package conformance

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tandem/internal/redisd"
)

// admin bounds every request; a cutover takes some seconds by itself.
var admin = &http.Client{Timeout: 30 * time.Second}

// tandem is one running program between two servers.
type tandem struct {
	t           *testing.T
	Addr, Admin string
	log         string
	cmd         *exec.Cmd
	exited      chan struct{}
}

// statusReply is what the tests decide by.
type statusReply struct {
	Phase           string `json:"phase"`
	Ready           bool   `json:"ready_to_cutover"`
	DirtyKeys       int64  `json:"dirty_keys"`
	UnsettledWrites int64  `json:"unsettled_writes"`
	LagBytes        int64  `json:"lag_bytes"`
	Sessions        int    `json:"sessions"`
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
		Failed int64 `json:"failed"`
	} `json:"copies"`
	Blockers []struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"blockers"`
}

// serve starts the program, in passthrough, and waits until it answers.
func serve(t *testing.T, source, target *redisd.Server, settings ...string) *tandem {
	t.Helper()
	dir := t.TempDir()
	td := &tandem{t: t, Addr: freeAddr(t), log: filepath.Join(dir, "log"), exited: make(chan struct{})}
	adminAddr := freeAddr(t)
	td.Admin = "http://" + adminAddr
	file := filepath.Join(dir, "tandem.yaml")
	if err := os.WriteFile(file, []byte(strings.Join(append(settings, "start: manual"), "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(td.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close() // the process has its own
	td.cmd = exec.Command(binary, "serve", "-c", file, "--listen", td.Addr, "--admin", adminAddr, "--source", source.URL(),
		"--target", target.URL(), "--state-dir", filepath.Join(dir, "state"))
	td.cmd.Env, td.cmd.Stdout, td.cmd.Stderr = environment(), log, log
	td.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := td.cmd.Start(); err != nil {
		t.Fatalf("start tandem: %v", err)
	}
	go func() {
		td.cmd.Wait() // how it ended is read from cmd
		close(td.exited)
	}()
	t.Cleanup(td.stop)
	td.until("healthy and listening", func() bool {
		resp, err := admin.Get(td.Admin + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		conn, err := net.Dial("tcp", td.Addr)
		if err != nil {
			return false
		}
		conn.Close()
		return resp.StatusCode == http.StatusOK
	})
	return td
}

// stop ends the program; after a failure the end of its log is shown.
func (td *tandem) stop() {
	select {
	case <-td.exited:
	default:
		td.cmd.Process.Kill()
		<-td.exited
	}
	if td.t.Failed() && td.log != "" {
		if b, err := os.ReadFile(td.log); err == nil {
			td.t.Logf("end of tandem's log:\n%s", b[max(0, len(b)-4<<10):])
		}
	}
	td.log = ""
}

// fail ends the test with all that may explain why the program is stuck: its status and its goroutines.
func (td *tandem) fail(format string, args ...any) {
	td.t.Helper()
	td.t.Errorf(format, args...)
	if td.cmd.Process.Signal(syscall.SIGQUIT) == nil {
		select {
		case <-td.exited:
		case <-time.After(5 * time.Second):
		}
	}
	if b, err := os.ReadFile(td.log); err == nil {
		for _, g := range strings.Split(string(b), "\n\n") {
			if strings.HasPrefix(g, "goroutine ") && strings.Contains(g, "\ntandem/") {
				td.t.Log(g)
			}
		}
	}
	td.t.FailNow()
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

// until waits for a condition; it fails the test when the program has ended.
func (td *tandem) until(what string, ok func() bool) {
	td.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(60 * time.Second); !ok(); <-tick.C {
		select {
		case <-td.exited:
			td.t.Fatalf("tandem ended (%v) while waiting: %s", td.cmd.ProcessState, what)
		default:
		}
		if time.Now().After(deadline) {
			td.fail("not in a minute: %s\n%s", what, td.statusText())
		}
	}
}

// step takes a step of the admin API; a switch that was undone is tried again.
func (td *tandem) step(name string) {
	td.t.Helper()
	for attempt := 0; ; attempt++ {
		resp, err := admin.Post(td.Admin+"/api/v1/"+name, "application/json", nil)
		if err != nil {
			td.fail("%s: %v", name, err)
		}
		body, _ := io.ReadAll(resp.Body) // only for the message
		resp.Body.Close()
		switch {
		case resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusAccepted:
			return
		case resp.StatusCode != http.StatusGatewayTimeout || attempt == 3:
			td.t.Fatalf("%s: %d %s\n%s", name, resp.StatusCode, body, td.statusText())
		}
	}
}

func (td *tandem) statusText() string {
	resp, err := admin.Get(td.Admin + "/api/v1/status")
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}

func (td *tandem) status() (s statusReply) {
	td.t.Helper()
	text := td.statusText()
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		td.fail("status: %v in %s", err, text)
	}
	return s
}

// settle waits until the secondary has everything. Nobody may be writing. It fails the test, and goes on, when
// something will never settle by itself.
func (td *tandem) settle() {
	td.t.Helper()
	failing := ""
	td.until("nothing dirty, nothing unsettled, no sweep", func() bool {
		s := td.status()
		for _, b := range s.Blockers {
			if b.Code == "copy_failing" {
				failing = b.Message
			}
		}
		return failing != "" || (s.Phase == "synced" || s.Phase == "reversed") && s.DirtyKeys == 0 &&
			s.UnsettledWrites == 0 && s.LagBytes == 0 && s.Backfill.State != "running"
	})
	if failing != "" {
		td.t.Errorf("this never settles: %s", failing)
	}
}

// cutOver makes the target the primary, once nothing stands in the way: libraries of functions may still be
// compared.
func (td *tandem) cutOver() {
	td.t.Helper()
	td.until("ready for a cutover", func() bool { return td.status().Ready })
	td.step("cutover")
}

// counts is what replication has done so far, for the log.
func (td *tandem) counts() string {
	s := td.status()
	return fmt.Sprintf("%d effects forwarded, %d mismatched, %d dropped; %d copies, %d failed", s.Effects.Forwarded,
		s.Effects.Mismatched, s.Effects.Dropped, s.Copies.Done, s.Copies.Failed)
}
