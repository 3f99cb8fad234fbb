package chaos

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"tandem/test/wire"
)

// What nobody could see if it happened is not tested for. Without faults nothing is wrong; with each of the
// falsifications, one after the other and taken back in between where that can be, something is.
func TestWhatIsWrongIsSeen(t *testing.T) {
	w := newWorld(t, 1)
	w.play()
	w.td.Step("start")
	w.td.WaitSynced()
	<-time.After(time.Second) // of load
	w.rest()
	if wrong := w.judge(); len(wrong) > 0 {
		t.Fatalf("without faults: %s", strings.Join(wrong, "\n"))
	}
	w.td.Signal(syscall.SIGKILL) // it sees what others change, and would mend it
	onTarget := func(args ...string) { mustDo(t, w.target.Addr, args...) }
	onBoth := func(args ...string) {
		mustDo(t, w.source.Addr, args...)
		onTarget(args...)
	}
	first := func(key string) string { return mustDo(t, w.source.Addr, "LINDEX", key, "0").Str }
	line, element, named := first(journalKey), first(declaredList), mustDo(t, w.source.Addr, "KEYS", "named:*").Elems[0].Str
	page := mustDo(t, w.source.Addr, "KEYS", "page:*").Elems[0].Str
	entry := mustDo(t, w.source.Addr, "XRANGE", streamKey, "-", "+", "COUNT", "1").Elems[0]
	for _, c := range []struct {
		what, says string
		do, undo   func()
	}{
		{"a write is missing on the target", "differ", func() { onTarget("DEL", named) }, func() { onTarget("SET", named, strings.TrimPrefix(named, "named:")) }},
		{"an element is doubled on the target", "differ", func() { onTarget("LPUSH", declaredList, element) }, func() { onTarget("LPOP", declaredList) }},
		{"a list has another order on the target", "differ", func() { onTarget("LMOVE", journalKey, journalKey, "LEFT", "RIGHT") },
			func() { onTarget("LMOVE", journalKey, journalKey, "RIGHT", "LEFT") }},
		{"a time to live is missing on the target", "differ", func() { onBoth("SET", "life", "x"); onTarget("EXPIRE", "life", "5000") }, func() { onBoth("DEL", "life") }},
		{"an acknowledged key is nowhere", "scripts, on the source: " + strings.TrimPrefix(named, "named:") + " was done", func() { onBoth("DEL", named) },
			func() { onBoth("SET", named, strings.TrimPrefix(named, "named:")) }},
		{"an element is doubled", "2 times", func() { onBoth("LPUSH", declaredList, element) }, func() { onBoth("LPOP", declaredList) }},
		{"a list has another order", "stands behind", func() { onBoth("LMOVE", declaredList, declaredList, "LEFT", "RIGHT") },
			func() { onBoth("LMOVE", declaredList, declaredList, "RIGHT", "LEFT") }},
		{"a line of the journal is missing", "accounts", func() { onBoth("LPOP", journalKey) }, func() { onBoth("LPUSH", journalKey, line) }},
		{"half a transaction", "the journal makes it", func() { onBoth("INCR", accountName(0)) }, func() { onBoth("DECR", accountName(0)) }},
		{"a counter has counted twice", "not linearizable", func() { onBoth("INCR", aKey(w, "linear:counter:")) }, func() { onBoth("DECR", aKey(w, "linear:counter:")) }},
		{"a register has another value", "not linearizable", func() { onBoth("APPEND", aKey(w, "linear:register:"), "x") }, func() {
			onBoth("SET", aKey(w, "linear:register:"), strings.TrimSuffix(mustDo(t, w.source.Addr, "GET", aKey(w, "linear:register:")).Str, "x"))
		}},
		{"a page is torn", "torn", func() { onBoth("APPEND", page, "g0-000000\ng0-000001\n") }, nil},
		{"a token is in two lists", "more than once", func() { onBoth("LPUSH", "finished", givenToken(w)) }, func() { onBoth("LPOP", "finished") }},
		{"a token is nowhere", "tokens are nowhere", func() { onBoth("LMOVE", "finished", "elsewhere", "LEFT", "RIGHT") }, func() { onBoth("LMOVE", "elsewhere", "finished", "RIGHT", "LEFT") }},
		{"an entry is there twice", "is in the stream 2 times", func() { onBoth("XADD", streamKey, "9999999999999-1", "token", entry.Elems[1].Elems[1].Str) },
			func() { onBoth("XDEL", streamKey, "9999999999999-1") }},
		{"an entry is pending again", "was acknowledged and is pending", func() {
			onBoth("XCLAIM", streamKey, streamGroup, "x", "0", acknowledged(w), "FORCE", "JUSTID", "TIME", "1")
		},
			func() { onBoth("XACK", streamKey, streamGroup, acknowledged(w)) }},
		{"an entry is missing", "is not in the stream", func() { onBoth("XDEL", streamKey, entry.Elems[0].Str) }, nil},
		{"a value is kept that has changed", "kept", func() {
			caches := w.workloads[9].(*caches) // whose clients may have kept nothing: a FLUSHALL was the last they were told of
			caches.kept = append(caches.kept, map[string]string{"cache:0": "k0-000001"})
			onBoth("SET", "cache:0", "k0-000000")
		}, nil},
		{"a message is heard twice", "was heard after", func() {
			m := w.workloads[5].(*messages)
			text := wire.Reply{Elems: []wire.Reply{{Str: "message"}, {Str: channelName}, {Str: "m0-000001"}}}
			last := map[string]string{}
			m.hear(text, last)
			m.hear(text, last)
		}, nil},
	} {
		c.do()
		if wrong := strings.Join(w.judge(), "\n"); !strings.Contains(wrong, c.says) {
			t.Errorf("%s: found %q, want something of %q", c.what, wrong, c.says)
		}
		if c.undo != nil {
			c.undo()
		}
	}
}

// aKey is one of the registers' that exists.
func aKey(w *world, prefix string) string {
	w.t.Helper()
	least := ""
	for _, key := range mustDo(w.t, w.source.Addr, "KEYS", prefix+"*").Strings() {
		if least == "" || key < least {
			least = key
		}
	}
	return least
}

// givenToken is one that a consumer was given.
func givenToken(w *world) string {
	for t := range w.workloads[1].(*lists).popped {
		return t
	}
	w.t.Fatal("nothing was popped")
	return ""
}

// acknowledged is the least id whose XACK was answered.
func acknowledged(w *world) string {
	least := ""
	for id, o := range w.workloads[2].(*streams).finished {
		if o == done && (least == "" || id < least) {
			least = id
		}
	}
	return least
}
