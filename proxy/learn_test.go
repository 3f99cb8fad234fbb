package proxy

import (
	"context"
	"strings"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/router"
)

func TestRenamedCommandsAreRefusedByName(t *testing.T) {
	h := newHouseOn(t, redisd.Options{Args: []string{"--rename-command", "SELECT", "CHOOSE", "--rename-command", "EXEC", "RUN",
		"--rename-command", "GET", "FETCH"}}, redisd.Options{}, true, nil)
	c := h.client()
	c.expect("SET k v", "+OK")
	c.expect("FETCH k", "$1 v")
	for command, own := range map[string]string{"CHOOSE 3": "SELECT", "RUN": "EXEC"} {
		if got := c.do(command); !strings.HasPrefix(got, "-ERR tandem: ") || !strings.Contains(got, " is "+own+" under another name") {
			t.Errorf("%s: %s", command, got)
		}
	}
	c.expect("SET k w", "+OK")
	h.settled()
	h.direct(h.target).expect("GET k", "$1 w")
}

// TestEssentialCommandsAreLookedFor on every version, where all are there, and where one is not.
func TestEssentialCommandsAreLookedFor(t *testing.T) {
	for _, b := range redisdtest.Binaries(t) {
		t.Run(b.Name, func(t *testing.T) {
			t.Parallel()
			for _, missing := range []bool{false, true} {
				o := redisd.Options{Binary: b.Path}
				if missing {
					o.Args = []string{"--rename-command", "UNWATCH", ""}
				}
				h := newHouseOn(t, o, redisd.Options{}, false, nil)
				h.client().expect("GET k", "$-1")
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				got, err := h.session().missingEssential(ctx)
				cancel()
				if err != nil || got != missing {
					t.Errorf("missing: %v, %v, want %v", got, err, missing)
				}
			}
		})
	}
}

// TestAConfiguredWriteThatFailsMayHaveWritten: what it did before its error nobody tells.
func TestAConfiguredWriteThatFailsMayHaveWritten(t *testing.T) {
	const write = "redis.call('SET', 'k', 'v') return redis.error_reply('LATE no')"
	for _, inTransaction := range []bool{false, true} {
		source := redisd.Options{Args: []string{"--rename-command", "EVAL", "X.CALL", "--rename-command", "COMMAND", ""}}
		h := newHouseOn(t, source, redisd.Options{}, true, func(o *Options, _ *ServerOptions) {
			o.Writes = map[string]*router.Command{"X.CALL": router.FromConfig("X.CALL", 0, 0, 0)}
		})
		c := h.client()
		if got := c.call("X.NONE", "1"); !strings.Contains(got, "is not known") {
			t.Fatal(got)
		}
		if inTransaction {
			c.expect("MULTI", "+OK")
		}
		got := c.call("X.CALL", write, "0")
		if inTransaction {
			got = c.do("EXEC")
		}
		if !strings.Contains(got, "LATE no") {
			t.Fatal(got)
		}
		if _, owed := h.sweepOwed(); !owed {
			t.Errorf("in a transaction: %v: no sweep is owed", inTransaction)
		}
	}
}
