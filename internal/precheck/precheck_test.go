package precheck

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/instance"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/resp"
)

const secret = "s3cr3t"

func start(t *testing.T, args ...string) *redisd.Server {
	t.Helper()
	return redisdtest.Start(t, redisd.Options{Args: args})
}

// connect opens a connection for the test's own commands.
func connect(t *testing.T, s *redisd.Server) *instance.Conn {
	t.Helper()
	i, err := instance.New(instance.Source, s.URL(), instance.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := i.Conn(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func do(t *testing.T, c *instance.Conn, command string) resp.Value {
	t.Helper()
	v, err := c.Do(t.Context(), strings.Fields(command)...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// before has something happen before a check is made.
func before(check string, happens func()) func(string, int, int) {
	return func(name string, _, _ int) {
		if name == check {
			happens()
		}
	}
}

// precheck runs one between two URLs.
func precheck(t *testing.T, source, target string, o Options) *Report {
	t.Helper()
	s, err := instance.New(instance.Source, source, instance.Options{DialTimeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	d, err := instance.New(instance.Target, target, instance.Options{DialTimeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), s, d, o)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	worst := Success
	for _, item := range r.Items {
		if seen[item.Name] {
			t.Errorf("%s is there twice", item.Name)
		}
		seen[item.Name] = true
		if item.Found == "" || item.Why == "" {
			t.Errorf("%s says too little: %+v", item.Name, item)
		}
		switch item.Status {
		case Success:
			if item.Remedy != "" || item.Accept != "" {
				t.Errorf("a success with a remedy: %+v", item)
			}
		case Warning:
			if item.Remedy == "" || (item.Accept != item.Name) != slices.Contains(o.Accept, item.Name) {
				t.Errorf("a warning without remedy or name to accept it by: %+v", item)
			}
			if worst == Success && item.Accept != "" {
				worst = Warning
			}
		case Failed:
			if item.Remedy == "" || item.Accept != "" {
				t.Errorf("a failure without remedy, or that can be accepted: %+v", item)
			}
			worst = Failed
		default:
			t.Errorf("status %q", item.Status)
		}
	}
	if r.Result != worst {
		t.Errorf("result %s of items up to %s", r.Result, worst)
	}
	if (worst == Failed) != (len(r.notMade) > 0) && len(r.notMade) > 0 {
		t.Errorf("not made without a failure: %v", r.notMade)
	}
	return r
}

// item returns one by name; it must be there.
func (r *Report) item(t *testing.T, name string) Item {
	t.Helper()
	i := slices.IndexFunc(r.Items, func(item Item) bool { return item.Name == name })
	if i < 0 {
		t.Fatalf("no item %s in\n%s", name, r.text())
	}
	return r.Items[i]
}

func (r *Report) text() string {
	var b strings.Builder
	_ = r.WriteTable(&b, false)
	return b.String()
}

// expect judges an item: its status, and what it and its remedy must say.
func (r *Report) expect(t *testing.T, name, status string, says ...string) {
	t.Helper()
	item := r.item(t, name)
	for _, s := range says {
		if !strings.Contains(item.Found+"\n"+item.Remedy, s) {
			t.Errorf("%s does not say %q: found %q, remedy %q", name, s, item.Found, item.Remedy)
		}
	}
	if item.Status != status {
		t.Errorf("%s is %s, want %s: %s", name, item.Status, status, item.Found)
	}
	record(item, false)
}

// otherwise says that all items but the named are successes.
func (r *Report) otherwise(t *testing.T, except ...string) {
	t.Helper()
	for _, item := range r.Items {
		switch {
		case slices.Contains(except, item.Name):
		case item.Status != Success:
			t.Errorf("%s is %s: %s", item.Name, item.Status, item.Found)
		default:
			record(item, false)
		}
	}
}

func TestTwoLikeServersPassAndNothingIsLeftBehind(t *testing.T) {
	for _, b := range redisdtest.Binaries(t) {
		t.Run(b.Name, func(t *testing.T) {
			source := redisdtest.Start(t, redisd.Options{Binary: b.Path, Password: secret})
			target := redisdtest.Start(t, redisd.Options{Binary: b.Path})
			s, d := connect(t, source), connect(t, target)
			do(t, s, "RPUSH list 1 2 3")
			do(t, s, "SELECT 15")
			do(t, s, "SET k v")
			told, all := 0, 0
			r := precheck(t, source.URL(), target.URL(), Options{StateDir: t.TempDir(), Tell: func(name string, made, of int) {
				if made != told || name == "" {
					t.Errorf("told of %q as number %d, behind %d", name, made, told)
				}
				told, all = told+1, of
			}})
			if r.Result != Success || len(r.notMade) > 0 {
				t.Errorf("\n%s", r.text())
			}
			if told != all || all < len(checks) {
				t.Errorf("told of %d checks of %d", told, all)
			}
			eachSide := 0
			for _, c := range checks {
				if c.each {
					eachSide++
				}
			}
			if len(r.Items) != len(checks)+eachSide {
				t.Errorf("%d items of %d checks", len(r.Items), len(checks))
			}
			if info := string(do(t, s, "INFO keyspace").Str); !strings.Contains(info, "db0:keys=1,") || !strings.Contains(info, "db15:keys=1,") {
				t.Errorf("source: %s", info)
			}
			if info := string(do(t, d, "INFO keyspace").Str); strings.Contains(info, "db") {
				t.Errorf("target: %s", info)
			}
			for _, c := range []*instance.Conn{s, d} {
				if list := string(do(t, c, "CLIENT LIST").Str); strings.Contains(list, "name=tandem") {
					t.Errorf("a connection is left: %s", list)
				}
			}
		})
	}
}

func TestJSONIsTheContract(t *testing.T) {
	s := start(t)
	r := precheck(t, "redis://:"+secret+"@"+s.Addr, "redis://"+s.Addr, Options{})
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var report map[string]json.RawMessage
	var items []map[string]string
	if err := errors.Join(json.Unmarshal(b, &report), json.Unmarshal(report["items"], &items)); err != nil {
		t.Fatal(err)
	}
	if len(report) != 2 || string(report["result"]) != `"failed"` {
		t.Errorf("%s", b)
	}
	for _, item := range items {
		for _, key := range []string{"name", "status", "found", "why", "remedy", "accept"} {
			if _, ok := item[key]; !ok || len(item) != 6 {
				t.Errorf("%v", item)
			}
		}
	}
	if strings.Contains(string(b), secret) {
		t.Errorf("the password is in %s", b)
	}
}

func TestUnreachableAndRefused(t *testing.T) {
	good, protected, gone := start(t), redisdtest.Start(t, redisd.Options{Password: secret}), start(t)
	plain := start(t)
	gone.Kill()
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close() // connections wait in its backlog
	stranger := httptest.NewServer(nil)
	defer stranger.Close()
	for name, c := range map[string]struct {
		url   string
		items map[string][]string // of the failed ones: what they say
		cure  string              // the URL that is meant
	}{
		"not Redis":      {"redis://" + stranger.Listener.Addr().String(), map[string][]string{"reachable": {"does not speak the Redis protocol", "check the port"}}, plain.URL()},
		"not listening":  {"redis://" + gone.Addr, map[string][]string{"reachable": {"connection refused", "host and port"}}, plain.URL()},
		"never answers":  {"redis://" + mute.Addr().String(), map[string][]string{"reachable": {"does not answer", "stalled"}}, plain.URL()},
		"no TLS there":   {"rediss://" + plain.Addr, map[string][]string{"reachable": {"write redis:// instead of rediss://", "source.tls"}}, plain.URL()},
		"no password":    {"redis://" + protected.Addr, map[string][]string{"login": {"asks for a password", "redis://:password@"}}, protected.URL()},
		"wrong password": {"redis://:wrong-" + secret + "@" + protected.Addr, map[string][]string{"login": {"refuses the password", "redis://:password@"}}, protected.URL()},
	} {
		t.Run(name, func(t *testing.T) {
			r := precheck(t, c.url, "redis://"+good.Addr, Options{})
			if name != "never answers" { // it takes its time, and one side tells of it
				other := precheck(t, good.URL(), c.url, Options{})
				for item := range c.items {
					other.expect(t, "target_"+item, Failed)
				}
			}
			for item, says := range c.items {
				r.expect(t, "source_"+item, Failed, says...)
			}
			r.expect(t, "target_info", Success)
			r.expect(t, "target_client_kill", Success)
			if !slices.Contains(r.notMade, "dump_exchange") || !slices.Contains(r.notMade, "source_role") {
				t.Errorf("not made: %v", r.notMade)
			}
			if strings.Contains(r.text(), secret) {
				t.Errorf("the password is in\n%s", r.text())
			}
			after := precheck(t, c.cure, good.URL(), Options{})
			for item := range c.items {
				after.cured(t, r, "source_"+item)
			}
		})
	}
	r := precheck(t, "redis://"+gone.Addr, "redis://"+protected.Addr, Options{})
	r.expect(t, "source_reachable", Failed)
	r.expect(t, "target_reachable", Success)
	r.expect(t, "target_login", Failed)
}

func TestAnEndedContextIsTheOnlyError(t *testing.T) {
	s, d := start(t), start(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	source, _ := instance.New(instance.Source, s.URL(), instance.Options{})
	target, _ := instance.New(instance.Target, d.URL(), instance.Options{})
	if r, err := Run(ctx, source, target, Options{}); !errors.Is(err, enough) || r != nil {
		t.Fatalf("got %v, %v", r, err)
	}
}

// A precheck that ends half way takes its scratch key back on a new connection.
func TestTheScratchKeyIsRemovedOnABrokenConnection(t *testing.T) {
	s := start(t)
	source, err := instance.New(instance.Source, s.URL(), instance.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := source.Conn(t.Context(), connName, 0)
	if err != nil {
		t.Fatal(err)
	}
	r := &run{scratch: scratchPrefix + "x", source: &side{Instance: source, conn: c}, target: &side{}}
	do(t, c, "SET "+r.scratch+" 1")
	c.Close()
	r.close()
	if v := do(t, connect(t, s), "DBSIZE"); v.Int != 0 {
		t.Errorf("%d keys", v.Int)
	}
}

func TestTable(t *testing.T) {
	r := &Report{Result: Failed, Items: []Item{
		{Name: "source_role", Status: Success, Found: "a primary", Why: "it matters"},
		{Name: "clocks", Status: Warning, Found: "far apart", Why: strings.Repeat("because ", 15), Remedy: "wind them", Accept: "clocks"},
		{Name: "distinct", Status: Failed, Found: strings.Repeat("x", 100), Why: "it matters", Remedy: "take two"},
	}, notMade: []string{"dump_exchange", "dump_return"}}
	want := `ok       source_role  a primary
warning  clocks       far apart
                      Why: because because because because because because because because because
                      because because because because because because
                      Do: wind them
FAILED   distinct     ` + strings.Repeat("x", 100) + `
                      Why: it matters
                      Do: take two

Not checked, because of what failed: dump_exchange, dump_return

Result: FAILED (1 ok, 1 to know of, 1 failed). Mend what failed and run the precheck again.
`
	if got := r.text(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	var colored strings.Builder
	if err := r.WriteTable(&colored, true); err != nil {
		t.Fatal(err)
	}
	plain := colored.String()
	for _, code := range []string{"\x1b[31m", "\x1b[32m", "\x1b[33m", colorOff} {
		if !strings.Contains(plain, code) {
			t.Errorf("no %q", code)
		}
		plain = strings.ReplaceAll(plain, code, "")
	}
	if plain != want {
		t.Errorf("coloured, it differs by more than colours:\n%s", plain)
	}
	if err := r.WriteTable(failingWriter{}, false); err == nil {
		t.Error("a failing writer is not reported")
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, fmt.Errorf("full") }
