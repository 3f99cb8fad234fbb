package main

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/admin"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/status"
)

// printsNothing are the commands without --json, and why.
var printsNothing = map[string]string{
	"tandem serve": "its log is on stderr, and is JSON with log.format json",
	"tandem man":   "it writes files",
}

// TestEveryCommandPrintsForPrograms walks through all commands.
func TestEveryCommandPrintsForPrograms(t *testing.T) {
	left := maps.Clone(printsNothing)
	seen := 0
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, below := range c.Commands() {
			walk(below)
		}
		path := c.CommandPath()
		if path == "tandem" || path == "tandem config" || strings.HasPrefix(path, "tandem completion") || path == "tandem help" {
			return // they print help, or what a shell reads
		}
		seen++
		_, exempt := left[path]
		delete(left, path)
		f := c.Flags().Lookup("json")
		switch {
		case exempt && f != nil:
			t.Errorf("%s has --json: take it off the list", path)
		case !exempt && f == nil:
			t.Errorf("%s has no --json", path)
		case f != nil && f.DefValue != "false":
			t.Errorf("%s: --json is no switch", path)
		}
	}
	walk(newRootCommand())
	if len(left) > 0 || seen < 20 {
		t.Errorf("%d commands seen, and not %v", seen, left)
	}
}

// object reads the one JSON object that a command has printed.
func object(t *testing.T, env []string, wantCode int, args ...string) map[string]any {
	t.Helper()
	code, stdout, stderr := tandem(t, env, append(args, "--json")...)
	var all map[string]any
	if err := json.Unmarshal([]byte(stdout), &all); err != nil || code != wantCode || strings.Count(stdout, "\n") != 1 {
		t.Errorf("%v: %d, %v, on stdout:\n%s\non stderr:\n%s", args, code, err, stdout, stderr)
	}
	return all
}

// expectFields checks some fields, as they are in JSON.
func expectFields(t *testing.T, all map[string]any, want string) {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal([]byte(want), &fields); err != nil {
		t.Fatal(err)
	}
	for name, w := range fields {
		a, _ := json.Marshal(all[name])
		b, _ := json.Marshal(w)
		if string(a) != string(b) {
			t.Errorf("%s is %s, want %s", name, a, b)
		}
	}
}

func TestWhatProgramsRead(t *testing.T) {
	urls := []string{"TANDEM_SOURCE=redis://u:hunter2@a", "TANDEM_TARGET=redis://b"}
	expectFields(t, object(t, nil, exitDone, "version"), `{"version":"v0.0.0-test"}`)
	expectFields(t, object(t, urls, exitDone, "config", "check"), `{"valid":true,"source":"redis://u:***@a","target":"redis://b"}`)
	expectFields(t, object(t, urls, exitDone, "config", "print", "--listen", "127.0.0.1:1"), `{"listen":"127.0.0.1:1"}`)
	if all := object(t, nil, exitDone, "config", "defaults"); all["listen"] == nil || all["backfill"] == nil {
		t.Errorf("the defaults are %v", all)
	}

	m := &fakeMigration{id: "b7", status: running(), result: admin.Result{Phase: status.Reversed, Pause: 23400 * time.Microsecond}}
	url := serveAdmin(t, m, "")
	expectFields(t, object(t, nil, exitDone, "start", "--admin", url), `{"step":"start","id":"b7","phase":"","planned":false}`)
	expectFields(t, object(t, nil, exitDone, "cutover", "--admin", url), `{"step":"cutover","phase":"reversed","pause_ms":23.4,"next":"tandem verify; then tandem finish, or tandem rollback to go back"}`)
	expectFields(t, object(t, nil, exitDone, "pause", "--admin", url), `{"step":"pause","phase":"backfill","next":"tandem resume"}`)
	expectFields(t, object(t, nil, exitDone, "verify", "pause", "v1", "--admin", url), `{"id":"v1","state":"failed"}`)
	expectFields(t, object(t, nil, exitDone, "report", "--admin", url), `{"id":"0123456789abcdef"}`)
}

// With --json what goes wrong can be read by programs, too; people read it on stderr as ever.
func TestWhatGoesWrongIsReadByPrograms(t *testing.T) {
	blocked := &fakeMigration{err: &admin.Refused{Message: "not ready", Blockers: []status.Blocker{{Code: "lag", Message: "the target is slow", Remedy: "wait"}}}}
	url := serveAdmin(t, blocked, "")
	for _, args := range [][]string{{"cutover"}, {"verify"}, {"throttle"}} {
		expectFields(t, object(t, nil, exitRefused, append(args, "--admin", url)...),
			`{"error":"`+args[0]+`: not ready","blockers":[{"code":"lag","message":"the target is slow","remedy":"wait"}],"problems":[]}`)
	}
	if all := object(t, nil, exitFailed, "status", "--admin", "127.0.0.1:1"); !strings.Contains(all["error"].(string), "does not answer") {
		t.Errorf("nobody there: %v", all)
	}
	if all := object(t, nil, exitUsage, "version", "now"); !strings.Contains(all["error"].(string), "takes no argument") {
		t.Errorf("a mistake on the command line: %v", all)
	}
	all := object(t, []string{"TANDEM_LANES=x", "TANDEM_SOURCE=redis://a", "TANDEM_TARGET=redis://b"}, exitUsage, "config", "check")
	problems, _ := all["problems"].([]any)
	if len(problems) != 1 {
		t.Fatalf("a mistake in the configuration: %v", all)
	}
	expectFields(t, problems[0].(map[string]any), `{"key":"lanes","value":"x","origin":"environment TANDEM_LANES"}`)
}

// TestMigrateForPrograms moves a few keys, and keys that differ for good.
func TestMigrateForPrograms(t *testing.T) {
	t.Parallel()
	source, target := redisdtest.Start(t, redisd.Options{}), redisdtest.Start(t, redisd.Options{})
	args := []string{"migrate", "--source", source.URL(), "--target", target.URL(), "--state-dir", filepath.Join(t.TempDir(), "state")}
	all := object(t, nil, exitDone, append(args, "--dry-run")...)
	expectFields(t, all, `{"refused":false}`)
	var names []string
	steps, _ := all["steps"].([]any)
	for _, s := range steps {
		names = append(names, s.(map[string]any)["name"].(string))
	}
	if !slices.Contains(names, "begin") || !slices.Contains(names, "verify") {
		t.Errorf("the steps are %q", names)
	}
	expectFields(t, object(t, nil, exitDone, args...), `{"result":"equal","different":0,"differences":[],"kept":0,"staying":0}`)
}
