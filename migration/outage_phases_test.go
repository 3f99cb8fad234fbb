package migration

import (
	"fmt"
	"testing"
	"time"

	"tandem/backfill"
	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/instance"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/status"
)

// Trouble of every kind that the network makes, one after the other, on either side, in each phase: clients are answered right
// or not at all, and at the end both servers hold the same. What was held back on the way to a server arrives
// long after newer connections have spoken to it, and changes nothing.
func TestTroubleOfTheNetworkInEveryPhase(t *testing.T) {
	for _, phase := range []string{status.Passthrough, status.Backfill, status.Synced, status.Reversed} {
		t.Run(phase, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) {
				c.Primary.Wait = time.Second
				if phase == status.Passthrough {
					c.Start = "manual"
				}
				if phase == status.Backfill {
					c.Backfill.MaxKeysPerS = 20 // it outlasts the trouble
				}
			})
			source, target := w.relay(w.source), w.relay(w.target)
			w.fill(w.source.Addr, 300, 0)
			w.run()
			primary, secondary := source, target
			switch phase {
			case status.Passthrough:
			case status.Backfill:
				w.until("the backfill runs", func(s status.Status) bool { return s.Backfill.KeysScanned > 0 })
			default:
				w.synced()
				if phase == status.Reversed {
					if _, err := w.Cutover(t.Context(), admin.StepOptions{}); err != nil {
						t.Fatal(err)
					}
					primary, secondary = target, source
				}
			}
			n := &counter{w: w}
			for _, trouble := range []struct {
				name  string
				relay *redisdtest.Relay
				begin func(*redisdtest.Relay)
			}{
				{"the secondary's connections break", secondary, (*redisdtest.Relay).Cut},
				{"the secondary's are half open", secondary, (*redisdtest.Relay).HoldBack},
				{"the primary's connections break", primary, (*redisdtest.Relay).Cut},
				{"the primary's are half open", primary, (*redisdtest.Relay).HoldBack},
				{"the primary hangs", primary, (*redisdtest.Relay).Hang},
			} {
				n.add(20)
				w.until("both are connected", func(s status.Status) bool {
					return s.Source.Connected && s.Target.Connected && s.UnsettledWrites == 0
				})
				trouble.begin(trouble.relay)
				if trouble.name == "the primary hangs" {
					// Nobody is answered until it is over.
					began := time.Now()
					w.until("it hangs for a while", func(status.Status) bool { return time.Since(began) > 500*time.Millisecond })
					trouble.relay.Release()
				}
				n.add(20)
				if trouble.name == "the secondary's are half open" && phase != status.Passthrough {
					w.logged("a connection is given up")
				}
				trouble.relay.Release()
				n.add(20)
			}
			switch phase {
			case status.Passthrough:
				if _, err := w.Start(t.Context(), admin.StepOptions{}); err != nil {
					t.Fatal(err)
				}
			case status.Backfill:
				if got := w.Status().Phase; got != status.Backfill {
					t.Errorf("the trouble came in %s", got)
				}
				w.throttle.Set(backfill.Limits{})
			}
			w.until("equal", func(s status.Status) bool {
				return s.DirtyKeys == 0 && s.UnsettledWrites == 0 && s.Source.Connected && s.Target.Connected && s.Phase != status.Backfill &&
					s.Backfill.State != status.Running
			})
			n.check()
			w.same(0)
		})
	}
}

// counter is a client that counts, and knows what the count may be.
type counter struct {
	w       *world
	c       *instance.Conn
	sent    int // INCRs
	unknown int // of these, without an answer
	last    int // the last answer
}

// add counts a number of times, each until it is answered.
func (n *counter) add(times int) {
	n.w.t.Helper()
	for range times {
		for limit := time.Now().Add(20 * time.Second); ; {
			if n.c == nil {
				n.c = n.w.conn("", 0)
			}
			n.sent++
			v, err := n.c.Do(n.w.t.Context(), "INCR", "counter")
			if err == nil {
				if got := int(v.Int); got <= n.last || got > n.sent || got < n.sent-n.unknown {
					n.w.t.Fatalf("INCR number %d, %d of them unknown, is answered %d after %d", n.sent, n.unknown, got, n.last)
				}
				n.last = int(v.Int)
				break
			}
			n.unknown++
			_ = n.c.Close()
			n.c = nil
			if time.Now().After(limit) {
				n.w.t.Fatalf("no answer for 20 s: %v", err)
			}
		}
		n.w.do(n.c, "SET", fmt.Sprint("key:", n.sent%300), fmt.Sprint("counted ", n.sent))
	}
}

// check reads the count where clients read it.
func (n *counter) check() {
	n.w.t.Helper()
	if got := n.w.do(n.w.conn("", 0), "GET", "counter"); got != fmt.Sprint(n.last) {
		n.w.t.Errorf("the counter is %s, and the last answer was %d", got, n.last)
	}
}
