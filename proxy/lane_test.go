package proxy

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"tandem/internal/resp"
)

// cut breaks the connections of all lanes, as a network would.
func (h *house) cut() {
	h.shard.lock()
	defer h.shard.unlock()
	for _, ls := range h.shard.primary.lanes {
		for _, ln := range ls {
			_ = ln.conn.Close()
		}
	}
}

// A migration must not start, nor roles change, while an old connection may still execute a write that the
// ledger does not know of.
func TestALostConnectionIsUnansweredUntilItIsDead(t *testing.T) {
	for _, command := range []string{"SET a late", "MULTI"} {
		t.Run(command, func(t *testing.T) {
			h := newHouse(t, false, nil)
			c := h.client()
			c.expect("SET a b", "+OK")
			h.await("nothing is on the way", h.shard.Answered)
			if command == "MULTI" { // on a pinned lane
				c.expect("MULTI", "+OK")
				c.expect("SET a late", "+QUEUED")
				command = "EXEC"
			}
			if err := h.source.Pause(); err != nil {
				t.Fatal(err)
			}
			c.send(string(resp.AppendCommand(nil, strings.Fields(command)...)))
			h.await("it is on the lane", func() bool { return !h.shard.Answered() })
			if command == "EXEC" {
				_ = c.Conn.(*net.TCPConn).SetLinger(0) // a reset: it does not wait for the answer
				_ = c.Close()
				h.await("its client is gone", func() bool { return h.server.Sessions() == 0 })
			} else {
				h.cut()
				h.await("the lane is lost", func() bool { return !h.shard.primary.connected() })
			}
			h.shard.lock()
			if h.shard.Answered() {
				t.Error("a connection that broke with a write on it counts as answered")
			}
			h.shard.unlock()
			if err := h.source.Continue(); err != nil {
				t.Fatal(err)
			}
			h.await("it is dead", h.shard.Answered)
			direct := dial(t, h.source.Addr)
			value := direct.do("GET a")
			for i := range 100 { // and stays so
				direct.expect(fmt.Sprint("SET other ", i), "+OK")
			}
			direct.expect("GET a", value)
		})
	}
}

// A reply that comes in pieces is judged as a whole: an error that is cut in two is still an error.
func TestRepliesInPiecesAreJudgedWhole(t *testing.T) {
	h := newHouse(t, true, nil)
	c := h.client()
	c.expect("SET a b", "+OK")
	lane := func() *lane { return h.shard.lanesOf(h.shard.primary, 0)[0] }
	// The smallest buffer cuts every reply somewhere.
	h.shard.lock()
	lane().buf = make([]byte, 7)
	h.shard.unlock()
	h.cut()
	h.await("the lane is back", func() bool { return lane().up })
	value := strings.Repeat("v", 300)
	for range 50 {
		c = h.client()
		c.expect("ZUNIONSTORE d 5 a", "-ERR syntax error")
		c.expect("SET s "+value, "+OK")
		c.expect("GETSET s x", fmt.Sprintf("$%d %s", len(value), value))
		c.expect("LPUSH l "+value+" b c", ":3")
		c.expect("LPOP l 3", fmt.Sprintf("*3 $1 c $1 b $%d %s", len(value), value))
		c.expect("SET e 1 EX 1000", "+OK")
		if got := c.transact(true, "SET e 2", "ZUNIONSTORE d 5 a", "INCR n", "FLUSHDB", "SET f 1 EX 100"); !strings.Contains(got, "ERR syntax") {
			t.Fatal(got)
		}
		h.shard.lock()
		if h.shard.ledger.Sweeping() || h.shard.counts.Unkeyed > 0 {
			t.Error("an error that came in two pieces was taken for something else")
		}
		h.shard.unlock()
		c.expect("GET f", "$1 1")
		_ = c.Close()
	}
	h.settled()
	h.same()
}
