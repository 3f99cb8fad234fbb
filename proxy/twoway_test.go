package proxy

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/resp"
)

func TestTwoWayCountsOnBothSides(t *testing.T) {
	p := newPair(t, redisd.Options{})
	const clients, each, keys = 4, 150, 5
	var work sync.WaitGroup
	for i := range 2 * clients {
		w := p.at(i % 2)
		work.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(i)))
			for n := range each {
				key := fmt.Sprint("n:", rnd.IntN(keys))
				switch n % 4 {
				case 0:
					w.do("INCR " + key)
				case 1:
					w.send(string(resp.AppendCommand(nil, "MULTI")) + string(resp.AppendCommand(nil, "INCR", key)) +
						string(resp.AppendCommand(nil, "LPUSH", "l:"+key, strconv.Itoa(n))) + string(resp.AppendCommand(nil, "EXEC")))
					for range 4 {
						w.reply()
					}
				case 2:
					w.send(string(resp.AppendCommand(nil, "EVAL", "return redis.call('INCR', KEYS[1])", "1", key)))
					w.reply()
				default:
					w.do("HINCRBY h " + key + " 1")
					w.do("INCR " + key)
				}
			}
		})
	}
	work.Wait()
	p.rest()
	total := 0
	w := p.at(1)
	for k := range keys {
		n, err := strconv.Atoi(strings.Fields(w.do(fmt.Sprint("GET n:", k)))[1])
		if err != nil {
			t.Fatal(err)
		}
		total += n
	}
	if want := 2 * clients * each; total != want {
		t.Errorf("the counters come to %d of %d", total, want)
	}
}

// TestTwoWayUnnamedKeys: what writes keys that it does not name, on either side, leaves both the same.
func TestTwoWayUnnamedKeys(t *testing.T) {
	p := newPair(t, redisd.Options{})
	here, there := p.at(0), p.at(1)
	for i := range 3 {
		for side, w := range []*wire{here, there} {
			w.send(string(resp.AppendCommand(nil, "EVAL", "return redis.call('APPEND', 'hidden', ARGV[1])", "0", strconv.Itoa(side))))
			if got := w.reply(); got != fmt.Sprintf(":%d", 2*i+side+1) {
				t.Errorf("script %d of side %d is answered %q", i, side, got)
			}
			for _, command := range []string{"MULTI", "SELECT 1", "APPEND a x", "SELECT 0", "APPEND a y"} {
				w.do(command)
			}
			w.expect("EXEC", fmt.Sprintf("*4 +OK :%d +OK :%d", 2*i+side+1, 2*i+side+1))
			if got := w.do("SORT"); !strings.HasPrefix(got, "-ERR wrong number") {
				t.Errorf("a command without its keys is answered %q", got)
			}
		}
	}
	p.rest()
	there.expect("GET hidden", "$6 010101")
}

// TestTwoWayFunctions: what is loaded on one side is called on the other.
func TestTwoWayFunctions(t *testing.T) {
	p := newPair(t, redisd.Options{})
	here, there := p.at(0), p.at(1)
	there.send(string(resp.AppendCommand(nil, "FUNCTION", "LOAD",
		"#!lua name=lib\nredis.register_function('add', function(keys, args) return redis.call('RPUSH', keys[1], args[1]) end)")))
	if got := there.reply(); got != "$3 lib" {
		t.Fatal(got)
	}
	p.await("the functions on the source", func() bool { return p.shard.sameFunctions() && p.back.shard.sameFunctions() })
	for i := range 6 {
		w := []*wire{here, there}[i%2]
		w.expect(fmt.Sprintf("FCALL add 1 list %d", i), fmt.Sprintf(":%d", i+1))
	}
	sha := strings.Fields(there.script("LOAD", "return redis.call('INCR', KEYS[1])"))[1]
	p.rest()
	here.expect("EVALSHA "+sha+" 1 n", ":1")
	there.expect("EVALSHA "+sha+" 1 n", ":2")
	p.rest()
}

// script is SCRIPT with an argument that has spaces.
func (w *wire) script(args ...string) string {
	w.send(string(resp.AppendCommand(nil, append([]string{"SCRIPT"}, args...)...)))
	return w.reply()
}

// TestTwoWayRefusesWhatDoesNotArrive: a write whose keys' last change is on a server that is out of reach alone is refused, and
// nothing else is.
func TestTwoWayRefusesWhatDoesNotArrive(t *testing.T) {
	p := newPairWith(t, redisd.Options{Save: true}, func(o *Options) { o.PrimaryWait = 200 * time.Millisecond })
	here, there, direct := p.at(0), p.at(1), p.direct(p.target)
	here.expect("SET settled 1", "+OK")
	p.rest()
	direct.expect("CONFIG SET maxmemory 1", "+OK")
	here.expect("SET alone 1", "+OK")
	p.await("a key that is dirty", func() bool { return p.shard.ledger.DirtyKeys() == 1 })
	p.source.Kill()
	p.await("the source is gone", func() bool { return !p.back.shard.effects.up && !p.shard.primary.connected() })
	direct.expect("CONFIG SET maxmemory 0", "+OK")
	there.expect("INCR settled", ":2")
	if got := there.do("INCR alone"); !strings.HasPrefix(got, "-ERR tandem: two-way") {
		t.Errorf("the write is answered %q", got)
	}
	there.expect("GET settled", "$1 2")
	if err := p.source.Restart(true); err != nil {
		t.Fatal(err)
	}
	p.rest()
	there.expect("INCR alone", ":2")
	p.rest()
}

// TestTwoWayHungServer: a server that answers nobody, though its connections stand, holds nobody up at the other one but who needs
// what it is about to change.
func TestTwoWayHungServer(t *testing.T) {
	p := newPairWith(t, redisd.Options{}, func(o *Options) { o.PrimaryWait = 300 * time.Millisecond })
	here, there := p.at(0), p.at(1)
	if err := p.target.Pause(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.target.Continue() })
	there.send(string(resp.AppendCommand(nil, "INCR", "x")))
	p.await("a write in flight", func() bool { return p.shard.ledger.Unreplied() == 1 })
	for _, command := range []string{"INCR x", "FLUSHDB"} {
		if got := here.do(command); !strings.HasPrefix(got, "-ERR tandem: two-way") {
			t.Errorf("%s is answered %q", command, got)
		}
	}
	flush := p.at(0)
	flush.send(string(resp.AppendCommand(nil, "FLUSHDB")))
	here.expect("SET y 1", "+OK")
	if err := p.target.Continue(); err != nil {
		t.Fatal(err)
	}
	if got := there.reply(); got != ":1" {
		t.Errorf("it goes on with %q", got)
	}
	flush.reply()
	p.rest()
}
