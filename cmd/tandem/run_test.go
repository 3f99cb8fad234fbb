package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"

	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/intent"
	"tandem/internal/kept"
	"tandem/internal/state"
)

func TestExitCodeOfEachKindOfError(t *testing.T) {
	for want, errs := range map[int][]error{
		exitDone:      {nil},
		exitFailed:    {errors.New("x"), admin.ErrUnreachable, admin.ErrPrimaryDown, admin.ErrUndone, admin.ErrUnknownVerify, state.ErrCorrupt},
		exitUsage:     {&usageError{errors.New("x")}, &config.Error{}, admin.ErrUnauthorized},
		exitRefused:   {&admin.Refused{}, errRefused, state.ErrLocked, state.ErrOtherPair, state.ErrNewerFormat, intent.ErrNewerFormat, kept.ErrNewerFormat},
		exitDifferent: {errDifferent, fmt.Errorf("%w: %w", errDifferent, errSaid)},
	} {
		for _, err := range errs {
			if got := exitCode(err); got != want {
				t.Errorf("%v: %d, want %d", err, got, want)
			}
			if err != nil && exitCode(fmt.Errorf("wrapped: %w", err)) != want {
				t.Errorf("%v, wrapped: want %d", err, want)
			}
		}
	}
}

func TestMistakesOnTheCommandLineExitWith2(t *testing.T) {
	for args, want := range map[string]string{
		"bogus":                    `tandem has no command "bogus"`,
		"statsu":                   "did you mean status?",
		"config":                   "config needs one of check, print, defaults",
		"config chekc":             "did you mean check?",
		"serve now":                `tandem serve takes no argument: "now"`,
		"serve --lisen x":          "unknown flag: --lisen",
		"serve --listen":           "flag needs an argument",
		"serve --takeover=maybe":   "invalid argument",
		"cutover extra":            "takes no argument",
		"cutover --admin redis://": "the admin URL is not one",
		"verify --mode fast":       "use full, sample or keys",
		"migrate --for -1s":        "--for is negative",
		"migrate --for soon":       "invalid argument",
		"version --quietly":        "unknown flag",
	} {
		code, stdout, stderr := tandem(t, nil, strings.Fields(args)...)
		if code != exitUsage || stdout != "" {
			t.Errorf("%s: %d, stdout %q", args, code, stdout)
		}
		expectParts(t, args, stderr, "tandem: ", want, "\nSee: tandem", " --help\n")
	}
}

func TestConfigurationMistakesExitWith2AndAreListed(t *testing.T) {
	for _, args := range [][]string{
		{"serve", "--listen", "nowhere", "--source", "redis://u:hunter2@a:port"},
		{"config", "check", "--listen", "nowhere", "--source", "redis://u:hunter2@a:port"},
		{"config", "print", "--listen", "nowhere", "--source", "redis://u:hunter2@a:port"},
	} {
		code, stdout, stderr := tandem(t, []string{"TANDEM_LANES=x", "TANDEM_BOGUS=1"}, args...)
		if code != exitUsage {
			t.Errorf("%v: %d", args, code)
		}
		expectParts(t, "stderr", stderr, "configuration: 5 errors", "\n  TANDEM_BOGUS", "\n  lanes", "\n  listen", "\n  source.url", "\n  target.url is not set")
		if strings.Contains(stdout+stderr, "hunter2") {
			t.Errorf("%v shows the password: %s%s", args, stdout, stderr)
		}
	}
	// Commands that talk to a running tandem read the environment too.
	if code, _, stderr := tandem(t, []string{"TANDEM_ADMIN_TOKN=1"}, "status"); code != exitUsage || !strings.Contains(stderr, "did you mean TANDEM_ADMIN_TOKEN?") {
		t.Errorf("status: %d %s", code, stderr)
	}
}

func TestConfigCommands(t *testing.T) {
	urls := []string{"TANDEM_SOURCE=redis://u:hunter2@a", "TANDEM_TARGET=redis://b"}
	code, stdout, stderr := tandem(t, urls, "config", "check")
	if code != exitDone || stdout != "The configuration is valid: redis://u:***@a to redis://b.\n" || stderr != "" {
		t.Errorf("check: %d %q %q", code, stdout, stderr)
	}
	code, stdout, _ = tandem(t, urls, "config", "print", "--listen", "127.0.0.1:1")
	if code != exitDone || strings.Contains(stdout, "hunter2") {
		t.Errorf("print: %d\n%s", code, stdout)
	}
	expectParts(t, "print", stdout, "listen: \"127.0.0.1:1\"\n", "\nclients:\n  max: 10000\n")
	code, stdout, _ = tandem(t, nil, "config", "defaults")
	if code != exitDone || stdout != config.Defaults() {
		t.Errorf("defaults: %d\n%s", code, stdout)
	}
}

func TestServeReadsItsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("lanes: 0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, flag := range []string{"-c", "--config"} {
		code, _, stderr := tandem(t, nil, "serve", flag, file, "--source", "redis://a", "--target", "redis://b")
		if code != exitUsage || !strings.Contains(stderr, `lanes "0" (file `+file+`) is too small`) {
			t.Errorf("%s: %d %s", flag, code, stderr)
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	code, stdout, stderr := tandem(t, nil)
	if code != exitDone || stderr != "" {
		t.Errorf("%d %q", code, stderr)
	}
	expectParts(t, "help", stdout, "tandem serve    --source", "Steps of a migration:", "cutover", "status")
	code, stdout, _ = tandem(t, nil, "version")
	if code != exitDone || !strings.HasPrefix(stdout, "tandem v0.0.0-test (go1.") {
		t.Errorf("version: %d %q", code, stdout)
	}
}

func TestVersionFallsBackToWhatTheBuildKnows(t *testing.T) {
	commit := debug.BuildSetting{Key: "vcs.revision", Value: "0123456789abcdef"}
	changed := debug.BuildSetting{Key: "vcs.modified", Value: "true"}
	for want, c := range map[string]struct {
		linked string
		info   *debug.BuildInfo
	}{
		"v1":                   {"v1", nil},
		"unknown":              {"", nil},
		"v2.0.0":               {"", &debug.BuildInfo{Main: debug.Module{Version: "v2.0.0"}}},
		"0123456789ab":         {"", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}, Settings: []debug.BuildSetting{commit}}},
		"0123456789ab+changes": {"", &debug.BuildInfo{Settings: []debug.BuildSetting{commit, changed}}},
	} {
		if got := versionOf(c.linked, c.info); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestInterruptEndsAStepThatWaits(t *testing.T) {
	m := &fakeMigration{blocked: make(chan struct{})}
	cmd := command(t, nil, "cutover", "--admin", serveAdmin(t, m, ""))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-m.blocked
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // says the exit status, which is looked at
	if code := cmd.ProcessState.ExitCode(); code != exitFailed {
		t.Errorf("exit status %d", code)
	}
	expectParts(t, "stderr", stderr.String(), "cutover: interrupted: tandem status says how it stands")
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	for _, first := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), secondSignal+"=1")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		var said bytes.Buffer
		cmd.Stderr = &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for _, s := range []struct {
			line   string
			signal os.Signal
		}{{"ready", first}, {"draining", syscall.SIGTERM}} {
			if !lines.Scan() || lines.Text() != s.line {
				t.Fatalf("got %q, want %q", lines.Text(), s.line)
			}
			if err := cmd.Process.Signal(s.signal); err != nil {
				t.Fatal(err)
			}
		}
		_ = cmd.Wait() // says the exit status, which is looked at
		if code := cmd.ProcessState.ExitCode(); code != exitFailed {
			t.Errorf("%v, then SIGTERM: exit status %d", first, code)
		}
		if want := "tandem: ended at once by a second signal; what was under way is not waited for\n"; said.String() != want {
			t.Errorf("it said %q, want %q", said.String(), want)
		}
	}
}
