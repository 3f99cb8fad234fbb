package admin

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"tandem/internal/history"
	"tandem/internal/journal"
	"tandem/internal/report"
	"tandem/internal/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testToken = "correct horse battery"

// fake is a Controller that notes what it is asked and answers what a test has set.
type fake struct {
	mu    sync.Mutex
	asked []string
	err   error
	// result is that of cutover, rollback and finish; id that of start and verify.
	result Result
	id     string
	// step is called by every step, if set.
	step        func(ctx context.Context) error
	differences []status.Difference
	resultsErr  error // after the differences
	events      int64 // how many the journal holds
}

func (f *fake) note(ctx context.Context, what string) error {
	f.mu.Lock()
	f.asked = append(f.asked, what)
	step, err := f.step, f.err
	f.mu.Unlock()
	if step != nil {
		return step(ctx)
	}
	return err
}

func (f *fake) Status() status.Status {
	s := status.New()
	s.Phase = status.Synced
	return s
}
func (f *fake) Ready() error { return f.err }
func (f *fake) Events(after int64, limit int) (list []journal.Event) {
	for seq := after + 1; seq <= f.events && len(list) < limit; seq++ {
		list = append(list, journal.Event{Seq: seq, Kind: journal.Phase, Name: status.Synced})
	}
	return list
}
func (f *fake) LastEvent() int64 { return f.events }
func (f *fake) Precheck(ctx context.Context) (status.Precheck, error) {
	return f.Checked(), f.note(ctx, "precheck")
}
func (f *fake) Checked() status.Precheck {
	return status.Precheck{At: status.Known(int64(77)), Result: "success", Items: []status.PrecheckItem{{Name: "login", Status: "success"}}}
}
func (f *fake) History(after int64) history.Series {
	return history.Series{{At: 1000}, {At: 2000}}[min(2, max(0, after/1000)):]
}
func (f *fake) Clients() status.Clients {
	return status.Clients{Connections: 3, Groups: []status.ClientGroup{{Host: "10.0.0.7", User: "app", Connections: 3}}}
}
func (f *fake) Report() report.Report {
	return report.Make(report.Input{ID: "0123456789abcdef", Now: time.Now(), Status: f.Status(), Source: report.Server{Address: "old:6379"}})
}
func (f *fake) Start(ctx context.Context, o StepOptions) (string, error) {
	return f.id, f.note(ctx, "start "+o.Force)
}
func (f *fake) Pause(ctx context.Context, o StepOptions) error { return f.note(ctx, "pause "+o.Force) }
func (f *fake) Resume(ctx context.Context, o StepOptions) error {
	return f.note(ctx, "resume "+o.Force)
}
func (f *fake) Throttle(ctx context.Context, o ThrottleOptions) (status.ThrottleStatus, error) {
	t := status.ThrottleStatus{Window: status.NoWindows, Governor: status.GovernorOff, Workers: 4}
	if o.MaxKeysPerS != nil {
		t.KeysPerS = status.Known(int64(*o.MaxKeysPerS))
	}
	return t, f.note(ctx, "throttle")
}
func (f *fake) Cutover(ctx context.Context, o StepOptions) (Result, error) {
	return f.result, f.note(ctx, "cutover "+o.Force)
}
func (f *fake) Rollback(ctx context.Context, o StepOptions) (Result, error) {
	return f.result, f.note(ctx, "rollback "+o.Force)
}
func (f *fake) Finish(ctx context.Context, o StepOptions) (Result, error) {
	return f.result, f.note(ctx, "finish "+o.Force)
}
func (f *fake) Verify(ctx context.Context, o VerifyOptions) (string, error) {
	repair := ""
	if o.Repair {
		repair = "repair"
	}
	return f.id, f.note(ctx, "verify "+o.Mode+" "+repair)
}
func (f *fake) LeadVerify(ctx context.Context, id string, step VerifyStep) (status.VerifySummary, error) {
	return status.VerifySummary{ID: id, State: status.Paused}, f.note(ctx, string(step)+" "+id)
}
func (f *fake) VerifyResults(ctx context.Context, id string, from int, yield func(status.Difference) error) (status.VerifySummary, error) {
	if err := f.note(ctx, "results "+id); err != nil {
		return status.VerifySummary{}, err
	}
	f.mu.Lock()
	differences, resultsErr := f.differences, f.resultsErr
	f.mu.Unlock()
	for _, d := range differences[min(from, len(differences)):] {
		if err := yield(d); err != nil {
			return status.VerifySummary{}, err
		}
	}
	return status.VerifySummary{ID: id, State: status.Done, Different: int64(len(differences))}, resultsErr
}

// failResults lets the next results end with an error. A request whose caller has gone may still be running.
func (f *fake) failResults(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.resultsErr = err
}

// serve runs a server of f on a free loopback port until the test ends, and returns its URL.
func serve(t *testing.T, f *fake, change ...func(*Options)) string {
	t.Helper()
	url, _ := serveStoppable(t, f, change...)
	return url
}

// serveStoppable is serve with a function that ends the server and returns Serve's error.
func serveStoppable(t *testing.T, f *fake, change ...func(*Options)) (string, func() error) {
	t.Helper()
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tandem_test_value"}, func() float64 { return 42 }))
	o := Options{Addr: "127.0.0.1:0", Controller: f, Metrics: metrics, Log: slog.New(slog.DiscardHandler), ShutdownTimeout: 5 * time.Second}
	for _, c := range change {
		c(&o)
	}
	s, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	return run(t, s)
}

// run serves s until the test ends or the returned function is called.
func run(t *testing.T, s *Server) (string, func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	stop := sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	_, port, err := net.SplitHostPort(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return "http://127.0.0.1:" + port, stop
}

func withToken(o *Options) { o.Callers = []Caller{{Token: testToken}} }

// send sends one request; change may alter it.
func send(t *testing.T, method, url, body string, change ...func(*http.Request)) (code int, answer string, header http.Header) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range change {
		c(r)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(b), response.Header
}

// header is a change of a request.
func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// expectError checks that an answer is a JSON object with a non-empty error.
func expectError(t *testing.T, answer string) {
	t.Helper()
	var f failure
	if err := json.Unmarshal([]byte(answer), &f); err != nil || f.Error == "" {
		t.Errorf("want a JSON error, got %q", answer)
	}
}
