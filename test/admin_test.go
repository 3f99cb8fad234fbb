package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// statusReply is the part of the status that the tests decide by. TestStatusHasEveryField checks the rest.
type statusReply struct {
	Phase          string `json:"phase"`
	Primary        string `json:"primary"`
	ReadyToCutover bool   `json:"ready_to_cutover"`
	Blockers       []struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"blockers"`
	Sessions int `json:"sessions"`
	Backfill struct {
		State       string   `json:"state"`
		KeysScanned int64    `json:"keys_scanned"`
		KeysCopied  int64    `json:"keys_copied"`
		Percent     *float64 `json:"percent"`
	} `json:"backfill"`
	DirtyKeys       int64    `json:"dirty_keys"`
	UnsettledWrites int64    `json:"unsettled_writes"`
	LagMs           *float64 `json:"lag_ms"`
	LagBytes        int64    `json:"lag_bytes"`
	Effects         struct {
		Forwarded  int64 `json:"forwarded"`
		Mismatched int64 `json:"mismatched"`
		Dropped    int64 `json:"dropped"`
	} `json:"effects"`
	Copies struct {
		Done   int64 `json:"done"`
		Races  int64 `json:"races"`
		Failed int64 `json:"failed"`
	} `json:"copies"`
	Verify struct {
		State     string `json:"state"`
		Different int64  `json:"different"`
	} `json:"verify"`
	Cutover struct {
		LastPauseMs *float64 `json:"last_pause_ms"`
	} `json:"cutover"`
	Source struct {
		Connected bool `json:"connected"`
	} `json:"source"`
	Target struct {
		Connected bool `json:"connected"`
	} `json:"target"`
}

func (s statusReply) String() string {
	b, err := json.Marshal(s)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// adminClient bounds every request; a cutover takes up to 10 s by itself.
var adminClient = &http.Client{Timeout: 60 * time.Second}

func (td *tandem) get(path string) (code int, body []byte, err error) {
	resp, err := adminClient.Get(td.Admin + path)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

// post takes a step with a JSON body or none.
func (td *tandem) post(path, body string) (code int, answer []byte) {
	td.t.Helper()
	resp, err := adminClient.Post(td.Admin+path, "application/json", strings.NewReader(body))
	if err != nil {
		td.t.Fatalf("POST %s: %v", path, err)
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	if err != nil {
		td.t.Fatalf("POST %s: %v", path, err)
	}
	return resp.StatusCode, bytes.TrimSpace(answer)
}

// step takes a step that must succeed.
func (td *tandem) step(name string) {
	td.t.Helper()
	if code, answer := td.post("/api/v1/"+name, ""); code != http.StatusOK && code != http.StatusAccepted {
		td.t.Fatalf("%s: %d %s", name, code, answer)
	}
}

func (td *tandem) status() statusReply {
	td.t.Helper()
	code, body, err := td.get("/api/v1/status")
	if err != nil || code != http.StatusOK {
		td.t.Fatalf("status: %d %v", code, err)
	}
	var s statusReply
	if err := json.Unmarshal(body, &s); err != nil {
		td.t.Fatalf("status: %v in %s", err, body)
	}
	return s
}

// waitStatus waits until the status satisfies a condition, and returns it.
func (td *tandem) waitStatus(what string, within time.Duration, ok func(statusReply) bool) (s statusReply) {
	td.t.Helper()
	td.until(what, within, func() bool {
		s = td.status()
		return ok(s)
	})
	return s
}

// syncTime bounds the way to synced, for the sizes of these tests on a loaded machine.
func syncTime() time.Duration {
	if full {
		return 10 * time.Minute
	}
	return 90 * time.Second
}

func (td *tandem) waitSynced() statusReply {
	td.t.Helper()
	return td.waitStatus("phase synced", syncTime(), func(s statusReply) bool { return s.Phase == "synced" })
}

// waitEqual waits until the proxy says that the secondary has everything. Nobody may be writing.
func (td *tandem) waitEqual() {
	td.t.Helper()
	td.waitStatus("all writes settled, nothing dirty, no sweep running", syncTime(), func(s statusReply) bool {
		return (s.Phase == "synced" || s.Phase == "reversed") && s.DirtyKeys == 0 && s.UnsettledWrites == 0 &&
			s.LagBytes == 0 && s.Backfill.State != "running" && s.Source.Connected && s.Target.Connected
	})
}

// switchOver takes a cutover or rollback and returns how often it was undone before (504), which is allowed
// under full load, as long as it happens in the end.
func (td *tandem) switchOver(name string) (undone int) {
	td.t.Helper()
	for {
		code, answer := td.post("/api/v1/"+name, "")
		if code == http.StatusOK {
			return undone
		}
		if undone++; code != http.StatusGatewayTimeout || undone > 3 {
			td.t.Fatalf("%s, attempt %d: %d %s", name, undone, code, answer)
		}
	}
}

// commandTime bounds a command that ends by itself; the longest is a verify of everything.
func commandTime() time.Duration {
	if full {
		return 10 * time.Minute
	}
	return time.Minute
}

// command runs the tandem program with arguments and returns its exit status and output.
func command(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Env = environment(env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Dir = t.TempDir()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-ended: // the exit status is what counts
	case <-time.After(commandTime()):
		cmd.Process.Signal(syscall.SIGQUIT)
		<-ended
		t.Fatalf("tandem %q did not end:\n%s", args, last(errs.String(), goroutineText/4))
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// differenceLine is one line of `tandem verify --json`.
type differenceLine struct {
	Key    string `json:"key"`
	DB     int    `json:"db"`
	Kind   string `json:"kind"`
	Detail string `json:"detail"`
}

// verify runs `tandem verify --json` and returns its exit status and the differences it lists.
func (td *tandem) verify(more ...string) (int, []differenceLine) {
	td.t.Helper()
	code, stdout, stderr := command(td.t, nil, append([]string{"verify", "--json", "--admin", td.Admin}, more...)...)
	var lines []differenceLine
	for _, l := range strings.Split(strings.TrimSpace(stdout), "\n") {
		if l == "" {
			continue
		}
		var d differenceLine
		if err := json.Unmarshal([]byte(l), &d); err != nil {
			td.t.Fatalf("verify printed %q: %v\n%s", l, err, stderr)
		}
		lines = append(lines, d)
	}
	if code != 0 && code != 4 {
		td.t.Fatalf("verify: exit status %d\n%s", code, stderr)
	}
	return code, lines
}

// mustVerify runs a verify that must find nothing.
func (td *tandem) mustVerify() {
	td.t.Helper()
	if code, lines := td.verify(); code != 0 || len(lines) != 0 {
		td.t.Errorf("verify: exit status %d, %d differences: %s", code, len(lines), showLines(lines))
	}
}

func showLines(lines []differenceLine) string {
	var b strings.Builder
	for i, l := range lines {
		if i == 20 {
			fmt.Fprintf(&b, "\n  ... %d more", len(lines)-i)
			break
		}
		fmt.Fprintf(&b, "\n  db%d %q %s: %s", l.DB, l.Key, l.Kind, l.Detail)
	}
	return b.String()
}
