package migration

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/instance"
	"tandem/internal/redisd"
	"tandem/internal/status"
)

// A secondary that refuses what it is sent is one named blocker, costs the primary next to nothing, and is made
// equal as soon as it takes writes again. Clients notice nothing.
func TestASecondaryThatRefusesEverything(t *testing.T) {
	for _, refusal := range refusals {
		t.Run(refusal.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, redisd.Options{}, redisd.Options{}, nil)
			w.fill(w.source.Addr, 400, 0)
			w.run()
			w.synced()
			c, admin, source := w.conn("", 0), w.conn(w.target.Addr, 0), w.conn(w.source.Addr, 0)
			refusal.begin(w, w.target, admin)
			for i := range 400 {
				w.do(c, "APPEND", fmt.Sprint("key:", i), "more")
				if i%4 == 0 {
					w.do(c, "DEL", fmt.Sprint("key:", i))
				}
				if refusal.says == "NOPERM" {
					w.ledger.Lock()
					w.ledger.MakeDirty(w.dirtyKey(fmt.Append(nil, "key:", i)))
					w.ledger.Unlock()
				}
			}
			w.until("it is named", func(s status.Status) bool { return w.blocked(s, "secondary_refuses") })
			before := reads(w, source)
			w.until("copies were tried for a while", func(s status.Status) bool {
				if len(s.Blockers) > 2 || w.blocked(s, "copy_failing") {
					t.Fatalf("blockers %+v", s.Blockers)
				}
				return reads(w, source) >= before+3
			})
			began := time.Now()
			w.until("a second has passed", func(status.Status) bool { return time.Since(began) > time.Second })
			if n := reads(w, source) - before; n > 100 {
				now := w.Status()
				t.Errorf("%d keys were read from the primary meanwhile: %d dirty, copies %+v, blockers %+v", n, now.DirtyKeys, now.Copies, now.Blockers)
			}
			s := w.Status()
			for _, b := range s.Blockers {
				if b.Code == "secondary_refuses" && (!strings.Contains(b.Message, refusal.says) || !strings.Contains(b.Remedy, refusal.remedy)) {
					t.Errorf("%+v does not tell of %s and %s", b, refusal.says, refusal.remedy)
				}
			}
			if s.DirtyKeys < 300 || s.ReadyToCutover {
				t.Errorf("%d dirty keys, ready %v", s.DirtyKeys, s.ReadyToCutover)
			}
			refusal.end(w, w.target, admin)
			w.until("ready again", func(s status.Status) bool { return s.ReadyToCutover && s.DirtyKeys == 0 })
			w.same(0)
		})
	}
}

// reads is how many keys have been read of a server.
func reads(w *world, c *instance.Conn) (sum int) {
	w.t.Helper()
	stats := w.do(c, "INFO", "commandstats")
	for _, command := range []string{"dump", "get"} {
		_, rest, _ := strings.Cut(stats, "cmdstat_"+command+":calls=")
		text, _, _ := strings.Cut(rest, ",")
		n, _ := strconv.Atoi(text) // none yet: 0
		sum += n
	}
	return sum
}

// A target that takes no writes must not be made the primary, even if nobody has written meanwhile.
func TestNoCutoverToATargetThatTakesNoWrites(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redisd.Options{}, redisd.Options{}, nil)
	w.lookEvery = time.Hour
	w.fill(w.source.Addr, 10, 0)
	w.run()
	w.synced()
	target := w.conn(w.target.Addr, 0)
	w.do(target, "REPLICAOF", "127.0.0.1", "1")
	_, err := w.Cutover(t.Context(), admin.StepOptions{})
	refused(t, err, "secondary_refuses")
	w.do(target, "REPLICAOF", "NO", "ONE")
	if _, err := w.Cutover(t.Context(), admin.StepOptions{}); err != nil {
		t.Fatal(err)
	}
}

// Somebody empties the secondary, and no connection breaks.
func TestASecondaryThatIsEmptiedIsFilledAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redisd.Options{}, redisd.Options{}, nil)
	w.lookEvery = 50 * time.Millisecond
	w.fill(w.source.Addr, 100, 0)
	w.run()
	w.synced()
	w.do(w.conn(w.target.Addr, 0), "FLUSHALL")
	w.logged("holds far fewer keys than the primary")
	w.synced()
	w.same(0)
}

// What a sweep cannot bring to the secondary, because it evicts, is not swept for again and again.
func TestASecondaryThatHoldsFewerForGoodIsComparedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redisd.Options{}, redisd.Options{}, nil)
	w.lookEvery = time.Hour
	w.fill(w.source.Addr, 100, 0)
	w.run()
	w.synced()
	look := func(keys int64) {
		w.look(w.Migration.source)
		w.synced()
		w.shrunk(w.Migration.target, keys)
	}
	sweeps := func() int { return strings.Count(w.log.String(), "holds far fewer keys than the primary: all") }
	for range 6 {
		look(40)
	}
	if n := sweeps(); n != 1 {
		t.Errorf("%d sweeps for one loss", n)
	}
	for range 6 {
		look(5)
	}
	if n := sweeps(); n != 2 {
		t.Errorf("%d sweeps for two losses", n)
	}
	look(90)
	for range 3 {
		look(40)
	}
	if n := sweeps(); n != 3 {
		t.Errorf("%d sweeps for three losses", n)
	}
}

// An outage that lasts longer than the dirty keys can be remembered: a sweep is owed, and memory does not grow.
func TestAnOutageOfTheSecondaryBeyondTheDirtyKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redisd.Options{}, redisd.Options{Save: true}, func(c *config.Config) { c.MaxDirtyKeys = 50 })
	w.fill(w.source.Addr, 300, 0)
	w.run()
	w.synced()
	w.target.Kill()
	c := w.conn("", 0)
	for i := range 300 {
		w.do(c, "SET", fmt.Sprint("key:", i), "during the outage")
		w.ledger.Lock()
		dirty := w.ledger.DirtyKeys()
		w.ledger.Unlock()
		if dirty > 50 {
			t.Fatalf("%d dirty keys, of 50", dirty)
		}
	}
	w.until("a sweep is owed", func(s status.Status) bool { return w.blocked(s, "sweep_owed") && w.blocked(s, "secondary_down") })
	if err := w.target.Restart(true); err != nil {
		t.Fatal(err)
	}
	w.synced()
	w.same(0)
}

// New connections are not let in any more; those that are there go on until they break.
func TestAPasswordThatHasChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redisd.Options{}, redisd.Options{}, quickly)
	w.run()
	w.synced()
	c := w.conn("", 0)
	servers := map[string]*redisd.Server{"source": w.source, "target": w.target}
	for _, side := range []string{"target", "source"} {
		code := map[string]string{"target": "secondary_down", "source": primaryDown}[side]
		direct := w.conn(servers[side].Addr, 0)
		w.do(direct, "CONFIG", "SET", "requirepass", "changed")
		w.do(c, "SET", "a", side) // as before
		w.do(direct, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		w.until("it is named", func(s status.Status) bool {
			for _, b := range s.Blockers {
				if b.Code == code {
					return strings.Contains(b.Message, "asks for a password") && strings.Contains(b.Remedy, side+".password_file")
				}
			}
			return false
		})
		if side == "target" {
			w.do(c, "SET", "a", "while the target lets nobody in")
		}
		w.do(direct, "CONFIG", "SET", "requirepass", "")
		w.until("it is over", func(s status.Status) bool { return s.ReadyToCutover && s.DirtyKeys == 0 })
	}
	w.same(0)
}

// A server without a free place for a client.
func TestAServerWithoutAFreePlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redisd.Options{}, redisd.Options{}, nil)
	w.run()
	w.synced()
	c := w.conn("", 0)
	direct := w.conn(w.target.Addr, 0)
	w.do(direct, "CONFIG", "SET", "maxclients", "1")
	w.do(direct, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	w.until("it is named", func(s status.Status) bool {
		w.do(c, "INCR", "a")
		for _, b := range s.Blockers {
			if b.Code == "secondary_down" && strings.Contains(b.Remedy, "raise maxclients") {
				return true
			}
		}
		return false
	})
	w.do(direct, "CONFIG", "SET", "maxclients", "1000")
	w.until("it is over", func(s status.Status) bool { return s.ReadyToCutover && s.DirtyKeys == 0 })
	w.same(0)
}

// What a process leaves behind when it ends is said, and told by the error.
func TestTheEndSaysWhatIsLeft(t *testing.T) {
	for _, test := range []struct {
		name string
		last func(w *world) // what happens before the end
		left string         // in the error; empty: none
		wait time.Duration  // the configured time for the end; where it is a minute nothing is to be waited for
	}{
		{"nothing", func(w *world) { w.do(w.conn("", 0), "SET", "a", "b") }, "", time.Minute},
		{"a client that blocks", func(w *world) {
			c := w.conn("", 0)
			go func() { _, _ = c.Do(w.t.Context(), "BLPOP", "queue", "0") }()
			direct := w.conn(w.source.Addr, 0)
			w.until("it blocks", func(status.Status) bool {
				return strings.Contains(w.do(direct, "INFO", "clients"), "blocked_clients:1")
			})
		}, "", time.Minute},
		{"a dead target", func(w *world) {
			w.target.Kill()
			w.until("it is gone", func(s status.Status) bool { return !s.Target.Connected })
			w.do(w.conn("", 0), "SET", "a", "b")
		}, "1 keys not copied, target", time.Minute},
		{"a full target", func(w *world) {
			w.do(w.conn(w.target.Addr, 0), "CONFIG", "SET", "maxmemory", "1")
			w.do(w.conn("", 0), "SET", "a", "b")
			w.until("it refuses", func(s status.Status) bool { return s.DirtyKeys > 0 })
		}, "1 keys not copied, target", time.Minute},
		{"a target that hangs", func(w *world) {
			w.pause(w.target)
			w.do(w.conn("", 0), "SET", "a", "b")
		}, "not acknowledged; the next start", 5 * time.Second},
		{"a backfill that runs", func(w *world) {
			w.ledger.Lock()
			w.ledger.OweSweep("for the test", 0)
			w.ledger.Unlock()
			w.do(w.conn("", 0), "APPEND", "key:1", "b")
		}, "", time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) { c.Shutdown.Timeout = test.wait })
			w.fill(w.source.Addr, 100, 0)
			w.run()
			w.synced()
			test.last(w)
			began := time.Now()
			err := w.stop()
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("took %v", took)
			}
			switch {
			case test.left == "" && err != nil:
				t.Errorf("%v", err)
			case test.left != "" && (!errors.Is(err, ErrUnsettled) || !strings.Contains(err.Error(), test.left)):
				t.Errorf("%v, want %q", err, test.left)
			}
		})
	}
}
