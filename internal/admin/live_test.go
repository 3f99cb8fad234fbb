package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// watch opens the stream and returns a function that reads the next message, with false at its end.
func watch(t *testing.T, url, token string) func() (map[string]json.RawMessage, bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/v1/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s, %v", response.Status, response.Header)
	}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	return func() (map[string]json.RawMessage, bool) {
		t.Helper()
		for lines.Scan() {
			data, found := strings.CutPrefix(lines.Text(), "data: ")
			if !found {
				continue
			}
			var m map[string]json.RawMessage
			if err := json.Unmarshal([]byte(data), &m); err != nil {
				t.Fatalf("%q: %v", data, err)
			}
			return m, true
		}
		return nil, false
	}
}

func TestWatchersAreToldWhatThereIs(t *testing.T) {
	url, stop := serveStoppable(t, &fake{events: 12}, withToken)
	one, two := watch(t, url, testToken), watch(t, url, testToken)
	for _, next := range []func() (map[string]json.RawMessage, bool){one, two, one} {
		m, more := next()
		if !more || string(m["last_event"]) != "12" || string(m["checked_at"]) != "77" ||
			!strings.Contains(string(m["status"]), `"phase":"synced"`) || !strings.Contains(string(m["clients"]), "10.0.0.7") ||
			!strings.Contains(string(m["history"]), `"columns":["at",`) {
			t.Errorf("%v: %s", more, m)
		}
	}
	// The end of the server ends the streams at once: who watches must not hold it up until its timeout.
	began := time.Now()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("the server took %v to end", took)
	}
	for {
		if _, more := one(); !more {
			break
		}
	}
}

func TestLiveNeedsTheTokenAndAPlace(t *testing.T) {
	url := serve(t, &fake{}, withToken)
	if code, _, _ := send(t, "GET", url+"/api/v1/live", ""); code != http.StatusUnauthorized {
		t.Errorf("without the token: %d", code)
	}
	l := newLive(&fake{})
	var all []*watcher
	for range maxWatchers {
		all = append(all, l.enter())
	}
	if all[maxWatchers-1] == nil || l.enter() != nil {
		t.Error("the bound on watchers does not hold")
	}
	l.leave(all[0])
	l.leave(all[0]) // it may have been dropped before
	if l.enter() == nil {
		t.Error("a place that was left is not given again")
	}
	l.end()
	if l.enter() != nil {
		t.Error("a watcher comes after the end")
	}
}

// One that does not read must cost neither memory nor the others' time.
func TestAWatcherThatDoesNotKeepUpIsDropped(t *testing.T) {
	l := newLive(&fake{})
	slow, quick := l.enter(), l.enter()
	for i := range 3 {
		l.tell([]byte{byte(i)})
		if m := <-quick.messages; m[0] != byte(i) {
			t.Fatalf("message %d is %v", i, m)
		}
	}
	if m, more := <-slow.messages; !more || m[0] != 0 {
		t.Errorf("%v, %v", m, more)
	}
	if _, more := <-slow.messages; more {
		t.Error("it was not dropped")
	}
	l.leave(slow)
}

func TestWhatTheDashboardAsksFor(t *testing.T) {
	f := &fake{}
	url := serve(t, f, withToken)
	auth := header("Authorization", "Bearer "+testToken)
	for path, want := range map[string]string{
		"/api/v1/history":            `[2000,`,
		"/api/v1/history?after=1000": `"rows":[[2000,`,
		"/api/v1/clients":            `"connections":3`,
		"/api/v1/precheck":           `"name":"login"`,
	} {
		if code, answer, _ := send(t, "GET", url+path, "", auth); code != 200 || !strings.Contains(answer, want) {
			t.Errorf("%s: %d %s", path, code, answer)
		}
		if code, _, _ := send(t, "GET", url+path, ""); code != http.StatusUnauthorized {
			t.Errorf("%s without the token: %d", path, code)
		}
	}
	if code, answer, _ := send(t, "GET", url+"/api/v1/history?after=x", "", auth); code != 400 {
		t.Errorf("after=x: %d %s", code, answer)
	}
	if len(f.asked) != 0 {
		t.Fatalf("asking has done %v", f.asked)
	}
	if code, answer, _ := send(t, "POST", url+"/api/v1/precheck", "", auth); code != 200 || !strings.Contains(answer, "login") || len(f.asked) != 1 {
		t.Errorf("%d %s, %v", code, answer, f.asked)
	}
	if code, _, _ := send(t, "POST", url+"/api/v1/precheck", "", auth, header("Origin", "http://evil.example")); code != 403 || len(f.asked) != 1 {
		t.Errorf("from a foreign page: %d, %v", code, f.asked)
	}
}

func TestTheDashboardNeedsNoToken(t *testing.T) {
	url := serve(t, &fake{}, withToken)
	for _, path := range []string{"/", "/assets/vendor/uplot/LICENSE"} {
		code, _, h := send(t, "GET", url+path, "")
		if code != 200 || !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", path, code, h)
		}
	}
	for _, path := range []string{"/assets/", "/assets/index.html", "/assets/../go.mod"} {
		if code, _, _ := send(t, "GET", url+path, "", header("Authorization", "Bearer "+testToken)); code != 404 {
			t.Errorf("%s: %d", path, code)
		}
	}
}
