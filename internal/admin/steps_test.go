package admin

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"tandem/internal/audit"
	"tandem/internal/printed"
)

const otherToken = "another horse, another battery"

// recorded is a server with an audit log, two callers with names, and one without.
func recorded(t *testing.T, f *fake, path string, change ...func(*Options)) (url string, log *printed.Text) {
	t.Helper()
	record, err := audit.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { record.Close() })
	log = new(printed.Text)
	return serve(t, f, append([]func(*Options){func(o *Options) {
		o.Audit, o.Log = record, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelError, ReplaceAttr: LevelName}))
		o.Callers = []Caller{{Token: testToken}, {Name: "alice", Token: otherToken}, {Name: "grafana", Token: "a token that reads only", ReadOnly: true}}
	}}, change...)...), log
}

func entries(t *testing.T, path string) (list []audit.Entry) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var e audit.Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		list = append(list, e)
	}
	return list
}

func bearer(token string) func(*http.Request) { return header("Authorization", "Bearer "+token) }

// Each step is recorded before it is taken, and again with what came of it: whose it was, by what request, and why not.
func TestStepsAreRecorded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	f := &fake{}
	f.step = func(context.Context) error { // when the step is taken, the record says who has asked for it
		if list := entries(t, path); list[len(list)-1].Event != audit.Asked {
			t.Errorf("it is taken before it is recorded: %+v", list)
		}
		return f.err
	}
	url, log := recorded(t, f, path)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path, body string
		err        error
		event      string
		code       int
	}{
		{"cutover", `{"force":"sweep_owed"}`, nil, audit.Done, 200},
		{"rollback", "", &Refused{Message: "not now"}, audit.Refused, 409},
		{"finish", "", ErrUndone, audit.Undone, 504},
		{"verify", `{"repair":true}`, errors.New("the disk is full"), audit.Failed, 500},
		{"throttle", `{"max_keys_per_s":5}`, nil, audit.Done, 200},
	} {
		f.err = c.err
		before := 0
		if _, err := os.Stat(path); err == nil {
			before = len(entries(t, path))
		}
		code, _, h := send(t, "POST", url+"/api/v1/"+c.path, c.body, bearer(otherToken), header("X-Request-Id", "ticket-17"), header("User-Agent", "curl"))
		if code != c.code || h.Get("X-Request-Id") != "ticket-17" {
			t.Errorf("%s: %d, %v", c.path, code, h)
		}
		list := entries(t, path)[before:]
		if len(list) != 2 {
			t.Fatalf("%s: %+v", c.path, list)
		}
		for i, e := range list {
			if e.Request != "ticket-17" || e.Who.Name != "alice" || e.Who.User != me.Username || !strings.HasPrefix(e.Who.From, "127.0.0.1:") || e.Who.Program != "curl" ||
				!strings.HasPrefix(e.Step, c.path) || e.PhaseBefore != "synced" || (e.Options != nil) != (c.body != "") {
				t.Errorf("%s: line %d is %+v", c.path, i, e)
			}
		}
		if e := list[1]; e.Event != c.event || e.PhaseAfter != "synced" || (e.Error != "") != (c.err != nil) || e.DurationMs <= 0 {
			t.Errorf("%s: %+v", c.path, e)
		}
		if text := log.String(); !strings.Contains(text, "level=AUDIT") || !strings.Contains(text, "who=alice") || !strings.Contains(text, "request=ticket-17") {
			t.Errorf("%s: the log has %s", c.path, text)
		}
	}
	// Who only asks is not recorded, nor is a token ever.
	f.step = nil
	before := len(entries(t, path))
	send(t, "GET", url+"/api/v1/status", "", bearer(otherToken))
	send(t, "POST", url+"/api/v1/throttle", "", bearer(otherToken))
	text, _ := os.ReadFile(path)
	if n := len(entries(t, path)); n != before || strings.Contains(string(text)+log.String(), "horse") {
		t.Errorf("%d lines more, or a token", n-before)
	}
}

// A token for reading reads everything and changes nothing; what it tries is recorded, as is what nobody may.
func TestWhoMayOnlyRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	f := &fake{}
	level := new(slog.LevelVar)
	url, _ := recorded(t, f, path, func(o *Options) { o.Level = level })
	reads := bearer("a token that reads only")
	for _, p := range []string{"/metrics", "/api/v1/status", "/api/v1/report", "/report", "/api/v1/events", "/api/v1/log", "/api/v1/clients"} {
		if code, _, _ := send(t, "GET", url+p, "", reads); code != 200 {
			t.Errorf("GET %s: %d", p, code)
		}
	}
	if code, _, _ := send(t, "POST", url+"/api/v1/throttle", "", reads); code != 200 {
		t.Errorf("asking for the throttle: %d", code)
	}
	f.asked = nil
	refused := []string{"start", "pause", "resume", "cutover", "rollback", "finish", "verify", "verify/1/cancel", "precheck", "reload", "nothing"}
	for _, p := range refused {
		if code, answer, _ := send(t, "POST", url+"/api/v1/"+p, "", reads); code != 403 || !strings.Contains(answer, "grafana") {
			t.Errorf("POST %s: %d %s", p, code, answer)
		}
	}
	for p, body := range map[string]string{"throttle": `{"workers":1}`, "log": `{"level":"debug"}`} {
		if code, _, _ := send(t, "POST", url+"/api/v1/"+p, body, reads); code != 403 {
			t.Errorf("POST %s %s: %d", p, body, code)
		}
	}
	if len(f.asked) > 0 || level.Level() != slog.LevelInfo {
		t.Errorf("the controller was asked %q, the level is %v", f.asked, level)
	}
	send(t, "POST", url+"/api/v1/cutover", "", bearer("a guess"))
	send(t, "GET", url+"/api/v1/status", "", header("Origin", "http://evil.example"))
	list := entries(t, path)
	if len(list) != len(refused)+4 {
		t.Fatalf("%d lines", len(list))
	}
	for i, e := range list {
		if e.Event != audit.Denied || e.Request == "" || e.Error == "" || (e.Who.Name == "grafana") != (i < len(refused)+2) {
			t.Errorf("%+v", e)
		}
	}
	if e := list[len(list)-2]; e.Step != "POST /api/v1/cutover" {
		t.Errorf("%+v", e)
	}
}

// Who guesses tokens does not fill the disk.
func TestGuessesAreCounted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	url, _ := recorded(t, &fake{}, path)
	for range 200 {
		send(t, "GET", url+"/api/v1/status", "", bearer("a guess"))
	}
	n := len(entries(t, path))
	if n < deniedAtOnce || n > deniedAtOnce+60 {
		t.Errorf("%d lines", n)
	}
	send(t, "POST", url+"/api/v1/pause", "", bearer(otherToken)) // steps are not among them
	if list := entries(t, path); list[len(list)-1].Step != "pause" {
		t.Errorf("%+v", list[len(list)-1])
	}
}

// While nothing can be recorded, nothing moves the migration on; going back and slowing down are possible, and so is anything
// that is forced.
func TestWithoutARecord(t *testing.T) {
	f := &fake{}
	url, log := recorded(t, f, "/dev/full")
	ask := func(step, body string) (int, string) {
		code, answer, _ := send(t, "POST", url+"/api/v1/"+step, body, bearer(otherToken))
		return code, answer
	}
	for step, body := range map[string]string{"start": "", "resume": "", "cutover": `{"when_ready":true}`, "finish": `{"force":"x"}`, "verify": `{"repair":true}`} {
		if code, answer := ask(step, body); code != 409 || !strings.Contains(answer, AuditUnwritable) || !strings.Contains(answer, "no space") {
			t.Errorf("%s: %d %s", step, code, answer)
		}
	}
	if len(f.asked) > 0 {
		t.Errorf("the controller was asked %q", f.asked)
	}
	for step, body := range map[string]string{"rollback": "", "pause": "", "verify": "", "throttle": `{"workers":1}`, "cutover": `{"force":"audit_unwritable"}`, "finish": `{"force":"x,audit_unwritable"}`} {
		if code, answer := ask(step, body); code >= 300 {
			t.Errorf("%s: %d %s", step, code, answer)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, want := range []string{"cutover ", "finish x", "rollback "} {
		if !strings.Contains(strings.Join(f.asked, "|")+"|", want+"|") {
			t.Errorf("asked %q, not %q", f.asked, want)
		}
	}
	if text := log.String(); strings.Count(text, "level=AUDIT") != 11 || !strings.Contains(text, "is not in the audit log") {
		t.Errorf("%s", text)
	}
}

// Callers may be changed while it serves, but never so that other machines get in without a token.
func TestCallersChange(t *testing.T) {
	s, err := Listen(Options{Addr: "127.0.0.1:0", Controller: &fake{}, Log: slog.New(slog.DiscardHandler), Callers: []Caller{{Token: testToken}}})
	if err != nil {
		t.Fatal(err)
	}
	url, _ := run(t, s)
	ask := func(token string) int {
		code, _, _ := send(t, "GET", url+"/api/v1/status", "", bearer(token))
		return code
	}
	next := watch(t, url, testToken)
	if _, more := next(); !more {
		t.Error("nothing is told to who may watch")
	}
	if err := s.SetCallers([]Caller{{Name: "bob", Token: otherToken}}); err != nil || ask(otherToken) != 200 || ask(testToken) != 401 {
		t.Errorf("%v", err)
	}
	for told := 0; ; told++ {
		if _, more := next(); !more {
			break
		} else if told == 2 { // as many may have been on the way
			t.Fatal("who may not ask any more watches on")
		}
	}
	if err := s.SetCallers(nil); err != nil || ask("any") != 200 {
		t.Errorf("%v", err)
	}
	s.options.Addr = "0.0.0.0:0"
	if s.SetCallers(nil) == nil {
		t.Error("everybody is let in")
	}
}

func TestTheLevelOfTheLogChanges(t *testing.T) {
	level := new(slog.LevelVar)
	url := serve(t, &fake{}, func(o *Options) { o.Level = level })
	for _, c := range []struct {
		body, answer string
		code         int
	}{
		{``, `"level":"info"`, 200}, {`{"level":"debug"}`, `"level":"debug"`, 200}, {`{"level":"WARN"}`, `"level":"warn"`, 200},
		{`{"level":"AUDIT"}`, "use debug, info", 400}, {`{"level":"error+4"}`, "use debug, info", 400}, {`{"lewel":"debug"}`, "error", 400},
	} {
		if code, answer, _ := send(t, "POST", url+"/api/v1/log", c.body); code != c.code || !strings.Contains(answer, c.answer) {
			t.Errorf("%s: %d %s", c.body, code, answer)
		}
	}
	if level.Level() != slog.LevelWarn {
		t.Errorf("it is %v", level)
	}
}
