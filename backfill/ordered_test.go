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
	for name, big := range map[string]bool{"small": false, "big": true} {
		t.Run(name, func(t *testing.T) {
			var tr *traffic
			var owned atomic.Int64
			var waits sync.WaitGroup
			o := CopierOptions{}
			if big {
				o.BigKeyBytes = 1 // every key is
			}
			w := newWorld(t, redisd.Options{}, redisd.Options{}, o, nil)
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
			if owned.Load() != 1 || s.Ordered != 1 || s.Races < bigRaces {
				t.Errorf("owned %d times, %+v", owned.Load(), s)
			}
		})
	}
}
