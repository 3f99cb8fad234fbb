package proxy

import (
	"strconv"
	"sync"
	"testing"
)

func replayAll(o *Options, _ *ServerOptions) { o.Scripts = ScriptsReplay }

// TestWhatAScriptDoesNotNameIsRepeated, in the order of all other writes of the same keys, and nothing is copied.
func TestWhatAScriptDoesNotNameIsRepeated(t *testing.T) {
	h := newHouse(t, true, func(o *Options, so *ServerOptions) { replayAll(o, so); o.Lanes = 3 })
	const unnamed = "return redis.call('APPEND', 'log', ARGV[1])"
	var all sync.WaitGroup
	for i := range 6 {
		c := h.client()
		all.Go(func() {
			for n := range 50 {
				if what := "<" + strconv.Itoa(i) + "." + strconv.Itoa(n) + ">"; n%10 == i {
					c.call("SET", "log", what)
				} else {
					c.call("EVAL", unnamed, "0", what)
				}
			}
		})
	}
	all.Wait()
	if n := h.owed(); n != 0 {
		t.Errorf("%d keys are dirty; mismatches %v", n, h.shard.Counts().MismatchedBy)
	}
	h.equal(0, "log")
}

// TestNothingUnnamedIsRepeatedWhileSomebodyBlocks: what a script pushes to a key that it does not name may be popped
// at once.
func TestNothingUnnamedIsRepeatedWhileSomebodyBlocks(t *testing.T) {
	h := newHouse(t, true, replayAll)
	c, b := h.client(), h.client()
	b.start("BLPOP jobs 0")
	h.blocked(1)
	if got := c.call("EVAL", "return redis.call('RPUSH', 'other', 'a')", "0"); got != ":1" {
		t.Fatal(got)
	}
	// It is not repeated: what it has written is copied, when that is known.
	h.await("something to copy", func() bool { return h.shard.ledger.Sweeping() || h.shard.ledger.DirtyKeys() > 0 })
	if got := c.call("EVAL", "return redis.call('RPUSH', 'jobs', 'a', 'b')", "0"); got != ":2" {
		t.Fatal(got)
	}
	b.wants("*2 $4 jobs $1 a")
	h.settled()
	if got := dial(t, h.target.Addr).do("LRANGE jobs 0 -1"); got != "*0" {
		t.Errorf("the secondary shows %s, which the primary never had", got)
	}
}

// TestScriptsOfSeveralKeysAreRepeatedWhileFeedsAreOn, as soon as what others have written without naming it is
// known.
func TestScriptsOfSeveralKeysAreRepeatedWhileFeedsAreOn(t *testing.T) {
	h := newHouse(t, true, nil)
	c := h.client()
	c.call("RPUSH", "{q}1", "a", "b")
	c.call("EVAL", "return redis.call('SET', 'job:' .. ARGV[1], 'x')", "0", "1")
	h.shard.lock()
	began := h.shard.feeds.round
	h.shard.unlock()
	h.await("the feeds have been read", func() bool { return h.shard.feeds.listens && h.shard.feeds.done > began+1 })
	before := h.owed()
	if got := c.call("EVAL", take, "3", "{q}1", "{q}2", "{q}3", "7"); got != "$1 b" {
		t.Fatal(got)
	}
	if n := h.owed(); n != before || before != 1 {
		t.Errorf("%d keys are dirty, then %d; want the one that was not named", before, n)
	}
	h.equal(0, "{q}1", "{q}2", "{q}3")
}
