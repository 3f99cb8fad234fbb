package main

import (
	"errors"
	"strings"
	"testing"

	"tandem/internal/admin"
	"tandem/internal/status"
)

func TestVerifyWithoutDifferencesExitsWith0(t *testing.T) {
	m := &fakeMigration{id: "v1", summaries: []status.VerifySummary{
		{State: status.Idle}, {State: status.Running, Percent: status.Known(40.0), Compared: 400}, {State: status.Done, Compared: 1000},
	}}
	code, stdout, stderr := tandem(t, nil, "verify", "--admin", serveAdmin(t, m, ""))
	if code != exitDone || stdout != "" {
		t.Errorf("%d %q", code, stdout)
	}
	expectParts(t, "stderr", stderr, "verify  ", "1,000 keys compared, 0 different.\n")
	if m.asked[0] != "verify full false" {
		t.Errorf("asked %q", m.asked)
	}
}

// differing has found one difference while it runs, and the other two between the last one sent and its end.
func differing() *fakeMigration {
	return &fakeMigration{
		id: "v1",
		differences: []status.Difference{
			{Key: []byte("a key"), DB: 2, Kind: "value", Detail: "string of 3 bytes, string of 4 bytes"},
			{Key: []byte{0xff, '\n'}, Kind: "missing", Detail: "not on the target"},
			{Key: []byte("z"), Kind: "ttl", Detail: "d"},
		},
		summaries: []status.VerifySummary{
			{State: status.Running, Listed: 1, Different: 1},
			{State: status.Done, Listed: 1, Different: 3, Compared: 9},
			{State: status.Done, Listed: 3, Different: 3, Compared: 9},
		},
	}
}

func TestVerifyListsDifferencesAndExitsWith4(t *testing.T) {
	code, stdout, stderr := tandem(t, nil, "verify", "--mode", "sample", "--admin", serveAdmin(t, differing(), ""))
	want := `db 2  "a key"  value  string of 3 bytes, string of 4 bytes` + "\n" +
		`db 0  "\xff\n"  missing  not on the target` + "\n" + `db 0  "z"  ttl  d` + "\n"
	if code != exitDifferent || stdout != want {
		t.Errorf("%d\n%s", code, stdout)
	}
	expectParts(t, "stderr", stderr, "9 keys compared, 3 different.\nNext: tandem verify --repair\n")
	if strings.Contains(stderr, "tandem: ") {
		t.Errorf("an error beside the result: %s", stderr)
	}
}

func TestVerifyPrintsJSONLines(t *testing.T) {
	m := differing()
	code, stdout, stderr := tandem(t, nil, "verify", "--json", "--repair", "--admin", serveAdmin(t, m, ""))
	want := `{"key":"a key","db":2,"kind":"value","detail":"string of 3 bytes, string of 4 bytes"}` + "\n" +
		`{"key":"\\xff\n","key_base64":"/wo=","db":0,"kind":"missing","detail":"not on the target"}` + "\n" +
		`{"key":"z","db":0,"kind":"ttl","detail":"d"}` + "\n"
	if code != exitDifferent || stdout != want {
		t.Errorf("%d\n%s", code, stdout)
	}
	if m.asked[0] != "verify full true" {
		t.Errorf("asked %q", m.asked)
	}
	expectParts(t, "stderr", stderr, "9 keys compared")
}

func TestVerifySaysWhenTheListIsCutShort(t *testing.T) {
	m := differing()
	m.summaries = []status.VerifySummary{{State: status.Done, Listed: 2, Different: 5000, Repair: true}}
	code, stdout, stderr := tandem(t, nil, "verify", "--admin", serveAdmin(t, m, ""))
	if code != exitDifferent || strings.Count(stdout, "\n") != 2 {
		t.Errorf("%d\n%s", code, stdout)
	}
	expectParts(t, "stderr", stderr, "Only the first 2 differences are listed.", "5,000 different", "The keys that differ are copied again.")
}

func TestVerifyThatDoesNotComeToAnEnd(t *testing.T) {
	for want, c := range map[string]struct {
		m    *fakeMigration
		code int
	}{
		"verify: failed after 7 keys: the target is away": {&fakeMigration{summaries: []status.VerifySummary{{State: status.Failed, Compared: 7, Error: "the target is away"}}}, exitFailed},
		"tandem knows nothing of it any more":             {&fakeMigration{}, exitFailed},
		"verify: not in passthrough":                      {&fakeMigration{err: &admin.Refused{Message: "not in passthrough"}}, exitRefused},
		"verify: disk full":                               {&fakeMigration{err: errors.New("disk full")}, exitFailed},
	} {
		c.m.id = "v1"
		code, _, stderr := tandem(t, nil, "verify", "--admin", serveAdmin(t, c.m, ""))
		if code != c.code {
			t.Errorf("%s: %d", want, code)
		}
		expectParts(t, "stderr", stderr, want)
	}
}

func TestAVerifyIsLed(t *testing.T) {
	m := &fakeMigration{status: status.New()}
	url := serveAdmin(t, m, "")
	if code, _, stderr := tandem(t, nil, "verify", "cancel", "--admin", url); code != exitFailed || !strings.Contains(stderr, "there was none") {
		t.Errorf("without a verify: %d %s", code, stderr)
	}
	m.status.Verify.ID = "7"
	code, stdout, stderr := tandem(t, nil, "verify", "pause", "--admin", url)
	if code != exitDone || stdout != "Verify 7 is failed: 0 keys compared, 0 different.\n" {
		t.Errorf("%d %q %s", code, stdout, stderr)
	}
	tandem(t, nil, "verify", "cancel", "3", "--admin", url)
	if got := strings.Join(m.asked, ", "); got != "pause verify 7, cancel verify 3" {
		t.Errorf("asked %s", got)
	}
	if code, _, _ := tandem(t, nil, "verify", "resume", "3", "4", "--admin", url); code != exitUsage {
		t.Errorf("two ids: exit status %d", code)
	}
	if code, _, _ := tandem(t, nil, "verify", "stop", "--admin", url); code != exitUsage {
		t.Errorf("an unknown command: exit status %d", code)
	}
}

func TestVerifySaysHowSureASampleIs(t *testing.T) {
	m := differing()
	m.summaries = []status.VerifySummary{{State: status.Done, Mode: "sample", Compared: 3000, AtMostDifferent: status.Known(0.00099807)}}
	_, _, stderr := tandem(t, nil, "verify", "--mode", "sample", "--admin", serveAdmin(t, m, ""))
	expectParts(t, "stderr", stderr, "3,000 keys compared, 0 different: with 95 % confidence less than 0.1 % of all keys differ in value, type or expiry.")
	m.summaries = []status.VerifySummary{{State: status.Done, Mode: "keys", Compared: 3000}}
	_, _, stderr = tandem(t, nil, "verify", "--mode", "keys", "--admin", serveAdmin(t, m, ""))
	expectParts(t, "stderr", stderr, "3,000 keys compared by their names only, not their values or expiry, 0 different.")
}
