package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tandem/internal/admin"
	"tandem/internal/crashpoint"
	"tandem/internal/history"
	"tandem/internal/journal"
	"tandem/internal/report"
	"tandem/internal/status"
)

// binary is the program under test, built once.
var binary string

// secondSignal, in the environment, makes of this test binary a program that a first signal does not end.
const secondSignal = "TEST_SECOND_SIGNAL"

// crashAt, in the environment, makes of this test binary the program itself, with its arguments, which kills itself when
// it comes by a point for the nth time: "point:n".
const crashAt = "TEST_CRASH_AT"

// killAt has the process kill itself there.
func killAt(at string) {
	name, times, _ := strings.Cut(at, ":")
	n, err := strconv.ParseInt(times, 10, 64)
	if err != nil || !slices.Contains(crashpoint.Points, crashpoint.Point(name)) {
		fmt.Fprintf(os.Stderr, "%s=%s: not a point and a number\n", crashAt, at)
		os.Exit(exitUsage)
	}
	var passed atomic.Int64
	crashpoint.Set(func(p crashpoint.Point) {
		if p == crashpoint.Point(name) && passed.Add(1) == n {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
}

func TestMain(m *testing.M) {
	if at := os.Getenv(crashAt); at != "" {
		killAt(at)
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	if os.Getenv(secondSignal) != "" {
		ctx, _ := withSignals(context.Background(), os.Stderr)
		fmt.Println("ready")
		<-ctx.Done()
		fmt.Println("draining")
		select {}
	}
	flag.Parse()
	os.Exit(buildAndTest(m))
}

func buildAndTest(m *testing.M) int {
	dir, err := os.MkdirTemp("", "tandem")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "tandem")
	build := exec.Command("go", "build", "-ldflags", "-X main.version=v0.0.0-test", "-o", binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// command is the program with arguments, in a directory of its own and without TANDEM_ variables but env.
func command(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Dir = t.TempDir()
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "TANDEM_") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

// tandem runs the program to its end.
func tandem(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := command(t, env, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// expectParts checks that a text holds all parts.
func expectParts(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is not in %s:\n%s", p, what, text)
		}
	}
}

// fakeMigration is a Controller whose answers a test sets.
type fakeMigration struct {
	mu          sync.Mutex
	status      status.Status
	err         error
	id          string
	result      admin.Result
	asked       []string
	differences []status.Difference
	// summaries are given one after the other, the last again and again.
	summaries []status.VerifySummary
	// blocked, if set, is closed when a step begins, which then waits for its ctx.
	blocked chan struct{}
}

func (m *fakeMigration) note(ctx context.Context, format string, args ...any) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, strings.TrimSpace(fmt.Sprintf(format, args...)))
	if m.blocked != nil {
		close(m.blocked)
		<-ctx.Done()
		return ctx.Err()
	}
	return m.err
}

func (m *fakeMigration) Status() status.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.status
}
func (m *fakeMigration) Throttle(ctx context.Context, o admin.ThrottleOptions) (status.ThrottleStatus, error) {
	text, _ := json.Marshal(o)
	return m.status.Throttle, m.note(ctx, "throttle %s", text)
}
func (m *fakeMigration) Ready() error                      { return nil }
func (m *fakeMigration) Events(int64, int) []journal.Event { return nil }
func (m *fakeMigration) Report() report.Report {
	return report.Make(report.Input{ID: "0123456789abcdef", Now: time.Now(), Status: m.Status(), Source: report.Server{Address: "old:6379"}})
}
func (m *fakeMigration) Start(ctx context.Context, o admin.StepOptions) (string, error) {
	return m.id, m.note(ctx, "start %s", o.Force)
}
func (m *fakeMigration) Pause(ctx context.Context, o admin.StepOptions) error {
	return m.note(ctx, "pause %s", o.Force)
}
func (m *fakeMigration) Resume(ctx context.Context, o admin.StepOptions) error {
	return m.note(ctx, "resume %s", o.Force)
}
func (m *fakeMigration) Cutover(ctx context.Context, o admin.StepOptions) (admin.Result, error) {
	return m.result, m.note(ctx, "cutover %s", o.Force)
}
func (m *fakeMigration) Rollback(ctx context.Context, o admin.StepOptions) (admin.Result, error) {
	return m.result, m.note(ctx, "rollback %s", o.Force)
}
func (m *fakeMigration) Finish(ctx context.Context, o admin.StepOptions) (admin.Result, error) {
	return m.result, m.note(ctx, "finish %s", o.Force)
}
func (m *fakeMigration) Verify(ctx context.Context, o admin.VerifyOptions) (string, error) {
	return m.id, m.note(ctx, "verify %s %v", o.Mode, o.Repair)
}
func (m *fakeMigration) LeadVerify(ctx context.Context, id string, step admin.VerifyStep) (status.VerifySummary, error) {
	return status.VerifySummary{ID: id, State: status.Failed}, m.note(ctx, "%s verify %s", step, id)
}
func (m *fakeMigration) VerifyResults(_ context.Context, id string, from int, yield func(status.Difference) error) (status.VerifySummary, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.summaries) == 0 {
		return status.VerifySummary{}, admin.ErrUnknownVerify
	}
	s := m.summaries[0]
	if len(m.summaries) > 1 {
		m.summaries = m.summaries[1:]
	}
	for i := from; i < int(s.Listed); i++ {
		if err := yield(m.differences[i]); err != nil {
			return s, err
		}
	}
	s.ID = id
	return s, nil
}

func (m *fakeMigration) LastEvent() int64 { return 0 }
func (m *fakeMigration) Precheck(context.Context) (status.Precheck, error) {
	return status.Precheck{}, nil
}
func (m *fakeMigration) Checked() status.Precheck     { return status.Precheck{} }
func (m *fakeMigration) History(int64) history.Series { return history.Series{} }
func (m *fakeMigration) Clients() status.Clients      { return status.Clients{} }

// callersOf is who may ask with a token; everybody where there is none.
func callersOf(token string) []admin.Caller {
	if token == "" {
		return nil
	}
	return []admin.Caller{{Token: token}}
}

// serveAdmin serves m on a loopback address until the test ends, and returns its URL.
func serveAdmin(t *testing.T, m *fakeMigration, token string) string {
	t.Helper()
	s, err := admin.Listen(admin.Options{Addr: "127.0.0.1:0", Callers: callersOf(token), Controller: m,
		Metrics: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler), ShutdownTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "http://" + s.Addr()
}
