package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tandem/internal/demo/child"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

// tandem is the program, built once.
var tandem string

func TestMain(m *testing.M) {
	os.Exit(buildAndTest(m))
}

func buildAndTest(m *testing.M) int {
	dir, err := os.MkdirTemp("", "tandem")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	tandem = filepath.Join(dir, "tandem")
	if out, err := exec.Command("go", "build", "-o", tandem, "tandem/cmd/tandem").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// output collects what the demo prints and tells when something is there.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	seen string
	then func()
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p)
	if o.then != nil && strings.Contains(o.text.String(), o.seen) {
		o.then()
		o.then = nil
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// small are the options of a demo that takes a few seconds, whose files are all in a directory of its own.
func small(t *testing.T, out *output) Options {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	o := Defaults()
	o.Binary, o.Out, o.Keys, o.Clients, o.Dwell = tandem, out, 5000, 4, 100*time.Millisecond
	return o
}

// nothingLeft fails if a file is left of a demo, or a server still listens.
func nothingLeft(t *testing.T, out *output) {
	t.Helper()
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	for _, word := range strings.Fields(out.String()) {
		if addr := strings.Trim(word, ",;"); strings.HasPrefix(addr, "127.0.0.1:") && addr != "127.0.0.1:6380)" && child.Dialable(addr) == nil {
			t.Errorf("something still listens on %s", addr)
		}
	}
}

func TestDemoHolds(t *testing.T) {
	var out output
	o := small(t, &out)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	err := Run(ctx, o)
	t.Logf("\n%s", out.String())
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for _, step := range []string{"ok servers", "ok data", "ok tandem", "ok clients", "ok backfill", "ok verify", "ok cutover", "ok verify",
		"ok rollback", "ok cutover", "ok compare", "ok finish", "ok stop", "What you saw", "tandem precheck"} {
		i := strings.Index(out.String()[at:], step)
		if i < 0 {
			t.Fatalf("%q is missing after %q", step, out.String()[:at])
		}
		at += i
	}
	nothingLeft(t, &out)
}

func TestDemoInterruptedLeavesNothing(t *testing.T) {
	for _, when := range []string{"ok data", "ok clients", "ok verify", "ok rollback"} {
		t.Run(when, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			out := output{seen: when, then: cancel}
			if err := Run(ctx, small(t, &out)); !errors.Is(err, ErrInterrupted) {
				t.Errorf("%v\n%s", err, out.String())
			}
			if strings.Contains(out.String(), "What you saw") || !strings.Contains(out.String(), "Interrupted") {
				t.Errorf("got\n%s", out.String())
			}
			nothingLeft(t, &out)
		})
	}
}

// A demo whose servers disagree must not say that all went well.
func TestDemoNoticesALostWrite(t *testing.T) {
	var out output
	o := small(t, &out)
	// Between the last two steps somebody else changes, on both servers, a key that a client keeps books of. On
	// one server only it would be replaced by the other's at the key's next write.
	var tampered error
	out.seen = "ok rollback"
	out.then = func() {
		_, after, _ := strings.Cut(out.text.String(), "serves on ")
		addr, _, _ := strings.Cut(after, ";")
		client, err := dial(addr, "demo-test", 0)
		if err != nil {
			tampered = err
			return
		}
		defer client.Close()
		tampered = client.Do(t.Context(), client.B().Incrby().Key(stockKey(1)).Increment(1000).Build()).Error()
	}
	err := Run(t.Context(), o)
	if tampered != nil {
		t.Fatal(tampered)
	}
	if err == nil || errors.Is(err, ErrInterrupted) || !strings.Contains(out.String(), "!! ") || strings.Contains(out.String(), "What you saw") {
		t.Errorf("%v\n%s", err, out.String())
	}
	nothingLeft(t, &out)
}

func TestProxyThatCannotStartSaysWhy(t *testing.T) {
	server := redisdtest.Start(t, redisd.Options{})
	_, err := child.Serve(t.Context(), child.ServeOptions{Binary: tandem, Source: server.URL(), Target: "nonsense://",
		StateDir: t.TempDir(), Start: "manual"})
	if err == nil || !strings.Contains(err.Error(), "target") {
		t.Errorf("a target that is none: %v", err)
	}
}
