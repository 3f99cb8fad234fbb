package proxy

import (
	"strings"
	"testing"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/resp"
)

// TestAScriptThatRunsTooLongIsToldToOthers, in the server's words, and what was answered so is never executed.
func TestAScriptThatRunsTooLongIsToldToOthers(t *testing.T) {
	for _, b := range redisdtest.Binaries(t) {
		t.Run(b.Name, func(t *testing.T) {
			t.Parallel()
			h := newHouseOn(t, redisd.Options{Binary: b.Path, Args: []string{"--lua-time-limit", "50"}}, redisd.Options{}, true,
				func(o *Options, _ *ServerOptions) { o.Lanes = 2 })
			var all []*wire
			for range 4 { // spread over two lanes
				c := h.client()
				c.expect("GET k", "$-1")
				all = append(all, c)
			}
			runner, behind, waits := all[0], all[2], all[1]
			// It might write the key, and has not when it is killed.
			script := "if ARGV[1] then redis.call('SET', KEYS[1], 'x') end while true do end"
			runner.send(string(resp.AppendCommand(nil, "EVAL", script, "1", "k")))
			h.await("the script is on its lane", func() bool { return h.shard.ledger.Unreplied() == 1 })
			behind.start("INCR sent")
			waits.start("SET k waited")
			h.await("the server says that it is busy", func() bool { return h.shard.busy.holds() })
			d := dial(t, h.source.Addr)
			busy := d.do("GET k")
			if !strings.HasPrefix(busy, "-BUSY") {
				t.Fatal(busy)
			}
			waits.wants(busy)
			for i := range 4 {
				c := h.client()
				for _, command := range []string{"GET k", "SET k w", "INCR other", "DBSIZE", "BLPOP none 0", "XREAD BLOCK 0 STREAMS none $"} {
					if got := c.do(command); got != busy {
						t.Fatalf("client %d, %s: %s", i, command, got)
					}
				}
				block := "*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$5\r\nother\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4\r\nEXEC\r\n"
				c.send(block)
				d.send(block)
				for range 4 {
					if got, want := c.reply(), d.reply(); got != want {
						t.Fatalf("%s, want %s", got, want)
					}
				}
			}
			piecemeal := h.client()
			for _, command := range []string{"MULTI", "INCR other", "EXEC", "MULTI", "GET k", "DISCARD", "GET k", "MULTI", "INCR other"} {
				piecemeal.expect(command, d.do(command))
			}
			waits.expect("SCRIPT KILL", "+OK")
			if got := runner.reply(); !strings.Contains(got, "killed") {
				t.Error(got)
			}
			behind.wants(":1")
			// What was refused when it should have been queued does not run, either way.
			piecemeal.expect("EXEC", d.do("EXEC"))
			waits.expect("GET k", "$-1")
			waits.expect("INCR other", ":1")
			h.settled()
			h.equalValues("sent", "other", "k")
		})
	}
}

// equalValues compares strings of both servers, which may be of two versions.
func (h *house) equalValues(keys ...string) {
	h.t.Helper()
	a, b := h.direct(h.source), h.direct(h.target)
	for _, k := range keys {
		if x, y := a.do("GET "+k), b.do("GET "+k); x != y {
			h.t.Errorf("%s is %s on the source, %s on the target", k, x, y)
		}
	}
}
