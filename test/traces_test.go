package test

import (
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	collected "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"tandem/internal/tlsconn/tlstest"
)

// collector is a receiver of OTLP over HTTP. What it gets it reads by OpenTelemetry's own types.
type collector struct {
	*httptest.Server
	t *testing.T

	mu    sync.Mutex
	raw   strings.Builder
	spans map[string][]*collected.Span // by trace
	names map[string]string            // of the traces' roots, and by that the trace
}

// newCollector starts one that speaks TLS and wants a header; ca is the file of its authority.
func newCollector(t *testing.T) (c *collector, ca string) {
	t.Helper()
	c = &collector{t: t, spans: map[string][]*collected.Span{}, names: map[string]string{}}
	authority := tlstest.NewCA(t, "the collector's")
	pair := authority.Issue(t, tlstest.Leaf{})
	certificate, err := tls.LoadX509KeyPair(pair.Cert, pair.Key)
	must(t, err)
	c.Server = httptest.NewUnstartedServer(c)
	c.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	c.StartTLS()
	t.Cleanup(c.Close)
	return c, authority.File
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v1/traces" || r.Header.Get("Authorization") != "Bearer of-the-collector" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		c.t.Errorf("%s %v", r.URL, r.Header)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Error(err)
	}
	// It has the same form as collector/trace/v1's ExportTraceServiceRequest.
	var request collected.TracesData
	if err := (proto.UnmarshalOptions{}).Unmarshal(body, &request); err != nil {
		c.t.Errorf("%x: %v", body, err)
		return
	}
	if unknown := request.ProtoReflect().GetUnknown(); len(unknown) > 0 {
		c.t.Errorf("fields that there are none of: %x", unknown)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw.Write(body)
	for _, resource := range request.ResourceSpans {
		if service := attributesOf(&collected.Span{Attributes: resource.Resource.Attributes}); service["service.name"] != "checkout-redis" ||
			service["service.version"] == "" || service["service.instance.id"] == "" {
			c.t.Errorf("the resource is %v", service)
		}
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				if len(span.TraceId) != 16 || len(span.SpanId) != 8 {
					c.t.Errorf("identifiers %x, %x", span.TraceId, span.SpanId)
				}
				id := hex.EncodeToString(span.TraceId)
				c.spans[id] = append(c.spans[id], span)
				if len(span.ParentSpanId) == 0 {
					c.names[span.Name+" "+attributesOf(span)["tandem.keys"]] = id
				}
			}
		}
	}
}

// attributesOf are a span's, as texts.
func attributesOf(s *collected.Span) map[string]string {
	list := map[string]string{}
	for _, a := range s.Attributes {
		switch {
		case a.Value.GetArrayValue() != nil:
			for _, v := range a.Value.GetArrayValue().Values {
				list[a.Key] += v.GetStringValue()
			}
		case a.Value.GetStringValue() != "":
			list[a.Key] = a.Value.GetStringValue()
		default:
			list[a.Key] = fmt.Sprint(a.Value.GetIntValue())
		}
	}
	return list
}

// of returns the spans of the last command of such a name on a key: itself, and its children by name; nil before it has come.
func (c *collector) of(name, key string) (root *collected.Span, children map[string]*collected.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	children = map[string]*collected.Span{}
	for _, s := range c.spans[c.names[name+" "+key]] {
		if len(s.ParentSpanId) == 0 {
			root = s
		} else {
			children[s.Name] = s
		}
	}
	for _, s := range children {
		if string(s.ParentSpanId) != string(root.SpanId) {
			c.t.Errorf("%s has another parent than its command", s.Name)
		}
		if s.StartTimeUnixNano < root.StartTimeUnixNano || s.EndTimeUnixNano < s.StartTimeUnixNano {
			c.t.Errorf("%s of %s begins before it, or ends before it begins", s.Name, name)
		}
	}
	return root, children
}

// Commands of a real run, in two phases, on both sides of a cutover: what became of each is told, and no value.
func TestTracesOfARun(t *testing.T) {
	t.Parallel()
	c, ca := newCollector(t)
	headers := filepath.Join(t.TempDir(), "headers")
	must(t, os.WriteFile(headers, []byte("# of ours\nAuthorization: Bearer of-the-collector\n"), 0o600))
	w := synced(t, fmt.Sprintf("tracing: {endpoint: %q, share: 100%%, keys: true, every: 20ms, service: checkout-redis, headers_file: %q, tls: {ca_file: %q}}",
		c.URL+"/v1/traces", headers, ca))

	do(t, w.td.Addr, "SET", "told:1", "a-value-of-nobody-else")
	do(t, w.td.Addr, "GET", "told:1")
	if reply, err := dial(t, w.td.Addr).Do("LPUSH", "told:1", "another-value-of-nobody-else"); reply.Kind != '-' {
		t.Fatalf("LPUSH: %+v, %v", reply, err)
	}
	w.td.SwitchOver("cutover")
	do(t, w.td.Addr, "SET", "told:2", "a-value-of-nobody-else")

	for _, want := range []struct{ name, key, phase, primary, secondary, failed, class string }{
		{"SET", "told:1", "synced", "source", "target", "", "write"},
		{"GET", "told:1", "synced", "source", "", "", "read"},
		{"LPUSH", "told:1", "synced", "source", "", "WRONGTYPE", "write"},
		{"SET", "told:2", "reversed", "target", "source", "", "write"},
	} {
		w.td.Until(want.name+" of "+want.key+" is told", 10*time.Second, func() bool { root, _ := c.of(want.name, want.key); return root != nil })
		root, children := c.of(want.name, want.key)
		a := attributesOf(root)
		if root.Kind != collected.Span_SPAN_KIND_SERVER || a["db.system.name"] != "redis" || a["db.operation.name"] != want.name || a["db.namespace"] != "0" ||
			a["tandem.phase"] != want.phase || a["tandem.class"] != want.class || a["tandem.session"] == "0" || a["error.type"] != want.failed {
			t.Errorf("%+v: %v, %v", want, root.Kind, a)
		}
		if failed := root.Status.GetCode() == collected.Status_STATUS_CODE_ERROR; failed != (want.failed != "") {
			t.Errorf("%+v: %v", want, root.Status)
		}
		if p := children["primary"]; p == nil || p.Kind != collected.Span_SPAN_KIND_CLIENT || attributesOf(p)["tandem.instance"] != want.primary || p.EndTimeUnixNano > root.EndTimeUnixNano {
			t.Errorf("%+v: the primary's part is %v", want, p)
		}
		switch e := children["effect"]; {
		case want.secondary == "" && e != nil:
			t.Errorf("%+v: it has an effect, %v", want, e)
		case want.secondary != "" && (e == nil || attributesOf(e)["tandem.instance"] != want.secondary || attributesOf(e)["tandem.effect"] != "acknowledged"):
			t.Errorf("%+v: the effect is %v", want, e)
		}
	}
	c.mu.Lock()
	if raw := c.raw.String(); strings.Contains(raw, "nobody-else") {
		t.Error("a value was told")
	}
	c.mu.Unlock()
	if n := metricOf(t, w.td, `tandem_trace_commands_total{result="sent"}`); n < 4 {
		t.Errorf("%v commands count as sent", n)
	}
	// A collector that is gone costs nobody anything.
	c.CloseClientConnections()
	c.Close()
	for i := range 20 {
		do(t, w.td.Addr, "SET", fmt.Sprint("untold:", i), "v")
	}
	if code := w.td.Signal(15); code != 0 {
		t.Errorf("it ended with %d", code)
	}
}
