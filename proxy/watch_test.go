package proxy

import (
	"fmt"
	"testing"

	"tandem/internal/instance"
	"tandem/internal/redisd"
)

// A watch does not outlive a swap, and EXEC must say so whenever the swap comes.
func TestAWatchIsLostWithASwap(t *testing.T) {
	for _, at := range []string{"watched", "begun", "queued"} {
		for _, subscribed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,subscribed=%v", at, subscribed), func(t *testing.T) {
				h := newHouse(t, true, nil)
				c, swapped := h.resp3(), false
				swap := func(now string) {
					if now == at {
						h.swap(h.tgt, h.src)
						swapped = true
					}
				}
				if subscribed {
					c.expect("SUBSCRIBE a", ">3 $9 subscribe $1 a :1")
				}
				c.expect("WATCH k", "+OK")
				swap("watched")
				c.expect("MULTI", "+OK")
				swap("begun")
				c.expect("SET k 1", "+QUEUED")
				swap("queued")
				c.expect("EXEC", "_")
				if !swapped {
					t.Error("there was no swap")
				}
				c.expect("GET k", "_")
				// What comes after is not concerned.
				c.expect("WATCH k", "+OK")
				c.expect("MULTI", "+OK")
				c.expect("SET k 2", "+QUEUED")
				c.expect("EXEC", "*1 +OK")
				c.expect("WATCH k", "+OK")
				h.swap(h.src, h.tgt)
				c.expect("UNWATCH", "+OK")
				c.expect("MULTI", "+OK")
				c.expect("SET k 3", "+QUEUED")
				c.expect("EXEC", "*1 +OK")
				h.settled()
				h.same()
			})
		}
	}
}

// An EXEC that was read before the roles change, and is sent after, must not run without its watch.
func TestAnExecThatIsHeldDoesNotRunWithoutItsWatch(t *testing.T) {
	h := newHouse(t, true, nil)
	c, other := h.client(), h.client()
	c.expect("WATCH k", "+OK")
	c.expect("MULTI", "+OK")
	c.expect("SET k 1", "+QUEUED")
	next, err := h.shard.Prepare(t.Context(), h.tgt, instance.Facts{})
	if err != nil {
		t.Fatal(err)
	}
	e, old := h.shard.NewEffectLane(h.src, instance.Facts{}), h.shard.effects
	e.Start()
	h.await("effect lane", e.Up)
	h.shard.Hold()
	c.send("EXEC\r\n")
	s := h.server.byID(1)
	h.await("it has been read", func() bool { return s.last.Load() != nil && s.last.Load().Name == "EXEC" })
	h.await("drained", func() bool { return h.shard.Answered() && h.shard.ledger.Drained() && next.Ready() })
	h.shard.lock()
	h.shard.Swap(next, e)
	h.shard.unlock()
	h.shard.Release()
	old.Stop()
	if got := c.reply(); got != "*-1" {
		t.Fatalf("EXEC: %s", got)
	}
	other.expect("GET k", "$-1")
	c.expect("SET k 2", "+OK")
	c.expect("GET k", "$1 2")
	h.settled()
	h.same()
}

// A watch does not outlive another user either.
func TestAWatchIsLostWithAnotherUser(t *testing.T) {
	h := newHouse(t, true, nil)
	for _, s := range []*redisd.Server{h.source, h.target} {
		dial(t, s.Addr).expect("ACL SETUSER other on >pw ~* &* +@all", "+OK")
	}
	c, p := h.resp3(), h.client()
	c.expect("WATCH k", "+OK")
	c.expect("AUTH other pw", "+OK")
	p.expect("SET k 1", "+OK")
	c.expect("MULTI", "+OK")
	c.expect("SET k 2", "+QUEUED")
	c.expect("EXEC", "_")
	c.expect("GET k", "$1 1")
	// Subscriptions and caches stay.
	c.expect("SUBSCRIBE a", ">3 $9 subscribe $1 a :1")
	c.expect("CLIENT TRACKING ON", "+OK")
	c.expect("GET k", "$1 1")
	c.expect("AUTH other pw", "+OK")
	p.expect("PUBLISH a x", ":1")
	if got := c.reply(); got != ">3 $7 message $1 a $1 x" {
		t.Fatal(got)
	}
	h.swap(h.tgt, h.src)
	if got := c.reply(); got != ">2 $10 invalidate _" {
		t.Fatal(got)
	}
	p.expect("PUBLISH a y", ":1")
	if got := c.reply(); got != ">3 $7 message $1 a $1 y" {
		t.Fatal(got)
	}
	c.expect("ACL WHOAMI", "$5 other")
}
