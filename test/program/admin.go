package program

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Status is the part of the program's status that tests decide by, with names of its own: it reads what users
// read. A number that the program does not know is nil.
type Status struct {
	Phase          string `json:"phase"`
	Primary        string `json:"primary"`
	ReadyToCutover bool   `json:"ready_to_cutover"`
	Blockers       []struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"blockers"`
	Sessions int `json:"sessions"`
	Backfill struct {
		State       string   `json:"state"`
		KeysScanned int64    `json:"keys_scanned"`
		KeysCopied  int64    `json:"keys_copied"`
		Percent     *float64 `json:"percent"`
	} `json:"backfill"`
	DirtyKeys       int64    `json:"dirty_keys"`
	UnsettledWrites int64    `json:"unsettled_writes"`
	LagMs           *float64 `json:"lag_ms"`
	LagBytes        int64    `json:"lag_bytes"`
	Effects         struct {
		Forwarded  int64 `json:"forwarded"`
		Mismatched int64 `json:"mismatched"`
		Dropped    int64 `json:"dropped"`
	} `json:"effects"`
	Copies struct {
		Done   int64 `json:"done"`
		Races  int64 `json:"races"`
		Failed int64 `json:"failed"`
	} `json:"copies"`
	Verify struct {
		State     string `json:"state"`
		Different int64  `json:"different"`
	} `json:"verify"`
	Tracking struct {
		State         string `json:"state"`
		ForeignWrites *int64 `json:"foreign_writes"`
	} `json:"tracking"`
	Shadow struct {
		Compared  int64 `json:"compared"`
		Different int64 `json:"different"`
	} `json:"shadow"`
	Cutover struct {
		LastPauseMs *float64 `json:"last_pause_ms"`
	} `json:"cutover"`
	Source struct {
		Connected bool `json:"connected"`
	} `json:"source"`
	Target struct {
		Connected bool `json:"connected"`
	} `json:"target"`
}

func (s Status) String() string {
	b, err := json.Marshal(s)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Settled says that the secondary has everything. It stays so only while nobody writes.
func (s Status) Settled() bool {
	return (s.Phase == "synced" || s.Phase == "two_way" || s.Phase == "reversed") && s.DirtyKeys == 0 && s.UnsettledWrites == 0 &&
		s.LagBytes == 0 && s.Backfill.State != "running" && s.Source.Connected && s.Target.Connected
}

// Blocked says whether a blocker of that code stands in the way of the next step.
func (s Status) Blocked(code string) bool {
	for _, b := range s.Blockers {
		if b.Code == code {
			return true
		}
	}
	return false
}

// adminClient bounds every request; a cutover takes up to 10 s by itself.
var adminClient = &http.Client{Timeout: 60 * time.Second}

func get(client *http.Client, url string) (code int, body []byte, err error) {
	resp, err := client.Get(url)
	if err != nil {
		return 0, nil, err
	}
	return read(resp)
}

func read(resp *http.Response) (code int, body []byte, err error) {
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, bytes.TrimSpace(body), err
}

// Get reads a page of the admin address.
func (td *Tandem) Get(path string) (code int, body []byte, err error) {
	return get(adminClient, td.Admin+path)
}

// TryAsk asks for a step and returns the HTTP status and the answer; the error is the connection's.
func (td *Tandem) TryAsk(step string) (code int, answer string, err error) {
	resp, err := adminClient.Post(td.Admin+"/api/v1/"+step, "application/json", nil)
	if err != nil {
		return 0, "", err
	}
	code, body, err := read(resp)
	return code, string(body), err
}

// TryPlan asks for a cutover at a time to come, and does not care what becomes of it.
func (td *Tandem) TryPlan(at time.Time) {
	resp, err := adminClient.Post(td.Admin+"/api/v1/cutover", "application/json", strings.NewReader(fmt.Sprintf(`{"at":%d}`, at.UnixMilli())))
	if err == nil {
		resp.Body.Close()
	}
}

// Pace has copies be made at n keys per second at most, from now on.
func (td *Tandem) Pace(n int) {
	td.t.Helper()
	resp, err := adminClient.Post(td.Admin+"/api/v1/throttle", "application/json", strings.NewReader(fmt.Sprintf(`{"max_keys_per_s":%d}`, n)))
	if err != nil {
		td.t.Fatalf("throttle: %v", err)
	}
	if code, answer, err := read(resp); err != nil || code != http.StatusOK {
		td.t.Fatalf("throttle: %d %s (%v)", code, answer, err)
	}
}

// Ask is TryAsk of a program that must be there.
func (td *Tandem) Ask(step string) (code int, answer string) {
	td.t.Helper()
	code, answer, err := td.TryAsk(step)
	if err != nil {
		td.t.Fatalf("%s: %v", step, err)
	}
	return code, answer
}

// Step takes a step that must succeed.
func (td *Tandem) Step(name string) {
	td.t.Helper()
	if code, answer := td.Ask(name); code != http.StatusOK && code != http.StatusAccepted {
		td.t.Fatalf("%s: %d %s", name, code, answer)
	}
}

// SwitchOver takes a cutover or rollback and returns how often it was undone before (504), which is allowed
// under full load, as long as it happens in the end.
func (td *Tandem) SwitchOver(name string) (undone int) {
	td.t.Helper()
	for {
		code, answer := td.Ask(name)
		if code == http.StatusOK {
			return undone
		}
		if undone++; code != http.StatusGatewayTimeout || undone > 3 {
			td.t.Fatalf("%s, attempt %d: %d %s", name, undone, code, answer)
		}
	}
}

// TryStatus reads the status; the error is the connection's, or says what was answered instead.
func (td *Tandem) TryStatus() (s Status, err error) {
	code, body, err := td.Get("/api/v1/status")
	if err != nil {
		return s, err
	}
	if code != http.StatusOK {
		return s, fmt.Errorf("status: %d %s", code, body)
	}
	if err := json.Unmarshal(body, &s); err != nil {
		return s, fmt.Errorf("status: %w in %s", err, body)
	}
	return s, nil
}

// Status is TryStatus of a program that must be there.
func (td *Tandem) Status() Status {
	td.t.Helper()
	s, err := td.TryStatus()
	if err != nil {
		td.t.Fatalf("status: %v", err)
	}
	return s
}

// WaitStatus waits until the status satisfies a condition, and returns it.
func (td *Tandem) WaitStatus(what string, within time.Duration, ok func(Status) bool) (s Status) {
	td.t.Helper()
	td.Until(what, within, func() bool {
		s = td.Status()
		return ok(s)
	})
	return s
}

// SyncTime bounds the way to synced, for the sizes of the suites on a loaded machine.
func SyncTime() time.Duration {
	if Full {
		return 10 * time.Minute
	}
	return 90 * time.Second
}

// WaitSynced waits for the phase.
func (td *Tandem) WaitSynced() Status {
	td.t.Helper()
	return td.WaitStatus("phase synced", SyncTime(), func(s Status) bool { return s.Phase == "synced" })
}

// WaitSettled waits until the program says that the secondary has everything. Nobody may be writing.
func (td *Tandem) WaitSettled() {
	td.t.Helper()
	td.WaitStatus("all writes settled, nothing dirty, no sweep running", SyncTime(), Status.Settled)
}

// mayMismatch are commands whose effects may be answered otherwise than they should be though nothing has failed and
// both servers have done the same, and why.
var mayMismatch = map[string]string{
	"HSET": "a field whose time has come counts as new only when the server has removed it",
}

// Mismatches are the effects that the secondary has answered otherwise than they should be, counted by command:
// `"INCR" 2`. While nothing has failed there are none.
func (td *Tandem) Mismatches() []string {
	_, body, err := td.Get("/metrics")
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	for line := range strings.Lines(string(body)) {
		counted, ok := strings.CutPrefix(line, "tandem_effects_mismatched_total{command=\"")
		command, n, _ := strings.Cut(counted, "\"}")
		if ok && mayMismatch[command] == "" {
			found = append(found, fmt.Sprintf("%q %s", command, strings.TrimSpace(n)))
		}
	}
	return found
}

// MustMatch fails the test if there are any.
func (td *Tandem) MustMatch() {
	td.t.Helper()
	if found := td.Mismatches(); len(found) > 0 {
		td.t.Errorf("effects answered otherwise than they should be, though nothing has failed: %s", strings.Join(found, ", "))
	}
}

// Difference is one line of `tandem verify --json`.
type Difference struct {
	Key    string `json:"key"`
	DB     int    `json:"db"`
	Kind   string `json:"kind"`
	Detail string `json:"detail"`
}

// Verify runs `tandem verify --json` and returns its exit status, 0 or 4, and the differences it lists.
func (td *Tandem) Verify(more ...string) (int, []Difference) {
	td.t.Helper()
	code, stdout, stderr := Command(td.t, nil, append([]string{"verify", "--json", "--admin", td.Admin}, more...)...)
	var found []Difference
	for line := range strings.Lines(stdout) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		var d Difference
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			td.t.Fatalf("verify printed %q: %v\n%s", line, err, stderr)
		}
		found = append(found, d)
	}
	if code != 0 && code != 4 {
		td.t.Fatalf("verify: exit status %d\n%s", code, stderr)
	}
	return code, found
}

// MustVerify runs a verify that must find nothing.
func (td *Tandem) MustVerify() {
	td.t.Helper()
	if code, found := td.Verify(); code != 0 || len(found) != 0 {
		td.t.Errorf("verify: exit status %d, %d differences: %s", code, len(found), ShowDifferences(found))
	}
}

// ShowDifferences writes the first of them, one to a line.
func ShowDifferences(found []Difference) string {
	var b strings.Builder
	for i, d := range found {
		if i == 20 {
			fmt.Fprintf(&b, "\n  ... %d more", len(found)-i)
			break
		}
		fmt.Fprintf(&b, "\n  db%d %q %s: %s", d.DB, d.Key, d.Kind, d.Detail)
	}
	return b.String()
}
