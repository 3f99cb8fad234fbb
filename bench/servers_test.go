package main

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

func TestBareLoopCopiesEveryKey(t *testing.T) {
	ctx := context.Background()
	source, target := redisdtest.Start(t, redisd.Options{}), redisdtest.Start(t, redisd.Options{})
	const keys = 5000
	if err := fill(ctx, source.Addr, keys, 64, 1); err != nil {
		t.Fatal(err)
	}
	from, err := dial(source.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := dial(target.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	const expiring = "key:000000000042"
	at := "33333333333333" // ms: the year 3026
	if err := from.Do(ctx, from.B().Arbitrary("PEXPIREAT").Keys(expiring).Args(at).Build()).Error(); err != nil {
		t.Fatal(err)
	}

	n, err := copyBare(ctx, source.Addr, target.Addr, 2)
	if err != nil || n != keys {
		t.Fatalf("copied %d of %d keys: %v", n, keys, err)
	}
	if n, err := countKeys(ctx, target.Addr); err != nil || n != keys {
		t.Fatalf("the target has %d of %d keys: %v", n, keys, err)
	}
	if got, err := to.Do(ctx, to.B().Pexpiretime().Key(expiring).Build()).AsInt64(); err != nil || strconv.FormatInt(got, 10) != at {
		t.Errorf("expiry %d, %v; want %s", got, err, at)
	}
	for _, key := range []string{"key:000000000000", expiring, "key:000000004999"} {
		want, err := from.Do(ctx, from.B().Get().Key(key).Build()).ToString()
		if err != nil || len(want) != 64 {
			t.Fatalf("%s on the source: %d bytes, %v", key, len(want), err)
		}
		if got, err := to.Do(ctx, to.B().Get().Key(key).Build()).ToString(); err != nil || got != want {
			t.Errorf("%s: %q on the target, %q on the source (%v)", key, got, want, err)
		}
	}
	// A key that is there already is refused by RESTORE, and that fails the loop.
	if _, err := copyBare(ctx, source.Addr, target.Addr, 2); err == nil || !strings.Contains(err.Error(), "BUSYKEY") {
		t.Errorf("copying onto the same keys again: %v", err)
	}
	if err := flush(ctx, target.Addr); err != nil {
		t.Fatal(err)
	}
	if n, err := countKeys(ctx, target.Addr); err != nil || n != 0 {
		t.Errorf("%d keys after a flush, %v", n, err)
	}
}

func TestLoadIsMeasured(t *testing.T) {
	ctx := context.Background()
	only := "direct,twemproxy"
	if _, err := nutcrackerPath(); err != nil {
		// Only `make bench` needs it, and that installs it.
		if !strings.Contains(err.Error(), "apt-get install nutcracker") {
			t.Errorf("a missing twemproxy is reported without a remedy: %v", err)
		}
		only = "direct"
	}
	o, err := parseOptions([]string{"--only", only, "--rounds", "1", "--requests", "2000", "--commands", "SET,LPUSH,MSET", "--pipelines", "1,16"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	f, err := newFleet("", "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.stop()
	arrangements, err := f.arrange(ctx, o, usualValue)
	if err != nil {
		t.Fatal(err)
	}
	usual := slices.DeleteFunc(o.workloads(), func(w workload) bool { return w.Value != usualValue })
	var r results
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	if err := runLoad(ctx, log, arrangements, usual, o, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Discarded) > 0 {
		t.Errorf("discarded: %+v", r.Discarded)
	}
	if want := len(arrangements) * len(usual); len(r.Samples) != want || len(arrangements) != len(o.Only) {
		t.Errorf("%d samples of %d arrangements, want %d", len(r.Samples), len(arrangements), want)
	}
	for _, s := range r.Samples {
		if s.RPS <= 0 || s.ClientRPS < s.RPS || s.P99Ms <= 0 || s.CPU["client"] <= 0 {
			t.Errorf("not measured: %+v", s)
		}
	}
}

// A server that refuses what is measured must not end up in an average.
func TestRunWithErrorRepliesIsDiscarded(t *testing.T) {
	ctx := context.Background()
	full := redisdtest.Start(t, redisd.Options{Args: []string{"--maxmemory", "1", "--maxmemory-policy", "noeviction"}})
	a := &arrangement{name: "direct", addr: full.Addr, behind: full, pids: map[string]int{"source": full.PID()}}
	var r results
	w := workload{Command: "SET", Pipeline: 1, Clients: 2, Requests: 100, Keyspace: 10, Value: 64}
	if err := runLoad(ctx, slog.New(slog.DiscardHandler), []*arrangement{a}, []workload{w}, options{Rounds: 1}, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Samples) != 0 || len(r.Discarded) != 2 || !strings.Contains(r.Discarded[0].Reason, "OOM") {
		t.Errorf("samples %+v, discarded %+v", r.Samples, r.Discarded)
	}
}
