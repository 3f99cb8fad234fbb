package proxy

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"tandem/internal/redisd"
	"tandem/internal/resp"
)

// trigger, in a command, makes the relay answer in disorder.
const trigger = "!disorder!"

// relay stands in front of a server and passes everything on, until a command holds the trigger: then it says what
// it was told to say, instead of what the server would have. More is then neither passed on nor answered.
type relay struct {
	say func(w io.Writer)
}

func (r *relay) front(t *testing.T, s *redisd.Server) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	closed := false
	keep := func(c net.Conn) {
		mu.Lock()
		defer mu.Unlock()
		if open = append(open, c); closed {
			_ = c.Close()
		}
	}
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", s.Addr)
			if err != nil {
				_ = c.Close()
				continue
			}
			keep(c)
			keep(server)
			work.Go(func() { _, _ = io.Copy(c, server); _ = c.Close() })
			work.Go(func() { r.pass(c, server); _ = server.Close() })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		closed = true
		for _, c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		work.Wait()
	})
	return l.Addr().String()
}

func (r *relay) pass(c, server net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if bytes.Contains(buf[:n], []byte(trigger)) {
			r.say(c)
			_, _ = io.Copy(io.Discard, c)
			return
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}

// endless repeats a piece until nobody takes it.
func endless(head, piece string) func(io.Writer) {
	return func(w io.Writer) {
		_, err := io.WriteString(w, head)
		for err == nil {
			_, err = io.WriteString(w, strings.Repeat(piece, 1+(64<<10)/len(piece)))
		}
	}
}

func once(reply string) func(io.Writer) {
	return func(w io.Writer) { _, _ = io.WriteString(w, reply) }
}

// What a server in disorder says instead of +OK. None of it may be passed on as an answer, and all of it ends the
// connection.
var disorder = map[string]func(io.Writer){
	"an unknown type":        once("@OK\r\n"),
	"a page of the web":      once("HTTP/1.1 400 Bad Request\r\n\r\n"),
	"a length below zero":    once("$-5\r\n"),
	"a length near 2^63":     once("$9223372036854775807\r\n"),
	"arrays near 2^63":       once("*9223372036854775807\r\n"),
	"a push of nobody":       once(">1\r\n+x\r\n@"),
	"nested without end":     endless("", "*1\r\n"),
	"a line without end":     endless("+", "x"),
	"an error without end":   endless("-", "x"),
	"a header without end":   endless("$", "1"),
	"a bulk without CRLF":    once("$2\r\nOKxx"),
	"the end of nothing":     once(".\r\n"),
	"a chunk of nothing":     once(";2\r\nOK\r\n"),
	"zeros without end":      endless("", "\x00"),
	"a number's line breaks": once("*1\n:1\n"),
}

// onShared are those that are tried on shared lanes too.
var onShared = map[string]bool{"a page of the web": true, "a length near 2^63": true, "nested without end": true, "a line without end": true, "a push of nobody": true}

// Whatever a primary says: its connection ends, who waited for an answer is closed, the key is dirty, and everybody
// else goes on.
func TestAPrimaryInDisorder(t *testing.T) {
	r := &relay{}
	h := newHouseBehind(t, redisd.Options{}, redisd.Options{}, func(s *redisd.Server) string { return r.front(t, s) }, true, nil)
	other := h.client()
	other.expect("SET k before", "+OK")
	before := heapBytes()
	for name, say := range disorder {
		for _, pinned := range []bool{false, true} {
			if !pinned && !onShared[name] {
				continue // a shared lane waits longer and longer before it connects again
			}
			if pinned && name == "a push of nobody" {
				continue // it is its client's
			}
			t.Run(fmt.Sprintf("%s, pinned %v", name, pinned), func(t *testing.T) {
				r.say = say
				key := strings.ReplaceAll(t.Name(), " ", "_")
				c := h.client()
				c.t = t
				command := "SET " + key + " " + trigger
				if pinned {
					c.expect("WATCH "+key, "+OK")
				}
				c.send(string(resp.AppendCommand(nil, strings.Fields(command)...)))
				if b, err := c.r.ReadByte(); err == nil {
					t.Errorf("it was answered: %q", b)
				}
				h.await("its key is dirty", func() bool { return h.shard.ledger.IsDirty(h.shard.ledger.Hash(0, []byte(key))) })
				h.await("the primary is there again", h.shard.primary.connected)
				other.expect("SET k after", "+OK")
			})
		}
	}
	if n := h.server.Closed(PrimaryProtocol); n == 0 {
		t.Error("no reason was counted")
	}
	if grown := heapBytes() - before; grown > 32<<20 {
		t.Errorf("%d MiB are left", grown>>20)
	}
}

func TestMoreRepliesThanCommandsEndALane(t *testing.T) {
	r := &relay{say: once("+OK\r\n+OK\r\n$1\r\nx\r\n")}
	h := newHouseBehind(t, redisd.Options{}, redisd.Options{}, func(s *redisd.Server) string { return r.front(t, s) }, true, nil)
	c := h.client()
	c.expect("SET a "+trigger, "+OK")
	h.await("the lane was lost", func() bool { return h.shard.counts.LanesLost == 1 })
	c.expect("SET b x", "+OK") // nothing of its own was on the way
}

// A reply that is passed on as it comes costs nobody but its client, who is closed when too much waits for it.
func TestAnEndlessReplyIsBounded(t *testing.T) {
	r := &relay{say: endless("$1000000000000\r\n", "x")}
	h := newHouseBehind(t, redisd.Options{}, redisd.Options{}, func(s *redisd.Server) string { return r.front(t, s) }, true,
		func(_ *Options, o *ServerOptions) { o.Memory = 32 << 20 })
	before := heapBytes()
	c := h.client()
	c.send(string(resp.AppendCommand(nil, "GET", trigger))) // and reads nothing
	h.await("it is closed", func() bool { return h.server.Closed(MemoryLimit) == 1 && h.server.Sessions() == 0 })
	if held := h.server.Held(); held != 0 {
		t.Errorf("%d bytes are counted, of nobody", held)
	}
	if grown := heapBytes() - before; grown > 64<<20 {
		t.Errorf("%d MiB", grown>>20)
	}
}

// What must be there whole is bounded: a message of a channel, here.
func TestAnEndlessMessageEndsItsLane(t *testing.T) {
	r := &relay{say: endless(">3\r\n+message\r\n+c\r\n$1000000000000\r\n", "x")}
	h := newHouseBehind(t, redisd.Options{}, redisd.Options{}, func(s *redisd.Server) string { return r.front(t, s) }, true,
		func(o *Options, _ *ServerOptions) { o.MaxReply = 4 << 20 })
	c := h.client()
	if got := c.do("HELLO 3"); !strings.HasPrefix(got, "%") {
		t.Fatal(got)
	}
	c.expect("SUBSCRIBE c", ">3 $9 subscribe $1 c :1")
	before := heapBytes()
	c.send(string(resp.AppendCommand(nil, "GET", trigger)))
	if b, err := c.r.ReadByte(); err == nil {
		t.Errorf("something came: %q", b)
	}
	h.await("it is closed", func() bool { return h.server.Closed(PrimaryProtocol) == 1 && h.server.Sessions() == 0 })
	if grown := heapBytes() - before; grown > 32<<20 {
		t.Errorf("%d MiB", grown>>20)
	}
}

// A primary that takes everything and answers nothing: its backlog in the sockets does not bound what is kept for
// the effects.
func TestAPrimaryThatTakesAndNeverAnswersIsBounded(t *testing.T) {
	r := &relay{say: func(io.Writer) {}}
	h := newHouseBehind(t, redisd.Options{}, redisd.Options{}, func(s *redisd.Server) string { return r.front(t, s) }, true, nil)
	h.client().expect("SET a b", "+OK")
	before := heapBytes()
	h.client().send(string(resp.AppendCommand(nil, "SET", "a", trigger)))
	value := strings.Repeat("v", 1<<20-100)
	const writers = 8
	var enough atomic.Bool // who has waited to be sent goes on when the primary is there again
	for i := range writers {
		c := h.client()
		go func() {
			for n := 0; !enough.Load(); n++ {
				if _, err := c.Write(resp.AppendCommand(nil, "SET", fmt.Sprint(i, ":", n), value)); err != nil {
					return
				}
			}
		}()
	}
	ln := h.shard.lanesOf(h.shard.primary, laneKey{who: h.shard.accounts.own}).shared[0]
	h.await("nothing more is taken", func() bool { return ln.crowded && ln.held > heldLimit })
	h.shard.lock()
	held := ln.held
	h.shard.unlock()
	if most := heldLimit + len(value) + 100; held > most {
		t.Errorf("%d bytes are on the lane, %d may be", held, most)
	}
	if grown := heapBytes() - before; grown > 4*heldLimit {
		t.Errorf("%d MiB", grown>>20)
	}
	enough.Store(true)
	h.cut()
	h.await("the primary is there again", func() bool { return h.shard.primary.connected() && ln.held == 0 })
	h.await("all that was unanswered is dirty", func() bool {
		return h.shard.ledger.IsDirty(h.shard.ledger.Hash(0, []byte("a"))) && h.shard.ledger.IsDirty(h.shard.ledger.Hash(0, []byte("0:0")))
	})
	h.client().expect("SET a c", "+OK")
}

// Whatever the secondary answers: no client notices, the key is dirty, and the lane is there again.
func TestASecondaryInDisorder(t *testing.T) {
	r := &relay{}
	instances := 0
	h := newHouseBehind(t, redisd.Options{}, redisd.Options{}, func(s *redisd.Server) string {
		if instances++; instances == 1 {
			return s.Addr
		}
		return r.front(t, s)
	}, true, nil)
	c := h.client()
	before := heapBytes()
	answers := maps.Clone(disorder)
	maps.DeleteFunc(answers, func(name string, _ func(io.Writer)) bool { return name != "a length near 2^63" })
	answers["an answer without end"] = endless("$1000000000000\r\n", "x")
	answers["answers without end"] = endless("", "-ERR no\r\n")
	for name, say := range answers {
		t.Run(name, func(t *testing.T) {
			r.say = say
			key := strings.ReplaceAll(t.Name(), " ", "_")
			c.expect("SET "+key+" "+trigger, "+OK")
			h.await("its key is dirty", func() bool { return h.shard.ledger.IsDirty(h.shard.ledger.Hash(0, []byte(key))) })
			h.await("the secondary is there again", h.shard.effects.Up)
		})
	}
	if grown := heapBytes() - before; grown > 16<<20 {
		t.Errorf("%d MiB are left", grown>>20)
	}
	c.expect("SET after x", "+OK")
	h.settled()
	h.equal(0, "after")
}
