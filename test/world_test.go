package test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/test/keyspace"
	"tandem/test/load"
	"tandem/test/program"
	"tandem/test/wire"
)

// worldOptions say what a test needs around the program.
type worldOptions struct {
	source, target string   // server programs; empty: the installed redis-server
	keys           int      // of the keyspace on the source
	largeBytes     int      // of the large values; 0: none
	clients        int      // of the load; 0: no load will be started
	save           bool     // servers keep acknowledged writes over a kill
	settings       []string // lines of the configuration file
}

// world is two servers, a keyspace on the source, the program between them, and what drives and watches it.
type world struct {
	t              *testing.T
	source, target *redisd.Server
	td             *program.Tandem
	layout         keyspace.Layout
	clients        int
	load           *load.Load
	watcher        *load.Watcher
}

// newWorld starts the servers, fills the source and starts the program, in passthrough: tests say when the
// backfill begins. A watcher looks at the target from the beginning.
func newWorld(t *testing.T, o worldOptions) *world {
	t.Helper()
	w := &world{t: t, clients: o.clients, layout: keyspace.Layout{Keys: o.keys, Seed: seed, LargeBytes: o.largeBytes}}
	w.source = redisdtest.Start(t, redisd.Options{Binary: o.source, Save: o.save})
	w.target = redisdtest.Start(t, redisd.Options{Binary: o.target, Save: o.save})
	if o.keys > 0 {
		began := time.Now()
		if err := w.layout.Fill(w.source.Addr); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s to %s: %d keys made in %v", w.source.Name, w.target.Name, w.layout.Keys, time.Since(began).Round(time.Millisecond))
	}
	if o.clients > 0 {
		if err := load.Prepare(w.source.Addr, o.clients); err != nil {
			t.Fatal(err)
		}
	}
	w.td = program.Serve(t, w.source, w.target, append([]string{"start: manual"}, o.settings...)...)
	if o.clients > 0 {
		w.watcher = load.Watch(w.target.Addr, o.clients)
		t.Cleanup(func() { w.watcher.Stop() })
	}
	return w
}

// older is the server of the two that lacks more commands.
func (w *world) older() wire.Server {
	w.t.Helper()
	var of [2]wire.Server
	for i, s := range []*redisd.Server{w.source, w.target} {
		conn, err := wire.Dial(s.Addr)
		if err != nil {
			w.t.Fatal(err)
		}
		of[i], err = conn.Server()
		conn.Close()
		if err != nil {
			w.t.Fatal(err)
		}
	}
	if !of[1].HasGetDel() || !of[1].HasFieldTTL() && of[0].HasFieldTTL() {
		return of[1]
	}
	return of[0]
}

// startLoad puts the clients to work, through the proxy.
func (w *world) startLoad(change func(*load.Config)) {
	w.t.Helper()
	cfg := load.Config{Addr: w.td.Addr, Layout: w.layout, Clients: w.clients, Seed: seed, Server: w.older()}
	if change != nil {
		change(&cfg)
	}
	l, err := load.Start(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.load = l
	w.t.Cleanup(func() { l.Stop() })
	w.commands(1000)
}

// commands waits until the load has done n more commands.
func (w *world) commands(n int64) {
	w.t.Helper()
	before := w.load.Commands()
	w.td.Until(fmt.Sprintf("%d more commands of the load", n), 60*time.Second, func() bool {
		w.mustBeFine()
		return w.load.Commands() >= before+n
	})
}

// mustBeFine ends the test at the first problem of a client: what follows would only hide it.
func (w *world) mustBeFine() {
	w.t.Helper()
	if r := w.load.Report(); r.Count > 0 {
		w.t.Fatalf("clients: %s", r)
	}
}

// during lets the load run for a time, in which it must make progress all the time.
func (w *world) during(d time.Duration) {
	w.t.Helper()
	before, since := w.load.Commands(), time.Now()
	w.td.Until(fmt.Sprintf("%v of load", d), d+30*time.Second, func() bool {
		w.mustBeFine()
		return time.Since(since) >= d && w.load.Commands() > before
	})
}

// stopLoad ends the load and checks what the clients and the watcher have seen.
func (w *world) stopLoad() {
	w.t.Helper()
	report := w.load.Stop()
	w.t.Logf("load: %s", report)
	if report.Count > 0 {
		w.t.Errorf("clients saw problems: %s", report)
	}
}

// mustBeTruthful ends the watching: the target never showed what the source never had.
func (w *world) mustBeTruthful() {
	w.t.Helper()
	looks, violations := w.watcher.Stop()
	w.t.Logf("watcher: %d looks at the target", looks)
	if len(violations) > 0 {
		w.t.Errorf("the target showed what the source never had, %d times:\n  %s", len(violations),
			strings.Join(violations[:min(len(violations), 20)], "\n  "))
	}
	if looks == 0 {
		w.t.Error("the watcher never saw the target")
	}
}

// mustBeEqual waits until the proxy says that both sides are equal, and compares them.
func (w *world) mustBeEqual() {
	w.t.Helper()
	w.td.WaitSettled()
	result, err := keyspace.Compare(w.source.Addr, w.target.Addr, keyspace.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Logf("comparison: %d and %d keys in %v, %d by type, %d differences", result.First, result.Second,
		result.Took.Round(time.Millisecond), result.Typed, len(result.Differences))
	if len(result.Differences) > 0 {
		w.t.Errorf("source (first) and target (second) differ: %s", result)
	}
	if result.First == 0 {
		w.t.Error("there was nothing to compare")
	}
}

// do runs one command on a server or the proxy, in database 0.
func do(t *testing.T, addr string, args ...string) wire.Reply {
	t.Helper()
	reply, err := wire.Once(addr, args...)
	if err != nil {
		t.Fatalf("%q on %s: %v", args, addr, err)
	}
	return reply
}

// memoryBound is the promise for any size of keyspace and values up to 100 MB.
const memoryBound = 300 << 20

// checkMemory prints the most memory of all runs of the proxy so far; in full size it is a bound.
func (w *world) checkMemory() {
	w.t.Helper()
	peak := w.td.Peak()
	w.t.Logf("memory of the proxy: at most %d MB", peak>>20)
	if program.Full && peak > memoryBound {
		w.t.Errorf("memory of the proxy: %d MB, bound %d MB", peak>>20, memoryBound>>20)
	}
}
