package admin

import (
	"errors"
	"net/http"
	"testing"
)

var paths = []string{"/metrics", "/api/v1/status", "/api/v1/verify/x", "/nothing"}

func TestTokenIsNeededOnceThereIsOne(t *testing.T) {
	f := &fake{id: "1"}
	url := serve(t, f, withToken)
	for name, value := range map[string]string{
		"none": "", "wrong": "Bearer wrong", "prefix": "Bearer " + testToken[:5], "longer": "Bearer " + testToken + "x",
		"other scheme": "Basic " + testToken, "bare": testToken, "empty": "Bearer ", "lower case": "Bearer CORRECT HORSE BATTERY",
	} {
		for _, path := range paths {
			code, answer, h := send(t, "GET", url+path, "", header("Authorization", value))
			if code != 401 || h.Get("WWW-Authenticate") == "" {
				t.Errorf("%s at %s: %d", name, path, code)
			}
			expectError(t, answer)
		}
		if code, _, _ := send(t, "POST", url+"/api/v1/cutover", "", header("Authorization", value)); code != 401 {
			t.Errorf("%s: cutover: %d", name, code)
		}
	}
	if len(f.asked) > 0 {
		t.Errorf("the controller was asked %q", f.asked)
	}
	for _, value := range []string{"Bearer " + testToken, "bearer " + testToken} {
		if code, _, _ := send(t, "POST", url+"/api/v1/start", "", header("Authorization", value)); code != 202 {
			t.Errorf("%s: %d", value, code)
		}
	}
}

func TestProbesAndPageNeedNoToken(t *testing.T) {
	f := &fake{}
	url := serve(t, f, withToken)
	for _, path := range []string{"/healthz", "/readyz", "/"} {
		if code, _, _ := send(t, "GET", url+path, ""); code != 200 {
			t.Errorf("%s: %d", path, code)
		}
	}
	f.err = errors.New("the source at 10.0.0.1 is away")
	if code, answer, _ := send(t, "GET", url+"/readyz", ""); code != 503 || answer != "not ready\n" {
		t.Errorf("without the token: %d %q", code, answer)
	}
	if code, answer, _ := send(t, "GET", url+"/readyz", "", header("Authorization", "Bearer "+testToken)); code != 503 || answer == "not ready\n" {
		t.Errorf("with the token: %d %q", code, answer)
	}
}

func host(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }

func TestForeignHostIsRefusedOnLoopback(t *testing.T) {
	url := serve(t, &fake{})
	for name, want := range map[string]int{
		"localhost": 200, "localhost:6390": 200, "LOCALHOST:1": 200, "127.0.0.1": 200, "127.9.9.9:80": 200, "[::1]:6390": 200, "[::1]": 200,
		"evil.example": 403, "evil.example:6390": 403, "localhost.evil.example": 403, "127.0.0.1.evil.example": 403,
		"10.0.0.1": 403, "0.0.0.0:6390": 403, "[::]:6390": 403,
	} {
		if code, _, _ := send(t, "GET", url+"/api/v1/status", "", host(name)); code != want {
			t.Errorf("Host %s: %d, want %d", name, code, want)
		}
		if code, _, _ := send(t, "GET", url+"/", "", host(name)); code != want {
			t.Errorf("Host %s: page: %d, want %d", name, code, want)
		}
	}
}

func TestForeignHostIsRefusedBeforeTheTokenIsLookedAt(t *testing.T) {
	url := serve(t, &fake{}, withToken)
	code, _, _ := send(t, "GET", url+"/api/v1/status", "", host("evil.example"), header("Authorization", "Bearer "+testToken))
	if code != 403 {
		t.Errorf("%d", code)
	}
}

func TestAnyHostElsewhereWithTheToken(t *testing.T) {
	url := serve(t, &fake{}, withToken, func(o *Options) { o.Addr = "0.0.0.0:0" })
	for _, name := range []string{"tandem.example", "10.0.0.1:6390", "127.0.0.1"} {
		if code, _, _ := send(t, "GET", url+"/api/v1/status", "", host(name), header("Authorization", "Bearer "+testToken)); code != 200 {
			t.Errorf("Host %s: %d", name, code)
		}
		if code, _, _ := send(t, "GET", url+"/api/v1/status", "", host(name)); code != 401 {
			t.Errorf("Host %s without the token: %d", name, code)
		}
	}
}

func TestForeignStepIsRefused(t *testing.T) {
	f := &fake{}
	url := serve(t, f)
	for site, want := range map[string]int{"cross-site": 403, "same-site": 403, "x": 403, "same-origin": 200, "none": 200, "": 200} {
		if code, _, _ := send(t, "POST", url+"/api/v1/pause", "", header("Sec-Fetch-Site", site)); code != want {
			t.Errorf("Sec-Fetch-Site %q: %d, want %d", site, code, want)
		}
		if code, _, _ := send(t, "GET", url+"/api/v1/status", "", header("Sec-Fetch-Site", site)); code != 200 {
			t.Errorf("Sec-Fetch-Site %q: asking: %d", site, code)
		}
	}
	if len(f.asked) != 3 {
		t.Errorf("the controller was asked %q", f.asked)
	}
}

func TestForeignOriginIsRefused(t *testing.T) {
	f := &fake{}
	url := serve(t, f)
	for origin, want := range map[string]int{
		url: 200, "": 200,
		"http://evil.example": 403, "https://evil.example": 403, "null": 403, "http://127.0.0.1:1": 403, "http://localhost": 403,
		"ftp://" + url[len("http://"):]: 403, url + ".evil.example": 403,
	} {
		if code, _, _ := send(t, "POST", url+"/api/v1/pause", "", header("Origin", origin)); code != want {
			t.Errorf("Origin %q: %d, want %d", origin, code, want)
		}
	}
	if len(f.asked) != 2 {
		t.Errorf("the controller was asked %q", f.asked)
	}
}
