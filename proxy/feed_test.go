package proxy

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/instance"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/resp"
)

// tracked is a house that listens to changes.
func tracked(t *testing.T, source redisd.Options, c Changes, change func(*Options, *ServerOptions)) *house {
	t.Helper()
	h := newHouseOn(t, source, redisd.Options{}, true, change)
	h.client().expect("GET nothing", "$-1")
	h.track(c, true)
	h.await("feeds for all lanes", func() bool { return h.allSet() })
	return h
}

func (h *house) track(c Changes, on bool) {
	h.shard.lock()
	h.shard.Track(c, on)
	h.shard.unlock()
}

// allSet reports whether every shared lane has a feed that the ledger relies on.
func (h *house) allSet() bool {
	n, set := 0, 0
	h.shard.eachShared(func(ln *lane) {
		n++
		if f := h.shard.feeds.all[ln]; f != nil && f.state == feedSet {
			set++
		}
	})
	return n >= max(1, h.shard.opt.Lanes) && n == set
}

// dirty returns whether a key is, once all has been read that the primary has reported.
func (h *house) dirty(db int, key string) bool {
	h.t.Helper()
	h.read()
	h.shard.lock()
	defer h.shard.unlock()
	return h.shard.ledger.IsDirty(h.shard.ledger.Hash(db, []byte(key)))
}

func (h *house) read() {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := h.shard.ReadReports(ctx); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) wantDirty(db int, key string, want bool) {
	h.t.Helper()
	if got := h.dirty(db, key); got != want {
		h.t.Errorf("db %d, %s: dirty is %v, want %v", db, key, got, want)
	}
}

func (h *house) tracking() Tracking {
	h.shard.lock()
	defer h.shard.unlock()
	return h.shard.Tracking()
}

func (h *house) sweepOwed() (string, bool) {
	h.shard.lock()
	defer h.shard.unlock()
	_, why, owed := h.shard.ledger.SweepOwed()
	return why, owed
}

// TestFeedsTellOthersFromUs: what nobody of us did is dirty, and nothing else.
func TestFeedsTellOthersFromUs(t *testing.T) {
	for _, x := range redisdtest.Binaries(t) {
		t.Run(x.Name, func(t *testing.T) {
			t.Parallel()
			h := tracked(t, redisd.Options{Binary: x.Path}, OfScripts, func(o *Options, _ *ServerOptions) {
				o.Lanes = 2
			})
			a, b, other := h.client(), h.client(), dial(t, h.source.Addr)
			for i := range 20 {
				a.expect(fmt.Sprintf("SET a%d 1", i), "+OK")
				b.expect(fmt.Sprintf("SET b%d 1", i), "+OK")
			}
			a.send("*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$2\r\ntx\r\n$1\r\n1\r\n*1\r\n$4\r\nEXEC\r\n")
			for _, want := range []string{"+OK", "+QUEUED", "*1 +OK"} {
				if got := a.reply(); got != want {
					t.Fatalf("a transaction is answered %q, want %q", got, want)
				}
			}
			h.wantDirty(0, "tx", false)
			for i := range 20 {
				h.wantDirty(0, fmt.Sprintf("a%d", i), false)
				h.wantDirty(0, fmt.Sprintf("b%d", i), false)
			}
			if n := h.tracking().Foreign; n != 0 {
				t.Errorf("%d foreign writes were counted, there were none", n)
			}
			other.expect("SET a1 theirs", "+OK")
			other.expect("SET b1 theirs", "+OK")
			other.expect("SET new theirs", "+OK")
			for _, k := range []string{"a1", "b1", "new"} {
				h.wantDirty(0, k, true)
			}
			if n := h.tracking().Foreign; n != 3 {
				t.Errorf("%d foreign writes were counted, there were 3", n)
			}
			h.wantDirty(0, "a2", false)
			if why, owed := h.sweepOwed(); owed {
				t.Errorf("a sweep is owed: %s", why)
			}
		})
	}
}

// TestFeedsOweASweep when something was or may have been missed, and not otherwise.
func TestFeedsOweASweep(t *testing.T) {
	t.Run("writers may have been there before", func(t *testing.T) {
		h := tracked(t, redisd.Options{}, OfWriters, nil)
		if _, owed := h.sweepOwed(); !owed {
			t.Error("no sweep is owed")
		}
	})
	t.Run("writers are looked for later than scripts", func(t *testing.T) {
		h := tracked(t, redisd.Options{}, OfScripts, nil)
		if why, owed := h.sweepOwed(); owed {
			t.Errorf("a sweep is owed: %s", why)
		}
		h.track(OfWriters, true)
		if _, owed := h.sweepOwed(); !owed {
			t.Error("no sweep is owed")
		}
	})
	t.Run("the feed is lost", func(t *testing.T) {
		h := tracked(t, redisd.Options{}, OfScripts, nil)
		before := h.covered()
		h.kill("feed")
		h.await("a sweep owed", func() bool { _, _, owed := h.shard.ledger.SweepOwed(); return owed })
		h.await("another feed", func() bool { return h.shard.Covered() != 0 && h.shard.Covered() != before })
	})
	t.Run("the lane is lost", func(t *testing.T) {
		h := tracked(t, redisd.Options{}, OfScripts, nil)
		before := h.covered()
		h.kill("lane-0-" + fmt.Sprint(h.lanes()[0].id))
		h.await("a sweep owed", func() bool { _, _, owed := h.shard.ledger.SweepOwed(); return owed })
		h.await("another feed", func() bool { return h.shard.Covered() != 0 && h.shard.Covered() != before && h.allSet() })
		dial(t, h.source.Addr).expect("SET a theirs", "+OK")
		h.wantDirty(0, "a", true)
	})
}

func (h *house) covered() uint64 {
	h.shard.lock()
	defer h.shard.unlock()
	return h.shard.Covered()
}

// kill ends the source's connections of one use, by the server.
func (h *house) kill(what string) {
	h.t.Helper()
	w := dial(h.t, h.source.Addr)
	killed := 0
	for line := range strings.SplitSeq(w.bulk("CLIENT LIST"), "\n") {
		id, rest, _ := strings.Cut(line, " ")
		for field := range strings.FieldsSeq(rest) {
			name, ok := strings.CutPrefix(field, "name=")
			if _, use, _, ours := instance.ParseConnName(name); ok && ours && use == what {
				w.expect("CLIENT KILL ID "+strings.TrimPrefix(id, "id="), ":1")
				killed++
			}
		}
	}
	if killed == 0 {
		h.t.Fatalf("the server has no connection for %q", what)
	}
}

// bulk sends a command that is answered by a string, and returns that.
func (w *wire) bulk(command string) string {
	w.t.Helper()
	w.send(string(resp.AppendCommand(nil, strings.Fields(command)...)))
	n, err := header(w.r, '$')
	if err != nil {
		w.t.Fatal(err)
	}
	b := make([]byte, n+2)
	if _, err := io.ReadFull(w.r, b); err != nil {
		w.t.Fatal(err)
	}
	return string(b[:n])
}

// TestFeedsCountFlushes: ours owe nothing, whatever their number and form, and each of others owes a sweep.
func TestFeedsCountFlushes(t *testing.T) {
	for _, x := range redisdtest.Binaries(t) {
		t.Run(x.Name, func(t *testing.T) {
			t.Parallel()
			h := tracked(t, redisd.Options{Binary: x.Path}, OfScripts, func(o *Options, _ *ServerOptions) {
				o.Lanes = 2
			})
			a, b, other := h.client(), h.client(), dial(t, h.source.Addr)
			// A lane that speaks RESP3 makes the server report its flushes in RESP3, to a connection that speaks RESP2.
			if got := a.do("HELLO 3"); got[0] != '%' {
				t.Fatal(got)
			}
			a.expect("SET k 1", "+OK")
			h.await("feeds for all lanes", h.allSet)
			for range 5 {
				a.expect("SET k 1", "+OK")
				a.expect("FLUSHALL", "+OK")
				b.expect("FLUSHDB", "+OK")
				a.expect("MULTI", "+OK")
				a.expect("FLUSHDB", "+QUEUED")
				a.expect("FLUSHALL", "+QUEUED")
				a.expect("EXEC", "*2 +OK +OK")
				if got := b.do("FLUSHALL WRONGLY"); got[0] != '-' {
					t.Fatalf("a wrong FLUSHALL is answered %q", got)
				}
				h.read()
			}
			h.read()
			if why, owed := h.sweepOwed(); owed {
				t.Fatalf("a sweep is owed: %s", why)
			}
			other.expect("FLUSHDB", "+OK")
			a.expect("FLUSHDB", "+OK")
			h.read()
			h.await("a sweep owed", func() bool { _, _, owed := h.shard.ledger.SweepOwed(); return owed })
			if n := h.tracking().Emptyings; n != 1 {
				t.Errorf("%d flushes by others were counted", n)
			}
		})
	}
}

// TestFeedsOfRefusedLanes: whose user may not track keys has a lane without a feed, and that is said.
func TestFeedsOfRefusedLanes(t *testing.T) {
	h := newHouse(t, true, nil)
	h.client().expect("GET nothing", "$-1")
	dial(t, h.source.Addr).expect("ACL SETUSER default -client|tracking", "+OK")
	h.track(OfScripts, true)
	h.await("a refusal", func() bool { return h.shard.Tracking().Problem != "" })
	got := h.tracking()
	if got.Listening || got.Without != 1 || got.Lanes != 1 || !strings.Contains(got.Problem, "NOPERM") {
		t.Errorf("%+v", got)
	}
	if err := h.shard.ReadReports(context.Background()); err == nil {
		t.Error("reports are read that nobody hears")
	}
}

// TestFeedsEnd when nobody wants them any more, and begin again.
func TestFeedsEnd(t *testing.T) {
	h := tracked(t, redisd.Options{}, OfScripts, nil)
	for range 3 {
		h.track(OfScripts, false)
		h.await("the end", func() bool { return !h.shard.feeds.running })
		h.read() // has nothing to do
		dial(t, h.source.Addr).expect("SET a theirs", "+OK")
		h.wantDirty(0, "a", false)
		h.track(OfScripts, true)
		h.await("feeds", h.allSet)
		dial(t, h.source.Addr).expect("SET b theirs", "+OK")
		h.wantDirty(0, "b", true)
		h.shard.lock()
		h.shard.ledger.Forget()
		h.shard.unlock()
	}
}

// TestFeedsGiveLanesTheirOwn as they come, other databases' too: what one of them does is no stranger's.
func TestFeedsGiveLanesTheirOwn(t *testing.T) {
	h := tracked(t, redisd.Options{}, OfScripts, nil)
	w := h.client()
	w.expect("SELECT 3", "+OK")
	w.expect("SET k 1", "+OK")
	h.await("feeds", func() bool { return h.allSet() && len(h.shard.feeds.all) == 2 })
	h.settled()
	h.forgetDirty()
	w.expect("SET j 1", "+OK")
	h.wantDirty(3, "j", false)
	other := dial(t, h.source.Addr)
	other.expect("SELECT 3", "+OK")
	other.expect("SET j theirs", "+OK")
	h.wantDirty(3, "j", true)
}

// forgetDirty makes all keys exact again.
func (h *house) forgetDirty() {
	h.shard.lock()
	defer h.shard.unlock()
	h.shard.ledger.Forget()
}

// TestFeedsReadLargeReports: many keys and long names in one turn of the server.
func TestFeedsReadLargeReports(t *testing.T) {
	h := tracked(t, redisd.Options{}, OfScripts, nil)
	args := []string{"MSET"}
	for i := range 900 {
		args = append(args, fmt.Sprintf("key%d", i), "x")
	}
	args = append(args, strings.Repeat("long", 20_000), "x")
	other := dial(t, h.source.Addr)
	other.send(string(resp.AppendCommand(nil, args...)))
	if got := other.reply(); got != "+OK" {
		t.Fatal(got)
	}
	h.wantDirty(0, "key0", true)
	h.wantDirty(0, "key899", true)
	h.wantDirty(0, args[len(args)-2], true)
	h.shard.lock()
	defer h.shard.unlock()
	if n := h.shard.ledger.DirtyKeys(); n != 901 {
		t.Errorf("%d keys are dirty", n)
	}
}

// A server tells a lane that speaks RESP3 when the connection is gone that its reports were sent to. That is no
// reply, and no reason to give the lane up.
func TestAFeedThatBreaksLeavesItsLane(t *testing.T) {
	h := newHouse(t, true, nil)
	c := h.client()
	c.do("HELLO 3")
	c.expect("SET a 1", "+OK")
	h.shard.lock()
	h.shard.Track(OfScripts, true)
	h.shard.unlock()
	h.await("every lane has a feed", func() bool { x := h.shard.Tracking(); return x.Listening && x.Without == 0 })
	lost := h.shard.Counts().LanesLost
	for range 3 {
		h.shard.lock()
		old := slices.Collect(maps.Values(h.shard.feeds.all))
		h.shard.unlock()
		other := h.direct(h.source)
		other.send(string(resp.AppendCommand(nil, "CLIENT", "KILL", "TYPE", "pubsub")) + string(resp.AppendCommand(nil, "SET", "foreign", "1")))
		other.reply()
		other.reply()
		h.await("the feeds are lost", func() bool { return !slices.ContainsFunc(old, (*feed).live) })
		for i := range 20 {
			if got := c.do(fmt.Sprint("SET k", i, " v")); got != "+OK" {
				t.Fatal(got)
			}
		}
		h.await("they are back", func() bool { x := h.shard.Tracking(); return x.Listening && x.Without == 0 })
	}
	if n := h.shard.Counts().LanesLost; n != lost {
		t.Errorf("%d lanes were lost", n-lost)
	}
}

// What a shared lane has reported to us is not the client's tracking.
func TestAClientThatTracksNothingIsToldSo(t *testing.T) {
	h := newHouse(t, true, nil)
	c := h.client()
	c.expect("SET a 1", "+OK")
	h.shard.lock()
	h.shard.Track(OfScripts, true)
	h.shard.unlock()
	h.await("every lane has a feed", func() bool { x := h.shard.Tracking(); return x.Listening && x.Without == 0 })
	direct := h.direct(h.source)
	for range 2 {
		for _, command := range []string{"CLIENT GETREDIR", "CLIENT TRACKINGINFO", "GET a"} {
			if want, got := direct.do(command), c.do(command); got != want {
				t.Errorf("%s: %q, want %q", command, got, want)
			}
		}
	}
	h.await("no lane is kept for it", func() bool { return len(h.shard.primary.pinned) <= 1 })
}

// TestAWriteIsNoReasonToCopyItsNamesakes: reports name no database, and each write is reported to the lanes of all
// other databases.
func TestAWriteIsNoReasonToCopyItsNamesakes(t *testing.T) {
	h := tracked(t, redisd.Options{}, OfScripts, nil)
	var clients []*wire
	for db := range 12 {
		c := h.client()
		c.expect(fmt.Sprintf("SELECT %d", db), "+OK")
		c.expect(fmt.Sprintf("SET own%d v", db), "+OK")
		clients = append(clients, c)
	}
	h.await("feeds for all lanes", func() bool { return len(h.shard.feeds.all) == 12 && h.allSet() })
	h.read()
	before := h.owed()
	for i := range 50 {
		clients[3].expect(fmt.Sprintf("SET x%d v", i), "+OK")
	}
	h.read()
	if after := h.owed(); after != before {
		t.Errorf("%d keys are dirty, %d were", after, before)
	}
	// What somebody else writes there is found, whoever owns a namesake.
	source := h.direct(h.source)
	source.expect("SELECT 7", "+OK")
	source.expect("SET x1 other", "+OK")
	h.wantDirty(7, "x1", true)
}
