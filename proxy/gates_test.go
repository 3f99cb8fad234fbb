package proxy

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/resp"
)

func ackBoth(timeout time.Duration) func(*Options, *ServerOptions) {
	return func(o *Options, _ *ServerOptions) { o.AckBoth, o.AckTimeout = true, timeout }
}

func TestNothingOvertakesAnAnswerThatWaits(t *testing.T) {
	h := newHouse(t, true, func(o *Options, so *ServerOptions) {
		ackBoth(300*time.Millisecond)(o, so)
		o.MaxLagBytes = 64 << 20 // with less, a large effect is a copy instead where any other is on its way
	})
	c := h.client()
	value := strings.Repeat("v", 5<<20)
	c.send(string(resp.AppendCommand(nil, "SET", "big", value)))
	if got := c.reply(); got != "+OK" {
		t.Fatal(got)
	}
	h.settled() // on a busy machine it is answered before the target has it
	if err := h.target.Pause(); err != nil {
		t.Fatal(err)
	}
	var b []byte
	for i := range 3 {
		b = resp.AppendCommand(b, "INCR", "n")
		b = resp.AppendCommand(b, "GET", "big")
		b = resp.AppendCommand(b, "ECHO", fmt.Sprint("e", i))
		b = append(b, "MULTI\r\n"...) // not whole: it waits for all before it
		b = resp.AppendCommand(b, "GET", "n")
		b = resp.AppendCommand(b, "EXEC")
	}
	go c.send(string(b))
	for i := range 3 {
		for _, want := range []string{fmt.Sprintf(":%d\r\n", i+1), fmt.Sprintf("$%d\r\n%s\r\n", len(value), value),
			fmt.Sprintf("$2\r\ne%d\r\n", i), "+OK\r\n", "+QUEUED\r\n", fmt.Sprintf("*1\r\n$1\r\n%d\r\n", i+1)} {
			if got := string(c.raw()); got != want {
				t.Fatalf("round %d: %.60q, want %.60q", i, got, want)
			}
		}
	}
	if err := h.target.Continue(); err != nil {
		t.Fatal(err)
	}
	h.settled()
	h.same()
}

// A client's own answer, of our making, has its place behind what is still on the lane, not behind what waits
// for the secondary.
func TestOurAnswersWaitBehindTheLane(t *testing.T) {
	h := newHouse(t, true, ackBoth(20*time.Second))
	c := h.client()
	c.expect("SET a 0", "+OK")
	if err := h.target.Pause(); err != nil {
		t.Fatal(err)
	}
	c.send("*2\r\n$4\r\nINCR\r\n$1\r\na\r\n")
	s := h.session()
	h.await("the first waits", func() bool { return len(h.shard.gates.queues) == 1 && s.inflight.Load() == 1 })
	if err := h.source.Pause(); err != nil {
		t.Fatal(err)
	}
	c.send("*2\r\n$4\r\nINCR\r\n$1\r\na\r\nPING\r\n")
	h.await("the others are there", func() bool { return s.inflight.Load() == 3 })
	if err := h.source.Continue(); err != nil {
		t.Fatal(err)
	}
	if err := h.target.Continue(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{":1", ":2", "+PONG"} {
		if got := c.reply(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// However many wait for a secondary that is away, each waits for ack_timeout and no longer.
func TestAnswersDoNotWaitOneBehindTheOther(t *testing.T) {
	const timeout = 200 * time.Millisecond
	h := newHouse(t, true, ackBoth(timeout))
	h.client().expect("SET a b", "+OK")
	h.target.Kill()
	h.await("the effect lane is lost", func() bool { return !h.shard.effects.up })
	began := time.Now()
	var clients sync.WaitGroup
	for i := range 40 {
		clients.Go(func() {
			c := h.client()
			for j := range 3 {
				c.expect(fmt.Sprintf("SET k%d %d", i, j), "+OK")
			}
		})
	}
	clients.Wait()
	if took := time.Since(began); took < 3*timeout || took > 60*timeout { // one behind the other: 120
		t.Errorf("40 clients with 3 writes each took %s", took)
	}
	if n := h.shard.Counts().AckTimeouts; n != 120 {
		t.Errorf("%d time-outs were counted", n)
	}
	if err := h.target.Restart(false); err != nil {
		t.Fatal(err)
	}
	h.converged()
}

// A client whose key cannot be copied does not hold up the others.
func TestAnswersOfOthersPass(t *testing.T) {
	h := newHouseOn(t, redisd.Options{}, redisd.Options{Args: []string{"--databases", "2"}}, true, ackBoth(20*time.Second))
	c := h.client()
	c.expect("SELECT 5", "+OK")
	c.send(string(resp.AppendCommand(nil, "SET", "k", "5")))
	h.await("it waits", func() bool { return len(h.shard.gates.queues) == 1 })
	began := time.Now()
	other := h.client()
	for i := range 20 {
		other.expect(fmt.Sprint("SET k ", i), "+OK")
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestWhatWaitsForTheSecondaryIsBounded(t *testing.T) {
	h := newHouse(t, true, func(o *Options, so *ServerOptions) {
		o.AckBoth, o.AckTimeout, so.OutputLimit = true, 20*time.Second, 1<<20
	})
	c := h.client()
	c.send(string(resp.AppendCommand(nil, "SET", "k", strings.Repeat("v", 100<<10))))
	if got := c.reply(); got != "+OK" {
		t.Fatal(got)
	}
	if err := h.target.Pause(); err != nil {
		t.Fatal(err)
	}
	c.send("*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n" + strings.Repeat("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", 100))
	if _, err := c.r.ReadByte(); err == nil {
		t.Error("an answer came before the secondary's")
	}
	if h.server.Closed(OutputLimit) != 1 {
		t.Error("10 MB waited for a client with a limit of 1 MiB")
	}
	if err := h.target.Continue(); err != nil {
		t.Fatal(err)
	}
	h.settled()
}

// The secondary's connection breaks while an answer waits, and comes back: it waits for the key's copy.
func TestAnAnswerWaitsForTheCopyBehindALostEffect(t *testing.T) {
	h := newHouse(t, true, ackBoth(20*time.Second))
	c := h.client()
	c.expect("SET k 0", "+OK")
	if err := h.target.Pause(); err != nil {
		t.Fatal(err)
	}
	c.send(string(resp.AppendCommand(nil, "SET", "k", "1")))
	h.await("it waits", func() bool { return len(h.shard.gates.queues) == 1 })
	h.shard.lock()
	_ = h.shard.effects.conn.Close()
	h.shard.unlock()
	h.await("the effect lane is lost", func() bool { return !h.shard.effects.up })
	if err := h.target.Restart(false); err != nil {
		t.Fatal(err)
	}
	h.await("it is back", func() bool { return h.shard.effects.up })
	h.shard.lock()
	if len(h.shard.gates.queues) != 1 {
		t.Error("answered, and the secondary has nothing")
	}
	h.shard.unlock()
	l := h.link(h.src, h.tgt)
	defer l.stop()
	if got := c.reply(); got != "+OK" {
		t.Error(got)
	}
	dial(t, h.target.Addr).expect("GET k", "$1 1")
}

// TestWhoIsServedLateWaitsForTheCopy: what was popped is gone on the secondary, too, when the client is told.
func TestWhoIsServedLateWaitsForTheCopy(t *testing.T) {
	h := newHouse(t, true, ackBoth(20*time.Second))
	b, p, c := h.client(), h.client(), h.client()
	b.start("BLPOP jobs 0")
	h.blocked(1)
	p.start("RPUSH jobs one")
	h.await("both answers wait", func() bool { return len(h.shard.gates.queues) == 2 })
	c.expect("SET jobs x", "+OK") // in place of the copy that is owed
	b.wants("*2 $4 jobs $3 one")
	p.wants(":1")
	c.expect("GET jobs", "$1 x")
}
