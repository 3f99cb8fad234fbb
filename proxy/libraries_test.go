package proxy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

const queueLibrary = `#!lua name=queue
local function take(keys, args)
  local job = redis.call('RPOP', keys[1])
  if job then redis.call('ZADD', keys[2], args[1], job) end
  return job
end
redis.register_function('take', take)
redis.register_function('pick', function(keys) return redis.call('SPOP', keys[1]) end)
redis.register_function{function_name='len', callback=function(keys) return redis.call('LLEN', keys[1]) end, flags={'no-writes'}}
`

// librariesBrought waits until what belongs to no key is on the secondary.
func (h *house) librariesBrought() {
	h.t.Helper()
	h.await("the functions are on the secondary", func() bool {
		_, owed := h.shard.ledger.EverywhereOwed()
		return !owed && h.shard.ledger.Drained()
	})
}

func (h *house) equalLibraries() {
	h.t.Helper()
	var lists [2]string
	for i, addr := range []string{h.source.Addr, h.target.Addr} {
		words := strings.Fields(dial(h.t, addr).do("FUNCTION LIST WITHCODE")) // in no order
		slices.Sort(words)
		lists[i] = strings.Join(words, " ")
	}
	if lists[0] != lists[1] {
		h.t.Errorf("libraries of the source: %s\nof the target: %s", lists[0], lists[1])
	}
}

func TestFunctionsAreOnBothSides(t *testing.T) {
	h := newHouse(t, false, nil)
	source, target := dial(t, h.source.Addr), dial(t, h.target.Addr)
	source.call("FUNCTION", "LOAD", queueLibrary)
	target.call("FUNCTION", "LOAD", "#!lua name=own\nredis.register_function('own', function() return 1 end)")
	c := h.client()
	c.expect("PING", "+PONG")
	c.expect("GET nothing", "$-1")
	e := h.shard.NewEffectLane(h.tgt, h.shard.primary.facts)
	e.Start()
	h.await("the effect lane", e.Up)
	h.shard.lock()
	h.shard.Replicate(e)
	h.shard.unlock()
	h.librariesBrought()
	list := target.do("FUNCTION LIST")
	if !strings.Contains(list, "queue") || !strings.Contains(list, "own") {
		t.Fatalf("the target has %s", list)
	}
	target.expect("FUNCTION DELETE own", "+OK")
	h.equalLibraries()

	// What passes through the proxy goes to both, in order with all else.
	c.call("FUNCTION", "LOAD", "#!lua name=second\nredis.register_function('second', function(keys) return redis.call('INCR', keys[1]) end)")
	h.settled()
	h.equalLibraries()
	c.expect("FUNCTION DELETE second", "+OK")
	h.settled()
	h.equalLibraries()

	// A secondary that has lost them gets them again when it is back.
	target.expect("FUNCTION FLUSH", "+OK")
	h.shard.lock()
	lost := h.shard.counts.EffectLanesLost
	_ = e.conn.Close()
	h.shard.unlock()
	h.await("the lane is lost", func() bool { return h.shard.counts.EffectLanesLost > lost })
	h.await("the lane is back", e.Up)
	h.librariesBrought()
	h.equalLibraries()

	// One that was deleted while the secondary was away is deleted there as well.
	c.call("FUNCTION", "LOAD", "#!lua name=third\nredis.register_function('third', function() return 1 end)")
	h.settled()
	h.shard.lock()
	h.shard.ledger.OweEverywhere("the test says so")
	h.shard.unlock()
	h.librariesBrought()
	source.expect("FUNCTION DELETE third", "+OK")
	h.shard.lock()
	h.shard.ledger.OweEverywhere("the test says so")
	h.shard.unlock()
	h.librariesBrought()
	h.equalLibraries()
}

func TestFunctionsThatRepeatAreNotCopied(t *testing.T) {
	for _, b := range redisdtest.Binaries(t) {
		if b.Name == "redis-6.0" {
			continue // it knows no functions
		}
		t.Run(b.Name, func(t *testing.T) {
			t.Parallel()
			h := newHouseOn(t, redisd.Options{}, redisd.Options{Binary: b.Path}, true, nil)
			c := h.client()
			if got := c.call("FUNCTION", "LOAD", queueLibrary); got != "$5 queue" {
				t.Fatal(got)
			}
			c.call("RPUSH", "{q}1", "a", "b", "c", "d", "e")
			h.await("the functions are known", func() bool {
				version, quiet := h.shard.ledger.BeginEverywhere()
				_, owed := h.shard.ledger.EverywhereOwed()
				s := h.shard.scripts.shelf.Load()
				return quiet && !owed && s != nil && s.version == version
			})
			before := h.owed()
			c.expect("FCALL take 2 {q}1 {q}2 7", "$1 e")
			c.expect("FCALL TAKE 2 {q}1 {q}2 8", "$1 d")
			c.expect("FCALL len 1 {q}1", ":3")
			c.send("*1\r\n$5\r\nMULTI\r\n*6\r\n$5\r\nFCALL\r\n$4\r\ntake\r\n$1\r\n2\r\n$4\r\n{q}1\r\n$4\r\n{q}2\r\n$1\r\n9\r\n*1\r\n$4\r\nEXEC\r\n")
			for _, want := range []string{"+OK", "+QUEUED", "*1 $1 c"} {
				if got := c.reply(); got != want {
					t.Fatalf("%q, want %q", got, want)
				}
			}
			if n := h.owed(); n != before {
				t.Errorf("%d keys are dirty; mismatches %v", n-before, h.shard.Counts().MismatchedBy)
			}
			a, d := dial(t, h.source.Addr), dial(t, h.target.Addr)
			for _, command := range []string{"LRANGE {q}1 0 -1", "ZRANGE {q}2 0 -1 WITHSCORES"} {
				if x, y := a.do(command), d.do(command); x != y {
					t.Errorf("%s: source %s, target %s", command, x, y)
				}
			}
			c.expect("SADD {q}3 a b c", ":3")
			c.do("FCALL pick 1 {q}3")
			if n := h.owed(); n != before+1 {
				t.Errorf("%d keys are dirty after a function that does not repeat", n-before)
			}
			// Another library of the same name: what is known of the old one counts no more.
			c.call("FUNCTION", "LOAD", "REPLACE", strings.Replace(queueLibrary, "'RPOP'", "'LPOP'", 1))
			c.expect("FCALL take 2 {q}1 {q}4 1", "$1 a")
			h.settled()
			h.equalLibraries()
		})
	}
}

// TestASecondaryWithoutFunctionsKeepsThemOwed: before the roles may change the functions must be there.
func TestASecondaryWithoutFunctionsKeepsThemOwed(t *testing.T) {
	old, ok := redisdtest.Find(t, "redis-6.0")
	if !ok {
		return
	}
	h := newHouseOn(t, redisd.Options{}, redisd.Options{Binary: old[0].Path}, true, nil)
	c := h.client()
	c.expect("SET k v", "+OK")
	h.librariesBrought() // none: nothing is owed
	c.call("FUNCTION", "LOAD", queueLibrary)
	h.await("they are owed", func() bool { _, owed := h.shard.ledger.EverywhereOwed(); return owed })
	h.settled()
	h.shard.lock()
	defer h.shard.unlock()
	if h.shard.ledger.Drained() {
		t.Error("the roles might change, and the functions would be gone")
	}
}

func TestScriptsAreThereAfterTheRolesHaveChanged(t *testing.T) {
	h := newHouse(t, false, nil)
	c := h.client()
	name := strings.TrimPrefix(c.call("SCRIPT", "LOAD", take), "$40 ") // before anything is replicated
	for range 2 {
		c.call("EVAL", done, "2", "a", "b", "x")
	}
	e := h.shard.NewEffectLane(h.tgt, h.shard.primary.facts)
	e.Start()
	h.await("the effect lane", e.Up)
	h.shard.lock()
	h.shard.Replicate(e)
	h.shard.unlock()
	h.librariesBrought()
	later := strings.TrimPrefix(c.call("SCRIPT", "LOAD", "return 'later'"), "$40 ")
	h.settled()
	target := dial(t, h.target.Addr)
	target.expect("SCRIPT EXISTS "+name+" "+later, "*2 :1 :1")
}

// TestScriptsOfBeforeAreMetWhereTheServerShowsThem: loaded past the proxy, run through it by their names.
func TestScriptsOfBeforeAreMetWhereTheServerShowsThem(t *testing.T) {
	found, ok := redisdtest.Find(t, "valkey-8.1")
	if !ok {
		return
	}
	h := newHouseOn(t, redisd.Options{Binary: found[0].Path}, redisd.Options{}, true, nil)
	source := "return redis.call('INCR', KEYS[1])"
	name := strings.TrimPrefix(dial(t, h.source.Addr).call("SCRIPT", "LOAD", source), "$40 ")
	c := h.client()
	c.expect("EVALSHA "+name+" 1 first", ":1") // copied: nothing is known of it
	h.await("the source is known", func() bool { return h.shard.scripts.book.Named([]byte(name)) != nil })
	h.shard.lock()
	h.shard.Track(OfScripts, false) // while keys that scripts write are reported, all of them are copied
	h.shard.unlock()
	h.await("nobody listens", func() bool { return !h.shard.feeds.running })
	before := h.owed()
	c.expect("EVALSHA "+name+" 1 second", ":1")
	if n := h.owed(); n != before {
		t.Errorf("%d keys are dirty", n-before)
	}
	for i := range 2 * maxStrangers {
		h.shard.scripts.strangers.add(fmt.Appendf(nil, "%040d", i))
	}
	if n := len(h.shard.scripts.strangers.take()); n > maxStrangers {
		t.Errorf("%d names are remembered", n)
	}
}
