package trace

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"

	"tandem/internal/printed"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// collector is one that answers as a test says.
type collector struct {
	*httptest.Server
	bodies chan []byte
	answer chan func(http.ResponseWriter)
}

func newCollector(t *testing.T) *collector {
	c := &collector{bodies: make(chan []byte, 100), answer: make(chan func(http.ResponseWriter), 100)}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		select {
		case answer := <-c.answer:
			answer(w)
		default:
		}
		c.bodies <- body
	}))
	t.Cleanup(c.Close)
	return c
}

func status(code int) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { w.WriteHeader(code) }
}

// start has commands sent, each at once.
func start(t *testing.T, endpoint string, change func(*Options)) (*Exporter, *printed.Text) {
	t.Helper()
	var text printed.Text
	o := Options{Endpoint: endpoint, Queue: 1000, Every: time.Millisecond, Timeout: 5 * time.Second, Log: slog.New(slog.NewTextHandler(&text, nil)),
		Resource: Resource{Service: "s", Version: "v", Instance: "i"},
		pause:    func(time.Duration) <-chan time.Time { return time.After(0) }}
	if change != nil {
		change(&o)
	}
	x, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	return x, &text
}

func stop(x *Exporter) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	x.Stop(ctx)
}

func TestWhatIsQueuedIsSentAtTheEnd(t *testing.T) {
	c := newCollector(t)
	x, _ := start(t, c.URL, func(o *Options) { o.Every = time.Hour })
	for range 700 { // more than one batch
		x.Offer(&Command{Name: "SET"})
	}
	stop(x)
	if n := x.Counts(); n != (Counts{Sent: 700}) || len(c.bodies) != 2 {
		t.Errorf("%+v in %d requests", n, len(c.bodies))
	}
}

// A collector in trouble is tried again; one that says no is not; and either way nobody has waited.
func TestACollectorInTrouble(t *testing.T) {
	for name, w := range map[string]struct {
		answers  []func(http.ResponseWriter)
		want     Counts
		requests int
		said     string
	}{
		"a moment":     {[]func(http.ResponseWriter){status(503), status(429)}, Counts{Sent: 1}, 3, ""},
		"another path": {[]func(http.ResponseWriter){status(404)}, Counts{Failed: 1}, 1, "404 Not Found"},
		"no access":    {[]func(http.ResponseWriter){status(401)}, Counts{Failed: 1}, 1, "401 Unauthorized"},
		"elsewhere": {[]func(http.ResponseWriter){func(w http.ResponseWriter) {
			w.Header().Set("Location", "http://evil.example/")
			w.WriteHeader(307)
		}}, Counts{Failed: 1}, 1, "307 Temporary Redirect"},
		"some refused": {[]func(http.ResponseWriter){func(w http.ResponseWriter) {
			partial := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 2)
			w.Write(appendMessage(nil, 1, appendText(partial, 2, "too old")))
		}}, Counts{Failed: 1}, 1, "too old"},
		"nonsense": {[]func(http.ResponseWriter){func(w http.ResponseWriter) { w.Write([]byte("\xff\xff\xff<html>")) }}, Counts{Sent: 1}, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCollector(t)
			for _, a := range w.answers {
				c.answer <- a
			}
			x, text := start(t, c.URL+"/v1/traces", nil)
			x.Offer(&Command{Name: "SET", Sent: 1, Answered: 2})
			for range w.requests {
				<-c.bodies
			}
			stop(x)
			if n := x.Counts(); n != w.want || len(c.bodies) != 0 {
				t.Errorf("%+v, want %+v; %d more requests", n, w.want, len(c.bodies))
			}
			if said := text.String(); w.said == "" && said != "" || !strings.Contains(said, w.said) {
				t.Errorf("it logs %q", said)
			}
		})
	}
}

func TestTroubleThatIsOver(t *testing.T) {
	c := newCollector(t)
	c.answer <- status(404)
	x, text := start(t, c.URL, nil)
	for range 3 {
		x.Offer(&Command{Name: "SET"})
		<-c.bodies
	}
	stop(x)
	if n := strings.Count(text.String(), "not taken"); n != 1 || !strings.Contains(text.String(), "taken again") {
		t.Errorf("%s", text)
	}
}

// A full queue costs the commands, and nobody any time; and what the headers' file is in want of is not sent without.
func TestWhatDoesNotFitIsLeftOut(t *testing.T) {
	c := newCollector(t)
	x, text := start(t, c.URL, func(o *Options) {
		o.Queue = 10
		o.Header = func() (http.Header, error) { return nil, errors.New("unreadable") }
		o.pause = func(time.Duration) <-chan time.Time { return nil }
	})
	for range 10 + batch + 5 {
		x.Offer(&Command{Name: "SET"})
	}
	stop(x)
	n := x.Counts()
	if n.Sent != 0 || n.LeftOut < 5 || n.LeftOut+n.Failed != 10+batch+5 || len(c.bodies) != 0 || !strings.Contains(text.String(), "unreadable") {
		t.Errorf("%+v, %s", n, text)
	}
}

func TestStopIsBounded(t *testing.T) {
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer server.Close()
	defer close(hang)
	x, _ := start(t, server.URL, nil)
	x.Offer(&Command{Name: "SET"})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	x.Stop(ctx)
	if n := x.Counts(); n.Failed != 1 {
		t.Errorf("%+v", n)
	}
}

// FuzzRejected: whatever a collector answers is read without harm.
func FuzzRejected(f *testing.F) {
	for _, seed := range []string{"", "0a0408021200", "0a", "ffff", "0a02087f"} {
		b, _ := hex.DecodeString(seed)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) { rejected(b) })
}
