package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tandem/internal/precheck"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/terminal/terminaltest"
)

func TestPrecheckOfTwoServers(t *testing.T) {
	// A password with every letter that means something in a URL or to a server's configuration file.
	const password = "p@ss/w:o#r?d%41+"
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	source := redisdtest.Start(t, redisd.Options{Password: password})
	target := redisdtest.Start(t, redisd.Options{})
	args := []string{"precheck", "--source", "redis://" + source.Addr, "--target", "redis://" + target.Addr}
	env := []string{"TANDEM_SOURCE_PASSWORD_FILE=" + file}

	code, stdout, stderr := tandem(t, env, args...)
	if code != exitDone || stderr != "" {
		t.Errorf("%d %s", code, stderr)
	}
	expectParts(t, "stdout", stdout, "The migration can start")

	code, stdout, _ = tandem(t, env, append(args, "--json")...)
	var report precheck.Report
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || code != exitDone || len(report.Items) == 0 {
		t.Errorf("%d %v %s", code, err, stdout)
	}

	code, stdout, stderr = tandem(t, nil, args...) // without the password
	if code != exitRefused || stderr != "" {
		t.Errorf("without the password: %d %s", code, stderr)
	}
	expectParts(t, "stdout", stdout, "FAILED")
	if strings.Contains(stdout, "\x1b[") {
		t.Error("colours where nobody sees them")
	}
}

func TestPrecheckThatFailedExitsWith3(t *testing.T) {
	server := redisdtest.Start(t, redisd.Options{})
	alias := strings.Replace(server.Addr, "127.0.0.1", "localhost", 1)
	code, stdout, _ := tandem(t, nil, "precheck", "--source", "redis://"+server.Addr, "--target", "redis://"+alias, "--json")
	var report precheck.Report
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || code != exitRefused || report.Result != precheck.Failed {
		t.Errorf("%d %v %s", code, err, stdout)
	}
}

// On a terminal there is a line of progress meanwhile, which is gone at the end.
func TestPrecheckOnATerminal(t *testing.T) {
	source, target := redisdtest.Start(t, redisd.Options{}), redisdtest.Start(t, redisd.Options{})
	cmd := command(t, []string{"LC_ALL=C.UTF-8", "TERM=xterm"}, "precheck", "--source", source.URL(), "--target", target.URL())
	term := terminaltest.Start(t, cmd, 120, 200, "")
	text := term.Until(watchTime, "Result: ")
	if code := term.Wait(watchTime); code != exitDone || !term.Wrote("precheck  ") || strings.Contains(text, "precheck  ") {
		t.Errorf("%d\n%s", code, text)
	}
}
