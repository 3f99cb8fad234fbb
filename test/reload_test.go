package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tandem/internal/audit"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/test/program"
)

// operated is a program whose file, tokens and audit log are changed while it runs.
type operated struct {
	t     *testing.T
	td    *program.Tandem
	file  string // the configuration
	audit string
	dir   string // of the tokens
}

// write writes the configuration; what is not changed is as it was.
func (o *operated) write(more ...string) {
	o.t.Helper()
	lines := append([]string{"tracking: off", "start: manual",
		fmt.Sprintf("admin: {tokens: [{name: alice, file: %q}, {name: grafana, file: %q, role: read}]}", o.dir+"/alice", o.dir+"/grafana")}, more...)
	must(o.t, os.WriteFile(o.file, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
}

func (o *operated) token(name, token string) {
	o.t.Helper()
	must(o.t, os.WriteFile(filepath.Join(o.dir, name), []byte(token+"\n"), 0o600))
}

// ask sends a request with a token and a name of its own, and returns status, answer and the name in the answer.
func (o *operated) ask(method, path, body, token, request string) (code int, answer, name string) {
	o.t.Helper()
	r, err := http.NewRequest(method, o.td.Admin+path, strings.NewReader(body))
	must(o.t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	if request != "" {
		r.Header.Set("X-Request-Id", request)
	}
	response, err := http.DefaultClient.Do(r)
	must(o.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	must(o.t, err)
	return response.StatusCode, string(text), response.Header.Get("X-Request-Id")
}

// entries are the lines of an audit log.
func (o *operated) entries(path string) (list []audit.Entry) {
	o.t.Helper()
	text, err := os.ReadFile(path)
	must(o.t, err)
	for line := range strings.Lines(string(text)) {
		var e audit.Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			o.t.Fatalf("%q: %v", line, err)
		}
		list = append(list, e)
	}
	return list
}

// logged waits until the log has so many lines with all of these words.
func (o *operated) logged(n int, words ...string) {
	o.t.Helper()
	o.td.Until(fmt.Sprintf("%q in the log", words), 10*time.Second, func() bool {
		found := 0
		for line := range strings.Lines(o.td.Logged()) {
			if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
				found++
			}
		}
		return found >= n
	})
}

const (
	aliceToken   = "alices-first-token-0001"
	aliceNext    = "alices-second-token-0002"
	grafanaToken = "grafanas-token-00000003"
)

// The configuration, tokens, hooks and the audit log of a running program are changed, by signal, by HTTP and by the command
// line: what can change is in force at once, what cannot is named, and a mistake changes nothing. Who has done it is recorded.
func TestAProgramIsReconfiguredWhileItRuns(t *testing.T) {
	t.Parallel()
	source, target := redisdtest.Start(t, redisd.Options{}), redisdtest.Start(t, redisd.Options{})
	told := make(chan string, 100)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		told <- string(body)
	}))
	defer hook.Close()
	o := &operated{t: t, dir: t.TempDir(), td: program.Prepare(t, source.URL(), target.URL())}
	o.file = o.td.Args[2]
	o.audit = filepath.Join(o.dir, "audit.jsonl")
	o.token("alice", aliceToken)
	o.token("grafana", grafanaToken)
	o.write("audit: {file: "+o.audit+"}", "log: {format: json}")
	o.td.Launch()
	o.logged(1, `"msg":"serving"`)
	status := func(token string) int {
		code, _, _ := o.ask("GET", "/api/v1/status", "", token, "")
		return code
	}
	if status(aliceToken) != 200 || status(grafanaToken) != 200 || status("nobodys-token-0000004") != 401 {
		t.Error("the tokens do not say who may ask")
	}

	// By HTTP: some keys are in force, one needs a restart; the name of the request is kept.
	o.write("audit: {file: "+o.audit+"}", "log: {format: json, level: error}", "clients: {max: 1}", "cutover: {max_pause: 700ms}", "lanes: 2",
		fmt.Sprintf("hooks: [{on: [step, fault, phase], url: %q}]", hook.URL))
	code, answer, name := o.ask("POST", "/api/v1/reload", "", aliceToken, "ticket-1")
	var done struct{ Applied, Restart []string }
	if err := json.Unmarshal([]byte(answer), &done); err != nil || code != 200 || name != "ticket-1" ||
		!slices.Equal(sorted(done.Applied), []string{"clients.max", "cutover.max_pause", "hooks", "log.level"}) || !slices.Equal(done.Restart, []string{"lanes"}) {
		t.Errorf("reload: %d %s, %s, %v", code, answer, name, err)
	}
	if _, text, _ := o.ask("GET", "/api/v1/status", "", aliceToken, ""); !strings.Contains(text, `"max_pause_ms":700`) {
		t.Errorf("cutover.max_pause is not in force: %s", text)
	}
	first := dial(t, o.td.Addr)
	if reply, err := first.Do("PING"); err != nil {
		t.Fatalf("%+v, %v", reply, err)
	}
	if reply, err := dial(t, o.td.Addr).Do("PING"); err == nil || !strings.Contains(reply.Str, "max number of clients") {
		t.Errorf("clients.max is not in force: %+v", reply)
	}
	if code, _, _ := o.ask("POST", "/api/v1/cutover", "", aliceToken, ""); code != 409 {
		t.Errorf("a cutover in passthrough: %d", code)
	}
	select {
	case body := <-told:
		if !strings.Contains(body, `"cutover"`) {
			t.Errorf("the hook is told %s", body)
		}
	case <-time.After(10 * time.Second):
		t.Error("the hook that has come is told nothing")
	}

	// A mistake, by each way: nothing changes, and all ways say what is wrong.
	o.write("audit: {file: "+o.audit+"}", "log: {format: json, level: debug}", "lanes: none")
	if code, answer, _ := o.ask("POST", "/api/v1/reload", "", aliceToken, ""); code != 400 || !strings.Contains(answer, "lanes") {
		t.Errorf("a mistake: %d %s", code, answer)
	}
	env := []string{"TANDEM_ADMIN_TOKEN_FILE=" + o.dir + "/alice"}
	if code, _, stderr := program.Command(t, env, "reload", "--admin", o.td.Admin); code == 0 || !strings.Contains(stderr, "lanes") {
		t.Errorf("tandem reload: %d %s", code, stderr)
	}
	must(t, syscall.Kill(o.td.PID(), syscall.SIGHUP))
	o.logged(1, "not read again", "lanes")
	o.write("audit: {file: "+o.dir+"}", "log: {format: json, level: debug}")
	if code, answer, _ := o.ask("POST", "/api/v1/reload", "", aliceToken, ""); code != 400 || !strings.Contains(answer, "audit.file") {
		t.Errorf("an audit log that cannot be: %d %s", code, answer)
	}
	if _, answer, _ := o.ask("GET", "/api/v1/log", "", aliceToken, ""); !strings.Contains(answer, "error") {
		t.Errorf("of a file with a mistake something was taken: %s", answer)
	}

	// By SIGHUP, and with logrotate before it: another token, and a new file.
	must(t, os.Rename(o.audit, o.audit+".1"))
	o.token("alice", aliceNext)
	o.write("audit: {file: "+o.audit+"}", "log: {format: json}")
	if status(aliceNext) != 401 {
		t.Error("the new token counts before it is read")
	}
	must(t, syscall.Kill(o.td.PID(), syscall.SIGHUP))
	o.td.Until("the new token counts", 10*time.Second, func() bool { return status(aliceNext) == 200 })
	if status(aliceToken) != 401 {
		t.Error("the old token still counts")
	}
	if reply, err := dial(t, o.td.Addr).Do("PING"); err != nil {
		t.Errorf("clients.max is not what it was: %+v, %v", reply, err)
	}
	o.logged(1, `"level":"AUDIT"`, `"step":"reload"`, `"from":"SIGHUP"`)

	// The level of the log, by the command line; who may only read may not.
	env = []string{"TANDEM_ADMIN_TOKEN=" + aliceNext}
	if code, out, _ := program.Command(t, env, "log", "--level", "debug", "--admin", o.td.Admin, "--json"); code != 0 || strings.TrimSpace(out) != `{"level":"debug"}` {
		t.Errorf("tandem log: %d %s", code, out)
	}
	if code, _, stderr := program.Command(t, []string{"TANDEM_ADMIN_TOKEN=" + grafanaToken}, "pause", "--admin", o.td.Admin); code != 2 || !strings.Contains(stderr, "grafana") {
		t.Errorf("a step with a token for reading: %d %s", code, stderr)
	}

	// All of it is in the audit log, in order, and no token is.
	var old, now []string
	short := func(e audit.Entry) string {
		who := e.Who.Name
		if e.Who.From == "SIGHUP" {
			who = "SIGHUP"
		}
		return who + " " + e.Step + " " + e.Event
	}
	for _, e := range o.entries(o.audit + ".1") {
		old = append(old, short(e))
	}
	for _, e := range o.entries(o.audit) {
		now = append(now, short(e))
		if e.Step == "log" && e.Event == audit.Done && (e.Who.User == "" || e.PhaseBefore != "passthrough" || !strings.Contains(e.Who.From, "127.0.0.1")) {
			t.Errorf("%+v", e)
		}
	}
	wantOld := []string{" GET /api/v1/status denied", "alice reload asked", "alice reload done", "alice cutover asked", "alice cutover refused",
		"alice reload asked", "alice reload refused", "alice reload asked", "alice reload refused", "SIGHUP reload asked", "SIGHUP reload refused",
		"alice reload asked", "alice reload refused"}
	if at := len(wantOld); len(old) < at || !slices.Equal(old[:at], wantOld) {
		t.Errorf("the first audit log has\n%s\nwant\n%s", strings.Join(old, "\n"), strings.Join(wantOld, "\n"))
	}
	want := []string{"alice log asked", "alice log done", "grafana POST /api/v1/pause denied"}
	if at := len(now) - len(want); at < 0 || !slices.Equal(now[at:], want) || !slices.Contains(now, "SIGHUP reload done") {
		t.Errorf("the second audit log has\n%s", strings.Join(now, "\n"))
	}
	all := []byte(o.td.Logged())
	for _, file := range []string{o.audit, o.audit + ".1"} {
		text, err := os.ReadFile(file)
		must(t, err)
		all = append(all, text...)
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
	}
	if bytes.Contains(all, []byte("token-0")) {
		t.Error("a token is shown")
	}
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}
