package proxy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/resp"
)

// shadowed is a house in which all reads are compared.
func shadowed(t *testing.T, change func(*Options, *ServerOptions)) *house {
	t.Helper()
	h := newHouse(t, true, change)
	h.shard.SetShadowReads(1)
	return h
}

// judged waits until all reads on their way are, and returns what has become of them.
func (h *house) judged() ShadowCounts {
	h.t.Helper()
	h.await("the end of all shadow reads", func() bool { return h.shard.Answered() && h.shard.effects.shadows == 0 })
	return h.shard.ShadowCounts()
}

// A difference is found by each kind of read, counted once, and its keys become dirty; then it is known and counted no more.
func TestShadowReadsFindDifferences(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ make, damage, read string }{
		{"SET k v", "SET k w", "GET k"},
		{"SET k v", "DEL k", "EXISTS k"},
		{"SET k v", "DEL k", "GET k"},
		{"SET k 1", "SET k 1.0", "GET k"},
		{"SET other v", "SET k v", "GET k"},
		{"SET k v", "SET k vv", "STRLEN k"},
		{"SET k v", "EVAL return{redis.call('DEL','k'),redis.call('RPUSH','k','v')} 0", "GET k"},
		{"SET k v", "EVAL return{redis.call('DEL','k'),redis.call('RPUSH','k','v')} 0", "TYPE k"},
		{"MSET k a l b", "SET l c", "MGET k l"},
		{"HSET k a 1 b 2", "HSET k b 3", "HGETALL k"},
		{"HSET k a 1 b 2", "HSET k b 3", "HMGET k a b"},
		{"HSET k a 1 b 2", "HDEL k b", "HKEYS k"},
		{"RPUSH k a b", "LMOVE k k LEFT RIGHT", "LRANGE k 0 -1"},
		{"SADD k a b", "EVAL return{redis.call('SREM','k','b'),redis.call('SADD','k','c')} 0", "SMEMBERS k"},
		{"SADD k a b", "SREM k b", "SISMEMBER k b"},
		{"ZADD k 1 a 2 b", "ZADD k 3 a", "ZRANGE k 0 -1 WITHSCORES"},
		{"ZADD k 1 a 2 b", "ZADD k 2.5 b", "ZSCORE k b"},
		{"XADD k 1-1 a b", "XDEL k 1-1", "XRANGE k - +"},
		{"SETBIT k 5 1", "SETBIT k 6 1", "BITCOUNT k"},
	} {
		h := shadowed(t, nil)
		w, target := h.client(), h.direct(h.target)
		w.do(c.make)
		h.settled()
		w.do(c.read)
		if n := h.judged(); n.Same != 1 || n.Different != 0 {
			t.Errorf("%s: between equals %+v", c.read, n)
		}
		target.do(c.damage)
		w.do(c.read)
		n := h.judged()
		if n.Same != 1 || n.Different != 1 || !strings.HasPrefix(n.Last, strings.Fields(c.read)[0]+` of key "k" in db 0`) {
			t.Errorf("%s behind %s: %+v", c.read, c.damage, n)
		}
		h.shard.lock()
		dirty := h.shard.ledger.DirtyKeys()
		h.shard.unlock()
		if dirty == 0 {
			t.Errorf("%s: nothing is copied", c.read)
		}
		w.do(c.read)
		if n := h.judged(); n.Different != 1 || n.Skipped == 0 {
			t.Errorf("%s once more: %+v", c.read, n)
		}
	}
}

// Sets and hashes may come in another order, in another protocol, and nested.
func TestShadowReadsOfBothProtocols(t *testing.T) {
	h := shadowed(t, nil)
	w := h.client()
	for i := range 200 { // as tables, whose order depends on how they have grown
		w.do(fmt.Sprintf("SADD s m%d", i))
		w.do(fmt.Sprintf("HSET h f%d %d", i, i))
		w.do(fmt.Sprintf("ZADD z %d.1 m%d", i, i))
	}
	w.do("GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania")
	w.do("SET text 0.10")
	h.settled()
	reads := []string{"SMEMBERS s", "HGETALL h", "HKEYS h", "HVALS h", "SUNION s none", "ZRANGE z 0 -1", "ZSCORE z m3", "ZMSCORE z m3 none",
		"GEOPOS g Palermo none", "GEODIST g Palermo Catania", "GET text", "GET none", "LRANGE none 0 -1", "ZRANK z m7", "HGET h f3", "HMGET h f1 none"}
	for _, hello := range []string{"HELLO 2", "HELLO 3"} {
		w.do(hello)
		before := h.judged()
		for _, r := range reads {
			w.do(r)
		}
		n := h.judged()
		if n.Different != 0 || n.Same-before.Same != uint64(len(reads)) {
			t.Errorf("%s: %d of %d compared, %d different: %s", hello, n.Same-before.Same, len(reads), n.Different, n.Last)
		}
	}
}

// What cannot be compared is not: replies that depend on time or chance, errors, large ones, reads in transactions.
func TestShadowReadsThatAreNone(t *testing.T) {
	h := shadowed(t, nil)
	w := h.client()
	w.do("SET k v")
	w.do("SETRANGE large 100000 x")
	h.settled()
	for _, r := range []string{"TTL k", "RANDOMKEY", "SCAN 0", "OBJECT ENCODING k", "DBSIZE", "LRANGE k 0 1", "GET large", "MULTI", "GET k", "EXEC",
		"INFO", "SRANDMEMBER none", "WATCH k", "GET k", "UNWATCH"} {
		w.do(r)
	}
	if n := h.judged(); n.Same+n.Different != 0 {
		t.Errorf("%+v", n)
	}
	h.shard.SetShadowReads(0)
	before := h.judged()
	w.do("GET k")
	if n := h.judged(); n != before {
		t.Errorf("while it is off: %+v, before %+v", n, before)
	}
}

// With many clients on several lanes, who write, read, block, expire, flush and run scripts on the same few keys, no read
// differs; and many are compared.
func TestShadowReadsRaiseNoFalseAlarm(t *testing.T) {
	h := shadowed(t, func(o *Options, _ *ServerOptions) { o.Lanes = 3; o.MaxLagBytes = 64 << 20 })
	var clients sync.WaitGroup
	stop := time.Now().Add(2 * time.Second)
	for i := range 10 {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 7))
			c := h.client()
			c.do(fmt.Sprint("SELECT ", i%2))
			for time.Now().Before(stop) {
				var b []byte
				const n = 30
				for range n {
					b = resp.AppendCommand(b, strings.Fields(randomCommand(random))...)
				}
				go c.send(string(b))
				for range n {
					c.reply()
				}
			}
		})
	}
	clients.Wait()
	h.settled()
	n := h.judged()
	t.Logf("%+v", n)
	if n.Different > 0 || n.Same < 1000 {
		t.Errorf("%d compared, %d different: %s", n.Same, n.Different, n.Last)
	}
}

// randomCommand is one on a few keys, of which a part expires all the time.
func randomCommand(r *rand.Rand) string {
	k, f := r.IntN(8), r.IntN(5)
	writes := []string{
		"INCR n%[1]d", "SET s%[1]d %[2]d", "APPEND s%[1]d x", "DEL s%[1]d", "RPUSH l%[1]d %[2]d", "LPOP l%[1]d", "HSET h%[1]d f%[2]d %[2]d",
		"HDEL h%[1]d f%[2]d", "SADD t%[1]d %[2]d", "SPOP t%[1]d", "ZADD z%[1]d %[2]d m%[2]d", "ZINCRBY z%[1]d 1.5 m%[2]d", "SET e%[1]d %[2]d PX 3",
		"SUNIONSTORE u0 t%[1]d t%[2]d", "EVAL return(redis.call('INCR',KEYS[1])) 1 n%[1]d", "LMOVE l%[1]d l%[2]d LEFT RIGHT",
	}
	// Behind these keys stay dirty, for nobody copies here.
	rare := []string{"FLUSHDB", "PEXPIRE t%[1]d 2", "RENAME s%[1]d s0", "EVAL return(redis.call('INCR','n3')) 0", "FLUSHDB", "FLUSHALL"}
	reads := []string{
		"GET n%[1]d", "GET s%[1]d", "STRLEN s%[1]d", "LRANGE l%[1]d 0 -1", "LLEN l%[1]d", "HGETALL h%[1]d", "HGET h%[1]d f%[2]d", "SMEMBERS t%[1]d",
		"SCARD t%[1]d", "ZRANGE z%[1]d 0 -1 WITHSCORES", "ZSCORE z%[1]d m%[2]d", "GET e%[1]d", "EXISTS e%[1]d", "MGET s%[1]d n%[2]d", "SUNION t%[1]d t%[2]d",
	}
	list := reads
	if r.IntN(3) == 0 {
		list = writes
	}
	if r.IntN(1000) == 0 {
		list = rare
	}
	return fmt.Sprintf(list[r.IntN(len(list))]+"%[3]s", k, f, "")
}

// A secondary that does not answer delays no read, and only a few are sent to it.
func TestShadowReadsWaitForNobody(t *testing.T) {
	h := shadowed(t, nil)
	w := h.client()
	w.expect("SET k v", "+OK")
	h.settled()
	if err := h.target.Pause(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for range 1000 {
		w.expect("GET k", "$1 v")
	}
	took := time.Since(began)
	h.shard.lock()
	onWay, bytes := h.shard.effects.shadows, h.shard.effects.out.unsent
	h.shard.unlock()
	if err := h.target.Continue(); err != nil {
		t.Fatal(err)
	}
	if onWay != maxShadows || bytes > maxShadowLag {
		t.Errorf("%d on their way, %d bytes", onWay, bytes)
	}
	if took > 20*time.Second {
		t.Errorf("1,000 reads took %v", took)
	}
	if n := h.judged(); n.Same != maxShadows || n.Different != 0 || n.Skipped != 1000-maxShadows {
		t.Errorf("%+v", n)
	}
}

// A value that has become endless on the secondary ends the lane once, and is copied, not asked for again.
func TestAShadowReadWithoutEnd(t *testing.T) {
	h := shadowed(t, nil)
	w := h.client()
	w.expect("SET k v", "+OK")
	h.settled()
	h.direct(h.target).do(fmt.Sprint("SETRANGE k ", maxAnswer, " x"))
	w.expect("GET k", "$1 v")
	h.await("the key dirty", func() bool { return h.shard.ledger.DirtyKeys() == 1 })
	h.await("the lane back", func() bool { return h.shard.effects.up })
	w.expect("GET k", "$1 v")
	if n := h.judged(); n.Different != 1 || n.Same != 0 {
		t.Errorf("%+v", n)
	}
}

// A key that the secondary has seen expire and the primary has not, or the other way round, is no difference.
func TestShadowReadsNearAnExpiry(t *testing.T) {
	h := newHouseOn(t, redisd.Options{}, redisd.Options{}, true, nil)
	h.shard.SetShadowReads(1)
	w, target := h.client(), h.direct(h.target)
	w.expect("SET k v PX 100000", "+OK")
	h.settled()
	w.do("GET k")
	if n := h.judged(); n.Same != 1 {
		t.Errorf("far from it: %+v", n)
	}
	target.do("PEXPIRE k 1")
	for target.do("EXISTS k") != ":0" {
	}
	w.do("GET k")
	if n := h.judged(); n.Different != 0 || n.Skipped == 0 {
		t.Errorf("gone there: %+v", n)
	}
}
