package proxy

// What scripts write without naming it, as the feeds report it.

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tandem/internal/instance"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/resp"
)

// TestFeedsReportUndeclaredKeys of a script that is sent on the lane itself, in whatever database.
func TestFeedsReportUndeclaredKeys(t *testing.T) {
	for _, x := range redisdtest.Binaries(t) {
		t.Run(x.Name, func(t *testing.T) {
			t.Parallel()
			h := tracked(t, redisd.Options{Binary: x.Path}, OfScripts, nil)
			ln := h.lanes()[0]
			for _, script := range []string{"redis.call('SET','hidden','1')", "redis.call('SET','hidden','2')"} {
				h.onLane(ln, "EVAL", script, "0")
			}
			h.wantDirty(0, "hidden", true)
		})
	}
}

// TestReplayedScriptsAreNotCopied: what they write is reported to their own lane, and is no stranger's. It is again
// when nobody could tell: while a script is about that may write what it does not name.
func TestReplayedScriptsAreNotCopied(t *testing.T) {
	for _, x := range redisdtest.Binaries(t) {
		t.Run(x.Name, func(t *testing.T) {
			t.Parallel()
			h := tracked(t, redisd.Options{Binary: x.Path}, OfScripts, nil)
			w := h.client()
			push := func(key string) {
				t.Helper()
				w.send(string(resp.AppendCommand(nil, "EVAL", "return redis.call('RPUSH', KEYS[1], ARGV[1])", "1", key, "job")))
				if got := w.reply(); got[0] != ':' {
					t.Fatalf("a push is answered %q", got)
				}
			}
			for range 10 {
				push("queue")
				h.wantDirty(0, "queue", false)
			}
			h.settled()
			dial(t, h.target.Addr).expect("LLEN queue", ":10")
			if n := h.tracking().Foreign; n != 0 {
				t.Errorf("%d foreign writes were counted", n)
			}
			w.send(string(resp.AppendCommand(nil, "EVAL", "return redis.call('RPUSH', 'que' .. ARGV[1], 'stray')", "0", "ue")))
			if got := w.reply(); got != ":11" {
				t.Fatalf("a stray push is answered %q", got)
			}
			h.wantDirty(0, "queue", true)
		})
	}
}

// TestScriptsWaitForTheReportsOfANewPrimary: when roles have changed nobody listens yet, and a script that may write
// what it does not name waits for it as the first one did. Otherwise each switch would owe a sweep, or miss a write.
func TestScriptsWaitForTheReportsOfANewPrimary(t *testing.T) {
	h := newHouse(t, true, nil)
	w := h.client()
	stray := func(value string) {
		t.Helper()
		w.send(string(resp.AppendCommand(nil, "EVAL", "return redis.call('SET', 'stray' .. 'key', ARGV[1])", "0", value)))
		if got := w.reply(); got != "+OK" {
			t.Fatal(got)
		}
	}
	stray("at first")
	h.wantDirty(0, "straykey", true)
	for _, primary := range []*instance.Instance{h.tgt, h.src} {
		secondary := h.src
		if primary == h.src {
			secondary = h.tgt
		}
		h.forgetDirty()
		h.shard.lock()
		h.shard.scripts.unseen.until = time.Time{} // the wait for the reports of before is long over
		h.shard.unlock()
		h.swapThen(primary, secondary, func() {
			if h.shard.Covered() != 0 {
				t.Error("the new primary is taken to report changes, and was not asked")
			}
		})
		stray(primary.String())
		h.wantDirty(0, "straykey", true)
		if why, owed := h.sweepOwed(); owed {
			t.Errorf("a sweep is owed: %s", why)
		}
	}
}

// TestOwnWritesDoNotHideScripts: of a key that a script has written without naming it, and a write of ours right
// behind it, the server reports nothing to us.
func TestOwnWritesDoNotHideScripts(t *testing.T) {
	for _, x := range redisdtest.Binaries(t) {
		t.Run(x.Name, func(t *testing.T) {
			t.Parallel()
			h := tracked(t, redisd.Options{Binary: x.Path}, OfScripts, nil)
			w := h.client()
			var b []byte
			for i := range 20 {
				k := fmt.Sprintf("k%d", i)
				b = resp.AppendCommand(b, "EVAL", "return redis.call('SADD', 'k' .. ARGV[1], 'theirs')", "0", fmt.Sprint(i))
				b = resp.AppendCommand(b, "SADD", k, "ours") // whose reply does not tell
			}
			w.send(string(b))
			for range 20 {
				for range 2 {
					if got := w.reply(); got != ":1" {
						t.Fatalf("a reply is %q", got)
					}
				}
			}
			h.settled()
			for i := range 20 {
				h.wantDirty(0, fmt.Sprintf("k%d", i), true)
			}
		})
	}
}

// TestKeysAreEqualOrDirty when sessions on several lanes, scripts among what they send, have written the same few
// keys at the same time, and all is read that was reported.
func TestKeysAreEqualOrDirty(t *testing.T) {
	for _, x := range redisdtest.Binaries(t) {
		t.Run(x.Name, func(t *testing.T) {
			t.Parallel()
			h := tracked(t, redisd.Options{Binary: x.Path}, OfScripts, func(o *Options, _ *ServerOptions) { o.Lanes = 2 })
			const sessions, batches, perBatch, keys = 4, 40, 12, 400
			var done sync.WaitGroup
			for i := range sessions {
				w := h.client()
				r := rand.New(rand.NewPCG(1, uint64(i)))
				done.Go(func() {
					for range batches {
						var b []byte
						n := 0
						for range perBatch {
							if r.IntN(2) == 0 {
								n = r.IntN(keys)
							}
							b = resp.AppendCommand(b, strays(r, n, keys)...)
						}
						if _, err := w.Write(b); err != nil {
							t.Error(err)
							return
						}
						for range perBatch {
							w.reply()
						}
					}
				})
			}
			done.Wait()
			h.settled()
			h.read()
			if why, owed := h.sweepOwed(); owed {
				t.Fatalf("a sweep is owed: %s", why)
			}
			exact := []string{}
			for i := range keys {
				if k := fmt.Sprintf("k%d", i); !h.dirty(0, k) {
					exact = append(exact, k)
				}
			}
			h.settled()
			if len(exact) == 0 {
				t.Error("no key is exact: this compares nothing")
			}
			h.sameMembers(exact)
		})
	}
}

// strays is a random write, of the key with number n; one in eight is a script that does not name it.
func strays(r *rand.Rand, n, keys int) []string {
	number, v := strconv.Itoa(n), strconv.Itoa(r.IntN(1000))
	k := "k" + number
	switch r.IntN(16) {
	case 0, 1:
		return []string{"EVAL", "return redis.call('SADD', 'k' .. ARGV[1], ARGV[2])", "0", number, v}
	case 2:
		return []string{"RENAME", k, "k" + strconv.Itoa(r.IntN(keys))}
	case 3, 4, 5:
		return []string{"DEL", k}
	default:
		return []string{"SADD", k, v}
	}
}

// sameMembers compares the members of sets on both servers.
func (h *house) sameMembers(keys []string) {
	h.t.Helper()
	a, b := dial(h.t, h.source.Addr), dial(h.t, h.target.Addr)
	for _, k := range keys {
		x, y := strings.Fields(a.do("SMEMBERS "+k)), strings.Fields(b.do("SMEMBERS "+k))
		slices.Sort(x)
		slices.Sort(y)
		if !slices.Equal(x, y) {
			h.t.Errorf("%s: source %q, target %q", k, x, y)
		}
	}
}

// lanes returns the shared lanes.
func (h *house) lanes() (lanes []*lane) {
	h.shard.lock()
	defer h.shard.unlock()
	h.shard.eachShared(func(ln *lane) { lanes = append(lanes, ln) })
	return lanes
}

// onLane sends a command on a lane that the ledger is not asked for, and waits for the reply.
func (h *house) onLane(ln *lane, args ...string) string {
	h.t.Helper()
	got := make(chan string, 1)
	h.shard.lock()
	ln.enqueue(&request{src: resp.AppendCommand(nil, args...), replies: 1, then: func(reply []byte) []byte {
		got <- string(reply)
		return nil
	}})
	ln.flushLocked(nil)
	h.shard.unlock()
	select {
	case reply := <-got:
		return reply
	case <-time.After(10 * time.Second):
		h.t.Fatalf("%v was not answered", args)
		return ""
	}
}
