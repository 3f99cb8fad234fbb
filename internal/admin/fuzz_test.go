package admin

import (
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"tandem/internal/status"
)

// FuzzRequest sends any request to a server with a token. Nothing is asked of the controller without the token, from a
// foreign page or under a foreign name; every answer is of a known kind; none tells the token.
func FuzzRequest(f *testing.F) {
	bearer := "Bearer " + testToken
	f.Add("POST", "/api/v1/cutover", "127.0.0.1", "", bearer, `{"force":"name"}`)
	f.Add("POST", "/api/v1/cutover", "evil.example", "", bearer, "")
	f.Add("POST", "/api/v1/cutover", "127.0.0.1", "http://evil.example", bearer, "")
	f.Add("POST", "//api/v1/cutover", "127.0.0.1", "null", "", "")
	f.Add("POST", "/api/v1/verify", "localhost", "", bearer, `{"mode":"sample","repair":true}`)
	f.Add("POST", "/api/v1/start", "[::1]:1", "http://[::1]:1", bearer, `{"force":1e999}`)
	f.Add("POST", "/api/v1/start", "localhost", "", bearer, strings.Repeat("[", 20000))
	f.Add("GET", "/api/v1/verify/..%2f..%2fetc%2fpasswd", "localhost", "", bearer, "")
	f.Add("GET", "/api/v1/verify/../../../state.json", "localhost", "", bearer, "")
	f.Add("GET", "/api/v1/verify/1?from=-1", "localhost", "", bearer, "")
	f.Add("GET", "/api/v1/verify/1?from=99999999999999999999", "localhost", "", bearer, "")
	f.Add("PROPFIND", "/metrics", "localhost", "", bearer, "")
	f.Add("GET", "/"+testToken, "localhost", "", "Bearer x", "")
	f.Add("GET", "/readyz", "localhost", "", "", "")

	c := &fake{id: "7", differences: []status.Difference{{Key: []byte("a")}, {Key: []byte("\xff")}}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	_ = l.Close() // only its address is used
	s := newServer(Options{Addr: l.Addr().String(), Callers: []Caller{{Token: testToken}}, Controller: c, Metrics: prometheus.NewRegistry(),
		Log: slog.New(slog.DiscardHandler)}, l, requestTimeout)
	f.Cleanup(s.end)
	f.Fuzz(func(t *testing.T, method, target, host, origin, authorization, body string) {
		r, err := http.NewRequest(method, "http://x/", strings.NewReader(body))
		if err != nil {
			return
		}
		if r.URL, err = r.URL.Parse(target); err != nil || r.URL.Path == "" || r.URL.Path[0] != '/' {
			return
		}
		r.Host, r.RequestURI = host, target
		r.Header.Set("Origin", origin)
		r.Header.Set("Authorization", authorization)
		c.mu.Lock()
		c.asked = nil
		c.mu.Unlock()
		w := httptest.NewRecorder()
		s.http.Handler.ServeHTTP(w, r)
		scheme, token, _ := strings.Cut(authorization, " ")
		allowed := strings.EqualFold(scheme, "Bearer") && strings.TrimSpace(token) == testToken &&
			(origin == "" || sameOrigin(origin, host)) && isOwnHost(host, "127.0.0.1")
		if len(c.asked) > 0 && !allowed {
			t.Fatalf("%s %s asked %q", method, target, c.asked)
		}
		switch w.Code {
		case 200, 202, 301, 307, 308, 400, 401, 403, 404, 405, 409, 413, 503, 504:
		default:
			t.Fatalf("%s %s: %d", method, target, w.Code)
		}
		answer := w.Body.String()
		if strings.Contains(answer, testToken) && !strings.Contains(target+body, testToken) {
			t.Fatalf("the token is in %q", answer)
		}
		if w.Header().Get("Content-Type") == "application/json" && !json.Valid([]byte(answer)) {
			t.Fatalf("%q is not JSON", answer)
		}
	})
}
