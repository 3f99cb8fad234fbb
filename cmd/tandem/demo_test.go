package main

import (
	"bufio"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestDemoRefusesSizesThatShowNothing(t *testing.T) {
	for args, want := range map[string]string{
		"demo --keys 10":       "at least 1000 keys",
		"demo --clients 0":     "between 1 and 200 clients",
		"demo --clients 1000":  "between 1 and 200 clients",
		"demo --rate 1":        "at least 100 commands a second",
		"demo --keys a-lot":    "invalid argument",
		"demo somewhere":       "takes no argument",
		"demo --rate 50000000": "at most",
	} {
		code, stdout, stderr := tandem(t, nil, strings.Fields(args)...)
		if code != exitUsage || stdout != "" {
			t.Errorf("%s: %d, stdout %q", args, code, stdout)
		}
		expectParts(t, args, stderr, "tandem: ", want, "\nSee: tandem demo --help\n")
	}
}

func TestDemoSaysHowToInstallAServer(t *testing.T) {
	code, stdout, stderr := tandem(t, []string{"PATH=" + t.TempDir(), "LC_ALL=C"}, "demo")
	if code != exitFailed || stderr != "" {
		t.Errorf("%d, stderr %q", code, stderr)
	}
	expectParts(t, "the demo's output", stdout, "!! servers", "redis-server is not installed", "apt-get install redis-server")
}

func TestDemoCleansUpWhenItIsEnded(t *testing.T) {
	for name, signal := range map[string]syscall.Signal{"Ctrl-C": syscall.SIGINT, "a closed terminal": syscall.SIGHUP} {
		files := t.TempDir()
		cmd := command(t, []string{"TMPDIR=" + files, "LC_ALL=C"}, "demo", "--keys", "2000", "--clients", "2")
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var printed strings.Builder
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			printed.WriteString(lines.Text() + "\n")
			if strings.Contains(lines.Text(), "ok clients") {
				if err := cmd.Process.Signal(signal); err != nil {
					t.Fatal(err)
				}
			}
		}
		cmd.Wait() // what it ended with is looked at next
		if code := cmd.ProcessState.ExitCode(); code != exitFailed {
			t.Errorf("%s: exit status %d", name, code)
		}
		expectParts(t, name, printed.String(), "ok clients", "Interrupted")
		if left, err := os.ReadDir(files); err != nil || len(left) > 0 {
			t.Errorf("%s: left behind: %v, %v", name, left, err)
		}
	}
}
