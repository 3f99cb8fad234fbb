package proxy

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"tandem/internal/instance"
	"tandem/internal/redisd"
	"tandem/internal/resp"
)

// transact sends a transaction in one piece or command by command, and returns EXEC's reply.
func (w *wire) transact(whole bool, commands ...string) string {
	w.t.Helper()
	commands = append(append([]string{"MULTI"}, commands...), "EXEC")
	var last string
	if whole {
		var b []byte
		for _, c := range commands {
			b = resp.AppendCommand(b, strings.Fields(c)...)
		}
		w.send(string(b))
		for range commands {
			last = w.reply()
		}
		return last
	}
	for _, c := range commands {
		last = w.do(c)
	}
	return last
}

func bothWays(t *testing.T, f func(t *testing.T, whole bool)) {
	for _, whole := range []bool{true, false} {
		t.Run(fmt.Sprint("whole=", whole), func(t *testing.T) { f(t, whole) })
	}
}

func TestTransactionsThatFlushReachTheSecondary(t *testing.T) {
	bothWays(t, func(t *testing.T, whole bool) {
		h := newHouse(t, true, nil)
		c := h.client()
		fill := func() {
			for db := range 3 {
				c.expect(fmt.Sprint("SELECT ", db), "+OK")
				for i := range 5 {
					c.expect(fmt.Sprint("SET k", i, " ", db), "+OK")
				}
				c.expect("SET e 1 EX 1000", "+OK")
			}
			c.expect("SELECT 1", "+OK")
		}
		fill()
		if got := c.transact(whole, "FLUSHDB"); got != "*1 +OK" {
			t.Fatal(got)
		}
		h.settled()
		h.same()
		fill()
		if got := c.transact(whole, "SET a 1", "INCR k1", "FLUSHDB", "SET b 2", "INCR b", "SET k2 x EX 100"); got != "*6 +OK :2 +OK +OK :3 +OK" {
			t.Fatal(got)
		}
		h.settled()
		h.same()
		fill()
		if got := c.transact(whole, "LPUSH l 1", "FLUSHALL ASYNC", "LPUSH l 2", "SADD s a"); got != "*4 :1 +OK :1 :1" {
			t.Fatal(got)
		}
		h.settled()
		h.same()
		if h.shard.ledger.Sweeping() {
			t.Error("a flush in a transaction has an effect of its own and needs no sweep")
		}
		fill()
		if got := c.transact(whole, "INCR k1", "SWAPDB 1 2", "INCR k1"); got != "*3 :2 +OK :3" {
			t.Fatal(got)
		}
		h.converged()
		h.same()
	})
}

// EXEC with arguments ends the transaction on the server: what follows is executed at once, and must go
// through the ledger.
func TestExecWithArgumentsEndsTheTransaction(t *testing.T) {
	h := newHouse(t, true, nil)
	c := h.client()
	c.expect("MULTI", "+OK")
	c.expect("SET k 1", "+QUEUED")
	if got := c.do("EXEC now"); !strings.HasPrefix(got, "-EXECABORT") {
		t.Fatal(got)
	}
	c.expect("SET k 2", "+OK")
	c.expect("GET k", "$1 2")
	h.settled()
	h.same()
	for range 20 { // the pinned lane must not be left in a transaction for the next to use
		c.expect("MULTI", "+OK")
		c.expect("INCR n", "+QUEUED")
		c.do("EXEC now")
		c.expect("MULTI", "+OK")
		c.expect("DISCARD now", "-ERR wrong number of arguments for 'discard' command")
		c.expect("EXEC", "-EXECABORT Transaction discarded because of previous errors.")
	}
	h.settled()
	h.same()
}

// A server that refuses MULTI executes what follows at once.
func TestWritesBehindARefusedMultiAreSeen(t *testing.T) {
	bothWays(t, func(t *testing.T, whole bool) {
		h := newHouse(t, true, nil)
		dial(t, h.source.Addr).expect("ACL SETUSER default -multi", "+OK")
		c := h.client()
		if got := c.transact(whole, "SET k 1", "LPUSH l a"); !strings.HasPrefix(got, "-ERR EXEC without MULTI") {
			t.Fatal(got)
		}
		c.expect("GET k", "$1 1")
		h.converged()
		h.same()
	})
}

// Where EXEC is renamed the connection stays in the transaction: it must not serve anybody any more.
func TestALaneStuckInATransactionIsGivenUp(t *testing.T) {
	h := newHouseOn(t, redisd.Options{Args: []string{"--rename-command", "EXEC", "RUNIT"}}, redisd.Options{}, true, nil)
	c := h.client()
	c.transact(true, "SET k 1")
	other := h.client()
	h.await("the lane is up again", func() bool { return h.shard.counts.LanesLost > 0 && h.shard.primary.connected() })
	other.expect("SET k 2", "+OK")
	h.converged()
	h.same()
}

func TestATransactionOutlivesASwap(t *testing.T) {
	for _, end := range []string{"EXEC", "DISCARD"} {
		t.Run(end, func(t *testing.T) {
			h := newHouse(t, true, nil)
			c := h.client()
			c.expect("MULTI", "+OK")
			c.expect("INCR n", "+QUEUED")
			c.expect("INCR n", "+QUEUED")
			h.swap(h.tgt, h.src)
			if end == "EXEC" {
				c.expect("INCR n", "+QUEUED")
				c.expect("EXEC", "*3 :1 :2 :3")
			} else {
				c.expect("DISCARD", "+OK")
			}
			c.expect("SET x y", "+OK")
			h.settled()
			h.same()
		})
	}
}

// swap changes the roles; nothing may be dirty.
func (h *house) swap(primary, secondary *instance.Instance) {
	h.t.Helper()
	h.swapThen(primary, secondary, func() {})
}

// swapThen has then called in the step in which the roles change, with the lock held.
func (h *house) swapThen(primary, secondary *instance.Instance, then func()) {
	h.t.Helper()
	old := h.shard.effects
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	next, err := h.shard.Prepare(ctx, primary, instance.Facts{})
	if err != nil {
		h.t.Fatal(err)
	}
	e := h.shard.NewEffectLane(secondary, instance.Facts{})
	e.Start()
	h.await("effect lane", e.Up)
	h.shard.Hold()
	h.await("drained", func() bool { return h.shard.Answered() && h.shard.ledger.Drained() && next.Ready() })
	h.shard.lock()
	h.shard.Swap(next, e)
	then()
	h.shard.unlock()
	h.shard.Release()
	old.Stop()
}

// A lane whose transaction the server does not let us end is not given to the next who needs one.
func TestALaneLeftInATransactionIsClosed(t *testing.T) {
	users := redisd.Options{Password: "secret", Args: []string{"--user", "ann", "on", ">annpw", "~*", "+@all", "-discard"}}
	h := newHouseOn(t, users, redisd.Options{}, false, nil)
	a, b := h.client(), h.client()
	a.expect("AUTH ann annpw", "+OK")
	b.expect("AUTH ann annpw", "+OK")
	a.expect("MULTI", "+OK")
	a.expect("INCR n", "+QUEUED")
	if got := a.do("SUBSCRIBE x"); got[0] != '-' {
		t.Fatal(got)
	}
	if got := a.do("EXEC"); !strings.HasPrefix(got, "-EXECABORT") {
		t.Fatal(got)
	}
	b.expect("RPUSH q 1", ":1")
	b.expect("BLPOP q 1", "*2 $1 q $1 1")
	b.expect("MULTI", "+OK")
	b.expect("INCR n", "+QUEUED")
	b.expect("EXEC", "*1 :1")
}

// A transaction that came whole while the primary is away gets as many replies as it has commands, so that those of later
// commands are not taken for its own.
func TestAWholeTransactionThatIsNotSentIsAnsweredWhole(t *testing.T) {
	h := newHouse(t, true, nil)
	c := h.client()
	c.expect("SET k v", "+OK")
	h.waitForPrimary(100 * time.Millisecond)
	h.source.Kill()
	h.away()
	c = h.client()
	for _, parts := range []string{"", "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nw\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n"} {
		c.send("*1\r\n$5\r\nMULTI\r\n" + parts + "*1\r\n$4\r\nEXEC\r\n*2\r\n$4\r\nECHO\r\n$3\r\nend\r\n")
		if got := c.reply(); got != "+OK" {
			t.Errorf("MULTI: %s", got)
		}
		if parts != "" {
			for range 2 {
				if got := c.reply(); !strings.Contains(got, "cannot be reached") {
					t.Errorf("a command: %s", got)
				}
			}
		}
		if got := c.reply(); !strings.HasPrefix(got, "-EXECABORT") {
			t.Errorf("EXEC: %s", got)
		}
		if got := c.reply(); got != "$3 end" && !strings.Contains(got, "cannot be reached") {
			t.Errorf("the command behind it: %s", got)
		}
	}
}

// What a client has sent behind a MULTI that does not reach the primary is not executed on its own when the primary is
// back.
func TestWhatFollowsAMULTIThatIsNotSentIsNotExecuted(t *testing.T) {
	h := newHouseOn(t, redisd.Options{Save: true}, redisd.Options{}, true, nil)
	c := h.client()
	c.expect("SET k v", "+OK")
	h.waitForPrimary(100 * time.Millisecond)
	h.source.Kill()
	h.away()
	c = h.client()
	c.send("*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nw\r\n") // its EXEC comes later
	if got := c.reply(); !strings.Contains(got, "cannot be reached") {
		t.Fatalf("MULTI: %s", got)
	}
	h.waitForPrimary(30 * time.Second)
	if err := h.source.Restart(true); err != nil {
		t.Fatal(err)
	}
	if b, err := c.r.ReadByte(); err != io.EOF {
		t.Errorf("behind the error there is %q, %v; want the end of the connection", b, err)
	}
	if n := h.server.Closed(PrimaryLost); n != 1 {
		t.Errorf("%d sessions were closed for it", n)
	}
	h.client().expect("GET k", "$1 v")
}

// A client that goes while its EXEC waits to be sent leaves a lane behind that is in its transaction. It is nobody else's: he
// would be answered QUEUED to what he takes to be executed, and execute what the other has queued.
func TestALaneInTheTransactionOfOneWhoHasGoneIsClosed(t *testing.T) {
	for _, end := range []string{"EXEC", "DISCARD"} {
		t.Run(end, func(t *testing.T) {
			h := newHouse(t, true, nil)
			gone := h.client()
			gone.expect("MULTI", "+OK")
			gone.expect("SET k gone", "+QUEUED")
			s := h.server.all()[0]
			h.shard.Hold()
			gone.send(string(resp.AppendCommand(nil, end)))
			h.await("it has been read", func() bool { return s.last.Load().Name == end })
			s.close(ClientGone)
			h.await("it has gone", func() bool { return h.server.Sessions() == 0 })
			h.shard.Release()
			c := h.client()
			c.expect("WATCH k", "+OK")
			c.expect("GET k", "$-1")
			if got := c.transact(false, "INCR n"); got != "*1 :1" {
				t.Errorf("EXEC: %q", got)
			}
			h.settled()
			h.same()
		})
	}
}
