package proxy

import (
	"fmt"
	"slices"
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

// A hold lasts, and the time of a command that it has taken back is over meanwhile: the client is told so then.
func TestATimeoutIsKeptDuringAHold(t *testing.T) {
	h := newHouse(t, true, nil)
	h.client().expect("XGROUP CREATE s g 0 MKSTREAM", "+OK")
	for _, command := range []string{"BLPOP a b 0.3", "BRPOPLPUSH a b 1", "BZPOPMAX z 0.3", "XREAD BLOCK 300 STREAMS s $",
		"XREADGROUP GROUP g c BLOCK 300 STREAMS s >"} {
		for _, resp3 := range []bool{false, true} {
			c, want := h.client(), "*-1"
			if resp3 {
				c, want = h.resp3(), "_"
			}
			began := time.Now()
			c.start(command)
			h.blocked(1)
			h.shard.Hold()
			h.await("taken back", h.shard.Answered)
			c.wants(want)
			h.shard.Release()
			if d := time.Since(began); d < 290*time.Millisecond || d > 1500*time.Millisecond {
				t.Errorf("%s: answered after %s", command, d)
			}
			c.expect("PING", "+PONG")
		}
	}
}

func TestUnblockEndsWhatBlocksWhereverItWaits(t *testing.T) {
	onEach(t, func(t *testing.T, h *house) {
		other := h.client()
		other.expect("XGROUP CREATE s g 0 MKSTREAM", "+OK")
		for _, command := range []string{"BLPOP q 0", "XREAD BLOCK 0 STREAMS s $", "XREADGROUP GROUP g c BLOCK 0 STREAMS s >"} {
			for _, held := range []bool{false, true} {
				c := h.client()
				id := strings.TrimPrefix(c.do("CLIENT ID"), ":")
				for how, want := range map[string]string{"": "*-1", " TIMEOUT": "*-1", " ERROR": "-UNBLOCKED client unblocked via CLIENT UNBLOCK"} {
					other.expect("CLIENT UNBLOCK "+id+how, ":0")
					c.start(command)
					h.blocked(1)
					if held {
						h.shard.Hold()
						h.await("taken back", h.shard.Answered)
					}
					if held || strings.HasPrefix(command, "XREADGROUP") {
						other.expect("CLIENT UNBLOCK "+id+how, ":1")
					} else {
						h.blockedAt(h.source, 1)
						other.expect("CLIENT UNBLOCK "+id+how, ":1")
					}
					c.wants(want)
					if held {
						h.shard.Release()
					}
					c.expect("GET x", "$-1")
				}
				_ = c.Close()
			}
		}
		if h.shard.sliced.Load() {
			t.Error("commands are thought not to be taken back")
		}
	})
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

// For a client that is gone nothing is taken, also if it has sent more than is read ahead of it.
func TestNothingIsTakenForAClientThatHasGone(t *testing.T) {
	h := newHouse(t, true, nil)
	p := h.client()
	p.expect("XGROUP CREATE s g 0 MKSTREAM", "+OK")
	for _, command := range []string{"BLPOP q 0", "BLMOVE q d LEFT LEFT 0", "BZPOPMIN z 0", "XREADGROUP GROUP g c BLOCK 0 STREAMS s >"} {
		for _, behind := range []int{0, 3 * readAhead / 2} {
			c := h.client().start(command)
			h.blocked(1)
			set := string(resp.AppendCommand(nil, "SET", "never", strings.Repeat("x", 1000)))
			c.send(strings.Repeat(set, behind/len(set)))
			_ = c.Close()
			h.await("no session", func() bool { return len(h.server.all()) == 1 })
			h.blockedOrWatched(0)
		}
	}
	p.expect("RPUSH q 1", ":1")
	p.expect("ZADD z 1 m", ":1")
	p.expect("XADD s 1-1 f v", "$3 1-1")
	p.expect("XPENDING s g", "*4 :0 $-1 $-1 *-1")
	p.expect("EXISTS q z s d never", ":3")
	h.converged()
	h.same()
}

// blockedOrWatched waits until n commands block on the source, those that watch streams not counted.
func (h *house) blockedOrWatched(n int) {
	h.t.Helper()
	h.await("blocked lanes", func() bool {
		got := 0
		for ln := range h.shard.primary.pinned {
			if ln.up && ln.blocks() != nil || ln.stale {
				got++
			}
		}
		return got == n
	})
}

// The reply with which a hold takes a command back may have been read when its client goes. Nobody is left then to
// issue it again, and whoever stands in line behind it would wait for ever.
func TestAReplyToWhoHasGoneStandsInNobodysWay(t *testing.T) {
	h := newHouse(t, true, nil)
	c := h.client().start("BLPOP q 0")
	h.blocked(1)
	s := h.server.all()[0]
	h.shard.lock()
	b := s.blocks
	h.shard.unlock()
	_ = c.Close()
	h.await("the session has ended", func() bool { return len(h.server.all()) == 0 })
	h.shard.lock()
	b.taken = true
	b.answered([]byte("*-1\r\n"))
	h.shard.unlock()
	h.client().expect("BLPOP q 0.1", "*-1")
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

// Some servers do not let commands be taken back: then they block for short times only.
func TestWithoutUnblockCommandsBlockForShortTimes(t *testing.T) {
	h := newHouseOn(t, redisd.Options{Args: []string{"--rename-command", "CLIENT", "CLIENT-IS-NOT-HERE"}}, redisd.Options{}, true, nil)
	c, p := h.client(), h.client()
	c.start("BLPOP q 0")
	h.blockedAt(h.source, 1)
	h.shard.Hold()
	h.await("taken back", h.shard.Answered)
	h.shard.Release()
	h.blockedAt(h.source, 1)
	p.expect("RPUSH q 1", ":1")
	c.wants("*2 $1 q $1 1")
	c.expect("BLPOP q 0.4", "*-1")
	h.converged()
	h.same()
}

// The connection breaks: the client's ends as well, and what may have been taken is copied.
func TestALostLaneEndsItsBlockedSession(t *testing.T) {
	h := newHouse(t, true, nil)
	l := h.link(h.src, h.tgt)
	defer l.stop()
	p := h.client()
	c := h.client().start("BLPOP q 0")
	h.blockedAt(h.source, 1)
	d := h.direct(h.source)
	list := strings.Split(string(d.ask("CLIENT", "LIST").Str), "\n")
	at := slices.IndexFunc(list, func(line string) bool { return strings.Contains(line, "cmd=blpop") })
	if at < 0 {
		t.Fatal(list)
	}
	id, _, _ := strings.Cut(strings.TrimPrefix(list[at], "id="), " ")
	d.expect("CLIENT KILL ID "+id, ":1")
	if _, err := c.r.ReadByte(); err == nil {
		t.Error("the client was answered")
	}
	p.expect("RPUSH q 1", ":1")
	h.atRest()
	h.same()
}

// While the primary is away, a command that would block is answered with one error.
func TestWhatBlocksIsAnsweredOnceWithoutAPrimary(t *testing.T) {
	h := newHouse(t, true, func(o *Options, _ *ServerOptions) { o.PrimaryWait = 50 * time.Millisecond })
	p, reader := h.client(), h.client()
	p.expect("XGROUP CREATE s g 0 MKSTREAM", "+OK")
	reader.start("XREADGROUP GROUP g c BLOCK 0 STREAMS s >") // waits in a crowd meanwhile
	blocked := h.client().start("BLPOP q 0")
	h.blocked(2)
	h.source.Kill()
	if _, err := blocked.r.ReadByte(); err == nil {
		t.Error("the blocked client was answered")
	}
	for _, command := range []string{"BLPOP q 0", "XREAD BLOCK 0 STREAMS s $", "XREADGROUP GROUP g c BLOCK 0 STREAMS s >", "WAIT 1 0"} {
		c := h.client()
		if got := c.do(command); !strings.HasPrefix(got, "-ERR tandem: ") {
			t.Errorf("%s: %q", command, got)
		}
		c.expect("PING", "+PONG")
	}
	if got := reader.reply(); !strings.HasPrefix(got, "-ERR tandem: ") {
		t.Errorf("the reader: %q", got)
	}
	reader.expect("PING", "+PONG")
}

// Waiting is not idling, and a proxy that stops does not wait for those who wait.
func TestWaitingClientsAreNotIdleAndDoNotHoldUpAShutdown(t *testing.T) {
	h := newHouse(t, true, func(_ *Options, so *ServerOptions) { so.IdleTimeout = 100 * time.Millisecond })
	p := h.client()
	p.expect("XGROUP CREATE s g 0 MKSTREAM", "+OK")
	var waiting []*wire
	for _, command := range []string{"BLPOP q 0.3", "XREADGROUP GROUP g c BLOCK 300 STREAMS s >"} {
		waiting = append(waiting, h.client().start(command))
	}
	for _, c := range waiting {
		c.wants("*-1")
		c.expect("PING", "+PONG")
	}
	for i, command := range []string{"BLPOP q 0", "XREADGROUP GROUP g c BLOCK 0 STREAMS s >"} {
		waiting[i].start(command)
	}
	h.blocked(2)
	began := time.Now()
	h.server.Shutdown(t.Context())
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("it took %s", d)
	}
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
