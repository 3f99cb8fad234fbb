package backfill

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tandem/internal/ledger"
	"tandem/internal/redisd"
	"tandem/internal/status"
	"tandem/test/keyspace"
	"tandem/test/wire"
)

// sweeping runs a sweep in the background; the returned function waits for it.
func (w *world) sweeping(s *Sweep) (wait func()) {
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	w.l.Lock()
	gen, _, _ := w.l.SweepOwed()
	w.l.Unlock()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, gen) }()
	var once sync.Once
	wait = func() {
		once.Do(func() {
			if err := <-done; err != nil {
				w.t.Errorf("sweep: %v; %+v; %+v", err, s.Progress(), w.copier.Stats())
			}
			cancel()
		})
	}
	w.t.Cleanup(func() { cancel(); wait() })
	return wait
}

// eventually waits until f says yes.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	for !f() {
		if pause(ctx, time.Millisecond); ctx.Err() != nil {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// every calls f at the nth batch that is read, and at no other.
func every(at point, nth int64, f func()) hooks {
	var n atomic.Int64
	return func(p point, _ int, _ []string) {
		if p == at && n.Add(1)%nth == 0 {
			f()
		}
	}
}

func fill(t testing.TB, addr string, keys int) {
	t.Helper()
	if err := (keyspace.Layout{Keys: keys, Seed: 3, NoExpiry: true}).Fill(addr); err != nil {
		t.Fatal(err)
	}
}

// Connections break on both sides, again and again, while clients write.
func TestSweepUnderLoadWithLostConnections(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{}, nil)
	const keys = 4000
	fillTraffic(t, w.first.Addr, keys)
	tr := startTraffic(w, 16, keys)
	killer := [2]*wire.Conn{dial(t, w.first.Addr), dial(t, w.second.Addr)}
	defer killer[0].Close()
	defer killer[1].Close()
	wait := w.sweeping(w.newSweep(SweepOptions{}))
	last := w.copier.Stats()
	for i := range 30 {
		// Something must have come about since the last time, else nothing would ever.
		eventually(t, "a copy is made", func() bool { return w.copier.Stats().Copied > last.Copied })
		last = w.copier.Stats()
		if _, err := killer[i%2].Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"); err != nil {
			t.Fatal(err)
		}
		w.l.Lock()
		if i%10 == 9 {
			w.l.OweSweep("a test", 0)
		}
		w.l.Unlock()
	}
	wait()
	tr.halt()
	w.settle()
	w.equal()
	t.Logf("%d writes, %+v", tr.writes.Load(), w.copier.Stats())
}

func TestSweepSurvivesPanics(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{}, func(c *Copier) {
		before, after := every(beforeRead, 7, func() { panic("planted") }), every(afterRead, 5, func() { panic("planted") })
		c.hooks = func(p point, db int, names []string) {
			before(p, db, names)
			after(p, db, names)
		}
	})
	fill(t, w.first.Addr, 5000)
	w.sweep()
	w.equal()
	if s := w.copier.Stats(); s.Panics < 3 {
		t.Errorf("only %d panics", s.Panics)
	}
	w.l.Lock()
	defer w.l.Unlock()
	if w.copier.window.reserved != 0 {
		t.Errorf("%d bytes of the window stay reserved", w.copier.window.reserved)
	}
}

// What the secondary refuses is tried again, more and more slowly, and is named; it heals when it is taken.
func TestRefusedCopiesAreNamedAndHeal(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{}, nil)
	fill(t, w.first.Addr, 500)
	do(t, w.second.Addr, "ACL", "SETUSER", "default", "-restore")
	s := w.newSweep(SweepOptions{})
	wait := w.sweeping(s)
	var why string
	eventually(t, "copies have failed four times", func() bool {
		w.l.Lock()
		defer w.l.Unlock()
		n := 0
		w.l.Failing(4, func(d *ledger.Dirty) bool {
			n++
			why = d.Why
			return true
		})
		return n > 400
	})
	if p := s.Progress(); p.State != status.Running {
		t.Errorf("meanwhile: %+v", p)
	}
	if percent, _ := s.Progress().Percent.Get(); percent >= 100 {
		t.Errorf("%v %% although nothing is copied", percent)
	}
	if want := "-NOPERM"; len(why) < len(want) || why[:len(want)] != want {
		t.Errorf("the reason is %q", why)
	}
	do(t, w.second.Addr, "ACL", "SETUSER", "default", "+restore")
	wait()
	w.equal()
}

// A key that cannot be read is named, and harms no other.
func TestUnreadableKeyIsNamed(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{}, nil)
	fill(t, w.first.Addr, 500)
	do(t, w.first.Addr, "SET", "secret", "v")
	do(t, w.first.Addr, "ACL", "SETUSER", "copier", "on", ">pw", "~*:*", "+@all")
	in := testInstance(t, "source", "redis://copier:pw@"+w.first.Addr)
	w.copier.reader.in = in
	w.primary = in
	wait := w.sweeping(w.newSweep(SweepOptions{}))
	var names []string
	eventually(t, "a copy has failed twice", func() bool {
		w.l.Lock()
		defer w.l.Unlock()
		names = nil
		w.l.Failing(2, func(d *ledger.Dirty) bool {
			names = append(names, string(d.Key.Name)+" "+d.Why)
			return true
		})
		return len(names) > 0
	})
	if len(names) != 1 || names[0][:6] != "secret" {
		t.Errorf("named: %q", names)
	}
	do(t, w.first.Addr, "ACL", "SETUSER", "copier", "~*")
	wait()
	w.equal()
	if w.copier.reader.usePTTL.Load() {
		t.Error("one forbidden key was taken for a forbidden command")
	}
}

// The primary restarts in the middle: cursors mean nothing to the new process.
func TestSweepSurvivesARestartOfThePrimary(t *testing.T) {
	hit := make(chan struct{})
	w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{}, func(c *Copier) {
		c.hooks = every(beforeRead, 20, sync.OnceFunc(func() { close(hit) }))
	})
	fill(t, w.first.Addr, 20_000)
	w.copier.throttle.Set(Limits{KeysPerS: 20_000})
	wait := w.sweeping(w.newSweep(SweepOptions{ScanCount: 100}))
	<-hit
	if err := w.first.Restart(true); err != nil {
		t.Fatal(err)
	}
	wait()
	w.equal()
}

// The secondary comes back empty in the middle, which its owner answers by owing the sweep again.
func TestSweepStartsOverWhenOwedAgain(t *testing.T) {
	hit := make(chan struct{})
	w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{}, func(c *Copier) {
		c.hooks = every(beforeRead, 20, sync.OnceFunc(func() { close(hit) }))
	})
	fill(t, w.first.Addr, 10_000)
	wait := w.sweeping(w.newSweep(SweepOptions{}))
	<-hit
	if err := w.second.Restart(false); err != nil {
		t.Fatal(err)
	}
	w.l.Lock()
	w.l.OweSweep("the secondary came back empty", 0)
	w.l.Unlock()
	wait()
	w.equal()
	if s := w.copier.Stats(); s.Copied < 10_000 {
		t.Errorf("%+v", s)
	}
}

// silent hides that the Sink can tell whether it is ready.
type silent struct{ ledger.Sink }

// While the Sink takes nothing, the primary is not read over and over.
func TestSinkThatTakesNothingIsAskedSeldom(t *testing.T) {
	for name, tells := range map[string]bool{"tells": true, "does not tell": false} {
		t.Run(name, func(t *testing.T) {
			var reads atomic.Int64
			w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{}, func(c *Copier) {
				c.hooks = func(p point, _ int, _ []string) {
					if p == beforeRead {
						reads.Add(1)
					}
				}
			})
			fill(t, w.first.Addr, 500)
			eventually(t, "the Sink is up", func() bool {
				w.l.Lock()
				defer w.l.Unlock()
				return w.l.Ready(ledger.Secondary)
			})
			w.l.Lock()
			w.sink.refuse = true
			if !tells {
				w.l.SetSink(ledger.Secondary, silent{w.sink})
			}
			key := []byte("k")
			w.l.MakeDirty(&ledger.Key{Hash: w.l.Hash(0, key), Name: key, Write: true})
			w.l.Unlock()
			wait := w.sweeping(w.newSweep(SweepOptions{}))
			eventually(t, "it was asked ten times", func() bool { return w.copier.sinkTrouble.n.Load() >= 10 })
			// Every attempt is one batch, and each waits longer than the one before: no loop. As many as the sweep and the copier have
			// workers may have been read and not yet refused.
			underWay := 2 * int64(w.copier.workers.Load())
			if n, asked := reads.Load(), int64(w.copier.sinkTrouble.n.Load()); tells && n > 0 || n > asked+underWay {
				t.Errorf("%d reads for %d refusals", n, asked)
			}
			w.l.Lock()
			w.sink.refuse = false
			w.l.Unlock()
			wait()
			w.equal()
		})
	}
}

// A server that is busy with a script refuses everything for a while; no key is to blame.
func TestSweepWhileServersAreBusy(t *testing.T) {
	busy := redisd.Options{Args: []string{"--lua-time-limit", "20"}}
	w := newWorld(t, busy, busy, CopierOptions{}, nil)
	fill(t, w.first.Addr, 5000)
	w.copier.throttle.Set(Limits{KeysPerS: 10_000})
	s := w.newSweep(SweepOptions{})
	wait := w.sweeping(s)
	for _, addr := range []string{w.first.Addr, w.second.Addr} {
		script, other := dial(t, addr), dial(t, addr)
		before := s.Progress().KeysCopied
		eventually(t, "copies are under way", func() bool { return s.Progress().KeysCopied > before })
		script.Send("EVAL", "while true do end", "0")
		if err := script.Flush(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is busy", func() bool {
			_, err := other.Do("PING")
			return err != nil && strings.HasPrefix(err.Error(), "BUSY")
		})
		w.l.Lock()
		failed := w.l.Stats().Failed
		w.l.Unlock()
		eventually(t, "somebody has noticed", func() bool {
			w.l.Lock()
			defer w.l.Unlock()
			return w.copier.primaryTrouble.n.Load() > 2 || w.l.Stats().Failed > failed
		})
		if addr == w.first.Addr {
			w.l.Lock()
			w.l.Failing(1, func(d *ledger.Dirty) bool {
				t.Errorf("the primary is busy, and %q is blamed: %s", d.Key.Name, d.Why)
				return false
			})
			w.l.Unlock()
		}
		if _, err := other.Do("SCRIPT", "KILL"); err != nil {
			t.Fatal(err)
		}
		script.Close()
		other.Close()
	}
	wait()
	w.equal()
}
