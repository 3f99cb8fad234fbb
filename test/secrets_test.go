package test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/test/program"
	"tandem/test/wire"
)

// secrets are all passwords and tokens of a run, by who has them. All have the mark, so that a part of one is found
// that was cut or quoted.
const mark = "5ecret"

var secrets = map[string]string{
	"source": "src-5ecret-Kd83", "target": "tgt-5ecret-%40w", "token": "token-5ecret-000000000000", "app": "app-5ecret-9fJq",
	"guess": "guess-5ecret-1111", "next": "next-5ecret-2222", "made": "made-5ecret-3333", "migrate": "mig-5ecret-4444",
	"misplaced": "mis-5ecret-5555", "hook": "hook-5ecret-66666666", "signing": "sign-5ecret-77777777",
	"named": "named-5ecret-888888888", "collector": "otlp-5ecret-99999999",
}

// listener collects all that the program says to anybody.
type listener struct {
	t    *testing.T
	said map[string]string
}

func (l *listener) heard(where, what string) { l.said[where] += what + "\n" }

// ask sends a command and keeps the answer; that of the server behind is the server's own.
func (l *listener) ask(c *wire.Conn, args ...string) wire.Reply {
	reply, err := c.Do(args...)
	l.heard("answer to "+args[0], fmt.Sprintf("%+v %v", reply, err))
	return reply
}

// A run in which everything goes wrong that has to do with a password: nothing that the program prints, answers or
// writes has any of them.
func TestNoSecretIsEverShown(t *testing.T) {
	t.Parallel()
	source := redisdtest.Start(t, redisd.Options{Password: secrets["source"]})
	target := redisdtest.Start(t, redisd.Options{Password: secrets["target"]})
	onSource := func(args ...string) {
		c, err := wire.Dial(source.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, command := range [][]string{{"AUTH", secrets["source"]}, args} {
			if reply, err := c.Do(command...); err != nil || reply.Kind == '-' {
				t.Fatalf("%s: %+v, %v", command[0], reply, err)
			}
		}
	}
	onSource("ACL", "SETUSER", "app", "on", ">"+secrets["app"], "~*", "&*", "+@all")
	onSource("CONFIG", "SET", "slowlog-log-slower-than", "0")

	// A hook that takes nothing, whose URL is a secret; and one that is told all.
	signing := filepath.Join(t.TempDir(), "signing")
	if err := os.WriteFile(signing, []byte(secrets["signing"]), 0o600); err != nil {
		t.Fatal(err)
	}
	hooked := make(chan string, 10_000)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		hooked <- string(body)
		if r.URL.Path != "/all" {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	defer receiver.Close()
	hooks := fmt.Sprintf("hooks: [{on: [process, phase, step, sweep, fault, lag, verify, difference], url: %q, secret_file: %q}, "+
		"{on: [phase], url: %q}, {on: [phase], url: %q, retry_for: 1s}, {on: [phase], command: [\"false\"], retry_for: 0s}]",
		receiver.URL+"/all", signing, receiver.URL+"/"+secrets["hook"], "http://user:"+secrets["hook"]+"@127.0.0.1:1/"+secrets["hook"])

	// A token with a name, and a collector of traces that wants one of its own; the audit log is among the files of the end.
	files := t.TempDir()
	for name, text := range map[string]string{"token": secrets["named"], "headers": "Authorization: Bearer " + secrets["collector"]} {
		must(t, os.WriteFile(filepath.Join(files, name), []byte(text+"\n"), 0o600))
	}
	traced := make(chan string, 10_000)
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		traced <- string(body)
		if len(traced) > 1 {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	defer collector.Close()

	heard := &listener{t: t, said: map[string]string{}}
	td := program.Prepare(t, "redis://:"+secrets["source"]+"@"+source.Addr, "redis://:"+strings.ReplaceAll(secrets["target"], "%", "%25")+"@"+target.Addr,
		"log: {level: debug}", fmt.Sprintf("admin: {token: %s, tokens: [{name: alice, file: %q}]}", secrets["token"], files+"/token"),
		fmt.Sprintf("audit: {file: %q}", files+"/audit.jsonl"),
		fmt.Sprintf("tracing: {endpoint: %q, share: 1, keys: true, every: 10ms, headers_file: %q}", collector.URL+"/v1/traces", files+"/headers"), "primary: {wait: 300ms}", "auth: {cache: 0s}", "scripts: auto", hooks)
	td.Launch()
	request := func(method, path, token string) {
		r, err := http.NewRequest(method, td.Admin+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		heard.heard(method+" "+path, fmt.Sprint(resp.StatusCode, resp.Header, string(body)))
	}
	pages := func() {
		for _, path := range []string{"/", "/healthz", "/readyz", "/metrics", "/api/v1/status", "/api/v1/verify/1", "/api/v1/none", "/api/v1/events", "/api/v1/report", "/report"} {
			for _, token := range []string{"", secrets["guess"], secrets["token"]} {
				request("GET", path, token)
			}
		}
		for _, step := range []string{"start", "cutover", "rollback", "verify", "pause", "resume"} {
			request("POST", "/api/v1/"+step, secrets["token"])
		}
	}
	status := func() string {
		r, _ := http.NewRequest("GET", td.Admin+"/api/v1/status", nil)
		r.Header.Set("Authorization", "Bearer "+secrets["token"])
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return ""
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return string(body)
	}
	td.Until("synced", 30*time.Second, func() bool { return strings.Contains(status(), `"phase":"synced"`) })

	client := func() *wire.Conn {
		c, err := wire.Dial(td.Addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	talk := func() {
		for _, login := range [][]string{
			{"AUTH", secrets["guess"]}, {"AUTH", "app", secrets["guess"]}, {"AUTH", secrets["source"]}, {"AUTH", "app", secrets["app"]},
			{"HELLO", "3", "AUTH", "app", secrets["guess"]}, {"HELLO", "3", "AUTH", "app", secrets["app"]}, {"HELLO", "9", "AUTH", "app", secrets["app"]},
			{"HELLO", "3", "AUTH", secrets["app"]}, {"AUTH", "app", secrets["app"], secrets["misplaced"]},
		} {
			c := client()
			_, _ = c.Do("AUTHX", secrets["misplaced"]) // the server quotes it, to the one who has sent it
			_, _ = c.Do(secrets["misplaced"])          // ... and here
			heard.ask(c, login...)
			heard.ask(c, "SET", "k", "v")
			heard.ask(c, "CLIENT", "LIST")
			heard.ask(c, "CLIENT", "INFO")
			heard.ask(c, "INFO", "everything")
		}
	}
	talk()
	c := client()
	heard.ask(c, "AUTH", "app", secrets["app"])
	for _, command := range [][]string{
		{"MIGRATE", "127.0.0.1", "1", "k", "0", "1", "AUTH", secrets["migrate"]}, {"MIGRATE", "127.0.0.1", "1", "k", "0", "1", "AUTH2", "u", secrets["migrate"]},
		{"ACL", "SETUSER", "made", "on", ">" + secrets["made"], "~*", "+@all"}, {"CONFIG", "SET", "masterauth", secrets["made"]},
		{"MULTI"}, {"AUTH", "app", secrets["app"]}, {"CONFIG", "SET", "masterauth", secrets["made"]}, {"EXEC"}, {"DISCARD"},
		{"EVAL", "return redis.call('SET', KEYS[1], ARGV[1])", "1", "k", "x"}, {"SET", "k", "v", "EX", "0"},
		{"CONFIG", "SET", "requirepass", secrets["next"]}, {"SLOWLOG", "GET", "1"},
	} {
		heard.ask(c, command...)
	}
	pages()
	// Every connection must be made anew, with a password that is the wrong one now; the target is away as well.
	target.Kill()
	other, err := wire.Dial(source.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if reply, err := other.Do("AUTH", secrets["next"]); err != nil || reply.Kind == '-' {
		t.Fatalf("%+v, %v", reply, err)
	}
	if reply, err := other.Do("CLIENT", "KILL", "TYPE", "normal"); err != nil || reply.Kind == '-' {
		t.Fatalf("%+v, %v", reply, err)
	}
	td.Until("the password is refused", 20*time.Second, func() bool { return strings.Contains(td.Logged(), "password") })
	talk()
	pages()
	for _, args := range [][]string{
		{"status", "--admin", td.Admin}, {"status", "--json", "--admin", td.Admin}, {"cutover", "--admin", td.Admin},
		{"precheck", "--source", "redis://:" + secrets["guess"] + "@" + source.Addr, "--target", "redis://:" + secrets["guess"] + "@" + target.Addr},
		{"precheck", "--json", "--source", "redis://app:" + secrets["app"] + "@" + source.Addr, "--target", "redis://" + secrets["misplaced"] + "@" + target.Addr},
		{"report", "--admin", td.Admin},
		{"config", "print", "--source", "redis://app:" + secrets["app"] + "@h", "--target", "rediss://:" + secrets["guess"] + "@h"},
		{"serve", "--source", "redis:/" + secrets["misplaced"], "--target", "//u:" + secrets["misplaced"] + "@h:x"},
		{"config", "check", "--source", "redis://u:p@h:" + secrets["misplaced"], "--target", "redis://h/" + secrets["misplaced"]},
	} {
		code, stdout, stderr := program.Command(t, []string{"TANDEM_ADMIN_TOKEN=" + secrets["token"], "TANDEM_MISTYPED=" + secrets["misplaced"]}, args...)
		heard.heard("tandem "+args[0], fmt.Sprint(code, stdout, stderr))
		code, stdout, stderr = program.Command(t, []string{"TANDEM_ADMIN_TOKEN=" + secrets["token"]}, args...)
		heard.heard("tandem "+args[0], fmt.Sprint(code, stdout, stderr))
	}
	td.Signal(15)
	heard.heard("log", td.Logged())
	if n := strings.Count(td.Logged(), "a hook was not told of an event"); n < 3 {
		t.Errorf("hooks failed %d times", n)
	}
	for len(traced) > 0 {
		heard.heard("traces", <-traced)
	}
	record, err := os.ReadFile(files + "/audit.jsonl")
	if must(t, err); len(record) == 0 || heard.said["traces"] == "" {
		t.Error("nothing is recorded, or nothing traced")
	}
	heard.heard("audit log", string(record))
	close(hooked) // nobody is told any more
	for body := range hooked {
		heard.heard("a hook", body)
	}
	if !strings.Contains(td.Logged(), "refuses the password") {
		t.Error("nothing went wrong")
	}
	written, err := filepath.Glob(filepath.Join(td.Dir, "*"))
	if err != nil || len(written) == 0 {
		t.Fatalf("%q, %v", written, err)
	}
	for _, name := range written {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		heard.heard("file "+filepath.Base(name), string(content))
		if info, err := os.Stat(name); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s can be read by others: %v, %v", name, info.Mode(), err)
		}
	}
	total := 0
	for where, what := range heard.said {
		total += len(what)
		for rest := strings.ToLower(what); ; { // commands are shown in upper case
			at := strings.Index(rest, mark)
			if at < 0 {
				break
			}
			t.Errorf("%s tells a secret: ...%s...", where, rest[max(0, at-120):min(len(rest), at+40)])
			rest = rest[at+len(mark):]
		}
	}
	t.Logf("%d bytes of %d kinds were looked at", total, len(heard.said))
	if total < 100_000 {
		t.Error("hardly anything was heard")
	}
}
