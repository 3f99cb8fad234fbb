package deploy

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"tandem/internal/printed"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/test/program"
)

// rules are the alert rules, as far as tests look at them.
type rules struct {
	Groups []struct {
		Rules []struct {
			Alert, Expr         string
			Labels, Annotations map[string]string
		}
	}
}

func readRules(t *testing.T) rules {
	t.Helper()
	var r rules
	if err := yaml.Unmarshal([]byte(read(t, "deploy/prometheus/alerts.yaml")), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Groups) != 1 || len(r.Groups[0].Rules) < 10 {
		t.Fatalf("only %d groups of rules", len(r.Groups))
	}
	return r
}

// TestAlertsFireWhenDue has promtool play each alert, when it is due and when it is not, and looks up where it says to read on.
func TestAlertsFireWhenDue(t *testing.T) {
	must(t, "promtool", "check", "rules", at(t, "deploy/prometheus/alerts.yaml"))
	must(t, "promtool", "test", "rules", at(t, "deploy/prometheus/alerts.test.yaml"))
	played := read(t, "deploy/prometheus/alerts.test.yaml")
	guide := read(t, "docs/guide-trouble.md")
	for _, r := range readRules(t).Groups[0].Rules {
		for _, name := range []string{r.Alert + " is due\n", r.Alert + " is not due\n"} {
			if !strings.Contains(played, "- name: "+name) {
				t.Errorf("nobody plays that %s", name)
			}
		}
		if r.Labels["severity"] == "" || r.Annotations["summary"] == "" {
			t.Errorf("%s has no severity or no summary", r.Alert)
		}
		page, anchor, _ := strings.Cut(r.Annotations["runbook"], "#")
		if page != "docs/guide-trouble.md" || !strings.Contains(guide, "| `"+r.Alert+"` | "+r.Labels["severity"]+" | ") || !strings.Contains(guide, "](#"+anchor+") |\n") {
			t.Errorf("%s leads to %s, and the guide has no line of it that does", r.Alert, r.Annotations["runbook"])
		}
	}
}

var metricName = regexp.MustCompile(`\btandem_[a-z_]+`)

// dashboard are the queries of the dashboard, by the title of their panel.
func dashboard(t *testing.T) map[string][]string {
	t.Helper()
	var d struct {
		Panels []struct {
			Title, Type string
			Targets     []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "deploy/grafana/tandem.json")), &d); err != nil {
		t.Fatal(err)
	}
	queries := map[string][]string{}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			queries[p.Title] = append(queries[p.Title], target.Expr)
		}
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("the panel %s shows nothing", p.Title)
		}
	}
	if len(queries) < 20 {
		t.Fatalf("only %d panels", len(queries))
	}
	return queries
}

// TestPrometheusReadsARun has Prometheus scrape a Tandem that copies, serves, cuts over and meets trouble: promtool finds
// nothing wrong with its metrics, every rule can be evaluated, and every query of the dashboard has data, whether it takes
// histograms in buckets, as it does by itself, or native ones.
func TestPrometheusReadsARun(t *testing.T) {
	known := map[string]bool{}
	for _, name := range metricName.FindAllString(read(t, "docs/reference/metrics.md"), -1) {
		known[name] = true
	}
	queries := dashboard(t)
	texts := []string{read(t, "deploy/prometheus/alerts.yaml")}
	for _, q := range queries {
		texts = append(texts, q...)
	}
	for _, text := range texts {
		for _, name := range metricName.FindAllString(text, -1) {
			if !known[name] && !known[regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")] {
				t.Errorf("there is no %s", name)
			}
		}
	}

	source, target := redisdtest.Start(t, redisd.Options{}), redisdtest.Start(t, redisd.Options{})
	must(t, "sh", "-c", "seq 2000 | sed 's/.*/SET key:& value/' | redis-cli -p "+port(t, source.Addr)+" --pipe")
	td := program.Serve(t, source, target, "auth: {mode: none}", "start: manual", "tracking: auto", "backfill: {max_keys_per_s: 150}") // so long that both have looked at it
	prometheus, native := runPrometheus(t, td.Admin), runPrometheus(t, td.Admin, "--enable-feature=native-histograms")
	stop := traffic(t, td.Addr)
	defer stop()

	cli := func(args ...string) {
		t.Helper()
		c := exec.Command("redis-cli", args...)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("redis-cli %v: %v\n%s", args, err, out)
		}
	}
	lead := func(args ...string) {
		t.Helper()
		binary, err := program.Binary()
		if err != nil {
			t.Fatal(err)
		}
		c := exec.Command(binary, append(args, "--admin", td.Admin)...)
		c.Env = program.Environment()
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	// look leaves the queries that have had no data yet: some have it only while keys are copied.
	look := func() bool {
		for title, of := range queries {
			queries[title] = slices.DeleteFunc(of, func(q string) bool { return len(prometheus(q)) > 0 && len(native(q)) > 0 })
			if len(queries[title]) == 0 {
				delete(queries, title)
			}
		}
		return len(queries) == 0
	}
	lead("start")
	until(t, "synced", 30*time.Second, func() bool {
		look()
		return len(prometheus(`tandem_phase{phase="synced"} == 1`)) > 0
	})
	// What no run has by itself: an effect that is answered otherwise, and a pause.
	cli("-p", port(t, td.Addr), "set", "odd", "1")
	cli("-p", port(t, target.Addr), "set", "odd", "100")
	cli("-p", port(t, td.Addr), "incr", "odd")
	lead("cutover", "--force", "foreign_writers")

	until(t, "each panel has data", 25*time.Second, look, func() string { return fmt.Sprintf("without: %v", queries) })
	if len(prometheus("tandem_command_duration_seconds_bucket")) == 0 || len(native("tandem_command_duration_seconds")) == 0 {
		t.Error("the histograms are not there in both forms")
	}

	metrics := filepath.Join(t.TempDir(), "metrics")
	r, err := http.NewRequest("GET", td.Admin+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(metrics, fetch(t, r), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := must(t, "sh", "-c", "promtool check metrics <"+metrics+" 2>&1"); strings.TrimSpace(out) != "" {
		t.Errorf("promtool says of the metrics:\n%s", out)
	}
}

func port(t *testing.T, addr string) string {
	t.Helper()
	_, p, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func fetch(t *testing.T, r *http.Request) []byte {
	t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v\n%s", r.URL, resp.Status, err, b)
	}
	return b
}

// traffic sends commands of each class until it is stopped.
func traffic(t *testing.T, addr string) (stop func()) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		_, _ = io.Copy(io.Discard, conn)
	}()
	ended := make(chan struct{})
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				return
			case <-tick.C:
			}
			if _, err := conn.Write([]byte("SET a 1\r\nGET a\r\nINCR n\r\nLPUSH a 1\r\nEVAL \"return redis.call('INCR', KEYS[1])\" 1 s\r\nMULTI\r\nINCR m\r\nEXEC\r\n")); err != nil {
				return
			}
		}
	}()
	return func() {
		close(ended)
		<-sent
		conn.Close()
		<-drained
	}
}

// runPrometheus starts Prometheus on a Tandem, with the configuration and the rules that are shipped, and returns a way
// to ask it; an answer is its samples.
func runPrometheus(t *testing.T, admin string, more ...string) func(query string) []any {
	t.Helper()
	dir := t.TempDir()
	listen := program.FreeAddr(t)
	elsewhere := strings.NewReplacer("tandem:6390", strings.TrimPrefix(admin, "http://"), "_interval: 5s", "_interval: 500ms", "/tmp/token", filepath.Join(dir, "token"))
	for name, text := range map[string]string{
		"token": "a-token-of-some-length", "prometheus.yaml": elsewhere.Replace(read(t, "deploy/prometheus/prometheus.yaml")),
		"alerts.yaml": read(t, "deploy/prometheus/alerts.yaml"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	must(t, "promtool", "check", "config", filepath.Join(dir, "prometheus.yaml"))
	var output printed.Text
	cmd := exec.Command("prometheus", append(more, "--config.file="+filepath.Join(dir, "prometheus.yaml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+listen)...)
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("prometheus:\n%s", output.String())
		}
	})
	client := &http.Client{Timeout: 10 * time.Second}
	until(t, "prometheus evaluates the rules", 30*time.Second, func() bool {
		resp, err := client.Get("http://" + listen + "/api/v1/rules")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if strings.Contains(string(b), `"health":"err"`) {
			t.Fatalf("a rule cannot be evaluated:\n%s", b)
		}
		return err == nil && strings.Contains(string(b), `"health":"ok"`) && !strings.Contains(string(b), `"health":"unknown"`)
	})
	variables := strings.NewReplacer("$tandem", ".*", "$__rate_interval", "10s")
	return func(query string) []any {
		t.Helper()
		r, err := http.NewRequest("GET", "http://"+listen+"/api/v1/query?query="+url.QueryEscape(variables.Replace(query)), nil)
		if err != nil {
			t.Fatal(err)
		}
		var answer struct{ Data struct{ Result []any } }
		if err := json.Unmarshal(fetch(t, r), &answer); err != nil {
			t.Fatal(err)
		}
		return answer.Data.Result
	}
}
