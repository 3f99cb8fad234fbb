package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/test/program"
)

// What a script can rely on: the exit status of each mistake, and that the message names it.
func TestExitStatusOfMistakes(t *testing.T) {
	source := redisdtest.Start(t, redisd.Options{})
	target := redisdtest.Start(t, redisd.Options{Password: "s3cret-word"})
	file := func(content string) string {
		name := filepath.Join(t.TempDir(), "tandem.yaml")
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	nobody := "http://" + program.FreeAddr(t)
	wrong := "redis://:wrong-word@" + target.Addr
	for _, c := range []struct {
		name string
		env  []string
		args []string
		code int
		says []string
	}{
		{"no such command", nil, []string{"serv"}, 2, []string{"serv"}},
		{"no such flag", nil, []string{"serve", "--sorce", "x"}, 2, []string{"sorce"}},
		{"unknown key", nil, []string{"config", "check", "-c", file("lisen: 127.0.0.1:1")}, 2, []string{"lisen"}},
		{"unknown nested key", nil, []string{"config", "check", "-c", file("cutover:\n  maxpause: 1s")}, 2, []string{"maxpause"}},
		{"unknown variable", []string{"TANDEM_LISEN=x"}, []string{"config", "check"}, 2, []string{"TANDEM_LISEN"}},
		{"two mistakes at once", nil, []string{"config", "check", "-c", file("lanes: 0\nack: never")}, 2, []string{"lanes", "ack"}},
		{"bad URL", nil, []string{"serve", "--source", "http://x", "--target", target.URL()}, 2, []string{"source"}},
		{"no source", nil, []string{"serve", "--target", target.URL()}, 2, []string{"source"}},
		{"precheck fails: the same server", nil, []string{"precheck", "--source", source.URL(), "--target", "redis://localhost:" + fmt.Sprint(source.Port)}, 3, []string{"same"}},
		{"precheck fails: wrong password", nil, []string{"precheck", "--source", source.URL(), "--target", wrong}, 3, []string{"password"}},
		{"status without a tandem", nil, []string{"status", "--admin", nobody}, 1, []string{strings.TrimPrefix(nobody, "http://")}},
		{"cutover without a tandem", nil, []string{"cutover", "--admin", nobody}, 1, []string{strings.TrimPrefix(nobody, "http://")}},
		{"verify in no such mode", nil, []string{"verify", "--mode", "half"}, 2, []string{"half"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := program.Command(t, c.env, c.args...)
			if code != c.code {
				t.Errorf("%q: exit status %d, want %d", c.args, code, c.code)
			}
			for _, word := range c.says {
				if !strings.Contains(strings.ToLower(stdout+stderr), strings.ToLower(word)) {
					t.Errorf("nothing is said of %q:\n%s%s", word, stdout, stderr)
				}
			}
			for _, secret := range []string{"s3cret-word", "wrong-word"} {
				if strings.Contains(stdout+stderr, secret) {
					t.Errorf("a password is shown:\n%s%s", stdout, stderr)
				}
			}
		})
	}
}

func TestVersionAndDefaultsArePrinted(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"config", "defaults"}, {"--help"}} {
		if code, stdout, stderr := program.Command(t, nil, args...); code != 0 || stdout == "" {
			t.Errorf("%q: exit status %d, output %q %q", args, code, stdout, stderr)
		}
	}
}

// precheckReport is what `tandem precheck --json` prints.
type precheckReport struct {
	Result string `json:"result"`
	Items  []struct {
		Name, Status, Found, Why, Remedy string
		Accept                           *string
	} `json:"items"`
}

func precheck(t *testing.T, source, target *redisd.Server) (int, precheckReport, string) {
	t.Helper()
	code, stdout, stderr := program.Command(t, nil, "precheck", "--json", "--source", source.URL(), "--target", target.URL())
	var r precheckReport
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("precheck printed %q: %v\n%s", stdout, err, stderr)
	}
	return code, r, stdout
}

func TestPrecheckJudgesThePair(t *testing.T) {
	source := redisdtest.Start(t, redisd.Options{})
	target := redisdtest.Start(t, redisd.Options{})
	do(t, source.Addr, "SET", "k", "v")
	code, r, raw := precheck(t, source, target)
	if code != 0 || r.Result == "failed" || len(r.Items) == 0 {
		t.Errorf("a good pair: exit status %d, %s", code, raw)
	}
	for _, item := range r.Items {
		if item.Name == "" || item.Status == "" || item.Accept == nil {
			t.Errorf("an item without name, status or accept: %+v", item)
		}
	}
	if got := do(t, source.Addr, "DBSIZE").Int; got != 1 {
		t.Errorf("the precheck left %d keys on the source, want the one that was there", got)
	}
	if got := do(t, target.Addr, "DBSIZE").Int; got != 0 {
		t.Errorf("the precheck left %d keys on the target", got)
	}
	do(t, target.Addr, "SET", "there", "before")
	code, r, raw = precheck(t, source, target)
	if code != 3 || r.Result != "failed" {
		t.Errorf("a target with a key: exit status %d, %s", code, raw)
	}
	newer, ok := redisdtest.Find(t, "redis-8.0", "redis-7.0")
	if !ok {
		return
	}
	from := redisdtest.Start(t, redisd.Options{Binary: newer[0].Path})
	to := redisdtest.Start(t, redisd.Options{Binary: newer[1].Path})
	if code, _, raw = precheck(t, from, to); code != 0 {
		t.Errorf("8.0 to 7.0, which does not read its DUMPs as they are: exit status %d, %s", code, raw)
	}
}

// A refused precheck at the start of serve does not stop the service: it goes on serving, and says why.
func TestServeGoesOnServingWhenThePrecheckRefuses(t *testing.T) {
	source := redisdtest.Start(t, redisd.Options{})
	target := redisdtest.Start(t, redisd.Options{})
	do(t, target.Addr, "SET", "there", "before")
	td := program.Serve(t, source, target) // start: auto
	s := td.WaitStatus("blockers", 20*time.Second, func(s program.Status) bool { return len(s.Blockers) > 0 })
	if s.Phase != "passthrough" {
		t.Errorf("phase %s", s.Phase)
	}
	do(t, td.Addr, "SET", "k", "v")
	if got := do(t, source.Addr, "GET", "k").Str; got != "v" {
		t.Errorf("the source has %q", got)
	}
	if code, _, stderr := program.Command(t, nil, "start", "--admin", td.Admin); code != 3 {
		t.Errorf("start: exit status %d\n%s", code, stderr)
	}
	if got := do(t, target.Addr, "GET", "there").Str; got != "before" {
		t.Errorf("the target's own key is %q now", got)
	}
	do(t, target.Addr, "FLUSHALL")
	if code, _, stderr := program.Command(t, nil, "start", "--admin", td.Admin); code != 0 {
		t.Errorf("start once the target is empty: exit status %d\n%s", code, stderr)
	}
	td.WaitSynced()
}

// Without `start: manual` a new state directory needs nobody: it ends up synced by itself.
func TestServeStartsByItself(t *testing.T) {
	source := redisdtest.Start(t, redisd.Options{})
	target := redisdtest.Start(t, redisd.Options{})
	do(t, source.Addr, "SET", "k", "v")
	td := program.Serve(t, source, target)
	td.WaitSynced()
	if got := do(t, target.Addr, "GET", "k").Str; got != "v" {
		t.Errorf("the target has %q", got)
	}
}

func TestOneProcessPerStateDirectoryAndPair(t *testing.T) {
	w := newWorld(t, worldOptions{keys: 1000})
	refused := func(what string, args ...string) {
		t.Helper()
		args = append(append([]string{"serve"}, args...), "--listen", program.FreeAddr(t), "--admin", program.FreeAddr(t))
		code, stdout, stderr := program.Command(t, nil, args...)
		if code != 3 {
			t.Errorf("%s: exit status %d, want 3\n%s%s", what, code, stdout, stderr)
		}
	}
	refused("the same state directory", "--source", w.source.URL(), "--target", w.target.URL(), "--state-dir", w.td.Dir)
	refused("the same pair", "--source", w.source.URL(), "--target", w.target.URL(), "--state-dir", t.TempDir())
	if code := w.td.Signal(syscall.SIGINT); code != 0 {
		t.Errorf("exit status %d", code)
	}
	other := redisdtest.Start(t, redisd.Options{})
	refused("the state directory of another pair", "--source", w.source.URL(), "--target", other.URL(), "--state-dir", w.td.Dir)
}

func TestStepsThatAreNotReadyAreRefusedWithTheirReasons(t *testing.T) {
	w := newWorld(t, worldOptions{keys: 1000})
	for _, step := range []string{"cutover", "finish"} { // the source answers: a rollback has nothing to do
		code, stdout, stderr := program.Command(t, nil, step, "--admin", w.td.Admin)
		if code != 3 {
			t.Errorf("%s in passthrough: exit status %d, want 3\n%s%s", step, code, stdout, stderr)
		}
		httpCode, answer := w.td.Ask(step)
		var body struct {
			Error    string
			Blockers []struct{ Code, Message, Remedy string }
		}
		if err := json.Unmarshal([]byte(answer), &body); err != nil || httpCode != http.StatusConflict || body.Error == "" || body.Blockers == nil {
			t.Errorf("POST %s in passthrough: %d %s, want 409 with error and blockers", step, httpCode, answer)
		}
		for _, b := range body.Blockers {
			if b.Code == "" || b.Message == "" {
				t.Errorf("%s: a blocker without code or message: %s", step, answer)
			}
		}
	}
	// All steps, by the command line.
	for _, args := range [][]string{{"start"}, {"pause"}, {"resume"}} {
		if code, stdout, stderr := program.Command(t, nil, append(args, "--admin", w.td.Admin)...); code != 0 && code != 3 {
			t.Errorf("%q: exit status %d\n%s%s", args, code, stdout, stderr)
		}
	}
	w.td.WaitSynced()
	for _, args := range [][]string{{"status"}, {"verify"}, {"cutover"}, {"rollback"}, {"cutover"}, {"finish"}, {"status"}} {
		if code, stdout, stderr := program.Command(t, nil, append(args, "--admin", w.td.Admin)...); code != 0 {
			t.Errorf("%q: exit status %d\n%s%s", args, code, stdout, stderr)
		}
	}
	if s := w.td.Status(); s.Phase != "finished" {
		t.Errorf("phase %s in the end", s.Phase)
	}
}

// A cutover that is planned comes by itself, over a restart, or is taken back.
func TestCutoverThatIsPlanned(t *testing.T) {
	w := newWorld(t, worldOptions{keys: 1000})
	step := func(want int, says string, args ...string) {
		t.Helper()
		code, stdout, stderr := program.Command(t, nil, append(args, "--admin", w.td.Admin)...)
		if code != want || !strings.Contains(stdout+stderr, says) {
			t.Errorf("%q: exit status %d, want %d\n%s%s", args, code, want, stdout, stderr)
		}
	}
	step(0, "The cutover is planned.", "cutover", "--at", time.Now().Add(time.Hour).Format(time.RFC3339))
	step(0, "planned for", "status")
	step(0, "taken back", "cutover", "--cancel")
	step(3, "not_planned", "cutover", "--cancel")
	step(2, "that is past", "cutover", "--at", "2001-01-01 04:00")
	step(0, "The cutover is planned.", "cutover", "--when-ready", "--within", "10m")
	w.td.Signal(syscall.SIGKILL)
	w.td.Start()
	w.td.Step("start")
	w.td.WaitStatus("the cutover", program.SyncTime(), func(s program.Status) bool { return s.Phase == "reversed" })
}

// statusFields is the contract: every field is there in every phase; null is allowed where a number may not be
// known.
var statusFields = strings.Fields(`phase primary ready_to_cutover blockers uptime_s sessions
	backfill.state backfill.keys_total backfill.keys_scanned backfill.keys_copied backfill.bytes_copied
	backfill.keys_per_s backfill.percent backfill.eta_s backfill.keys_staying dirty_keys unsettled_writes lag_ms lag_bytes
	effects.forwarded effects.mismatched effects.dropped copies.done copies.races copies.failed
	duplicates.found duplicates.overwritten duplicates.skipped
	verify.state verify.compared verify.different verify.finished_at cutover.last_pause_ms cutover.at
	cutover.planned_at cutover.planned_until cutover.planned_problem cutover.trial_until cutover.trial_problem
	tracking.state tracking.foreign_writes
	source.connected source.version source.run_id source.clock_offset_ms
	target.connected target.version target.run_id target.clock_offset_ms`)

func TestStatusHasEveryFieldInEveryPhase(t *testing.T) {
	w := newWorld(t, worldOptions{keys: 1000})
	check := func(phase string) {
		t.Helper()
		code, stdout, stderr := program.Command(t, nil, "status", "--json", "--admin", w.td.Admin)
		if code != 0 {
			t.Fatalf("status: exit status %d\n%s", code, stderr)
		}
		var s map[string]any
		if err := json.Unmarshal([]byte(stdout), &s); err != nil {
			t.Fatalf("status printed %q: %v", stdout, err)
		}
		for _, field := range statusFields {
			outer, inner, nested := strings.Cut(field, ".")
			v, ok := s[outer]
			if ok && nested {
				m, _ := v.(map[string]any)
				_, ok = m[inner]
			}
			if !ok {
				t.Errorf("in %s the status has no %s", phase, field)
			}
		}
		if s["phase"] != phase {
			t.Errorf("phase %v, want %s", s["phase"], phase)
		}
		if _, ok := s["blockers"].([]any); !ok {
			t.Errorf("in %s blockers is %v, want a list", phase, s["blockers"])
		}
		for _, side := range []string{"source", "target"} {
			m, ok := s[side].(map[string]any)
			if !ok || m["connected"] != true || m["version"] == "" || m["run_id"] == "" {
				t.Errorf("in %s the %s is %v", phase, side, s[side])
			}
		}
	}
	check("passthrough")
	w.td.Step("start")
	w.td.WaitSynced()
	check("synced")
	w.td.SwitchOver("cutover")
	check("reversed")
	w.td.Step("finish")
	var s map[string]any
	_, body, err := w.td.Get("/api/v1/status")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &s); err != nil || s["phase"] != "finished" {
		t.Errorf("status after finish: %s %v", body, err)
	}
}

func TestAdminEndpoints(t *testing.T) {
	w := newWorld(t, worldOptions{keys: 1000})
	// It listens before it is connected to the primary, and says so.
	w.td.Until("ready", 5*time.Second, func() bool {
		code, _, err := w.td.Get("/readyz")
		return err == nil && code == 200
	})
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 200, "/": 200, "/api/v1/status": 200, "/api/v1/nothing": 404} {
		if code, body, err := w.td.Get(path); err != nil || code != want {
			t.Errorf("GET %s: %d %v, want %d\n%s", path, code, err, want, program.Last(string(body), 300))
		}
	}
	_, metrics, err := w.td.Get("/metrics")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, line := range strings.Split(string(metrics), "\n") {
		if strings.HasPrefix(line, "tandem_") {
			names = append(names, line[:strings.IndexAny(line, "{ ")])
		}
	}
	sort.Strings(names)
	if len(names) == 0 {
		t.Error("no metric begins with tandem_")
	}
	// A page of another origin must not be able to move the migration on.
	req, err := http.NewRequest("POST", w.td.Admin+"/api/v1/start", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", "http://evil.example")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("a step asked for by another origin: %d, want 403", resp.StatusCode)
	}
	if s := w.td.Status(); s.Phase != "passthrough" {
		t.Errorf("phase %s after a forbidden start", s.Phase)
	}
}
