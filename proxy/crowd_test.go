package proxy

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/resp"
)

// Readers of groups, straight and through the proxy: each step is a command that a client gives, waiting or not, and
// what it is answered. "a>" begins a command that blocks, "a<" is its reply; "d:" comes from past the proxy.
func TestReadersOfGroupsAreAnsweredAsByTheServer(t *testing.T) {
	const read = "XREADGROUP GROUP g "
	scenarios := []string{
		"p:XGROUP CREATE s g $ MKSTREAM|a>" + read + "a BLOCK 0 STREAMS s >|b>" + read + "b BLOCK 0 STREAMS s >|p:XADD s 1-1 f v|a<|p:XADD s 1-2 f v|b<|p:XPENDING s g",
		"p:XGROUP CREATE s g $ MKSTREAM|a>" + read + "a BLOCK 0 COUNT 1 STREAMS s >|b>" + read + "b NOACK BLOCK 0 STREAMS s >|p:EVAL redis.call('XADD',KEYS[1],'1-1','f','v')redis.call('XADD',KEYS[1],'1-2','f','v')redis.call('XADD',KEYS[1],'1-3','f','v') 1 s|a<|b<|p:XACK s g 1-1|p:XPENDING s g",
		"p:XGROUP CREATE s g $ MKSTREAM|p:XGROUP CREATE s h $|a>" + read + "a BLOCK 0 STREAMS s >|b>XREADGROUP GROUP h b BLOCK 0 STREAMS s >|p:XADD s 1-1 f v|a<|b<",
		"p:XGROUP CREATE s g $ MKSTREAM|a>" + read + "a BLOCK 30 STREAMS s >|a<|p:XLEN s",
		"p:SET s x|p:PEXPIRE s 100000|p:DEL s|p:XGROUP CREATE s g $ MKSTREAM|a>" + read + "a BLOCK 0 STREAMS s >|p:XADD s 1-1 f v|a<|p:XLEN s",
		"p:XADD s 1-1 f v|p:XGROUP CREATE s g 0|a>" + read + "a BLOCK 0 STREAMS s >|a<|a>" + read + "a BLOCK 0 STREAMS s 0|a<",
		"a>" + read + "a BLOCK 0 STREAMS none >|a<|p:SET none x|a>" + read + "a BLOCK 0 STREAMS none >|a<",
		"a>" + read + "a BLOCK -1 STREAMS s >|a<|a>" + read + "a BLOCK x STREAMS s >|a<|a>XREADGROUP g g a BLOCK 0 STREAMS s >|a<",
		// A stream or group that goes away.
		"p:XGROUP CREATE s g $ MKSTREAM|a>" + read + "a BLOCK 3000 STREAMS s >|b>" + read + "b BLOCK 3000 STREAMS s >|p:XGROUP DESTROY s g|a<|b<",
		"p:XGROUP CREATE s g $ MKSTREAM|a>" + read + "a BLOCK 3000 STREAMS s >|p:DEL s|a<",
		"p:XGROUP CREATE s g $ MKSTREAM|a>" + read + "a BLOCK 3000 STREAMS s >|p:RENAME s elsewhere|a<",
		"p:XGROUP CREATE s g $ MKSTREAM|a>" + read + "a BLOCK 3000 STREAMS s >|p:SET s x|a<",
		"p:XGROUP CREATE s g $ MKSTREAM|a>" + read + "a BLOCK 3000 STREAMS s >|p:FLUSHALL|a<",
		"p:XGROUP CREATE s g $ MKSTREAM|a>" + read + "a BLOCK 6000 STREAMS s >|d:DEL s|a<",
		"p:XGROUP CREATE s g $ MKSTREAM|a>" + read + "a BLOCK 0 STREAMS s >|d:XADD s 5-1 f v|a<",
		"p:XADD other 7-1 f v|p:XGROUP CREATE other g 0|p:XGROUP CREATE s g $ MKSTREAM|a>" + read + "a BLOCK 3000 STREAMS s >|p:RENAME other s|a<",
		// The group is put back: who waits is served with the next entry.
		"p:XADD s 1-1 f v|p:XGROUP CREATE s g $|a>" + read + "a BLOCK 0 STREAMS s >|p:XADD s 1-2 f v|a<|p:XLEN s",
		// Several streams block on the server.
		"p:XGROUP CREATE s g $ MKSTREAM|p:XGROUP CREATE s2 g $ MKSTREAM|a>" + read + "a BLOCK 0 STREAMS s s2 > >|p:XADD s2 1-1 f v|a<|p:XPENDING s2 g",
	}
	for _, b := range redisdtest.Binaries(t) {
		for _, resp3 := range []bool{false, true} {
			if resp3 && b.Name == "redis-6.0" {
				continue // its XREADGROUP answers blocked readers in another form than others
			}
			t.Run(fmt.Sprintf("%s, resp3 %v", b.Name, resp3), func(t *testing.T) {
				t.Parallel()
				h := newHouseOn(t, redisd.Options{Binary: b.Path}, redisd.Options{Binary: b.Path}, true, nil)
				twin := redisdtest.Start(t, redisd.Options{Binary: b.Path})
				l := h.link(h.src, h.tgt)
				defer l.stop()
				for _, scenario := range scenarios {
					if b.Name == "redis-6.0" {
						// It lets readers wait for what is gone until their time is over. They have looked by themselves by then.
						scenario = strings.NewReplacer("BLOCK 3000", "BLOCK 1000", "BLOCK 6000", "BLOCK 1500").Replace(scenario)
					}
					var want string
					var straight sync.WaitGroup
					straight.Go(func() {
						want = play(t, scenario, twin.Addr, twin.Addr, resp3, func(n int) { h.blockedAt(twin, n) })
						h.direct(twin).expect("FLUSHALL", "+OK")
					})
					got := play(t, scenario, h.server.Addr().String(), h.source.Addr, resp3, h.blocked)
					straight.Wait()
					if got != want {
						t.Errorf("%s\n straight %s\n through  %s", scenario, want, got)
					}
					if strings.Contains(scenario, "|d:") {
						h.shard.lock()
						h.shard.ledger.OweSweep("a test has written past the proxy", 0)
						h.shard.unlock()
					}
					h.atRest()
					h.same()
					h.sameGroups("s")
					h.client().expect("FLUSHALL", "+OK")
					h.atRest()
				}
			})
		}
	}
}

// play runs a scenario and returns the replies.
func play(t *testing.T, scenario, addr, past string, resp3 bool, blocked func(n int)) string {
	t.Helper()
	clients := map[byte]*wire{}
	client := func(name byte) *wire {
		if clients[name] == nil {
			at := addr
			if name == 'd' {
				at = past
			}
			clients[name] = dial(t, at)
			if resp3 {
				clients[name].do("HELLO 3")
			}
		}
		return clients[name]
	}
	defer func() {
		for _, c := range clients {
			_ = c.Close()
		}
	}()
	var out []string
	waiting := 0
	steps := strings.Split(scenario, "|")
	for i, step := range steps {
		c := client(step[0])
		switch step[1] {
		case '>':
			c.start(step[2:])
			waiting++
			if i+1 < len(steps) && steps[i+1][1] != '<' {
				blocked(waiting)
			}
		case '<':
			out = append(out, c.reply())
			waiting--
		default:
			out = append(out, c.do(step[2:]))
		}
	}
	return strings.Join(out, "\n\t")
}

// sameGroups compares what the servers know of a stream's groups.
func (h *house) sameGroups(key string) {
	h.t.Helper()
	a, b := h.direct(h.source), h.direct(h.target)
	defer a.Close()
	defer b.Close()
	groups := texts(a.ask("XINFO", "GROUPS", key))
	if other := texts(b.ask("XINFO", "GROUPS", key)); fmt.Sprint(groups) != fmt.Sprint(other) {
		h.t.Errorf("groups of %s: source %s, target %s", key, groups, other)
	}
	for _, g := range []string{"g", "h"} {
		pending := func(w *wire) string {
			var all []string
			for _, e := range w.ask("XPENDING", key, g, "-", "+", "100000").Elems {
				if len(e.Elems) == 4 {
					all = append(all, string(e.Elems[0].Str)+" "+string(e.Elems[1].Str)) // not since when
				}
			}
			return strings.Join(all, ", ")
		}
		if x, y := pending(a), pending(b); x != y {
			h.t.Errorf("pending of %s %s: source %.300s, target %.300s", key, g, x, y)
		}
	}
}

// While readers wait, the stream is exact: entries are repeated, and it is not copied.
func TestAStreamThatIsWaitedForIsNotCopied(t *testing.T) {
	h := newHouse(t, true, nil)
	p := h.client()
	p.expect("XGROUP CREATE s g 0 MKSTREAM", "+OK")
	const readers, n = 5, 200
	var acked atomic.Int32
	for i := range readers {
		c := h.client()
		go func() {
			for {
				c.send(fmt.Sprintf("XREADGROUP GROUP g c%d BLOCK 0 STREAMS s >\r\n", i))
				v, err := c.value()
				if err != nil {
					return
				}
				for _, e := range v.Elems[0].Elems[1].Elems {
					c.send(fmt.Sprintf("XACK s g %s\r\n", e.Elems[0].Str))
					if _, err := c.value(); err != nil {
						return
					}
					acked.Add(1)
				}
			}
		}()
	}
	h.blocked(readers)
	for i := range n {
		p.expect(fmt.Sprintf("XADD s %d-1 f v", i+1), fmt.Sprintf("$%d %d-1", len(fmt.Sprint(i+1))+2, i+1))
	}
	h.await("all acknowledged", func() bool { return acked.Load() == n })
	h.settled()
	h.shard.lock()
	stats, dirty := h.shard.ledger.Stats(), h.shard.ledger.DirtyKeys()
	h.shard.unlock()
	if dirty > 0 || stats.Copied > 0 || stats.Mismatched > 0 {
		t.Errorf("%d keys are dirty, %+v", dirty, stats)
	}
	h.same()
	h.sameGroups("s")
}

// An idle crowd goes away, and its connection with it.
func TestACrowdEndsWhenNobodyWaits(t *testing.T) {
	h := newHouse(t, true, func(o *Options, _ *ServerOptions) { o.crowdStays = 100 * time.Millisecond })
	p := h.client()
	p.expect("XGROUP CREATE s g 0 MKSTREAM", "+OK")
	p.expect("XREADGROUP GROUP g c BLOCK 1 STREAMS s >", "*-1")
	h.shard.lock()
	c := h.shard.crowds[h.shard.ledger.Hash(0, []byte("s"))]
	h.shard.unlock()
	if c == nil {
		t.Fatal("no crowd")
	}
	h.blockedAt(h.source, 1) // the watcher, who would be told nothing of an entry from before
	p.expect("XADD s 1-1 f v", "$3 1-1")
	h.await("no crowd", func() bool { return len(h.shard.crowds) == 0 })
	for until := time.Now().Add(5 * time.Second); strings.Contains(string(h.direct(h.source).ask("CLIENT", "LIST").Str), "signal"); {
		if time.Now().After(until) {
			t.Fatal("its connection is there")
		}
	}
}

// value reads one reply, for those who expect that the connection may end.
func (w *wire) value() (resp.Value, error) {
	var b []byte
	var f resp.Framer
	for {
		c, err := w.r.ReadByte()
		if err != nil {
			return resp.Value{}, err
		}
		b = append(b, c)
		if _, done, err := f.Feed(b[len(b)-1:]); err != nil {
			return resp.Value{}, err
		} else if done {
			v, _, err := resp.Parse(b)
			return v, err
		}
	}
}
