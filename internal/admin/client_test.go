package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"tandem/internal/status"
)

func client(t *testing.T, url, token string) *Client {
	t.Helper()
	c, err := NewClient(url, token)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestClientGetsWhatTheControllerSays(t *testing.T) {
	f := &fake{id: "b1", result: Result{Phase: status.Reversed, Pause: 1500 * time.Microsecond}}
	c := client(t, serve(t, f, withToken), testToken)
	ctx := context.Background()

	s, err := c.Status(ctx)
	if err != nil || !reflect.DeepEqual(s, f.Status()) {
		t.Errorf("status: %+v, %v", s, err)
	}
	if _, id, err := c.Step(ctx, "start", StepOptions{Force: "x"}); err != nil || id != "b1" {
		t.Errorf("start: %q, %v", id, err)
	}
	if r, id, err := c.Step(ctx, "cutover", StepOptions{}); err != nil || id != "" || r != f.result {
		t.Errorf("cutover: %+v, %q, %v", r, id, err)
	}
	if id, err := c.Verify(ctx, VerifyOptions{Mode: VerifySample, Repair: true}); err != nil || id != "b1" {
		t.Errorf("verify: %q, %v", id, err)
	}
	want := []string{"start x", "cutover ", "verify sample repair"}
	if !reflect.DeepEqual(f.asked, want) {
		t.Errorf("asked %q, want %q", f.asked, want)
	}
}

func TestClientGetsWhatToWatch(t *testing.T) {
	c := client(t, serve(t, &fake{events: 70}, withToken), testToken)
	if s, err := c.History(context.Background(), 1000); err != nil || len(s) != 1 || s[0].At != 2000 {
		t.Errorf("history: %+v, %v", s, err)
	}
	if list, err := c.LastEvents(context.Background(), 0, 5); err != nil || len(list) != 5 || list[4].Seq != 70 || list[0].Name != status.Synced {
		t.Errorf("events: %+v, %v", list, err)
	}
}

func TestClientReadsDifferencesWhole(t *testing.T) {
	f := &fake{differences: []status.Difference{
		{Key: []byte("plain"), DB: 2, Kind: "value", Detail: "d"},
		{Key: []byte{0, 0xff, '"', '\n'}, Kind: "ttl"},
		{Key: []byte(strings.Repeat("k", 128<<10)), Kind: "missing"},
	}}
	var got []status.Difference
	c := client(t, serve(t, f), "")
	collect := func(d status.Difference) error {
		got = append(got, d)
		return nil
	}
	summary, err := c.VerifyResults(context.Background(), "an/id", 0, collect)
	if err != nil || summary.ID != "an/id" || summary.Different != 3 || !reflect.DeepEqual(got, f.differences) {
		t.Errorf("%+v, %v, %d differences", summary, err, len(got))
	}
	got = nil
	if _, err := c.VerifyResults(context.Background(), "v", 2, collect); err != nil || len(got) != 1 {
		t.Errorf("from 2: %d differences, %v", len(got), err)
	}
	enough := errors.New("enough")
	if _, err := c.VerifyResults(context.Background(), "v", 0, func(status.Difference) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("yield's error became %v", err)
	}
	f.failResults(errors.New("the list is gone"))
	if _, err := c.VerifyResults(context.Background(), "v", 0, collect); err == nil || err.Error() != "the list is gone" {
		t.Errorf("error behind the differences: %v", err)
	}
}

func TestClientGetsTheControllersErrors(t *testing.T) {
	refused := &Refused{"not now", []status.Blocker{{Code: "a", Message: "b", Remedy: "c"}}}
	for name, kind := range map[string]error{
		"primary down": ErrPrimaryDown, "undone": ErrUndone, "unknown": ErrUnknownVerify, "other": nil, "refused": refused,
	} {
		t.Run(name, func(t *testing.T) {
			sent := errors.New("words of the server")
			if kind != nil {
				sent = fmt.Errorf("words of the server: %w", kind)
			}
			_, _, err := client(t, serve(t, &fake{err: sent}), "").Step(context.Background(), "cutover", StepOptions{})
			if err == nil || err.Error() != sent.Error() {
				t.Errorf("got %v, want %v", err, sent)
			}
			var got *Refused
			if kind == refused {
				if !errors.As(err, &got) || !reflect.DeepEqual(got.Blockers, refused.Blockers) {
					t.Errorf("got %#v", err)
				}
			} else if kind != nil && !errors.Is(err, kind) {
				t.Errorf("%v is not %v", err, kind)
			}
		})
	}
}

func TestClientSaysWhyItGetsNoAnswer(t *testing.T) {
	ctx := context.Background()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().String()
	listener.Close()
	if _, err := client(t, closed, "").Status(ctx); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), closed) {
		t.Errorf("closed port: %v", err)
	}

	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "status") {
			fmt.Fprint(w, "<html>another program</html>")
			return
		}
		http.NotFound(w, r)
	}))
	defer other.Close()
	if _, err := client(t, other.URL, "").Status(ctx); !errors.Is(err, ErrUnreachable) {
		t.Errorf("another program: %v", err)
	}
	if _, _, err := client(t, other.URL, "").Step(ctx, "cutover", StepOptions{}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("another program's 404: %v", err)
	}

	if _, err := client(t, serve(t, &fake{}, withToken), "wrong").Status(ctx); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("wrong token: %v", err)
	}

	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := client(t, serve(t, &fake{}), "").Status(gone); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnreachable) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestClientURLs(t *testing.T) {
	for _, url := range []string{"127.0.0.1:6390", "http://a:1", "https://a/prefix/", "localhost:6390"} {
		if _, err := NewClient(url, ""); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, url := range []string{"", "redis://a:1", "http://", "http://user:hunter2@a", "ht tp://hunter2@a", "http://a:hunter2:3"} {
		if _, err := NewClient(url, ""); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
	}
}
