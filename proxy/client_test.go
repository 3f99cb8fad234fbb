package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"tandem/internal/resp"
)

func heapBytes() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// session waits until the server has a session and returns it, the youngest if there are several.
func (h *house) session() *session {
	h.t.Helper()
	var s *session
	h.await("a session", func() bool {
		h.server.mu.Lock()
		defer h.server.mu.Unlock()
		for x := range h.server.sessions {
			if s == nil || x.id > s.id {
				s = x
			}
		}
		return s != nil
	})
	return s
}

func TestAHalfClosedClientThatReadsLateGetsEverything(t *testing.T) {
	h := newHouse(t, false, nil)
	value := strings.Repeat("v", 24<<20)
	c := h.client()
	c.send(string(resp.AppendCommand(nil, "SET", "big", value)))
	if got := c.reply(); got != "+OK" {
		t.Fatal(got)
	}
	c.send(string(resp.AppendCommand(nil, "GET", "big")) + "PING\r\n")
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	s := h.session()
	h.await("all is answered", func() bool { return s.inflight.Load() == 0 && s.out.size() > 0 })
	all, err := io.ReadAll(c.r)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("$%d\r\n%s\r\n+PONG\r\n", len(value), value)
	if string(all) != want {
		t.Errorf("%d bytes came, want %d", len(all), len(want))
	}
}

func TestAnnouncedLengthsCostNothing(t *testing.T) {
	h := newHouse(t, false, func(_ *Options, o *ServerOptions) { o.MaxClients = 1000 })
	h.client().expect("SET a b", "+OK")
	before := heapBytes()
	const clients = 200
	all := make([]*wire, clients)
	for i := range all {
		all[i] = h.client()
		all[i].send([]string{"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nv", "*1048576\r\n$1\r\nx\r\n"}[i%2])
	}
	h.await("all have been read", func() bool {
		h.server.mu.Lock()
		defer h.server.mu.Unlock()
		return len(h.server.sessions) >= clients
	})
	for _, c := range all {
		c.send("x")
	}
	if grown := heapBytes() - before; grown > clients*(readBuffer+16<<10) {
		t.Errorf("%d clients that announced much cost %d bytes each", clients, grown/clients)
	}
}

func TestSilentClientsCostLittle(t *testing.T) {
	h := newHouse(t, false, func(_ *Options, o *ServerOptions) { o.MaxClients = 1000 })
	var batch []byte
	for range 2000 {
		batch = resp.AppendCommand(batch, "SET", "key", strings.Repeat("x", 100))
	}
	h.client().expect("SET a b", "+OK")
	before := heapBytes()
	const clients = 200
	for range clients {
		c := h.client()
		go c.send(string(batch))
		for range 2000 {
			if _, err := c.r.Discard(5); err != nil {
				t.Fatal(err)
			}
		}
		c.r.Reset(nil)
		c.r = nil
	}
	runtime.GC() // twice: what is in a pool outlives the first
	if grown := heapBytes() - before; grown > clients*24<<10 {
		t.Errorf("a silent client costs %d bytes", grown/clients)
	}
}

// Our own answers have no bytes for the primary, so its backlog does not bound them.
func TestAnswersBehindAStoppedPrimaryAreBounded(t *testing.T) {
	h := newHouse(t, false, func(_ *Options, o *ServerOptions) { o.WriteTimeout = time.Minute })
	c := h.client()
	c.expect("SET a b", "+OK")
	if err := h.source.Pause(); err != nil {
		t.Fatal(err)
	}
	before := heapBytes()
	const pings = 2 * queueLimit
	c.send("*2\r\n$3\r\nGET\r\n$1\r\na\r\n")
	go c.send(strings.Repeat("PING\r\n", pings))
	s := h.session()
	h.await("the proxy stops reading", func() bool { return s.inflight.Load() >= maxInflight })
	if n := s.inflight.Load(); n > maxInflight+batchMax {
		t.Errorf("%d answers wait", n)
	}
	if grown := heapBytes() - before; grown > 300<<20 {
		t.Errorf("%d MiB", grown>>20)
	}
	if err := h.source.Continue(); err != nil {
		t.Fatal(err)
	}
	if got := c.reply(); got != "$1 b" {
		t.Error(got)
	}
	for i := range pings {
		if got := c.reply(); got != "+PONG" {
			t.Fatalf("reply %d: %s", i, got)
		}
	}
}

func TestAClientThatDoesNotReadIsNotAskedForMore(t *testing.T) {
	h := newHouse(t, false, func(_ *Options, o *ServerOptions) { o.OutputLimit = 8 << 20 })
	c := h.client()
	c.send(string(resp.AppendCommand(nil, "SET", "k", strings.Repeat("v", 4<<10))))
	if got := c.reply(); got != "+OK" {
		t.Fatal(got)
	}
	// 200 MB of replies are asked for at once, and read only then.
	go c.send(strings.Repeat("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", 50000))
	s := h.session()
	h.await("replies are kept", func() bool { return s.out.size() > h.server.OutputLimit/4 })
	for i := range 50000 {
		if _, err := c.r.Discard(len("$4096\r\n") + 4<<10 + 2); err != nil {
			t.Fatalf("reply %d: %v", i, err)
		}
	}
}

func TestIdleClientsAreClosedAndWaitingOnesAreNot(t *testing.T) {
	h := newHouse(t, false, func(o *Options, so *ServerOptions) {
		o.PrimaryWait = time.Minute
		so.IdleTimeout = 100 * time.Millisecond
	})
	h.direct(h.source).expect("SET a b", "+OK")
	h.shard.Open()
	h.await("the lanes", h.shard.Known)
	if err := h.source.Pause(); err != nil {
		t.Fatal(err)
	}
	var c *wire
	for waits := false; !waits; { // a busy machine may be so slow to ask that it is closed itself before
		c = h.client()
		s := h.session()
		_, _ = io.WriteString(c, "*2\r\n$3\r\nGET\r\n$1\r\na\r\n")
		h.await("it waits, or is closed", func() bool {
			waits = s.inflight.Load() == 1
			return waits || s.closed.Load()
		})
	}
	began := time.Now()
	idle := h.client() // says nothing
	if _, err := idle.r.ReadByte(); err != io.EOF {
		t.Errorf("an idle client: %v", err)
	}
	if time.Since(began) < h.server.IdleTimeout {
		t.Error("closed too early")
	}
	if err := h.source.Continue(); err != nil {
		t.Fatal(err)
	}
	if got := c.reply(); got != "$1 b" {
		t.Error(got)
	}
	if n := h.server.Closed(IdleTimeout); n == 0 {
		t.Error("no reason was counted")
	}
}

// A client is not silent while it waits for an answer: when that comes, its time begins anew.
func TestTheTimeOfAnAnswerIsNoSilence(t *testing.T) {
	h := newHouse(t, false, func(o *Options, so *ServerOptions) {
		o.PrimaryWait = time.Minute
		so.IdleTimeout = time.Hour
	})
	c := h.client()
	c.expect("SET a b", "+OK")
	s := h.session()
	h.await("that is over", func() bool { return s.inflight.Load() == 0 })
	if err := h.source.Pause(); err != nil {
		t.Fatal(err)
	}
	c.send("*2\r\n$3\r\nGET\r\n$1\r\na\r\n")
	h.await("the command is on its way", func() bool { return s.inflight.Load() == 1 })
	twoHoursAgo := time.Now().Add(-2 * time.Hour).UnixNano()
	s.active.Store(twoHoursAgo)
	h.server.lookForSilent()
	if err := h.source.Continue(); err != nil {
		t.Fatal(err)
	}
	if got := c.reply(); got != "$1 b" {
		t.Fatal(got)
	}
	h.await("it is answered", func() bool { return s.inflight.Load() == 0 })
	h.server.lookForSilent()
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := c.r.ReadByte(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it was closed with its answer: %v", err)
	}
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	s.kept.Store(twoHoursAgo)
	h.server.lookForSilent()
	if _, err := c.r.ReadByte(); err != io.EOF {
		t.Errorf("it was not closed behind two hours of silence: %v", err)
	}
}

// Nor while its command waits to be sent, for the end of a hold say.
func TestTheTimeOfAHoldIsNoSilence(t *testing.T) {
	h := newHouse(t, false, func(_ *Options, so *ServerOptions) { so.IdleTimeout = time.Hour })
	c := h.client()
	c.expect("SET a b", "+OK")
	s := h.session()
	h.shard.Hold()
	c.send("*2\r\n$3\r\nGET\r\n$1\r\na\r\n")
	h.await("the command waits", func() bool { return h.shard.news.c != nil })
	s.active.Store(time.Now().Add(-2 * time.Hour).UnixNano())
	h.server.lookForSilent()
	h.shard.Release()
	if got := c.reply(); got != "$1 b" {
		t.Fatal(got)
	}
	c.expect("GET a", "$1 b")
	if n := h.server.Closed(IdleTimeout); n > 0 {
		t.Error("closed for its silence")
	}
}

func TestWhoListensMayBeSilent(t *testing.T) {
	h := newHouse(t, false, func(_ *Options, so *ServerOptions) { so.IdleTimeout = time.Hour })
	for _, listen := range []string{"SUBSCRIBE a", "PSUBSCRIBE a*", "MONITOR"} {
		c := h.client()
		c.do(listen)
		s := h.session()
		h.await("it is answered", func() bool { return s.inflight.Load() == 0 })
		s.active.Store(time.Now().Add(-2 * time.Hour).UnixNano())
		h.server.lookForSilent()
		h.await("it was looked at", func() bool { return s.kept.Load() > 0 || s.closed.Load() })
		if s.closed.Load() {
			t.Errorf("one that has sent %s was closed", listen)
		}
		_ = c.Close()
	}
}

func TestShutdownEndsWithAStoppedPrimary(t *testing.T) {
	h := newHouse(t, true, func(o *Options, so *ServerOptions) { o.PrimaryWait, so.WriteTimeout = time.Minute, time.Minute })
	c := h.client()
	c.expect("SET a b", "+OK")
	if err := h.source.Pause(); err != nil {
		t.Fatal(err)
	}
	// More than the connection takes: a session is writing to it.
	go func() {
		for range 128 {
			if _, err := c.Write(resp.AppendCommand(nil, "SET", "a", strings.Repeat("v", 1<<19))); err != nil {
				return
			}
		}
	}()
	h.await("a session that writes", func() bool {
		ln := h.shard.lanesOf(h.shard.primary, laneKey{who: h.shard.accounts.own}).shared[0]
		return ln.writing && ln.queue.n > 1
	})
	for _, command := range []string{"MULTI", "SELECT 3", "GET a"} {
		h.client().send(string(resp.AppendCommand(nil, strings.Fields(command)...)))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	h.server.Shutdown(ctx)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("took %s", took)
	}
	if err := h.source.Continue(); err != nil {
		t.Fatal(err)
	}
}

func TestADrainIsNotLostToAnIdleTimeout(t *testing.T) {
	h := newHouse(t, false, func(_ *Options, o *ServerOptions) { o.IdleTimeout = time.Hour })
	for range 20 {
		h.client().expect("SET a b", "+OK")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	h.server.Shutdown(ctx)
	if ctx.Err() != nil {
		t.Error("clients that were silent were waited for")
	}
}

func TestOurErrorsAreOneReply(t *testing.T) {
	h := newHouse(t, false, nil)
	c := h.client()
	for _, args := range [][]string{
		{"CLIENT", "SETINFO", "lib-name\r\n+OK", "a b"},
		{"CLIENT", "SETINFO", "lib-name", "a\r\nb"},
		{"CLIENT", "SETNAME", "a\r\n+b"},
		{"HELLO", "2", "SETNAME\r\n+x"},
		{"NOSUCH\r\n+OK", "x\r\n"},
		{"SELECT", "1\r\n+OK"},
	} {
		if v := c.ask(args...); !v.IsError() {
			t.Errorf("%q: %+v", args, v)
		}
		c.expect("PING", "+PONG")
	}
}

func TestOneClientTooMany(t *testing.T) {
	h := newHouse(t, false, func(_ *Options, o *ServerOptions) { o.MaxClients = 2 })
	first, second := h.client(), h.client()
	first.expect("PING", "+PONG")
	second.expect("PING", "+PONG")
	third := h.client()
	if got := third.reply(); got != "-ERR max number of clients reached" {
		t.Error(got)
	}
	if _, err := third.r.ReadByte(); err != io.EOF {
		t.Errorf("%v", err)
	}
	_ = second.Close()
	h.await("a place is free", func() bool { return h.server.Sessions() == 1 })
	h.client().expect("PING", "+PONG")
	if n := h.server.Closed(MaxClients); n != 1 {
		t.Errorf("%d were counted", n)
	}
}

func TestAClientThatTakesNothingIsClosed(t *testing.T) {
	t.Parallel()
	h := newHouse(t, false, func(_ *Options, o *ServerOptions) { o.WriteTimeout = 2 * time.Second })
	c := h.client()
	value := strings.Repeat("v", 32<<20)
	go c.send(string(resp.AppendCommand(nil, "SET", "k", value)))
	if got := c.reply(); got != "+OK" {
		t.Fatal(got)
	}
	c.send("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n")
	h.await("it is closed", func() bool { return h.server.Closed(WriteTimeout) == 1 && h.server.Sessions() == 0 })

	// One that takes a little now and then is not. On a busy machine it may take nothing for too long without wanting to: then another
	// one tries.
	for {
		closed, longest := h.takesALittle()
		if !closed {
			return
		}
		if longest < h.server.WriteTimeout/2 {
			t.Fatalf("one was closed that took something every %v", longest)
		}
	}
}

// takesALittle is a client that takes a long answer slowly, in more than the write timeout in all. It returns whether it was closed, and
// the longest time for which it took nothing.
func (h *house) takesALittle() (closed bool, longest time.Duration) {
	h.t.Helper()
	c := h.client()
	defer c.Close()
	s := h.session()
	c.send("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n")
	piece, last := make([]byte, 64<<10), time.Now()
	for range 6 {
		left := s.out.size()
		for taken := 0; taken < 4<<20; {
			n, err := c.r.Read(piece)
			longest, last = max(longest, time.Since(last)), time.Now()
			if err != nil {
				return true, longest
			}
			taken += n
		}
		h.await("it was noticed", func() bool { return left == 0 || s.out.size() < left })
		<-time.After(400 * time.Millisecond)
	}
	return s.closed.Load(), longest
}
