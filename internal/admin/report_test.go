package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
)

func TestEventsBehindANumber(t *testing.T) {
	url := serve(t, &fake{events: 2500})
	for query, want := range map[string][3]int64{ // how many, the first, the last
		"":                     {maxEvents, 1, maxEvents},
		"?after=2400":          {100, 2401, 2500},
		"?after=10&limit=5":    {5, 11, 15},
		"?after=0&limit=90000": {maxEvents, 1, maxEvents},
		"?after=2500":          {0, 0, 0},
		"?last=3":              {3, 2498, 2500},
		"?last=9000":           {maxEvents, 1501, 2500},
		"?last=9&after=2498":   {2, 2499, 2500},
	} {
		code, answer, _ := send(t, "GET", url+"/api/v1/events"+query, "")
		var got eventsAnswer
		if err := json.Unmarshal([]byte(answer), &got); err != nil || code != http.StatusOK || got.Events == nil {
			t.Fatalf("%s: %d %.200s, %v", query, code, answer, err)
		}
		var is [3]int64
		if is[0] = int64(len(got.Events)); is[0] > 0 {
			is[1], is[2] = got.Events[0].Seq, got.Events[is[0]-1].Seq
		}
		if is != want {
			t.Errorf("%s: got %v, want %v", query, is, want)
		}
	}
	for _, query := range []string{"?after=-1", "?after=x", "?limit=1.5", "?last=-3"} {
		if code, answer, _ := send(t, "GET", url+"/api/v1/events"+query, ""); code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", query, code, answer)
		} else {
			expectError(t, answer)
		}
	}
}

func TestReportAsJSONAndAsAPage(t *testing.T) {
	url := serve(t, &fake{}, withToken)
	for _, path := range []string{"/api/v1/report", "/report", "/api/v1/events"} {
		if code, _, _ := send(t, "GET", url+path, ""); code != http.StatusUnauthorized {
			t.Errorf("%s without the token: %d", path, code)
		}
	}
	code, page, head := send(t, "GET", url+"/report", "", header("Authorization", "Bearer "+testToken))
	if code != http.StatusOK || !strings.Contains(page, "old:6379") || !strings.HasPrefix(head.Get("Content-Type"), "text/html") ||
		!strings.Contains(head.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%d, %v, %.300s", code, head, page)
	}
	client, err := NewClient(url, testToken)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	r, err := client.Report(t.Context())
	if err != nil || r.ID != "0123456789abcdef" || r.Verdict.Result == "" {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestAVerifyIsLed(t *testing.T) {
	f := &fake{}
	url := serve(t, f)
	code, answer, _ := send(t, "POST", url+"/api/v1/verify/v1/pause", "")
	if code != http.StatusOK || !strings.Contains(answer, `"state":"paused"`) {
		t.Errorf("%d %s", code, answer)
	}
	client, err := NewClient(url, "")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if s, err := client.LeadVerify(t.Context(), "v2", CancelVerify); err != nil || s.ID != "v2" {
		t.Errorf("%+v, %v", s, err)
	}
	if got := strings.Join(f.asked, ", "); got != "pause v1, cancel v2" {
		t.Errorf("asked %s", got)
	}
	if code, _, _ := send(t, "POST", url+"/api/v1/verify/v1/stop", ""); code != http.StatusNotFound {
		t.Errorf("an unknown step: %d", code)
	}
	f.err = ErrUnknownVerify
	if _, err := client.LeadVerify(t.Context(), "v3", ResumeVerify); !errors.Is(err, ErrUnknownVerify) {
		t.Errorf("an unknown verify: %v", err)
	}
}
