package proxy

import (
	"strings"
	"testing"
	"time"
)

func TestInfoHasASectionAboutTandem(t *testing.T) {
	h := newHouse(t, true, func(o *Options, _ *ServerOptions) {
		o.Info = func() []string { return []string{"tandem_phase:synced"} }
	})
	c := h.client()
	if got := c.do("INFO"); !strings.Contains(got, "# Server") || !strings.HasSuffix(got, " # Tandem tandem_phase:synced") {
		t.Errorf("INFO: %q", got)
	}
	if got := c.do("INFO tandem"); !strings.HasPrefix(got, "$") || !strings.HasSuffix(got, " # Tandem tandem_phase:synced") || strings.Contains(got, "# Server") {
		t.Errorf("INFO tandem: %q", got)
	}
	if got := c.do("INFO memory"); strings.Contains(got, "Tandem") {
		t.Errorf("INFO memory: %q", got)
	}
	c.do("HELLO 3")
	if got := c.do("INFO"); !strings.HasPrefix(got, "=") || !strings.HasSuffix(got, "# Tandem tandem_phase:synced") {
		t.Errorf("INFO in RESP3: %q", got)
	}
	c.expect("PING", "+PONG") // the reply before was whole
}

// A script that runs for ever blocks the lane that it came on; what kills it must not wait there.
func TestAScriptThatRunsForEverIsKilled(t *testing.T) {
	h := newHouse(t, true, nil)
	h.direct(h.source).expect("CONFIG SET lua-time-limit 10", "+OK")
	runs, other := h.client(), h.client()
	runs.send("*3\r\n$4\r\nEVAL\r\n$17\r\nwhile true do end\r\n$1\r\n0\r\n")
	for began := time.Now(); ; {
		got := other.do("SCRIPT KILL")
		if got == "+OK" {
			break
		}
		if !strings.HasPrefix(got, "-NOTBUSY") || time.Since(began) > 10*time.Second {
			t.Fatal(got)
		}
	}
	if got := runs.reply(); !strings.Contains(got, "killed") && !strings.Contains(got, "Error") {
		t.Error(got)
	}
	other.expect("GET a", "$-1")
}
