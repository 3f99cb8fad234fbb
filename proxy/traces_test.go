package proxy

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"tandem/internal/trace"
	"tandem/router"
)

// heard collects what is told of commands.
type heard struct {
	sync.Mutex
	commands []*trace.Command
}

func (h *heard) offer(c *trace.Command) {
	h.Lock()
	defer h.Unlock()
	h.commands = append(h.commands, c)
}

// take returns what was told since it was last called, by the commands' names.
func (h *heard) take() map[string]*trace.Command {
	h.Lock()
	defer h.Unlock()
	list := map[string]*trace.Command{}
	for _, c := range h.commands {
		list[c.Name] = c
	}
	h.commands = nil
	return list
}

// tracedHouse is one in which all commands are told of.
func tracedHouse(t *testing.T, change func(*Options, *ServerOptions)) (*house, *heard) {
	t.Helper()
	h, told := newHouse(t, true, change), &heard{}
	h.shard.SetTraces(1, true, told.offer, func() string { return "synced" })
	return h, told
}

func TestWhatIsToldOfCommands(t *testing.T) {
	t.Parallel()
	h, told := tracedHouse(t, nil)
	w := h.client()
	for _, c := range []struct {
		send, reply string
		want        trace.Command
	}{
		{"SET k v", "+OK", trace.Command{Class: "write", Keys: []string{"k"}, Effect: trace.Acknowledged, Secondary: "target"}},
		{"GET k", "$1 v", trace.Command{Class: "read", Keys: []string{"k"}}},
		{"DEL nothing", ":0", trace.Command{Class: "write", Keys: []string{"nothing"}, Effect: trace.NoEffect}},
		{"LPUSH k x", "-WRONGTYPE", trace.Command{Class: "write", Keys: []string{"k"}, Failed: "WRONGTYPE", Effect: trace.NoEffect}},
	} {
		reply := w.do(c.send)
		if reply[:min(len(reply), len(c.reply))] != c.reply {
			t.Fatalf("%s: %q", c.send, reply)
		}
		h.settled()
		name := c.send[:3]
		got := told.take()
		if len(got) != 1 {
			t.Fatalf("%s: told of %d commands", c.send, len(got))
		}
		for n, g := range got {
			if n[:3] != name || g.Class != c.want.Class || g.Failed != c.want.Failed || g.Effect != c.want.Effect || g.Secondary != c.want.Secondary ||
				!slices.Equal(g.Keys, c.want.Keys) || g.Primary != "source" || g.Phase != "synced" || g.Session == 0 {
				t.Errorf("%s: %+v", c.send, *g)
			}
			if g.Arrived == 0 || g.Sent < g.Arrived || g.Answered < g.Sent || (g.Effect == trace.Acknowledged) != (g.Acked >= g.Handed && g.Handed >= g.Sent && g.Acked > 0) {
				t.Errorf("%s: times %+v", c.send, *g)
			}
		}
	}
}

// A transaction that comes whole is one command, and its effect is told; one whose keys are copied says so.
func TestWhatIsToldOfTransactionsAndCopies(t *testing.T) {
	t.Parallel()
	h, told := tracedHouse(t, nil)
	w := h.client()
	w.send("MULTI\r\nSET a 1\r\nINCR a\r\nEXEC\r\n")
	for range 4 {
		w.reply()
	}
	h.settled()
	if c := told.take()["MULTI"]; c == nil || c.Effect != trace.Acknowledged || c.Class != "transaction" {
		t.Errorf("a transaction: %+v", c)
	}
	// The secondary answers otherwise than it should, and then the key is dirty.
	h.direct(h.target).do("DEL a")
	w.do("INCR a")
	h.await("its end", func() bool { return h.shard.effects.awaited.n == 0 })
	if c := told.take()["INCR"]; c == nil || c.Effect != trace.Mismatched {
		t.Errorf("a mismatch: %+v", c)
	}
	w.do("INCR a")
	if c := told.take()["INCR"]; c == nil || c.Effect != trace.Copied || c.Handed != 0 {
		t.Errorf("a dirty key: %+v", c)
	}
}

// What a client sends in place of a command is not told.
func TestNothingIsToldOfWhatIsNoCommand(t *testing.T) {
	t.Parallel()
	h, told := tracedHouse(t, nil)
	w := h.client()
	for _, send := range []string{"hunter2", "hunter2 again", "client hunter2"} {
		w.do(send)
		for name, c := range told.take() {
			if strings.Contains(strings.ToLower(name), "hunter2") || c.Failed != "ERR" {
				t.Errorf("%s: %+v", send, *c)
			}
		}
	}
}

// A value of which the end comes by itself is no error, whatever it looks like, and nothing of it is told.
func TestNothingIsToldOfValues(t *testing.T) {
	t.Parallel()
	h, told := tracedHouse(t, func(o *Options, _ *ServerOptions) { o.laneBuffer = 64 })
	for _, char := range []string{"-", "!", "-SECRET"} {
		value := strings.Repeat(char, 2000)
		w := h.client()
		w.expect("SET k "+value, "+OK")
		for range 20 {
			w.do("GET k")
			if c := told.take()["GET"]; c == nil || c.Failed != "" {
				t.Fatalf("%q: %+v", char, c)
			}
		}
	}
}

// What is held waits, and what never reaches the primary says so.
func TestWhatIsToldOfWaiting(t *testing.T) {
	t.Parallel()
	h, told := tracedHouse(t, nil)
	w := h.client()
	w.do("SET k 0")
	h.settled()
	told.take()
	h.shard.Hold()
	w.send("SET k 1\r\n")
	h.await("it to wait", func() bool { return h.shard.news.c != nil })
	h.shard.Release()
	if got := w.reply(); got != "+OK" {
		t.Fatal(got)
	}
	h.settled()
	c := told.take()["SET"]
	if c == nil || c.Sent <= c.Arrived || c.Effect != trace.Acknowledged {
		t.Errorf("held: %+v", c)
	}
}

// A broken connection loses nothing of what is to be told.
func TestWhatIsToldOfALostSecondary(t *testing.T) {
	t.Parallel()
	h, told := tracedHouse(t, nil)
	w := h.client()
	w.do("SET k 0")
	h.settled()
	told.take()
	target := h.direct(h.target)
	target.do("CLIENT PAUSE 60000 ALL")
	w.do("SET k 1")
	h.await("the effect on its way", func() bool { return h.shard.effects.awaited.n > 0 })
	h.shard.lock()
	h.shard.effects.conn.Close()
	h.shard.unlock()
	h.await("its end", func() bool { return h.shard.effects.awaited.n == 0 })
	if c := told.take()["SET"]; c == nil || c.Effect != trace.Lost || c.Acked < c.Handed {
		t.Errorf("%+v", c)
	}
}

// Chosen are as many as asked for, wherever they are in their batches; none while nobody asks.
func TestShareOfTracedCommands(t *testing.T) {
	sh := &Shard{}
	s := &session{sh: sh}
	choose := func(share float64, commands int) (chosen int) {
		sh.traces = traces{share: share}
		sh.traces.left = sh.traces.gap()
		for i := 0; i < commands; {
			s.batch = s.batch[:0]
			for range min(1+i%7, commands-i) {
				s.batch = append(s.batch, &request{cmd: router.Lookup([][]byte{[]byte("PING")})})
			}
			i += len(s.batch)
			if sh.traces.left -= len(s.batch); sh.traces.left < 0 {
				s.chooseTraced()
			}
			for _, r := range s.batch {
				if r.traced != nil {
					chosen++
				}
			}
		}
		return chosen
	}
	if n := choose(0, 10_000); n != 0 {
		t.Errorf("%d of none", n)
	}
	if n := choose(1, 10_000); n != 10_000 {
		t.Errorf("%d of all 10000", n)
	}
	if n := choose(0.01, 100_000); n < 800 || n > 1200 { // six times the deviation
		t.Errorf("%d of 1000 or so", n)
	}
}
