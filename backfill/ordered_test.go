package backfill

import (
	"sync"
	"sync/atomic"
	"testing"

	"tandem/internal/ledger"
	"tandem/internal/redisd"
)

// write sends a write to one key of database 0 on a lane; wait waits for its reply.
func write(l *ledger.Ledger, lane *testLane, c command) (wait func() string) {
	o := &op{lane: lane, command: c, done: make(chan struct{}, 1)}
	key := []byte(c[1])
	o.w = ledger.Write{Lane: lane.id, Waiter: o, Keys: []ledger.Key{{Hash: l.Hash(0, key), Name: key, Write: true}}}
	o.effect = func(reply string) *ledger.Effect {
		return &ledger.Effect{Steps: make([]ledger.Step, 1), Payload: effect{command: c.append(nil), want: reply}}
	}
	lane.submit(o)
	return func() string {
		<-o.done
		return o.reply
	}
}

func increment(l *ledger.Ledger, lane *testLane, name string) (wait func() string) {
	return write(l, lane, command{"INCR", name})
}

// A key that is written during each of its copies' reads is read once while its stripe is owned, and what
// clients write meanwhile waits for that.
func TestCopyThatKeepsLosingOwnsItsStripe(t *testing.T) {
	for _, name := range []string{"small", "big", "typed"} {
		big, typed := name == "big", name == "typed"
		t.Run(name, func(t *testing.T) {
			var tr *traffic
			var owned atomic.Int64
			var waits sync.WaitGroup
			o := CopierOptions{}
			if big {
				o.BigKeyBytes = 1 // every key is
			}
			w := newWorld(t, redisd.Options{}, redisd.Options{}, o, func(c *Copier) { c.onlyTyped = typed })
			do(t, w.first.Addr, "SET", "hot", "0")
			tr = startTraffic(w, 0, 1)
			w.l.Lock()
			w.copier.hooks = func(p point, _ int, names []string) {
				switch p {
				case afterRead:
					increment(w.l, tr.lanes[0], "hot")()
				case owning:
					before := do(t, w.first.Addr, "GET", "hot").Str
					wait := increment(w.l, tr.lanes[1], "hot")
					if after := do(t, w.first.Addr, "GET", "hot").Str; after != before {
						t.Errorf("a write went through while the stripe was owned: %s, then %s", before, after)
					}
					owned.Add(1)
					waits.Go(func() { wait() })
				}
			}
			w.l.Unlock()
			if big {
				w.copier.pace.done(0, 8, 8, largeValue+1, 0) // sizes are asked
			}
			w.sweep()
			waits.Wait()
			tr.halt()
			w.settle()
			w.equal()
			s := w.copier.Stats()
			if owned.Load() != 1 || s.Ordered != 1 || s.Races < bigRaces || typed != (s.Typed == 1) {
				t.Errorf("owned %d times, %+v", owned.Load(), s)
			}
		})
	}
}

// A read whose stripe is granted just when the reader is about to take the others is taken with them, and the reader is not woken
// once more for nothing.
func TestGrantedReadsAreTakenOnce(t *testing.T) {
	l := ledger.New(ledger.Options{MaxDirty: 1, MaxExact: 1, Now: func() int64 { return 0 }})
	g := &ordered{signal: make(chan struct{}, 1)}
	tickets := []*ticket{{group: g}, {group: g}, {group: g}}
	grant := func(n int) {
		l.Lock()
		defer l.Unlock()
		tickets[n].Granted(nil)
	}
	grant(0)
	<-g.signal
	grant(1)
	if n := len(g.take(l)); n != 2 || len(g.signal) != 0 {
		t.Errorf("%d taken of 2 granted; %d more calls to take some", n, len(g.signal))
	}
	grant(2)
	<-g.signal
	if n := len(g.take(l)); n != 1 {
		t.Errorf("%d taken of 1 granted later", n)
	}
}
