package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/resp"
	"tandem/router"
)

// blockedAt waits until n clients block on a server itself.
func (h *house) blockedAt(s *redisd.Server, n int) {
	h.t.Helper()
	w := h.direct(s)
	defer w.Close()
	want := fmt.Sprintf("blocked_clients:%d\r\n", n)
	for until := time.Now().Add(10 * time.Second); ; {
		info := string(w.ask("INFO", "clients").Str)
		if strings.Contains(info, want) {
			return
		}
		if time.Now().After(until) {
			h.t.Fatalf("not %q, but %s", want, info)
		}
	}
}

// blocked waits until n sessions block, on the server or in a crowd.
func (h *house) blocked(n int) {
	h.t.Helper()
	h.await(fmt.Sprint(n, " blocked sessions"), func() bool {
		got := 0
		for _, s := range h.server.all() {
			if b := s.blocks; b != nil && !b.trying {
				got++
			}
		}
		return got == n
	})
}

// start sends a command and does not wait for its reply.
func (w *wire) start(command string) *wire {
	w.t.Helper()
	w.send(string(resp.AppendCommand(nil, strings.Fields(command)...)))
	return w
}

func (w *wire) wants(want string) {
	w.t.Helper()
	if got := w.reply(); got != want {
		w.t.Fatalf("%.200q, want %.200q", got, want)
	}
}

// silent fails the test if there is a reply, or one comes soon, although there should be none.
func (w *wire) silent() {
	w.t.Helper()
	_ = w.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if b, err := w.r.Peek(1); err == nil {
		w.t.Fatalf("%q came too early: %q", b, w.reply())
	}
	_ = w.SetReadDeadline(time.Now().Add(30 * time.Second))
}

// onEach runs a test in a house on servers of each version, for what versions do differently.
func onEach(t *testing.T, f func(t *testing.T, h *house)) {
	for _, b := range redisdtest.Binaries(t) {
		if b.Name == "valkey-9.1" {
			continue // as 8.1 in all of this
		}
		t.Run(b.Name, func(t *testing.T) {
			t.Parallel()
			f(t, newHouseOn(t, redisd.Options{Binary: b.Path}, redisd.Options{Binary: b.Path}, true, nil))
		})
	}
}

// What blocks waits in the order in which it came, and that order survives being taken back, by a hold that comes
// to nothing and by a swap; whoever comes during the hold is behind.
func TestBlockedClientsAreServedInTheirOrder(t *testing.T) {
	for _, kind := range []struct{ block, push, reply string }{
		{"BLPOP q 0", "RPUSH q %d", "*2 $1 q $1 %d"},
		{"BZPOPMIN q 0", "ZADD q %d m", "*3 $1 q $1 m $1 %d"},
		{"BRPOPLPUSH q dest 0", "RPUSH q %d", "$1 %d"},
		{"XREADGROUP GROUP g c%d BLOCK 0 COUNT 1 STREAMS q >", "XADD q %d-1 f v", "*1 *2 $1 q *1 *2 $3 %d-1 *2 $1 f $1 v"},
	} {
		t.Run(kind.block, func(t *testing.T) {
			h := newHouse(t, true, nil)
			pusher := h.client()
			if strings.HasPrefix(kind.block, "XREADGROUP") {
				pusher.expect("XGROUP CREATE q g 0 MKSTREAM", "+OK")
			}
			var clients []*wire
			come := func(waits bool) {
				command := kind.block
				if strings.Contains(command, "%d") {
					command = fmt.Sprintf(command, len(clients))
				}
				clients = append(clients, h.client().start(command))
				if waits {
					h.blocked(len(clients))
				}
			}
			for range 5 {
				come(true)
			}
			h.shard.Hold()
			h.await("taken back", h.shard.Answered)
			come(false)
			h.await("the newcomer", func() bool { return len(h.shard.line) > 0 && h.shard.line[len(h.shard.line)-1].order == 6 })
			h.shard.Release()
			h.blocked(6)
			h.swap(h.tgt, h.src)
			h.blocked(6)
			for i, c := range clients {
				h.await("all blocked again", func() bool { return len(h.shard.line) == 0 })
				if !strings.HasPrefix(kind.block, "XREADGROUP") {
					h.blockedAt(h.target, len(clients)-i)
				}
				pusher.do(fmt.Sprintf(kind.push, i+1))
				c.wants(strings.ReplaceAll(kind.reply, "%d", fmt.Sprint(i+1)))
			}
			l := h.link(h.tgt, h.src)
			defer l.stop()
			h.atRest()
			h.same()
		})
	}
}

// Many kilobytes, and more than fit into a lane's buffer, both found there and pushed while the client blocks.
func TestLargeElementsAreWhatTheBlockingCommandAnswers(t *testing.T) {
	h := newHouse(t, true, nil)
	l := h.link(h.src, h.tgt)
	defer l.stop()
	c, p := h.client(), h.client()
	for _, size := range []int{100 << 10, 1<<20 - 1, 1 << 20, 3 << 20} {
		// Every line of it looks like a reply, whatever is the head of a piece.
		big := strings.Repeat("\n$-1\r\n*-1\r\n_\r\n-ERR\r\n", size/20)
		bulk := fmt.Sprintf("$%d\r\n%s\r\n", len(big), big)
		for _, x := range []struct{ block, push, want string }{
			{"BLPOP q 0", "RPUSH q", "*2\r\n$1\r\nq\r\n" + bulk},
			{"BRPOP other q 0", "RPUSH q", "*2\r\n$1\r\nq\r\n" + bulk},
			{"BRPOPLPUSH q d 0", "RPUSH q", bulk},
			{"BLMPOP 0 1 q LEFT", "RPUSH q", "*2\r\n$1\r\nq\r\n*1\r\n" + bulk},
			{"BZPOPMIN q 0", "ZADD q 7", "*3\r\n$1\r\nq\r\n" + bulk + "$1\r\n7\r\n"},
			{"BZPOPMAX other q 0", "ZADD q 7", "*3\r\n$1\r\nq\r\n" + bulk + "$1\r\n7\r\n"},
		} {
			for _, blocks := range []bool{false, true} {
				push := append(strings.Fields(x.push), big)
				if !blocks {
					p.ask(push...)
				}
				c.start(x.block)
				if blocks {
					h.blockedAt(h.source, 1)
					p.ask(push...)
				}
				if got := string(c.raw()); got != x.want {
					t.Fatalf("%s, blocked %v: %d bytes %.40q ... %.40q", x.block, blocks, len(got), got, got[len(got)-40:])
				}
			}
		}
		// "$" is read from XINFO, whose reply has the last entry in it.
		p.ask("XADD", "s", "1-1", "f", big)
		c.start("XREAD BLOCK 0 STREAMS s $")
		h.blockedAt(h.source, 1)
		p.ask("XADD", "s", "1-2", "f", "v")
		c.wants("*1 *2 $1 s *1 *2 $3 1-2 *2 $1 f $1 v")
		p.ask("DEL", "s", "d")
	}
	h.atRest()
	h.same()
}

// What is sent behind a command that blocks is executed after it, all of it.
func TestWhatIsBehindABlockedCommandWaits(t *testing.T) {
	h := newHouse(t, true, nil)
	c, p := h.client(), h.client()
	const n = 40_000
	c.start("BLPOP q 0")
	h.blocked(1)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		c.send(strings.Repeat("*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n", n)) // more than is read ahead
	}()
	p.expect("GET n", "$-1")
	p.expect("RPUSH q x", ":1")
	c.wants("*2 $1 q $1 x")
	for i := range n {
		c.wants(fmt.Sprint(":", i+1))
	}
	<-sent
	h.converged()
	h.same()
}

// WAIT waits for what its connection has done, and a fresh one has done nothing: so something is done on it first.
func TestWaitIsPrecededByACommandOnItsConnection(t *testing.T) {
	h := newHouse(t, true, nil)
	m := h.direct(h.source)
	m.expect("MONITOR", "+OK")
	c := h.client()
	c.expect("SET k v", "+OK")
	c.expect("WAIT 0 100", ":0")
	c.expect("WAIT 1 20", ":0")
	c.start("WAIT 1 0")
	h.blockedAt(h.source, 1)
	h.shard.Hold()
	h.await("taken back", h.shard.Answered)
	h.shard.Release()
	h.blockedAt(h.source, 1)
	c.silent()
	id := fmt.Sprint(h.server.all()[0].id)
	h.client().expect("CLIENT UNBLOCK "+id, ":1")
	c.wants(":0")
	c.expect("SET end 1", "+OK")
	before := map[string]string{} // by connection
	waits := 0
	for {
		line := m.reply()
		addr, command, _ := strings.Cut(line[strings.Index(line, "["):], "] ")
		if strings.HasPrefix(command, `"WAIT"`) {
			if waits++; before[addr] != `"PING"` {
				t.Errorf("%s after %s", command, before[addr])
			}
		}
		if before[addr] = command; strings.Contains(command, `"end"`) {
			break
		}
	}
	if waits != 4 {
		t.Errorf("WAIT was sent %d times", waits)
	}
}

// Blocking commands do not block in a transaction, and what they do there is repeated.
func TestNothingBlocksInATransaction(t *testing.T) {
	h := newHouse(t, true, nil)
	h.client().expect("RPUSH q 1 2", ":2")
	for _, c := range []*wire{h.client(), h.resp3()} {
		null := "*-1"
		if c.do("GET x") == "_" {
			null = "_"
		}
		c.expect("MULTI", "+OK")
		c.expect("BLPOP q 0", "+QUEUED")
		c.expect("BLPOP empty 0", "+QUEUED")
		got := c.do("EXEC")
		if want := "*2 *2 $1 q $1 "; !strings.HasPrefix(got, want) || !strings.HasSuffix(got, " "+null) {
			t.Errorf("EXEC: %q", got)
		}
	}
	h.converged()
	h.same()
}

// Everything that can make a key have something serves who waits for it.
func TestEveryWayToPushServesWhoWaits(t *testing.T) {
	onEach(t, func(t *testing.T, h *house) {
		l := h.link(h.src, h.tgt)
		defer l.stop()
		p, old := h.client(), strings.HasPrefix(h.source.Name, "redis-6.0")
		for _, x := range []struct {
			setup, block string
			push         []string
			want         string
			since62      bool
		}{
			{"RPUSH from 1", "BLPOP q 0", []string{"RENAME from q"}, "*2 $1 q $1 1", false},
			{"RPUSH from 1", "BLPOP q 0", []string{"COPY from q"}, "*2 $1 q $1 1", true},
			{"RPUSH from 1", "BLPOP q 0", []string{"SORT from STORE q"}, "*2 $1 q $1 1", false},
			{"RPUSH from 1", "BLPOP q 0", []string{"RPOPLPUSH from q"}, "*2 $1 q $1 1", false},
			{"SET x 1", "BLPOP q 0", []string{"EVAL return(redis.call('RPUSH',KEYS[1],1)) 1 q"}, "*2 $1 q $1 1", false},
			{"SET x 1", "BLPOP q 0", []string{"MULTI", "RPUSH q a b", "LPOP q", "EXEC"}, "*2 $1 q $1 b", false},
			{"SET x 1", "BLPOP q 0", []string{"SET q x", "DEL q", "RPUSH q 1"}, "*2 $1 q $1 1", false},
			{"ZADD from 1 m", "BZPOPMIN q 0", []string{"ZUNIONSTORE q 1 from"}, "*3 $1 q $1 m $1 1", false},
			{"ZADD from 1 m", "BZPOPMIN q 0", []string{"RENAME from q"}, "*3 $1 q $1 m $1 1", false},
			{"RPUSH q2 1", "BRPOPLPUSH a b 0", []string{"RENAME q2 a"}, "$1 1", false},
			{"SET x 1", "BLPOP q 0", []string{"FLUSHALL", "RPUSH q 1"}, "*2 $1 q $1 1", false},
			{"SET x 1", "BLPOP other q 0", []string{"RPUSH q 1"}, "*2 $1 q $1 1", false},
		} {
			if x.since62 && old {
				continue
			}
			p.do(x.setup)
			c := h.client().start(x.block)
			h.blockedAt(h.source, 1)
			for _, command := range x.push {
				if got := p.do(command); strings.HasPrefix(got, "-") {
					t.Fatalf("%s: %s", command, got)
				}
			}
			if got := c.reply(); got != x.want {
				t.Errorf("%s, then %v: %q, want %q", x.block, x.push, got, x.want)
			}
			h.atRest()
			h.same()
			p.expect("FLUSHALL", "+OK")
		}
		// A chain: the first is served by the push, the second by the first.
		second := h.client().start("BRPOP b 0")
		h.blockedAt(h.source, 1)
		first := h.client().start("BRPOPLPUSH a b 0")
		h.blockedAt(h.source, 2)
		p.expect("LPUSH a 7", ":1")
		first.wants("$1 7")
		second.wants("*2 $1 b $1 7")
		h.atRest()
		h.same()
	})
}

// The proxy's lanes and goroutines for blocked commands do not add up.
func TestManyBlockingCommandsLeaveNothingBehind(t *testing.T) {
	h := newHouse(t, true, nil)
	l := h.link(h.src, h.tgt)
	defer l.stop()
	c, p := h.client(), h.client()
	for i := range 2000 {
		c.start("BLPOP q 0")
		if i%2 == 0 {
			h.blocked(1)
		}
		p.do(fmt.Sprint("RPUSH q ", i))
		c.wants(fmt.Sprintf("*2 $1 q $%d %d", len(fmt.Sprint(i)), i))
	}
	h.shard.lock()
	pinned := len(h.shard.primary.pinned)
	h.shard.unlock()
	if pinned > 2 {
		t.Errorf("%d lanes of a session's own are open", pinned)
	}
	h.atRest()
	h.same()
}

// Of a command that blocks, and whose keys the server does not tell, anything may have changed once it is answered.
func TestALearnedCommandThatBlocksIsSweptFor(t *testing.T) {
	h := newHouseOn(t, redisd.Options{Args: []string{"--rename-command", "BLPOP", "XPOP"}}, redisd.Options{}, true, nil)
	cmd, err := router.Learn([]byte("*7\r\n$4\r\nxpop\r\n:-3\r\n*2\r\n+write\r\n+blocking\r\n:0\r\n:0\r\n:0\r\n*0\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	h.shard.lock()
	h.shard.learned["XPOP"] = &learned{cmd: cmd, until: time.Now().Add(time.Hour), of: h.shard.primary}
	h.shard.unlock()
	c, p := h.client(), h.client()
	c.expect("XPOP", "-ERR wrong number of arguments for 'blpop' command")
	if why, owed := h.sweepOwed(); owed {
		t.Errorf("after an error: %s", why)
	}
	c.start("XPOP q 0")
	h.blockedAt(h.source, 1)
	p.expect("RPUSH q 1 2", ":2")
	c.wants("*2 $1 q $1 1")
	h.await("what the command has done is looked for", h.shard.ledger.Sweeping)
}
