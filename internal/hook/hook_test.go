package hook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tandem/internal/journal"
	"tandem/internal/printed"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testSecret = "a secret of some length"

var origin = Origin{ID: "0123456789abcdef", Source: "old:6379", Target: "new:6379"}

// receiver is a server that takes what hooks tell, as somebody would write it after the documents.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	got      []Message
	seen     map[string]int // how often each id has come
	invalid  []string
	answer   func(w http.ResponseWriter, r *http.Request) bool // true: it has answered itself
	arrivals chan struct{}
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{seen: map[string]int{}, arrivals: make(chan struct{}, 1000)}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, _ := io.ReadAll(q.Body)
	r.mu.Lock()
	answer := r.answer
	var m Message
	at, _ := strconv.ParseInt(q.Header.Get("Tandem-Timestamp"), 10, 64)
	switch age := time.Since(time.Unix(at, 0)); {
	case q.Method != http.MethodPost || q.Header.Get("Content-Type") != "application/json":
		r.invalid = append(r.invalid, "no POST of JSON")
	case q.Header.Get("Tandem-Signature") != Sign(testSecret, at, body):
		r.invalid = append(r.invalid, "signature "+q.Header.Get("Tandem-Signature"))
	case age < -time.Minute || age > time.Minute:
		r.invalid = append(r.invalid, "too old")
	case json.Unmarshal(body, &m) != nil || m.ID == "" || m.ID != q.Header.Get("Tandem-Event"):
		r.invalid = append(r.invalid, string(body))
	default:
		if r.seen[m.ID]++; r.seen[m.ID] == 1 {
			r.got = append(r.got, m)
		}
	}
	r.mu.Unlock()
	r.arrivals <- struct{}{}
	if answer != nil {
		answer(w, q)
	}
}

// events are the messages that have come, each once.
func (r *receiver) events() []Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Message(nil), r.got...)
}

func (r *receiver) check(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.invalid) > 0 {
		t.Errorf("invalid requests: %q", r.invalid)
	}
}

func options(url string) Options {
	return Options{
		On: journal.Kinds, URL: url, Timeout: 5 * time.Second, RetryFor: time.Hour,
		Secret: func() (string, error) { return testSecret, nil },
		// No test waits for pauses.
		pause: func(time.Duration) <-chan time.Time {
			c := make(chan time.Time, 1)
			c <- time.Time{}
			return c
		},
	}
}

func event(seq int64) journal.Event {
	return journal.Event{Seq: seq, At: time.Now().UnixMilli(), Kind: journal.Fault, Name: "secondary_down", State: journal.Begins,
		Instance: "target", Message: "target new:6379 is not connected", Numbers: map[string]float64{"x_ms": float64(seq)}}
}

func start(t *testing.T, o Options) (*Hook, *printed.Text) {
	t.Helper()
	text := new(printed.Text)
	h := Start(o, origin, slog.New(slog.NewTextHandler(text, nil)))
	t.Cleanup(func() { stop(h, 0) })
	return h, text
}

// stop ends a hook, which has that long to tell what waits.
func stop(h *Hook, within time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	h.Stop(ctx)
}

func TestEventsAreToldInOrderAndSigned(t *testing.T) {
	r := newReceiver(t)
	o := options(r.URL)
	o.On = []journal.Kind{journal.Fault}
	h, _ := start(t, o)
	for i := range int64(20) {
		h.Tell(event(i + 1))
		h.Tell(journal.Event{Seq: 100 + i, Kind: journal.Sweep}) // not for this hook
	}
	stop(h, time.Minute)
	got := r.events()
	if len(got) != 20 {
		t.Fatalf("%d events", len(got))
	}
	for i, m := range got {
		if m.ID != fmt.Sprint("0123456789abcdef-", i+1) || m.Event.Seq != int64(i+1) || m.Migration != origin ||
			m.Text != "Tandem: fault secondary_down begins: target new:6379 is not connected" {
			t.Errorf("%+v", m)
		}
	}
	r.check(t)
	if c := h.Counts(); c != (Counts{Delivered: 20}) {
		t.Errorf("counts %+v", c)
	}
}

// A receiver that answers with errors for a while gets the event in the end, under the same id; one that refuses it for
// good is not asked again.
func TestAReceiverInTrouble(t *testing.T) {
	r := newReceiver(t)
	answers := []int{500, 429, 503, 408, 200, 404, 200, 301, 200}
	r.answer = func(w http.ResponseWriter, _ *http.Request) bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		w.Header().Set("Location", r.URL+"/elsewhere")
		w.WriteHeader(answers[0])
		answers = answers[1:]
		return true
	}
	h, log := start(t, options(r.URL+"/path-with-a-token"))
	for i := range int64(5) {
		h.Tell(event(i + 1))
	}
	stop(h, time.Minute)
	r.check(t)
	if len(answers) != 0 {
		t.Errorf("answers left: %v", answers)
	}
	if n := r.seen[origin.ID+"-1"]; n != 5 {
		t.Errorf("the first event came %d times, want 5", n)
	}
	if c := h.Counts(); c != (Counts{Delivered: 3, Failed: 2, Attempts: 6}) {
		t.Errorf("counts %+v", c)
	}
	got := r.events()
	if got[2].LeftOut != 1 || got[4].LeftOut != 1 || got[0].LeftOut != 0 {
		t.Errorf("left out: %d, %d and %d", got[0].LeftOut, got[2].LeftOut, got[4].LeftOut)
	}
	if s := log.String(); strings.Contains(s, "token") || !strings.Contains(s, "404 Not Found") {
		t.Errorf("log: %s", s)
	}
}

// A receiver that takes a request and never answers costs the timeout, and nobody else anything. What it has taken
// twice it knows by the id.
func TestASlowReceiver(t *testing.T) {
	r := newReceiver(t)
	release := make(chan struct{})
	var once sync.Once
	r.answer = func(_ http.ResponseWriter, q *http.Request) bool {
		slow := false
		once.Do(func() { slow = true })
		if slow {
			select {
			case <-q.Context().Done():
			case <-release:
			}
		}
		return true
	}
	o := options(r.URL)
	o.Timeout = time.Second
	h, _ := start(t, o)
	began := time.Now()
	for i := range int64(3) {
		h.Tell(event(i + 1))
	}
	if took := time.Since(began); took >= o.Timeout {
		t.Errorf("Tell took %v", took)
	}
	stop(h, time.Minute)
	close(release)
	r.check(t)
	if got := r.events(); len(got) != 3 || r.seen[got[0].ID] != 2 {
		t.Errorf("%d events, the first %d times", len(got), r.seen[got[0].ID])
	}
}

// A receiver that is down: the queue is bounded, the oldest are left out, and when it is back it is told how many.
func TestAReceiverThatIsDown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	o := options("http://" + addr)
	paused, goOn := make(chan struct{}), make(chan time.Time)
	o.pause = func(time.Duration) <-chan time.Time {
		paused <- struct{}{}
		return goOn
	}
	h, _ := start(t, o)
	h.Tell(event(1))
	<-paused // it has failed once
	const more = maxQueued + 44
	for i := range int64(more) {
		h.Tell(event(i + 2))
	}
	if l, err = net.Listen("tcp", addr); err != nil {
		t.Fatal(err)
	}
	r := &receiver{seen: map[string]int{}, arrivals: make(chan struct{}, 1000)}
	r.Server = httptest.NewUnstartedServer(r)
	r.Listener.Close()
	r.Listener = l
	r.Start()
	t.Cleanup(r.Close)
	goOn <- time.Time{}
	stop(h, time.Minute)
	r.check(t)
	got := r.events()
	if len(got) != 1+maxQueued || got[0].Event.Seq != 1 || got[1].Event.Seq != 46 || got[1].LeftOut != 44 || got[2].LeftOut != 0 {
		t.Errorf("%d events: %d, %d behind %d left out", len(got), got[0].Event.Seq, got[1].Event.Seq, got[1].LeftOut)
	}
	if c := h.Counts(); c != (Counts{Delivered: 1 + maxQueued, LeftOut: 44, Attempts: 1}) {
		t.Errorf("counts %+v", c)
	}
}

// The pauses grow and are bounded, and an event is given up in the end.
func TestAnEventIsGivenUp(t *testing.T) {
	o := options("http://127.0.0.1:1") // nobody is there
	o.RetryFor = 50 * time.Second
	var pauses []time.Duration
	o.pause = func(d time.Duration) <-chan time.Time {
		pauses = append(pauses, d)
		c := make(chan time.Time, 1)
		c <- time.Time{}
		return c
	}
	h, log := start(t, o)
	h.Tell(event(1))
	stop(h, time.Minute)
	// The clock does not move here, so the pause that would be longer than all the time there is ends it.
	if fmt.Sprint(pauses) != "[1s 2s 4s 8s 16s 32s]" {
		t.Errorf("pauses %v", pauses)
	}
	if c := h.Counts(); c.Failed != 1 || !strings.Contains(log.String(), "a hook was not told of an event") {
		t.Errorf("counts %+v, log %s", c, log)
	}
}

// The end does not wait for a receiver that does not answer.
func TestStopIsBounded(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and never reads
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	h, _ := start(t, options("http://"+l.Addr().String()))
	for i := range int64(3) {
		h.Tell(event(i + 1))
	}
	began := time.Now()
	stop(h, 100*time.Millisecond)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("Stop took %v", took)
	}
	h.Tell(event(9))
}

// script writes a program and returns its path.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// A command that has succeeded is not run again for what it leaves running with its output, and one that failed is.
func TestACommandThatLeavesSomethingRunning(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for status, fails := range map[string]bool{"0": false, "3": true} {
		err := command(ctx, []string{"/bin/sh", "-c", "sleep 5 & exit " + status}, []byte("{}"))
		if (err != nil) != fails {
			t.Errorf("exit %s: %v", status, err)
		}
	}
}

func TestACommandGetsTheEventAndNoSecrets(t *testing.T) {
	t.Setenv("TANDEM_SOURCE", "redis://:hush@old")
	t.Setenv("OF_THE_USER", "kept")
	out := filepath.Join(t.TempDir(), "out")
	o := options("")
	o.Command = []string{script(t, `cat > "$1"; env >> "$1"; echo "$2" >> "$1"`), out, "$(touch /tmp/never); a b"}
	h, _ := start(t, o)
	h.Tell(event(7))
	stop(h, time.Minute)
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var m Message
	if err := json.NewDecoder(bytes.NewReader(got)).Decode(&m); err != nil || m.Event.Seq != 7 || m.Event.Name != "secondary_down" {
		t.Errorf("got %+v, %v", m, err)
	}
	text := string(got)
	if strings.Contains(text, "hush") || !strings.Contains(text, "OF_THE_USER=kept") || !strings.Contains(text, "$(touch /tmp/never); a b") {
		t.Errorf("got:\n%s", text)
	}
	if c := h.Counts(); c.Delivered != 1 {
		t.Errorf("counts %+v", c)
	}
}

// A command that takes too long is ended with all that it has started, and tried again; one that fails, too; one that
// is not there is not.
func TestCommandsInTrouble(t *testing.T) {
	dir := t.TempDir()
	o := options("")
	o.Timeout = 200 * time.Millisecond
	// The first time it hangs, in a program of its own that holds its output open; the second time it fails; then it works.
	o.Command = []string{script(t, `cat >/dev/null; cd "$1"
if mkdir one 2>/dev/null; then sh -c 'echo $$ > child; while :; do sleep 1000; done'; fi
if mkdir two 2>/dev/null; then echo "no room" >&2; exit 3; fi
touch done`), dir}
	h, _ := start(t, o)
	h.Tell(event(1))
	stop(h, time.Minute)
	if _, err := os.Stat(filepath.Join(dir, "done")); err != nil {
		t.Error(err)
	}
	for _, tried := range []string{"one", "two"} {
		if _, err := os.Stat(filepath.Join(dir, tried)); err != nil {
			t.Error(err)
		}
	}
	if c := h.Counts(); c.Delivered != 1 || c.Failed != 0 || c.Attempts < 2 { // on a busy machine what works may take too long, too
		t.Errorf("counts %+v", c)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "child")); err == nil {
		pid := strings.TrimSpace(string(text))
		if line, err := os.ReadFile("/proc/" + pid + "/cmdline"); err == nil && len(line) > 0 {
			t.Errorf("what it has started runs on: %q", line)
		}
	}

	o.Command = []string{filepath.Join(dir, "missing")}
	h, log := start(t, o)
	h.Tell(event(1))
	stop(h, time.Minute)
	if c := h.Counts(); c != (Counts{Failed: 1, Attempts: 1}) || !strings.Contains(log.String(), "it cannot be run") {
		t.Errorf("counts %+v, log %s", c, log)
	}
}

// What a command prints is bounded and in the log.
func TestWhatACommandSays(t *testing.T) {
	o := options("")
	o.RetryFor = 0
	o.Command = []string{script(t, `echo "no route to the pager" >&2; head -c 1000000 /dev/zero | tr '\0' x; exit 1`)}
	h, log := start(t, o)
	h.Tell(event(1))
	stop(h, time.Minute)
	if s := log.String(); !strings.Contains(s, "no route to the pager") || len(s) > 2*maxSaid+500 {
		t.Errorf("log of %d bytes: %.300s", len(s), s)
	}
}

// A secret that is replaced is read again.
func TestTheSecretIsReadForEachRequest(t *testing.T) {
	r := newReceiver(t)
	o := options(r.URL)
	n := 0
	o.Secret = func() (string, error) {
		if n++; n == 1 {
			return "", os.ErrNotExist
		}
		return testSecret, nil
	}
	h, _ := start(t, o)
	h.Tell(event(1))
	stop(h, time.Minute)
	r.check(t)
	if len(r.events()) != 1 {
		t.Error("the event did not come")
	}
}
