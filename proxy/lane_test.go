package proxy

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"tandem/internal/instance"
	"tandem/internal/redisd"
	"tandem/internal/resp"
)

// cut breaks the connections of all lanes, as a network would, and returns how many.
func (h *house) cut() (lanes int) {
	h.shard.lock()
	defer h.shard.unlock()
	for _, ls := range h.shard.primary.lanes {
		for _, ln := range ls.shared {
			_ = ln.conn.Close()
			lanes++
		}
	}
	return lanes
}

// away waits until it has been seen that the primary is gone: what is sent before that would be lost with its connection.
func (h *house) away() {
	h.t.Helper()
	h.await("the primary is seen to be away", h.shard.NoneUp)
}

// waitForPrimary changes how long a command waits while the primary cannot be reached. Less than the default is for when all lanes
// are up that the test needs: on a busy machine it takes long to open one.
func (h *house) waitForPrimary(d time.Duration) {
	h.shard.lock()
	defer h.shard.unlock()
	h.shard.opt.PrimaryWait = d
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
	// A small buffer cuts every reply somewhere.
	h := newHouse(t, true, func(o *Options, _ *ServerOptions) { o.laneBuffer = 7 })
	value := strings.Repeat("v", 300)
	for range 50 {
		c := h.client()
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

// Swaps, transactions that are left open, lanes that are lost: afterwards both servers have the connections
// that are in use, and no more.
func TestConnectionsAreNotLeftBehind(t *testing.T) {
	h := newHouse(t, true, nil)
	instances := []*instance.Instance{h.src, h.tgt}
	var open []*wire
	for round := range 6 {
		c := h.client()
		c.expect("MULTI", "+OK")
		c.expect("INCR n", "+QUEUED")
		open = append(open, c)
		h.client().transact(false, "INCR n")
		c = h.client()
		c.expect("SELECT 1", "+OK")
		c.expect("INCR n", fmt.Sprintf(":%d", round+1))
		h.await("drained", h.shard.ledger.Drained)
		h.swap(instances[(round+1)%2], instances[round%2])
	}
	for i, c := range open {
		if i%2 == 0 {
			c.expect("EXEC", fmt.Sprintf("*1 :%d", 7+i/2))
		}
		_ = c.Close()
	}
	h.await("the sessions have ended", func() bool { return h.server.Sessions() <= 12 })
	names := func(addr string) (names []string) {
		for _, line := range strings.Split(string(dial(t, addr).ask("CLIENT", "LIST").Str), "\n") {
			if _, rest, ok := strings.Cut(line, " name=tandem:test:"); ok {
				name, _, _ := strings.Cut(rest, " ")
				names = append(names, name)
			}
		}
		return names
	}
	// Two lanes and the pins that are kept for the next; one effect lane.
	var source, target []string
	for range 200 {
		source, target = names(h.source.Addr), names(h.target.Addr)
		if len(source) <= 2+4 && len(target) == 1 {
			break
		}
		h.settled()
	}
	if len(source) > 2+4 || len(target) != 1 {
		t.Errorf("left on the source: %q\non the target: %q", source, target)
	}
	h.shard.lock()
	defer h.shard.unlock()
	if n := len(h.shard.primary.pinned); n > 4 {
		t.Errorf("%d pinned lanes", n)
	}
}

// While the primary is away, or reads its data from disk, commands wait: SELECT too, for a client that goes on
// in the database it was in would write to the wrong one.
func TestCommandsWaitForAPrimaryThatStarts(t *testing.T) {
	slow := redisd.Options{Save: true, Args: []string{"--key-load-delay", "1000"}} // µs per key
	h := newHouseOn(t, slow, redisd.Options{}, true, func(o *Options, _ *ServerOptions) { o.PrimaryWait = 20 * time.Second })
	c := h.client()
	var b []byte
	for i := range 1000 {
		b = resp.AppendCommand(b, "SET", fmt.Sprint("k", i), "v")
	}
	c.send(string(b))
	for range 1000 {
		if got := c.reply(); got != "+OK" {
			t.Fatal(got)
		}
	}
	h.source.Kill()
	h.away()
	selects, writes, block := h.client(), h.client(), h.client()
	selects.send("SELECT 5\r\n")
	writes.send("SET a 1\r\n")
	block.send("MULTI\r\n")
	restarted := make(chan error, 1)
	go func() { restarted <- h.source.Restart(true) }()
	for _, w := range []*wire{selects, writes, block} {
		if got := w.reply(); got != "+OK" {
			t.Error(got)
		}
	}
	if err := <-restarted; err != nil {
		t.Fatal(err)
	}
	selects.expect("SET a 5", "+OK")
	block.expect("INCR a", "+QUEUED")
	block.expect("EXEC", "*1 :2")
	h.converged()
	h.same()
}

func TestAServerThatLoadsIsNotThere(t *testing.T) {
	for reply, want := range map[string]error{
		"+PONG\r\n": nil,
		"-NOPERM this user has no permissions to run the 'ping' command\r\n":    nil,
		"-LOADING Redis is loading the dataset in memory\r\n":                   errLoading,
		"-LOADING Valkey is loading the dataset in memory\r\n+OK\r\n+OK\r\n":    errLoading,
		"-NOAUTH Authentication required.\r\nwhat is behind it is not read\r\n": nil,
	} {
		ours, theirs := net.Pipe()
		rest := make(chan string, 1)
		go func() {
			defer theirs.Close()
			_, _ = theirs.Read(make([]byte, 100))
			n, _ := theirs.Write([]byte(reply))
			rest <- reply[n:]
		}()
		if err := loaded(t.Context(), ours); !errors.Is(err, want) {
			t.Errorf("%q: %v", reply, err)
		}
		_ = ours.Close()
		if first, behind, _ := strings.Cut(reply, "\r\n"); <-rest != behind {
			t.Errorf("more was read than %q", first)
		}
	}
	ours, theirs := net.Pipe()
	_ = theirs.Close()
	if err := loaded(t.Context(), ours); err == nil {
		t.Error("a closed connection is there")
	}
}

// The end of a large value is no push, message or line of MONITOR, whatever it looks like.
func TestTheRestOfAValueIsTakenForNothingElse(t *testing.T) {
	h := newHouse(t, true, func(o *Options, _ *ServerOptions) { o.laneBuffer = 64 })
	for _, char := range []string{">", "*", "+", "$", "-"} {
		value := strings.Repeat(char, 5000)
		h.client().expect("SET k "+value, "+OK")
		for protocol, connect := range map[string]func() *wire{"RESP2": h.client, "RESP3": h.resp3} {
			for _, pin := range []string{"", "WATCH w", "CLIENT TRACKING ON OPTIN"} {
				c := connect()
				if pin != "" {
					c.expect(pin, "+OK")
				}
				for range 5 {
					if got, want := c.do("GET k"), fmt.Sprintf("$%d %s", len(value), value); got != want {
						t.Fatalf("%s, %q, %s: %.60q", protocol, pin, char, got)
					}
				}
				c.expect("ECHO done", "$4 done")
				_ = c.Close()
			}
		}
	}
	h.settled()
	h.same()
}

// What a round puts off to its end is little: with much of it the server begins meanwhile, whoever has put off the first.
func TestMuchDoesNotWaitForTheEndOfARound(t *testing.T) {
	h := newHouse(t, false, nil)
	h.client().expect("SET a b", "+OK")
	h.settled()
	h.shard.lock()
	defer h.shard.unlock()
	ln := h.shard.lanesOf(h.shard.primary, laneKey{who: h.shard.accounts.own}).shared[0]
	ln.due = true // another session has put off a little, in a round that goes on
	ln.swallow(pingFrame)
	if ln.flushSoon(nil); ln.out.unsent != len(pingFrame) {
		t.Error("a little was not put off")
	}
	ln.swallow(resp.AppendCommand(nil, "ECHO", strings.Repeat("x", flushAt)))
	if ln.flushSoon(nil); ln.out.unsent != 0 {
		t.Errorf("%d bytes wait", ln.out.unsent)
	}
	for n := 1; n <= flushCommands; n++ {
		ln.swallow(pingFrame)
		if ln.flushSoon(nil); (ln.out.unsent == 0) != (n == flushCommands) {
			t.Fatalf("of %d commands %d bytes wait", n, ln.out.unsent)
		}
	}
	ln.due = false
}
