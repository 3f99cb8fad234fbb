// Package program runs the program under test as its users do: a process of its own, with a configuration file, a
// listener, a state directory and an admin address. All suites that need it start it from here.
//
// It builds the program once for a package of tests, or takes the one that TANDEM_TEST_BINARY names; gives it an
// environment without the suites' own variables; asks it through its admin API and nothing else; and shows, when
// a test fails, its status, the end of its log and its own goroutines. It knows servers only by their URLs.
package program

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Full is set for the full sizes (TANDEM_TEST_FULL).
var Full = os.Getenv("TANDEM_TEST_FULL") != ""

// Seed is what TANDEM_TEST_SEED asks for, to repeat the random choices of a run, or otherwise.
func Seed(otherwise uint64) (uint64, error) {
	s := os.Getenv("TANDEM_TEST_SEED")
	if s == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("TANDEM_TEST_SEED: %w", err)
	}
	return n, nil
}

// Main runs a package's tests and removes the program that they have built. It returns the exit status.
func Main(m *testing.M) int {
	defer func() {
		if built != "" {
			os.RemoveAll(built)
		}
	}()
	return m.Run()
}

// built is the directory of the program that Binary has built; empty for one that was there.
var built string

// Binary is the path of the program under test. The first call builds it, unless TANDEM_TEST_BINARY names one.
var Binary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("TANDEM_TEST_BINARY"); path != "" {
		return filepath.Abs(path)
	}
	root, err := Root()
	if err != nil {
		return "", err
	}
	if built, err = os.MkdirTemp("", "tandem-test-"); err != nil {
		return "", fmt.Errorf("directory of the program: %w", err)
	}
	path := filepath.Join(built, "tandem")
	// In its own directory, it is built with its own module's versions, not with those of the module that tests it.
	build := exec.Command("go", "build", "-o", path, "./cmd/tandem")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build tandem: %w\n%s", err, out)
	}
	return path, nil
})

// Crashing is the path of the program with points at which it can be made to kill itself (Tandem.LaunchCrashing). It is
// the test binary of its own package. The first call builds it.
var Crashing = sync.OnceValues(func() (string, error) {
	if _, err := Binary(); err != nil {
		return "", err
	}
	root, err := Root()
	if err != nil {
		return "", err
	}
	if built == "" {
		if built, err = os.MkdirTemp("", "tandem-test-"); err != nil {
			return "", fmt.Errorf("directory of the program: %w", err)
		}
	}
	path := filepath.Join(built, "tandem-crashing")
	build := exec.Command("go", "test", "-c", "-o", path, "./cmd/tandem")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build tandem with crash points: %w\n%s", err, out)
	}
	return path, nil
})

// Root is the directory of the program's module: the test's own or one above it.
var Root = sync.OnceValues(func() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("working directory: %w", err)
	}
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(mod), "module tandem\n") {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", fmt.Errorf("no go.mod of the program above the test's directory")
		}
		dir = up
	}
})

// Environment is this process' without the variables that are the suites' own, and with those to add: the program
// refuses variables of its prefix that it does not know.
func Environment(add ...string) []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "TANDEM_") {
			env = append(env, v)
		}
	}
	return append(env, add...)
}

// commandTime bounds a command that ends by itself; the longest is a verify of everything.
func commandTime() time.Duration {
	if Full {
		return 10 * time.Minute
	}
	return time.Minute
}

// Command runs the program with arguments, and with env in addition to its environment, in a directory of its own.
// It returns exit status and output; one that does not end fails the test.
func Command(t testing.TB, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	binary, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, args...)
	cmd.Env = Environment(env...)
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
		t.Fatalf("tandem %q did not end:\n%s", args, Last(errs.String(), goroutineText/4))
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// Last is the end of a text, of at most n bytes.
func Last(s string, n int) string {
	if len(s) > n {
		return "..." + s[len(s)-n:]
	}
	return s
}
