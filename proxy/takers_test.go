package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tandem/internal/ledger"
	"tandem/internal/redisd"
	"tandem/internal/resp"
)

// TestTwoWayTakesOnce: whatever is added on either side is taken by one who waits on either side, once.
func TestTwoWayTakesOnce(t *testing.T) {
	p := newPair(t, redisd.Options{})
	const each = 60
	takes := map[string]func(reply string) string{
		"BLPOP a b 0":                last,
		"BRPOP b a 0":                last,
		"BLMOVE a moved LEFT LEFT 0": last,
		"BZPOPMIN z 0":               func(s string) string { f := strings.Fields(s); return f[4] },
		"BLMPOP 0 1 a LEFT COUNT 1":  last,
	}
	var mu sync.Mutex
	taken := map[string]int{}
	var takers, pushers sync.WaitGroup
	var stop atomic.Bool
	var left atomic.Int64
	left.Store(2 * each * 3)
	for side := range 2 {
		for command, value := range takes {
			w := p.at(side)
			takers.Go(func() {
				for !stop.Load() {
					reply, err := w.try(command)
					if err != nil {
						if !stop.Load() {
							t.Error(err)
						}
						return
					}
					mu.Lock()
					taken[value(reply)]++
					mu.Unlock()
					if left.Add(-1) == 0 {
						stop.Store(true)
					}
				}
			})
		}
		for _, key := range []string{"a", "b", "z"} {
			w := p.at(side)
			pushers.Go(func() {
				for n := range each {
					v := fmt.Sprintf("%d-%s-%d", side, key, n)
					if key == "z" {
						w.do(fmt.Sprintf("ZADD z %d %s", n, v))
					} else {
						w.do("RPUSH " + key + " " + v)
					}
				}
			})
		}
	}
	pushers.Wait()
	limit := time.After(20 * time.Second)
	for tick := time.NewTicker(5 * time.Millisecond); left.Load() > 0; {
		select {
		case <-limit:
			t.Fatalf("%d elements were not taken", left.Load())
		case <-tick.C:
		}
	}
	// Those who still wait are let go, and take nothing; also those who are only about to wait.
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		takers.Wait()
	}()
	for sides, left := []*wire{p.at(0), p.at(1)}, true; left; {
		for _, w := range sides {
			for _, line := range strings.Split(w.do("CLIENT LIST"), "\n") {
				if id, _, _ := strings.Cut(line[strings.Index(line, "id=")+3:], " "); strings.Contains(line, "flags=b") {
					w.do("CLIENT UNBLOCK " + id + " ERROR")
				}
			}
		}
		select {
		case <-gone:
			left = false
		case <-time.After(time.Millisecond):
		}
	}
	for v, n := range taken {
		if n != 1 && !strings.HasPrefix(v, "-UNBLOCKED") {
			t.Errorf("%s was taken %d times", v, n)
		}
	}
	p.rest()
}

func last(reply string) string { f := strings.Fields(reply); return f[len(f)-1] }

// try is do for a client that may be let go: an UNBLOCKED is no reply of its own.
func (w *wire) try(command string) (string, error) {
	if _, err := io.WriteString(w, string(resp.AppendCommand(nil, strings.Fields(command)...))); err != nil {
		return "", err
	}
	line, err := w.r.Peek(1)
	if err != nil {
		return "", err
	}
	if line[0] == '-' {
		text, _ := bufio.NewReader(w.r).ReadString('\n')
		return "", errors.New(text)
	}
	return w.reply(), nil
}

// blocked reads CLIENT LIST until as many clients wait as wanted, and returns their ids.
func (p *pair) blocked(side, want int) (ids []string) {
	p.t.Helper()
	w := p.at(side)
	for limit := time.Now().Add(10 * time.Second); time.Now().Before(limit); {
		ids = ids[:0]
		for _, line := range strings.Split(w.do("CLIENT LIST"), "\n") {
			if id, _, _ := strings.Cut(line[strings.Index(line, "id=")+3:], " "); strings.Contains(line, "flags=b") {
				ids = append(ids, id)
			}
		}
		if len(ids) == want {
			return ids
		}
	}
	p.t.Fatalf("%d clients wait on side %d, want %d", len(ids), side, want)
	return nil
}

// TestTwoWayWaitsInOrder: those who wait on one side are served in the order in which they came, by what is pushed on the other.
func TestTwoWayWaitsInOrder(t *testing.T) {
	p := newPair(t, redisd.Options{})
	var waiting []*wire
	for i := range 4 {
		w := p.at(1)
		w.send(string(resp.AppendCommand(nil, "BLPOP", "q", "0")))
		p.blocked(1, i+1)
		waiting = append(waiting, w)
	}
	here := p.at(0)
	for _, elements := range []string{"0 1", "2", "3"} {
		here.do("RPUSH q " + elements) // those that are not taken yet count
	}
	for i, w := range waiting {
		if got, want := w.reply(), fmt.Sprintf("*2 $1 q $1 %d", i); got != want {
			t.Errorf("client %d got %q, want %q", i, got, want)
		}
	}
	p.rest()
}

// TestTwoWayWaitEnds: whoever waits in the proxy is let go as on a server.
func TestTwoWayWaitEnds(t *testing.T) {
	p := newPair(t, redisd.Options{})
	there, here := p.at(1), p.at(0)
	here.expect("BLPOP none 0.05", "*-1")
	here.expect("BLMOVE none other LEFT LEFT 0.05", "*-1")
	here.expect("SET text x", "+OK")
	if got := here.do("BLPOP text 0"); !strings.HasPrefix(got, "-WRONGTYPE") {
		t.Errorf("BLPOP of a string is answered %q", got)
	}
	here.expect("SET q x", "+OK")
	here.expect("DEL q", ":1")
	// A key of another type is nothing to one who waits already.
	there.send(string(resp.AppendCommand(nil, "BLPOP", "q", "0")))
	id := p.blocked(1, 1)[0]
	here.expect("SET q x", "+OK")
	here.expect("DEL q", ":1")
	p.blocked(1, 1)
	p.at(1).expect("CLIENT UNBLOCK "+id+" TIMEOUT", ":1")
	if got := there.reply(); got != "*-1" {
		t.Errorf("let go, the client is told %q", got)
	}
	there.send(string(resp.AppendCommand(nil, "BZPOPMAX", "z", "0")))
	id = p.blocked(1, 1)[0]
	p.at(1).expect("CLIENT UNBLOCK "+id+" ERROR", ":1")
	if got := there.reply(); !strings.HasPrefix(got, "-UNBLOCKED") {
		t.Errorf("let go with an error, the client is told %q", got)
	}
	// One that has gone takes nothing.
	gone := p.at(1)
	gone.send(string(resp.AppendCommand(nil, "BLPOP", "q", "0")))
	p.blocked(1, 1)
	_ = gone.Close()
	p.blocked(1, 0)
	here.expect("RPUSH q y", ":1")
	p.rest()
	here.expect("LLEN q", ":1")
	// In a transaction nobody waits.
	for _, command := range []string{"MULTI", "BLPOP none 0"} {
		there.do(command)
	}
	there.expect("EXEC", "*1 *-1")
	p.direct(p.source).expect("ACL SETUSER reader on >secret ~* +@all -lpop", "+OK")
	reader := p.at(0)
	reader.expect("AUTH reader secret", "+OK")
	if got := reader.do("BLPOP none 0"); !strings.HasPrefix(got, "-NOPERM") || !strings.Contains(got, "'blpop'") {
		t.Errorf("a user who may not take is told %q", got)
	}
	// What cannot be waited for without blocking on the server is refused.
	if got := here.do("BLPOP q -1"); !strings.HasPrefix(got, "-ERR tandem: two-way") {
		t.Errorf("a BLPOP with a wrong timeout is answered %q", got)
	}
}

// TestTwoWayGroups: readers of one group of a stream on both sides get each entry once.
func TestTwoWayGroups(t *testing.T) {
	p := newPair(t, redisd.Options{})
	p.at(0).expect("XGROUP CREATE s g $ MKSTREAM", "+OK")
	const entries = 40
	var mu sync.Mutex
	got := map[string]int{}
	var readers, writers sync.WaitGroup
	for side := range 2 {
		r, w := p.at(side), p.at(side)
		readers.Go(func() {
			for {
				reply := r.do(fmt.Sprintf("XREADGROUP GROUP g c%d COUNT 1 BLOCK 20000 STREAMS s >", side))
				if reply == "*-1" {
					return
				}
				mu.Lock()
				got[last(reply)]++
				mu.Unlock()
				if last(reply) == "end" {
					return
				}
			}
		})
		writers.Go(func() {
			for n := range entries {
				w.do(fmt.Sprintf("XADD s * f %d.%d", side, n))
			}
		})
	}
	writers.Wait()
	w := p.at(1)
	w.do("XADD s * f end")
	w.do("XADD s * f end")
	readers.Wait()
	for side := range 2 {
		for n := range entries {
			if c := got[fmt.Sprintf("%d.%d", side, n)]; c != 1 {
				t.Errorf("entry %d.%d was read %d times", side, n, c)
			}
		}
	}
	p.rest()
}

// TestTwoWayTimeout: who waits for what only the other server has, which is out of reach, waits no longer than he has asked for.
func TestTwoWayTimeout(t *testing.T) {
	p := newPairWith(t, redisd.Options{Save: true}, func(o *Options) { o.PrimaryWait = 20 * time.Second })
	here, there, direct := p.at(0), p.at(1), p.direct(p.target)
	direct.expect("CONFIG SET maxmemory 1", "+OK")
	here.expect("RPUSH alone 1", ":1")
	p.await("a key that is dirty", func() bool { return p.shard.ledger.DirtyKeys() == 1 })
	p.source.Kill()
	p.await("the source is gone", func() bool { return !p.back.shard.effects.up && !p.shard.primary.connected() })
	direct.expect("CONFIG SET maxmemory 0", "+OK")
	began := time.Now()
	there.expect("BLPOP alone 0.05", "*-1")
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it has waited for %s", took)
	}
	there.send(string(resp.AppendCommand(nil, "BLPOP", "alone", "0")))
	if err := p.source.Restart(true); err != nil {
		t.Fatal(err)
	}
	if got := there.reply(); got != "*2 $5 alone $1 1" {
		t.Errorf("who waits longer is given %q", got)
	}
	p.rest()
}

// TestTwoWayFromPassthrough: who blocks on the server when it begins waits in the proxy from then on, in his place; and so does one
// who was about to.
func TestTwoWayFromPassthrough(t *testing.T) {
	p := newPair(t, redisd.Options{})
	for _, h := range []*house{p.house, &p.back} {
		h.shard.lock()
		h.shard.dual = false
		h.shard.publish()
		h.shard.unlock()
	}
	first, second := p.at(0), p.at(0)
	first.send(string(resp.AppendCommand(nil, "BLPOP", "q", "0")))
	p.await("a command that blocks", func() bool {
		for ln := range p.shard.primary.pinned {
			if ln.blocks() != nil {
				return true
			}
		}
		return false
	})
	p.shard.Hold()
	hold, done := context.WithTimeout(context.Background(), 10*time.Second)
	defer done()
	if err := p.shard.Await(hold, p.shard.Answered); err != nil {
		t.Fatal(err)
	}
	for _, h := range []*house{p.house, &p.back} {
		h.shard.lock()
		h.shard.dual = true
		h.shard.publish()
		h.shard.unlock()
	}
	p.shard.Release()
	p.await("who waits in the proxy", func() bool { return len(p.shard.takers) == 1 && p.shard.ledger.Blocking() == 0 })

	// One who is on his way to the server when it begins is turned back.
	s := p.server.byID(p.sessionID(second))
	b := &blocking{sess: s}
	r := &request{}
	r.reset()
	r.sess, r.blocking, r.blocked = s, b, &ledger.Blocked{}
	p.shard.lock()
	sent := s.send(r)
	p.shard.unlock()
	if !sent || !b.again || p.shard.ledger.Blocking() != 0 {
		t.Errorf("it was sent: %v, and is to come again: %v", sent, b.again)
	}
	p.at(1).expect("RPUSH q x", ":1")
	if got := first.reply(); got != "*2 $1 q $1 x" {
		t.Errorf("who waited got %q", got)
	}
	p.rest()
}

// sessionID is the id of a client.
func (p *pair) sessionID(w *wire) int64 {
	p.t.Helper()
	id, err := strconv.ParseInt(strings.TrimPrefix(w.do("CLIENT ID"), ":"), 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return id
}
