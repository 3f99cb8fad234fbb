package proxy

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"tandem/internal/instance"
	"tandem/internal/resp"
)

func TestRepliesKeepTheirOrderWithOurOwnAmongThem(t *testing.T) {
	h := newHouse(t, true, nil)
	c := h.client()
	var want []string
	var b []byte
	for i := range 500 {
		b = resp.AppendCommand(b, "SET", "k", fmt.Sprint(i))
		b = append(b, "PING\r\n"...)
		b = resp.AppendCommand(b, "GET", "k")
		b = resp.AppendCommand(b, "ECHO", fmt.Sprint("e", i))
		b = resp.AppendCommand(b, "SHUTDOWN")
		v, e := fmt.Sprint(i), fmt.Sprint("e", i)
		want = append(want, "+OK", "+PONG", fmt.Sprintf("$%d %s", len(v), v), fmt.Sprintf("$%d %s", len(e), e), "-ERR tandem: SHUTDOWN is denied")
	}
	go c.send(string(b))
	for i, w := range want {
		if got := c.reply(); got != w && !(strings.HasPrefix(w, "-ERR") && strings.HasPrefix(got, w)) {
			t.Fatalf("reply %d: %q, want %q", i, got, w)
		}
	}
	h.settled()
	h.equal(0, "k")
}

func TestRefusedCommandsAreNamed(t *testing.T) {
	h := newHouse(t, false, nil)
	c := h.client()
	for _, command := range []string{"SHUTDOWN", "shutdown nosave", "REPLICAOF a 1", "MIGRATE a 1 k 0 1", "PSYNC a 1"} {
		if got := c.do(command); !strings.HasPrefix(got, "-ERR tandem: ") || !strings.Contains(got, strings.ToUpper(strings.Fields(command)[0])) {
			t.Errorf("%s: %q", command, got)
		}
	}
	c.expect("PING", "+PONG")
}

func TestTransactionsWholeAndPiecemeal(t *testing.T) {
	for _, replicate := range []bool{false, true} {
		t.Run(fmt.Sprint("replicate=", replicate), func(t *testing.T) {
			h := newHouse(t, replicate, nil)
			c := h.client()
			c.send("MULTI\r\n") // inline, and alone: piecemeal
			if got := c.reply(); got != "+OK" {
				t.Fatal(got)
			}
			c.expect("INCR n", "+QUEUED")
			c.expect("SET s v EX 100", "+QUEUED")
			c.expect("MULTI", "-ERR MULTI calls can not be nested")
			c.expect("LPUSH l a b", "+QUEUED")
			c.expect("EXEC", "*3 :1 +OK :2")
			c.expect("INCR n", ":2")

			whole := resp.AppendCommand(nil, "MULTI")
			whole = resp.AppendCommand(whole, "INCR", "n")
			whole = resp.AppendCommand(whole, "SET", "m", "1", "EX", "50")
			whole = resp.AppendCommand(whole, "RPOP", "l")
			whole = resp.AppendCommand(whole, "EXEC")
			whole = resp.AppendCommand(whole, "GET", "n")
			c.send(string(whole))
			for _, want := range []string{"+OK", "+QUEUED", "+QUEUED", "+QUEUED", "*3 :3 +OK $1 a", "$1 3"} {
				if got := c.reply(); got != want {
					t.Errorf("%q, want %q", got, want)
				}
			}

			c.expect("MULTI", "+OK")
			c.expect("SET n", "-ERR wrong number of arguments for 'set' command")
			c.expect("EXEC", "-EXECABORT Transaction discarded because of previous errors.")
			c.expect("MULTI", "+OK")
			if got := c.do("SHUTDOWN"); !strings.Contains(got, "SHUTDOWN is denied") {
				t.Error(got)
			}
			c.expect("SET n 77", "+QUEUED")
			c.expect("EXEC", "-EXECABORT Transaction discarded because of previous errors.")
			c.expect("MULTI", "+OK")
			c.expect("SET n 78", "+QUEUED")
			c.expect("DISCARD", "+OK")
			c.expect("EXEC", "-ERR EXEC without MULTI")
			c.expect("GET n", "$1 3")
			if replicate {
				h.settled()
				h.equal(0, "n", "l", "s")
				if n := h.shard.ledger.DirtyKeys(); n != 0 {
					t.Errorf("%d keys are dirty", n)
				}
			}
		})
	}
}

func TestManyClientsEndEqual(t *testing.T) {
	h := newHouse(t, true, func(o *Options, _ *ServerOptions) { o.Lanes = 3; o.MaxLagBytes = 64 << 20 })
	var clients sync.WaitGroup
	for i := range 12 {
		clients.Go(func() {
			c := h.client()
			c.expect("SELECT "+fmt.Sprint(i%2), "+OK")
			for j := range 60 {
				var b []byte
				n := 0
				for k := range 10 {
					key := fmt.Sprint("k", (i*7+j+k)%20)
					for _, cmd := range [][]string{{"INCR", "c" + key}, {"LPUSH", "l" + key, fmt.Sprint(i, j)}, {"RPOP", "l" + key}, {"APPEND", "s" + key, "x"},
						{"SADD", "t" + key, fmt.Sprint(j)}, {"SPOP", "t" + key}, {"SET", "s" + key, fmt.Sprint(j)}, {"DEL", "t" + key}} {
						b = resp.AppendCommand(b, cmd...)
						n++
					}
				}
				go c.send(string(b))
				for range n {
					if got := c.reply(); strings.HasPrefix(got, "-") {
						t.Error(got)
					}
				}
			}
		})
	}
	clients.Wait()
	h.settled()
	if n := h.shard.ledger.Stats(); n.Mismatched+n.Dropped > 0 {
		t.Errorf("%+v %v", n, h.shard.Counts().MismatchedBy)
	}
	for db := range 2 {
		for k := range 20 {
			for _, p := range []string{"c", "l", "s", "t"} {
				h.equal(db, fmt.Sprint(p, "k", k))
			}
		}
	}
}

func TestSwapUnderLoadLosesNothing(t *testing.T) {
	h := newHouse(t, true, func(o *Options, _ *ServerOptions) { o.MaxLagBytes = 64 << 20 })
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			c := h.client()
			tx := i%2 == 0
			for n := 1; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if tx {
					c.expect("MULTI", "+OK")
					c.expect(fmt.Sprint("INCR n", i), "+QUEUED")
					c.expect("EXEC", fmt.Sprint("*1 :", n))
				} else {
					c.expect(fmt.Sprint("INCR n", i), fmt.Sprint(":", n))
				}
			}
		})
	}
	instances := []*instance.Instance{h.src, h.tgt}
	for round := range 6 {
		primary, secondary := instances[(round+1)%2], instances[round%2]
		old := h.shard.effects
		next, err := h.shard.Prepare(t.Context(), primary, instance.Facts{})
		if err != nil {
			t.Fatal(err)
		}
		e := h.shard.NewEffectLane(secondary, instance.Facts{})
		e.Start()
		h.await("effect lane", e.Up)
		began := time.Now()
		h.shard.Hold()
		h.await("drained", func() bool { return h.shard.Answered() && h.shard.ledger.Drained() && next.Ready() })
		h.shard.lock()
		h.shard.Swap(next, e)
		h.shard.unlock()
		h.shard.Release()
		t.Log("pause", time.Since(began))
		old.Stop()
	}
	close(stop)
	clients.Wait()
	h.settled()
	if n := h.shard.ledger.Stats(); n.Mismatched+n.Dropped > 0 {
		t.Errorf("%+v", n)
	}
	for i := range 8 {
		h.equal(0, fmt.Sprint("n", i))
	}
}

func TestCursorsOfAnotherEpochStartOver(t *testing.T) {
	h := newHouse(t, false, nil)
	c := h.client()
	for i := range 100 {
		c.expect(fmt.Sprint("SET k", i, " 1"), "+OK")
	}
	cursor := func(reply string) string { return strings.Fields(reply)[2] }
	plain := cursor(c.do("SCAN 0 COUNT 10"))
	h.shard.SetScanEpoch(1)
	seen := map[string]bool{}
	at := plain // of the old epoch: must begin again, or keys would be missed
	for {
		f := strings.Fields(c.do("SCAN " + at + " COUNT 10"))
		for i := 4; i < len(f); i++ {
			if f[i][0] == 'k' {
				seen[f[i]] = true
			}
		}
		if at = f[2]; at == "0" {
			break
		}
	}
	if len(seen) != 100 {
		t.Errorf("%d of 100 keys", len(seen))
	}
}

func TestAckBothWaitsForTheSecondary(t *testing.T) {
	h := newHouse(t, true, func(o *Options, _ *ServerOptions) { o.AckBoth = true; o.AckTimeout = 20 * time.Second })
	c := h.client()
	direct := dial(t, h.target.Addr)
	for i := range 50 {
		c.expect(fmt.Sprint("SET k ", i), "+OK")
		v := fmt.Sprint(i)
		direct.expect("GET k", fmt.Sprintf("$%d %s", len(v), v))
	}
	if err := h.target.Pause(); err != nil {
		t.Fatal(err)
	}
	h.shard.lock()
	h.shard.opt.AckTimeout = 300 * time.Millisecond
	h.shard.unlock()
	began := time.Now()
	c.expect("SET k x", "+OK")
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("answered after %s", took)
	}
	c.expect("GET k", "$1 x")
	if err := h.target.Continue(); err != nil {
		t.Fatal(err)
	}
	h.settled()
	if n := h.shard.Counts().AckTimeouts; n == 0 {
		t.Error("no time-out was counted")
	}
}

func TestLargeValuesPass(t *testing.T) {
	h := newHouse(t, true, func(o *Options, _ *ServerOptions) { o.MaxLagBytes = 128 << 20 })
	c := h.client()
	for _, size := range []int{1 << 10, 31 << 10, 33 << 10, 70 << 10, 1 << 20, 20 << 20} {
		v := strings.Repeat("v", size)
		go c.send(string(resp.AppendCommand(nil, "SET", "big", v)) + string(resp.AppendCommand(nil, "GET", "big")))
		if got := c.reply(); got != "+OK" {
			t.Fatal(got)
		}
		head := fmt.Sprintf("$%d\r\n", size)
		b := make([]byte, len(head)+size+2)
		if _, err := io.ReadFull(c.r, b); err != nil {
			t.Fatal(err)
		}
		if string(b) != head+v+"\r\n" {
			t.Fatalf("%d bytes came back changed", size)
		}
	}
	h.settled()
	h.equal(0, "big")
}

func TestLargeCommandsAndRepliesMoveTheirSessionToTheBulkLane(t *testing.T) {
	h := newHouse(t, true, func(o *Options, _ *ServerOptions) { o.MaxLagBytes = 64 << 20 })
	writer := h.client()
	writer.expect("SET small 1", "+OK")
	sessions := func() (all []*session) {
		h.server.mu.Lock()
		defer h.server.mu.Unlock()
		for s := range h.server.sessions {
			all = append(all, s)
		}
		return all
	}
	onBulk := func() (n int) {
		h.shard.lock()
		defer h.shard.unlock()
		for _, s := range sessions() {
			if ls := h.shard.primary.lanes[s.laneKey()]; ls != nil && ls.bulk != nil && s.on == ls.bulk {
				n++
			}
		}
		return n
	}
	if n := onBulk(); n != 0 {
		t.Fatalf("%d sessions are on the bulk lane before anything large", n)
	}
	v := strings.Repeat("v", 2<<20)
	go writer.send(string(resp.AppendCommand(nil, "SET", "big", v)))
	if got := writer.reply(); got != "+OK" {
		t.Fatal(got)
	}
	if n := onBulk(); n != 1 {
		t.Fatalf("%d sessions are on the bulk lane, want the writer's", n)
	}
	reader := h.client()
	for range 2 { // the first reply moves the session, the next command goes there
		reader.send(string(resp.AppendCommand(nil, "GET", "big")))
		head := fmt.Sprintf("$%d\r\n", len(v))
		if _, err := reader.r.Discard(len(head) + len(v) + 2); err != nil {
			t.Fatal(err)
		}
	}
	if n := onBulk(); n != 2 {
		t.Fatalf("%d sessions are on the bulk lane, want both", n)
	}
	// One key from both lanes: the order is the ledger's.
	other := h.client()
	for i := range 200 {
		writer.send(string(resp.AppendCommand(nil, "APPEND", "log", fmt.Sprint("w", i, " "))))
		other.send(string(resp.AppendCommand(nil, "APPEND", "log", fmt.Sprint("o", i, " "))))
	}
	for range 200 {
		writer.reply()
		other.reply()
	}
	h.settled()
	h.equal(0, "big", "small", "log")
	if s := h.shard.ledger.Stats(); s.Mismatched+s.Dropped > 0 {
		t.Errorf("%+v", s)
	}
}
