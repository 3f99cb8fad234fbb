package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tandem/internal/status"
)

func TestHealthAndReadiness(t *testing.T) {
	f := &fake{}
	url := serve(t, f)
	for _, path := range []string{"/healthz", "/readyz"} {
		if code, answer, _ := send(t, "GET", url+path, ""); code != 200 || answer != "ok\n" {
			t.Errorf("%s: %d %q", path, code, answer)
		}
	}
	f.err = errors.New("the source is away")
	if code, answer, _ := send(t, "GET", url+"/readyz", ""); code != 503 || answer != "not ready: the source is away\n" {
		t.Errorf("not ready: %d %q", code, answer)
	}
	if code, _, _ := send(t, "GET", url+"/healthz", ""); code != 200 {
		t.Errorf("healthz while not ready: %d", code)
	}
}

func TestMetricsAreTheGatherers(t *testing.T) {
	code, answer, _ := send(t, "GET", serve(t, &fake{})+"/metrics", "")
	if code != 200 || !strings.Contains(answer, "\ntandem_test_value 42\n") {
		t.Errorf("%d %q", code, answer)
	}
}

func TestStatusIsTheControllers(t *testing.T) {
	code, answer, h := send(t, "GET", serve(t, &fake{})+"/api/v1/status", "")
	var s status.Status
	if err := json.Unmarshal([]byte(answer), &s); err != nil || code != 200 || s.Phase != status.Synced {
		t.Errorf("%d %v %q", code, err, answer)
	}
	if h.Get("Content-Type") != "application/json" {
		t.Errorf("content type %q", h.Get("Content-Type"))
	}
}

func TestStepsReachTheController(t *testing.T) {
	for path, c := range map[string]struct {
		body, asked string
		code        int
		answer      string
	}{
		"start":    {`{"force":"x"}`, "start x", 202, `{"id":"b1"}`},
		"pause":    {``, "pause ", 200, `{"phase":"synced","pause_ms":0}`},
		"resume":   {`{}`, "resume ", 200, `{"phase":"synced","pause_ms":0}`},
		"cutover":  {"\n", "cutover ", 200, `{"phase":"reversed","pause_ms":12.345}`},
		"rollback": {`{"force":"primary_down"}`, "rollback primary_down", 200, `{"phase":"reversed","pause_ms":12.345}`},
		"finish":   {`{"force":""}`, "finish ", 200, `{"phase":"reversed","pause_ms":12.345}`},
		"throttle": {`{"max_keys_per_s":5000}`, "throttle", 200, `{"keys_per_s":5000,"bytes_per_s":null,"window_bytes":0,"workers":4,` +
			`"changed":false,"window":"none","window_until":null,"governor":"off","governor_keys_per_s":null,"latency_ms":null,"usual_latency_ms":null,"slowed":0}`},
		"verify": {`{"mode":"keys","repair":true}`, "verify keys repair", 202, `{"id":"b1"}`},
	} {
		t.Run(path, func(t *testing.T) {
			f := &fake{id: "b1", result: Result{Phase: status.Reversed, Pause: 12345 * time.Microsecond}}
			code, answer, _ := send(t, "POST", serve(t, f)+"/api/v1/"+path, c.body)
			if code != c.code || answer != c.answer+"\n" {
				t.Errorf("%d %q, want %d %q", code, answer, c.code, c.answer)
			}
			if !slices.Equal(f.asked, []string{c.asked}) {
				t.Errorf("asked %q, want %q", f.asked, c.asked)
			}
		})
	}
}

func TestVerifyIsFullUnlessSaidOtherwise(t *testing.T) {
	f := &fake{id: "v"}
	if code, _, _ := send(t, "POST", serve(t, f)+"/api/v1/verify", ""); code != 202 || f.asked[0] != "verify full " {
		t.Errorf("%d, asked %q", code, f.asked)
	}
}

func TestStartedBeforeIsDone(t *testing.T) {
	code, answer, _ := send(t, "POST", serve(t, &fake{id: ""})+"/api/v1/start", "")
	if code != 200 || answer != `{"phase":"synced","pause_ms":0}`+"\n" {
		t.Errorf("%d %q", code, answer)
	}
}

func TestErrorsOfTheController(t *testing.T) {
	blocker := status.Blocker{Code: "dirty", Message: "m", Remedy: "r"}
	for name, c := range map[string]struct {
		err    error
		code   int
		answer string
	}{
		"refused":            {&Refused{"not now", []status.Blocker{blocker}}, 409, `{"error":"not now","blockers":[{"code":"dirty","message":"m","remedy":"r"}]}`},
		"refused, wrapped":   {fmt.Errorf("cutover: %w", &Refused{"not now", nil}), 409, `{"error":"cutover: not now","blockers":[]}`},
		"primary down":       {fmt.Errorf("cutover: %w", ErrPrimaryDown), 503, `{"error":"cutover: the primary is not reachable"}`},
		"undone":             {fmt.Errorf("%w: it took too long", ErrUndone), 504, `{"error":"undone: it took too long"}`},
		"unknown verify":     {ErrUnknownVerify, 404, `{"error":"no verify has this id"}`},
		"anything else":      {errors.New("the disk is full"), 500, `{"error":"the disk is full"}`},
		"undone before down": {fmt.Errorf("%w: the target", ErrUndone), 504, `{"error":"undone: the target"}`},
	} {
		t.Run(name, func(t *testing.T) {
			url := serve(t, &fake{err: c.err})
			for _, step := range []string{"start", "pause", "resume", "cutover", "rollback", "finish", "verify"} {
				if code, answer, _ := send(t, "POST", url+"/api/v1/"+step, ""); code != c.code || answer != c.answer+"\n" {
					t.Errorf("%s: %d %q, want %d %q", step, code, answer, c.code, c.answer)
				}
			}
		})
	}
}

func TestBodiesThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		path, body string
		code       int
	}{
		"not JSON":       {"cutover", "force=x", 400},
		"unknown field":  {"cutover", `{"forse":"x"}`, 400},
		"field of other": {"cutover", `{"mode":"full"}`, 400},
		"wrong type":     {"verify", `{"repair":"yes"}`, 400},
		"unknown mode":   {"verify", `{"mode":"fast"}`, 400},
		"empty mode":     {"verify", `{"mode":""}`, 400},
		"two objects":    {"pause", `{}{}`, 400},
		"list":           {"pause", `[]`, 400},
		"cut off":        {"pause", `{"force":`, 400},
		"too large":      {"pause", `{"force":"` + strings.Repeat("x", maxBodyBytes) + `"}`, 413},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{}
			code, answer, _ := send(t, "POST", serve(t, f)+"/api/v1/"+c.path, c.body)
			if code != c.code {
				t.Errorf("%d, want %d", code, c.code)
			}
			expectError(t, answer)
			if len(f.asked) > 0 {
				t.Errorf("the controller was asked %q", f.asked)
			}
		})
	}
}

func TestWhatIsNotThere(t *testing.T) {
	url := serve(t, &fake{})
	for _, c := range []struct {
		method, path string
		code         int
	}{
		{"GET", "/nothing", 404}, {"POST", "/api/v1/", 404}, {"GET", "/api/v1/verify/", 404}, {"POST", "/api/v2/cutover", 404},
		{"GET", "/api/v1/cutover", 405}, {"POST", "/api/v1/status", 405}, {"DELETE", "/api/v1/verify", 405},
		{"PUT", "/metrics", 405}, {"POST", "/", 405}, {"POST", "/healthz", 405}, {"POST", "/api/v1/verify/x", 405},
	} {
		code, answer, h := send(t, c.method, url+c.path, "")
		if code != c.code {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, code, c.code)
		}
		expectError(t, answer)
		if code == 405 && h.Get("Allow") == "" {
			t.Errorf("%s %s: no Allow", c.method, c.path)
		}
	}
}

func TestVerifyResultsAreJSONLinesWithASummary(t *testing.T) {
	f := &fake{differences: []status.Difference{
		{Key: []byte("a"), DB: 1, Kind: "value", Detail: "d"}, {Key: []byte{'k', 0xff}, Kind: "extra"},
	}}
	url := serve(t, f)
	summary := `{"summary":{"id":"v1","state":"done","mode":"","repair":false,"percent":null,"compared":0,"kept":0,"staying":0,"unheld":0,"different":2,"listed":0,"at_most_different":null,"file":""}}` + "\n"
	second := `{"key":"k\\xff","key_base64":"a/8=","db":0,"kind":"extra","detail":""}` + "\n"
	for query, want := range map[string]string{
		"":        `{"key":"a","db":1,"kind":"value","detail":"d"}` + "\n" + second + summary,
		"?from=1": second + summary,
		"?from=9": summary,
	} {
		code, answer, h := send(t, "GET", url+"/api/v1/verify/v1"+query, "")
		if code != 200 || answer != want || h.Get("Content-Type") != "application/x-ndjson" {
			t.Errorf("%q: %d %q %q", query, code, h.Get("Content-Type"), answer)
		}
	}
	for _, query := range []string{"?from=-1", "?from=x"} {
		if code, answer, _ := send(t, "GET", url+"/api/v1/verify/v1"+query, ""); code != 400 {
			t.Errorf("%q: %d %q", query, code, answer)
		}
	}
	f.failResults(errors.New("the list is gone"))
	if _, answer, _ := send(t, "GET", url+"/api/v1/verify/v1", ""); !strings.HasSuffix(answer, second+`{"error":"the list is gone"}`+"\n") {
		t.Errorf("error after differences: %q", answer)
	}
	f.err = ErrUnknownVerify
	if code, _, _ := send(t, "GET", url+"/api/v1/verify/v1", ""); code != 404 {
		t.Errorf("unknown id: %d", code)
	}
}

// A step may take longer than the time that a request has to arrive in.
func TestStepOutlastsTheRequestsTimeout(t *testing.T) {
	const timeout = 500 * time.Millisecond
	f := &fake{step: func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * timeout):
			return nil
		}
	}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Addr: "127.0.0.1:0", Controller: f, Metrics: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)}
	url, _ := run(t, newServer(o, listener, timeout))
	if code, answer, _ := send(t, "POST", url+"/api/v1/cutover", "{}"); code != 200 {
		t.Errorf("%d %q", code, answer)
	}
}

func TestStepEndsWhenItsCallerGoesAway(t *testing.T) {
	began, ended := make(chan struct{}), make(chan error, 1)
	f := &fake{step: func(ctx context.Context) error {
		close(began)
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}}
	ctx, cancel := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, "POST", serve(t, f)+"/api/v1/cutover", nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-began
		cancel()
	}()
	if response, err := http.DefaultClient.Do(r); err == nil {
		response.Body.Close()
		t.Error("the cancelled request was answered")
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the step ended with %v", err)
	}
}

func TestShutdownWaitsForAStep(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	f := &fake{result: Result{Phase: status.Reversed}, step: func(context.Context) error {
		close(began)
		<-release
		return nil
	}}
	url, stop := serveStoppable(t, f)
	answered := make(chan int, 1)
	go func() {
		response, err := http.Post(url+"/api/v1/cutover", "", nil)
		if err != nil {
			answered <- 0
			return
		}
		response.Body.Close()
		answered <- response.StatusCode
	}()
	<-began
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	close(release)
	if code := <-answered; code != 200 {
		t.Errorf("the step in progress was answered %d", code)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://")); err == nil {
		conn.Close()
		t.Error("the address is still open")
	}
}

func TestShutdownCancelsAStepThatTakesTooLong(t *testing.T) {
	began := make(chan struct{})
	f := &fake{step: func(ctx context.Context) error {
		close(began)
		<-ctx.Done()
		return ctx.Err()
	}}
	url, stop := serveStoppable(t, f, func(o *Options) { o.ShutdownTimeout = time.Millisecond })
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		if response, err := http.Post(url+"/api/v1/cutover", "", nil); err == nil {
			response.Body.Close()
		}
	}()
	<-began
	if err := stop(); err != nil {
		t.Error(err)
	}
	<-answered
}

func TestListenSaysWhatIsWrong(t *testing.T) {
	url := serve(t, &fake{})
	_, err := Listen(Options{Addr: strings.TrimPrefix(url, "http://"), Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("taken address: %v", err)
	}
	for _, addr := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.org:0", "nonsense"} {
		if _, err := Listen(Options{Addr: addr}); err == nil || !strings.Contains(err.Error(), "needs a token") {
			t.Errorf("%s without a token: %v", addr, err)
		}
	}
}

// Connections that say nothing cost a bounded number of places, and are ended after a while.
func TestConnectionsAreBounded(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	few := newLimited(l, 2)
	accepted := make(chan net.Conn)
	ended := make(chan error)
	go func() {
		for {
			c, err := few.Accept()
			if err != nil {
				ended <- err
				return
			}
			accepted <- c
		}
	}()
	for range 3 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	first, second := <-accepted, <-accepted
	select {
	case <-accepted:
		t.Fatal("one too many")
	case <-time.After(20 * time.Millisecond):
	}
	_ = first.Close()
	_ = first.Close() // gives back one place only
	third := <-accepted
	if err := few.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	_, _ = second.Close(), third.Close()
}
