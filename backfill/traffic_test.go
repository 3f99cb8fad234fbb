package backfill

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"tandem/internal/ledger"
	"tandem/test/wire"
)

// testLane is a lane to the primary: writes are sent in the order in which the ledger grants them, and
// answered in that order. A lost connection is made anew.
type testLane struct {
	l    *ledger.Ledger
	id   ledger.LaneID
	addr string

	mu      sync.Mutex // guards what follows; taken under the ledger's lock
	pending []*op
	out     []byte
	kick    chan struct{}
}

// op is one write of a session.
type op struct {
	lane    *testLane
	w       ledger.Write
	command command
	// effect says what the reply means; nil: nothing changed.
	effect func(reply string) *ledger.Effect
	// reply is set when done is signalled; empty if it will never be known.
	reply string
	done  chan struct{}
}

func (o *op) Granted(*ledger.Write) { o.lane.push(o) }

// push puts a granted write on the lane. The ledger's lock is held.
func (n *testLane) push(o *op) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pending = append(n.pending, o)
	n.out = o.command.append(n.out)
	select {
	case n.kick <- struct{}{}:
	default:
	}
}

func (n *testLane) submit(o *op) {
	n.l.Lock()
	defer n.l.Unlock()
	if n.l.Acquire(&o.w) {
		n.push(o)
	}
}

// serve runs the lane until ctx ends; nothing may be in flight then.
func (n *testLane) serve(ctx context.Context) {
	for ctx.Err() == nil {
		conn, err := net.Dial("tcp", n.addr)
		if err != nil {
			pause(ctx, busyPause)
			continue
		}
		n.l.Lock()
		n.l.LaneUp(n.id)
		n.l.Unlock()
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		gone := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { n.write(conn, gone) })
		n.read(conn)
		close(gone)
		conn.Close()
		wg.Wait()
		stop()
		// The server closed the connection, so what it had not read by then will not be executed.
		n.l.Lock()
		n.l.LaneDown(n.id)
		n.mu.Lock()
		lost := n.pending
		n.pending, n.out = nil, nil
		n.mu.Unlock()
		for _, o := range lost {
			n.l.Unanswered(&o.w)
			o.reply = ""
			o.done <- struct{}{}
		}
		n.l.Unlock()
	}
}

func (n *testLane) write(conn net.Conn, gone chan struct{}) {
	for {
		select {
		case <-n.kick:
		case <-gone:
			return
		}
		n.mu.Lock()
		out := n.out
		n.out = nil
		n.mu.Unlock()
		if _, err := conn.Write(out); err != nil {
			conn.Close()
			return
		}
	}
}

func (n *testLane) read(conn net.Conn) {
	in := bufio.NewReader(conn)
	for {
		reply, err := readReply(in)
		if err != nil {
			return
		}
		n.mu.Lock()
		o := n.pending[0]
		n.pending = n.pending[1:]
		n.mu.Unlock()
		o.reply = string(reply)
		n.l.Lock()
		n.l.Reply(&o.w, o.effect(o.reply))
		n.l.Unlock()
		o.done <- struct{}{}
	}
}

// traffic is sessions that write to keys of several types, so that most commands depend on what was there.
type traffic struct {
	l      *ledger.Ledger
	lanes  []*testLane
	keys   int
	stop   context.CancelFunc
	wg     sync.WaitGroup
	laned  sync.WaitGroup
	end    context.CancelFunc
	writes atomic.Int64
}

// trafficTypes are the keys' prefixes.
var trafficTypes = []string{"cnt", "str", "list", "hash", "set"}

func trafficKey(kind string, i int) string { return fmt.Sprintf("%s:%d", kind, i) }

// fillTraffic makes keys of every type, so that there is something to lose.
func fillTraffic(t testing.TB, addr string, keys int) {
	t.Helper()
	c := dial(t, addr)
	defer c.Close()
	for i := 0; i < keys; {
		var cmds [][]string
		for ; i < keys && len(cmds) < 1000; i++ {
			n := strconv.Itoa(i)
			cmds = append(cmds,
				[]string{"SET", trafficKey("cnt", i), n + "000"},
				[]string{"SET", trafficKey("str", i), "value of " + n},
				[]string{"RPUSH", trafficKey("list", i), "a", "b", n},
				[]string{"HSET", trafficKey("hash", i), "n", n, "f", "v"},
				[]string{"SADD", trafficKey("set", i), "a", "b", n})
		}
		if _, err := c.DoMany(cmds); err != nil {
			t.Fatal(err)
		}
	}
}

// startTraffic begins with sessions on two lanes over this many keys of each type; a tenth of the commands go
// to one hot key of each.
func startTraffic(w *world, sessions, keys int) *traffic {
	tr := &traffic{l: w.l, keys: keys}
	lanes, end := context.WithCancel(context.Background())
	tr.end = end
	for range 2 {
		w.l.Lock()
		n := &testLane{l: w.l, id: w.l.AddLane(ledger.Primary), addr: w.first.Addr, kick: make(chan struct{}, 1)}
		w.l.LaneDown(n.id)
		w.l.Unlock()
		tr.lanes = append(tr.lanes, n)
		tr.laned.Go(func() { n.serve(lanes) })
	}
	ctx, stop := context.WithCancel(context.Background())
	tr.stop = stop
	for i := range sessions {
		lane := tr.lanes[i%len(tr.lanes)]
		r := rand.New(rand.NewPCG(uint64(i), 7))
		tr.wg.Go(func() {
			for ctx.Err() == nil {
				tr.write(r, lane)
			}
		})
	}
	w.t.Cleanup(tr.halt)
	return tr
}

// halt ends the traffic and waits for its last replies.
func (tr *traffic) halt() {
	tr.stop()
	tr.wg.Wait()
	tr.end()
	tr.laned.Wait()
}

// write sends one write and waits for its reply.
func (tr *traffic) write(r *rand.Rand, lane *testLane) {
	kind := trafficTypes[r.IntN(len(trafficTypes))]
	i := r.IntN(tr.keys)
	if r.IntN(10) == 0 {
		i = 0
	}
	name := trafficKey(kind, i)
	var c command
	blind, expires := false, false
	switch pick := r.IntN(8); {
	case kind == "cnt":
		c = command{"INCR", name}
	case pick == 0:
		c, blind = command{"DEL", name}, true
	case pick == 1:
		c, expires = command{"PEXPIREAT", name, "4102444800000"}, true
	case kind == "str" && pick == 2:
		c, blind = command{"SET", name, "new"}, true
	case kind == "str":
		c = command{"APPEND", name, "x"}
	case kind == "list" && pick < 4:
		c = command{"LPOP", name}
	case kind == "list":
		c = command{"RPUSH", name, strconv.Itoa(r.IntN(1000))}
	case kind == "hash" && pick < 4:
		c = command{"HDEL", name, "f" + strconv.Itoa(r.IntN(5))}
	case kind == "hash" && pick < 6:
		c = command{"HINCRBY", name, "n", "3"}
	case kind == "hash":
		c = command{"HSET", name, "f" + strconv.Itoa(r.IntN(5)), "v"}
	case pick < 4:
		c = command{"SREM", name, strconv.Itoa(r.IntN(20))}
	default:
		c = command{"SADD", name, strconv.Itoa(r.IntN(20))}
	}
	o := &op{lane: lane, command: c, done: make(chan struct{}, 1)}
	key := []byte(name)
	o.w = ledger.Write{Lane: lane.id, Waiter: o,
		Keys: []ledger.Key{{Hash: tr.l.Hash(0, key), Name: key, Write: true}}}
	o.effect = func(reply string) *ledger.Effect {
		switch reply {
		case ":0", "$-1":
			if c[0] != "HSET" && c[0] != "INCR" && c[0] != "HINCRBY" {
				return nil
			}
		}
		if reply[0] == '-' {
			return nil
		}
		want := reply
		if blind || c[0] == "LPOP" {
			want = "" // DEL counts what there was; LPOP answers a bulk, read without its length
		}
		return &ledger.Effect{Steps: []ledger.Step{{Blind: blind, MayExpire: expires}},
			Payload: effect{command: c.append(nil), want: want}}
	}
	lane.submit(o)
	<-o.done
	tr.writes.Add(1)
}

// watchCounters looks at counters on the secondary, which only grow on the primary, and fails the test when
// one goes back. It returns a function that ends it.
func watchCounters(w *world, keys int) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		var c *wire.Conn
		last := make([]int64, keys)
		for i := 0; ctx.Err() == nil; i = (i + 1) % keys {
			if c == nil {
				var err error
				if c, err = wire.Dial(w.second.Addr); err != nil {
					pause(ctx, busyPause)
					continue
				}
			}
			reply, err := c.Do("GET", trafficKey("cnt", i))
			if err != nil {
				c.Close()
				c = nil
				continue
			}
			n, _ := strconv.ParseInt(reply.Str, 10, 64)
			if n != 0 && n < last[i] {
				w.t.Errorf("counter %d went from %d back to %d", i, last[i], n)
			}
			last[i] = max(last[i], n)
		}
		if c != nil {
			c.Close()
		}
	})
	var once sync.Once
	end = func() { once.Do(func() { cancel(); wg.Wait() }) }
	w.t.Cleanup(end)
	return end
}
