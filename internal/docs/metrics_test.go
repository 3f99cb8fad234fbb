package docs

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tandem/internal/generated"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

// metric is one family of metrics.
type metric struct {
	name, kind, help string
	labels           []string
}

// metrics are those that migration/metrics.go describes: desc("name", "help", "label"...), each sent by count,
// gauge or timed.
func metrics(t *testing.T) (all []metric) {
	t.Helper()
	path := filepath.Join(root, "migration/metrics.go")
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	index := map[string]int{} // by variable
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			if len(n.Values) != 1 {
				break
			}
			if call, ok := n.Values[0].(*ast.CallExpr); ok && isCallOf(call, "desc") {
				texts := literals(t, call)
				index[n.Names[0].Name] = len(all)
				all = append(all, metric{name: "tandem_" + texts[0], help: texts[1], labels: texts[2:]})
			}
		case *ast.CallExpr:
			for function, kind := range map[string]string{"count": "counter", "gauge": "gauge", "timed": "histogram"} {
				if !isCallOf(n, function) || len(n.Args) < 2 {
					continue
				}
				if of, ok := n.Args[0].(*ast.Ident); ok {
					if i, ok := index[of.Name]; ok {
						all[i].kind = kind
					}
				}
			}
		}
		return true
	})
	if len(all) < 30 {
		t.Fatalf("only %d metrics found in %s", len(all), path)
	}
	for _, m := range all {
		if m.kind == "" {
			t.Errorf("%s is never sent", m.name)
		}
	}
	return all
}

func isCallOf(call *ast.CallExpr, function string) bool {
	f, ok := call.Fun.(*ast.Ident)
	return ok && f.Name == function
}

// literals are a call's arguments, all of them strings.
func literals(t *testing.T, call *ast.CallExpr) (texts []string) {
	t.Helper()
	for _, a := range call.Args {
		text := ""
		if l, ok := a.(*ast.BasicLit); ok {
			text, _ = strconv.Unquote(l.Value)
		}
		if text == "" {
			t.Fatalf("an argument of desc is not a literal string")
		}
		texts = append(texts, text)
	}
	return texts
}

const metricsIntro = `<!-- Generated from migration/metrics.go by: go generate ./internal/docs -->
# Metrics

` + "`GET /metrics`" + ` of the [admin API](admin-api.md) gives these in Prometheus' text format, and besides them
those of the Go runtime (` + "`go_...`" + `) and of the process (` + "`process_...`" + `). Counters begin at 0 with each start of the
process. A gauge whose value is not known is left out: the lag while the secondary is not connected, the
pause before the first cutover. A counter with a label for the command appears with the first one that it
counts, a histogram with the first command of its class.

| metric | type | labels | meaning |
|---|---|---|---|
`

// TestMetricsReference keeps docs/reference/metrics.md and the code together.
func TestMetricsReference(t *testing.T) {
	var b strings.Builder
	b.WriteString(metricsIntro)
	for _, m := range metrics(t) {
		labels := strings.Join(m.labels, "`, `")
		if labels != "" {
			labels = "`" + labels + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.name, m.kind, labels, m.help)
	}
	generated.File(t, filepath.Join(root, "docs/reference/metrics.md"), b.String(), "go generate ./internal/docs")
}

// TestMetricsAreThoseOfAProcess scrapes a running tandem and compares what it sends with what is described.
func TestMetricsAreThoseOfAProcess(t *testing.T) {
	described := map[string]metric{}
	for _, m := range metrics(t) {
		described[m.name] = m
	}
	families := scrape(t)
	found := 0
	for name, f := range families {
		if !strings.HasPrefix(name, "tandem_") {
			continue
		}
		found++
		if d := described[name]; d.kind != f.kind || d.help != f.help || strings.Join(d.labels, ",") != strings.Join(f.labels, ",") {
			t.Errorf("a process sends %+v, described is %+v", f, d)
		}
	}
	if found < 25 {
		t.Errorf("only %d metrics came", found)
	}
	if families["go_goroutines"].kind == "" || families["process_resident_memory_bytes"].kind == "" {
		t.Error("the runtime's or the process' own metrics are missing")
	}
}

var sample = regexp.MustCompile(`^(\w+)(?:\{(.*)\})? `)

// of ends the name of a histogram's samples, bound is the label of its buckets.
var of, bound = regexp.MustCompile(`_(bucket|sum|count)$`), regexp.MustCompile(`,?le="[^"]*"`)

// scrape runs tandem between two servers and reads its metrics.
func scrape(t *testing.T) map[string]metric {
	t.Helper()
	text := scrapeText(t)
	families := map[string]metric{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		line := lines.Text()
		if rest, ok := strings.CutPrefix(line, "# HELP "); ok {
			name, help, _ := strings.Cut(rest, " ")
			families[name] = metric{name: name, help: help}
		} else if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(rest, " ")
			f := families[name]
			f.kind = kind
			families[name] = f
		} else if m := sample.FindStringSubmatch(line); m != nil {
			if base := of.ReplaceAllString(m[1], ""); families[base].kind == "histogram" {
				m[1] = base
				m[2] = bound.ReplaceAllString(m[2], "")
			}
			f := families[m[1]]
			if m[2] != "" && f.labels == nil {
				for _, pair := range strings.Split(m[2], ",") {
					label, _, _ := strings.Cut(pair, "=")
					f.labels = append(f.labels, label)
				}
			}
			families[m[1]] = f
		}
	}
	return families
}

func scrapeText(t *testing.T) []byte {
	t.Helper()
	source, target := redisdtest.Start(t, redisd.Options{}), redisdtest.Start(t, redisd.Options{})
	admin := freeAddress(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "serve", "--source", "redis://"+source.Addr, "--target", "redis://"+target.Addr,
		"--listen", "127.0.0.1:0", "--admin", admin, "--state-dir", t.TempDir())
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("serve: %v\n%s", err, log.String())
		}
	}()
	for {
		if text, err := get("http://" + admin + "/metrics"); err == nil {
			return text
		} else if ctx.Err() != nil {
			t.Fatalf("%v\n%s", err, log.String())
		}
		time.Sleep(10 * time.Millisecond) // until it listens
	}
}

func get(url string) ([]byte, error) {
	r, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, r.Status)
	}
	return io.ReadAll(r.Body)
}

// freeAddress is one that nobody listens on now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
