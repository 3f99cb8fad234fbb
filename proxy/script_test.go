package proxy

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/resp"
	"tandem/internal/script"
)

// call sends a command of which the words may have spaces in them.
func (w *wire) call(words ...string) string {
	w.t.Helper()
	w.send(string(resp.AppendCommand(nil, words...)))
	return w.reply()
}

// owed is how many keys are dirty once all is settled, all of them if a sweep is owed.
func (h *house) owed() int {
	h.t.Helper()
	h.settled()
	h.shard.lock()
	defer h.shard.unlock()
	if _, why, owed := h.shard.ledger.SweepOwed(); owed {
		h.t.Logf("a sweep is owed: %s", why)
		return 1 << 30
	}
	return h.shard.ledger.DirtyKeys()
}

const (
	take = `local job = redis.call('RPOPLPUSH', KEYS[1], KEYS[2])
if job then redis.call('ZADD', KEYS[3], ARGV[1], job) end
return job`
	done = `redis.call('ZREM', KEYS[2], ARGV[1]) return redis.call('LREM', KEYS[1], 1, ARGV[1])`
)

// TestAQueueOfScriptsIsNotCopied is what repeating is for: a large list, served by scripts, of which each changes
// one element, is not copied for any of them.
func TestAQueueOfScriptsIsNotCopied(t *testing.T) {
	h := newHouse(t, true, nil)
	c := h.client()
	const jobs = 2000
	push := []string{"LPUSH", "{q}waiting"}
	for i := range jobs {
		push = append(push, "job-"+strconv.Itoa(i))
	}
	c.call(push...)
	name := strings.TrimPrefix(c.call("SCRIPT", "LOAD", done), "$40 ")
	for i := range 300 {
		job := "job-" + strconv.Itoa(i)
		if got := c.call("EVAL", take, "3", "{q}waiting", "{q}active", "{q}since", strconv.Itoa(i)); !strings.HasSuffix(got, job) {
			t.Fatalf("took %q, want %q", got, job)
		}
		if i%3 > 0 {
			if got := c.call("EVALSHA", name, "2", "{q}active", "{q}since", job); got != ":1" {
				t.Fatalf("done: %s", got)
			}
		}
	}
	if n := h.owed(); n != 0 {
		t.Errorf("%d keys are to be copied", n)
	}
	h.equal(0, "{q}waiting", "{q}active", "{q}since")
	if by := h.shard.Counts().MismatchedBy; len(by) > 0 {
		t.Errorf("mismatches: %v", by)
	}
}

func TestScriptsThatDoNotRepeatAreCopied(t *testing.T) {
	h := newHouse(t, true, nil)
	c := h.client()
	for i, source := range []string{
		"return redis.call('SPOP', KEYS[1])",
		"redis.call('SREM', KEYS[1], 'a') return redis.call('TIME')",
		"redis.call('SADD', KEYS[1], 'x') return redis.error_reply('no')",
		"redis.call('SADD', KEYS[1], 'y') return redis.call('GET', KEYS[1])",
	} {
		key := fmt.Sprintf("s%d", i)
		c.expect("SADD "+key+" a b c d e f g h", ":8")
		c.call("EVAL", source, "1", key)
		if n := h.owed(); n != i+1 {
			t.Errorf("script %d: %d keys are dirty", i, n)
		}
	}
	before := h.owed()
	// What certainly changes nothing.
	for _, source := range []string{
		"return redis.call('SMEMBERS', KEYS[1])",
		"return redis.call('TTL', 'elsewhere')",
		"return 1",
	} {
		c.call("EVAL", source, "1", "s")
		c.call("EVALSHA", script.SHA1([]byte(source)), "0")
		if n := h.owed(); n != before {
			t.Errorf("%s: %d keys are dirty", source, n-before)
		}
	}
}

func TestExpiriesOfScriptsAreThePrimarys(t *testing.T) {
	for _, b := range redisdtest.Binaries(t) {
		t.Run(b.Name, func(t *testing.T) {
			t.Parallel()
			h := newHouseOn(t, redisd.Options{Binary: b.Path}, redisd.Options{}, true, nil)
			c := h.client()
			c.call("SET", "{k}3", "x", "PX", "800000")
			source := `redis.call('INCR', KEYS[1]) redis.call('EXPIRE', KEYS[1], ARGV[1])
redis.call('SET', KEYS[2], ARGV[2], 'PX', 500000) redis.call('PERSIST', KEYS[3]) return 1`
			for range 3 {
				if got := c.call("EVAL", source, "4", "{k}1", "{k}2", "{k}3", "{k}4", "1000", "v"); got != ":1" {
					t.Fatal(got)
				}
			}
			c.call("EVAL", "redis.call('SETEX', KEYS[1], 1000, 'x')", "1", "{k}5")
			if n := h.owed(); n != 0 {
				t.Errorf("%d keys are dirty; mismatches %v", n, h.shard.Counts().MismatchedBy)
			}
			source1, target1 := dial(t, h.source.Addr), dial(t, h.target.Addr)
			for i := 1; i <= 5; i++ {
				key := fmt.Sprintf("{k}%d", i)
				a, b := remaining(t, source1, key), remaining(t, target1, key)
				if d := a - b; d < -50 || d > 50 {
					t.Errorf("%s expires in %d ms on the source, in %d on the target", key, a, b)
				}
				if x, y := source1.do("GET "+key), target1.do("GET "+key); x != y {
					t.Errorf("%s is %s on the source, %s on the target", key, x, y)
				}
			}
		})
	}
}

// remaining is a key's PTTL.
func remaining(t *testing.T, w *wire, key string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimPrefix(w.do("PTTL "+key), ":"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestScriptsInTransactionsRepeat(t *testing.T) {
	h := newHouse(t, true, nil)
	c := h.client()
	c.call("RPUSH", "{q}1", "a", "b", "c", "d", "e", "f")
	name := script.SHA1([]byte(take))
	c.call("SCRIPT", "LOAD", take)
	whole := resp.AppendCommand(nil, "MULTI")
	whole = resp.AppendCommand(whole, "INCR", "n")
	whole = resp.AppendCommand(whole, "EVALSHA", name, "3", "{q}1", "{q}2", "{q}3", "7")
	whole = resp.AppendCommand(whole, "EVAL", "return redis.call('EXPIRE', KEYS[1], 1000)", "1", "{q}2")
	whole = resp.AppendCommand(whole, "EVAL", "return redis.call('GET', 'elsewhere')", "0")
	whole = resp.AppendCommand(whole, "EXEC")
	c.send(string(whole))
	for _, want := range []string{"+OK", "+QUEUED", "+QUEUED", "+QUEUED", "+QUEUED", "*4 :1 $1 f :1 $-1"} {
		if got := c.reply(); got != want {
			t.Fatalf("%q, want %q", got, want)
		}
	}
	if n := h.owed(); n != 0 {
		t.Errorf("a whole transaction: %d keys are dirty; mismatches %v", n, h.shard.Counts().MismatchedBy)
	}
	c.expect("MULTI", "+OK")
	c.expect("EVALSHA "+name+" 3 {q}1 {q}2 {q}3 8", "+QUEUED")
	c.expect("EXEC", "*1 $1 e")
	if n := h.owed(); n != 0 {
		t.Errorf("a piecemeal transaction: %d keys are dirty; mismatches %v", n, h.shard.Counts().MismatchedBy)
	}
	h.equal(0, "n", "{q}1", "{q}2", "{q}3")
	// One that is copied makes the whole transaction one that is.
	c.expect("MULTI", "+OK")
	if got := c.call("EVAL", "return redis.call('SPOP', KEYS[1]) and 1", "1", "s"); got != "+QUEUED" {
		t.Fatal(got)
	}
	c.expect("INCR n", "+QUEUED")
	c.expect("EXEC", "*2 $-1 :2")
	if n := h.owed(); n != 2 {
		t.Errorf("%d keys are dirty, want 2", n)
	}
}

func TestAScriptThatIsLostOnTheSecondaryIsLoadedAgain(t *testing.T) {
	h := newHouse(t, true, nil)
	c, target := h.client(), dial(t, h.target.Addr)
	source := "return redis.call('INCR', KEYS[1])"
	name := strings.TrimPrefix(c.call("SCRIPT", "LOAD", source), "$40 ")
	c.expect("EVALSHA "+name+" 1 a", ":1")
	h.settled()
	target.expect("SCRIPT FLUSH", "+OK")
	c.expect("EVALSHA "+name+" 1 b", ":1")
	if n := h.owed(); n != 1 {
		t.Errorf("%d keys are dirty, want the one that NOSCRIPT was answered for", n)
	}
	c.expect("EVALSHA "+name+" 1 c", ":1")
	if n := h.owed(); n != 1 {
		t.Errorf("%d keys are dirty: the script was not loaded again", n)
	}
	h.equal(0, "a", "c")
	// A flush through the proxy reaches both, and what comes after it is loaded anew.
	c.expect("SCRIPT FLUSH", "+OK")
	if got := c.do("EVALSHA " + name + " 1 a"); !strings.HasPrefix(got, "-NOSCRIPT") {
		t.Errorf("after SCRIPT FLUSH: %s", got)
	}
	h.settled()
	target.expect("SCRIPT EXISTS "+name, "*1 :0")
	for range 2 {
		c.call("EVAL", source, "1", "d")
	}
	if n := h.owed(); n != 1 {
		t.Errorf("%d keys are dirty after a flush", n)
	}
	h.equal(0, "d")
}

func TestAScriptThatOftenAnswersSomethingElseIsCopied(t *testing.T) {
	h := newHouse(t, true, nil)
	c, target := h.client(), dial(t, h.target.Addr)
	source := "redis.call('INCR', KEYS[1]) return redis.call('HGET', KEYS[2], 'f')"
	c.call("HSET", "h", "f", "here")
	h.settled()
	target.call("HSET", "h", "f", "elsewhere") // what no client can do
	for i := range 12 {
		c.call("EVAL", source, "2", "n"+strconv.Itoa(i), "h")
		h.settled()
		c.call("DEL", "h") // exact again
		c.call("HSET", "h", "f", "here")
		h.settled()
		target.call("HSET", "h", "f", "elsewhere")
	}
	before := h.shard.Counts().MismatchedBy["EVAL"]
	c.call("EVAL", source, "2", "last", "h")
	h.settled()
	if after := h.shard.Counts().MismatchedBy["EVAL"]; before < 8 || before > 9 || after != before {
		t.Errorf("%d mismatches, then %d: it is repeated still", before, after)
	}
}

func TestHowScriptsAreConfigured(t *testing.T) {
	spop := "local x = redis.call('SRANDMEMBER', KEYS[1]) redis.call('SET', KEYS[2], x) return x"
	for _, c := range []struct {
		mode  Scripts
		what  string
		dirty int
	}{
		{ScriptsCopy, done, 2}, {ScriptsAuto, done, 0}, {ScriptsReplay, done, 0},
		{ScriptsCopy, spop, 2}, {ScriptsAuto, spop, 2}, {ScriptsReplay, spop, 0},
	} {
		h := newHouse(t, true, func(o *Options, _ *ServerOptions) { o.Scripts = c.mode })
		w := h.client()
		if c.what == done {
			w.call("RPUSH", "{q}1", "a", "b")
			w.call("ZADD", "{q}2", "1", "a")
		} else {
			w.call("SADD", "{q}1", "only")
		}
		w.call("EVAL", c.what, "2", "{q}1", "{q}2", "a")
		if n := h.owed(); n != c.dirty {
			t.Errorf("mode %d: %d keys are dirty, want %d, after %s", c.mode, n, c.dirty, c.what)
		}
	}
}

// TestALongScriptOnTheSecondaryDelaysNobody: while it runs there, the secondary answers others that it is busy, and
// this lane nothing at all.
func TestALongScriptOnTheSecondaryDelaysNobody(t *testing.T) {
	h := newHouse(t, true, nil)
	c := h.client()
	for _, addr := range []string{h.source.Addr, h.target.Addr} {
		dial(t, addr).expect("CONFIG SET lua-time-limit 1", "+OK")
	}
	source := "local n = 0 for i = 1, tonumber(ARGV[1]) do n = n + i % 7 end redis.call('INCRBY', KEYS[1], n) return n .. ''"
	c.call("EVAL", source, "1", "sum", "3000000")
	for i := range 50 {
		c.expect("INCR after", ":"+strconv.Itoa(i+1))
	}
	if n := h.owed(); n != 0 {
		t.Errorf("%d keys are dirty; mismatches %v", n, h.shard.Counts().MismatchedBy)
	}
	h.equal(0, "sum", "after")

	// One that does not end.
	if err := h.target.Pause(); err != nil {
		t.Fatal(err)
	}
	c.call("EVAL", source, "1", "sum", "10")
	for i := range 200 {
		c.expect("INCR after", ":"+strconv.Itoa(i+51))
	}
	h.shard.lock()
	waiting := h.shard.ledger.Unsettled()
	h.shard.unlock()
	if err := h.target.Continue(); err != nil {
		t.Fatal(err)
	}
	if waiting != 201 {
		t.Errorf("%d writes were unsettled, want 201", waiting)
	}
	if n := h.owed(); n != 0 {
		t.Errorf("%d keys are dirty; mismatches %v", n, h.shard.Counts().MismatchedBy)
	}
	h.equal(0, "sum", "after")
}

// TestScriptsInAnyProtocol: a client's replies are in RESP3, the secondary's in RESP2, and mean the same.
func TestScriptsInAnyProtocol(t *testing.T) {
	h := newHouse(t, true, nil)
	c := h.client()
	if got := c.do("HELLO 3"); !strings.HasPrefix(got, "%") {
		t.Fatalf("HELLO 3: %s", got)
	}
	for i, source := range []string{
		"redis.call('INCR', KEYS[1]) return true",
		"redis.call('INCR', KEYS[1]) return nil",
		"redis.call('INCR', KEYS[1]) return {1, 'two', false, {3.9}}",
		"redis.call('INCR', KEYS[1]) return redis.status_reply('FINE')",
		"redis.call('ZADD', KEYS[2], 0.1, 'm') return redis.call('ZRANGE', KEYS[2], 0, -1)",
	} {
		c.call("EVAL", source, "2", "n"+strconv.Itoa(i), "z")
	}
	if n := h.owed(); n != 0 {
		t.Errorf("%d keys are dirty; mismatches %v", n, h.shard.Counts().MismatchedBy)
	}
	h.equal(0, "n0", "n1", "n2", "n3", "z")
}

// Of some changes a server tells nobody who tracks keys, or only the name of a key that is in another database than
// any lane: a sweep is owed for a script that may make them under names it was not called with.
func TestWhatScriptsDoUnreportedIsSwept(t *testing.T) {
	for _, script := range []string{
		"redis.call('SELECT', 5) return redis.call('SET', KEYS[1], 'v')",
		"return redis.call('MOVE', ARGV[1], 5)",
		"return redis.call('SWAPDB', 0, 1)",
		"return redis.call('XACK', ARGV[1], 'g', '1-1')",
		"return redis.call('XGROUP', 'CREATE', ARGV[1], 'h', '0')",
		"return redis.call('XSETID', ARGV[1], '5-5')",
		"return redis.call(ARGV[2], ARGV[1], 'g', '1-1')",
	} {
		h := newHouse(t, true, nil)
		c := h.client()
		c.call("XADD", "s", "1-1", "f", "v")
		c.call("XGROUP", "CREATE", "s", "g", "0")
		c.call("XREADGROUP", "GROUP", "g", "me", "STREAMS", "s", ">")
		h.settled()
		if got := c.call("EVAL", script, "1", "x", "s", "xack"); got[0] == '-' {
			t.Fatalf("%s: %s", script, got)
		}
		h.await("a sweep that is owed", h.shard.ledger.Sweeping)
		if h.shard.Counts().Unkeyed != 1 {
			t.Errorf("%s: it is not counted", script)
		}
	}
}
