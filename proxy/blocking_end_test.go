package proxy

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/resp"
)

// A hold lasts, and the time of a command that it has taken back is over meanwhile: the client is told so then.
func TestATimeoutIsKeptDuringAHold(t *testing.T) {
	h := newHouse(t, true, nil)
	h.client().expect("XGROUP CREATE s g 0 MKSTREAM", "+OK")
	commands := []string{"BLPOP a b 2", "BRPOPLPUSH a b 2", "BZPOPMAX z 2", "XREAD BLOCK 2000 STREAMS s $",
		"XREADGROUP GROUP g c BLOCK 2000 STREAMS s >"}
	var clients []*wire
	for range commands {
		clients = append(clients, h.client(), h.resp3())
	}
	began := time.Now()
	for i, c := range clients {
		c.start(commands[i/2])
	}
	h.blocked(len(clients))
	h.shard.Hold()
	h.await("taken back", h.shard.Answered)
	for i, c := range clients {
		c.wants([]string{"*-1", "_"}[i%2])
		if d := time.Since(began); d < 1990*time.Millisecond {
			t.Errorf("%s: answered after %s", commands[i/2], d)
		}
	}
	h.shard.Release()
	for _, c := range clients {
		c.expect("PING", "+PONG")
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
	h := newHouse(t, true, nil)
	p, reader := h.client(), h.client()
	p.expect("XGROUP CREATE s g 0 MKSTREAM", "+OK")
	reader.start("XREADGROUP GROUP g c BLOCK 0 STREAMS s >") // waits in a crowd meanwhile
	blocked := h.client().start("BLPOP q 0")
	h.blocked(2)
	h.waitForPrimary(50 * time.Millisecond)
	h.source.Kill()
	if _, err := blocked.r.ReadByte(); err == nil {
		t.Error("the blocked client was answered")
	}
	h.away()
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
	h := newHouse(t, true, func(_ *Options, so *ServerOptions) { so.IdleTimeout = time.Hour })
	p := h.client()
	p.expect("XGROUP CREATE s g 0 MKSTREAM", "+OK")
	first := h.session()
	var waiting []*wire
	for _, command := range []string{"BLPOP q 0", "XREADGROUP GROUP g c BLOCK 0 STREAMS s >"} {
		waiting = append(waiting, h.client().start(command))
	}
	h.blocked(2)
	var sessions []*session
	for _, s := range h.server.all() {
		if s != first {
			s.active.Store(time.Now().Add(-2 * time.Hour).UnixNano())
			sessions = append(sessions, s)
		}
	}
	h.server.lookForSilent()
	for _, s := range sessions {
		h.await("it was looked at", func() bool { return s.kept.Load() > 0 || s.closed.Load() })
		if s.closed.Load() {
			t.Error("one who waits was closed")
		}
	}
	p.expect("RPUSH q x", ":1")
	p.expect("XADD s 1-1 f v", "$3 1-1")
	waiting[0].wants("*2 $1 q $1 x")
	waiting[1].wants("*1 *2 $1 s *1 *2 $3 1-1 *2 $1 f $1 v")
	h.server.lookForSilent()
	for _, c := range waiting {
		c.expect("PING", "+PONG")
	}
	for i, command := range []string{"BLPOP q 0", "XREADGROUP GROUP g c BLOCK 0 STREAMS s >"} {
		waiting[i].start(command)
	}
	h.blocked(2)
	began := time.Now()
	h.server.Shutdown(t.Context())
	if d := time.Since(began); d > 20*time.Second {
		t.Errorf("it took %s", d)
	}
}
