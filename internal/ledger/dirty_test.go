package ledger

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// dirty makes keys dirty, in order.
func (f *fixture) dirty(names ...string) {
	for _, n := range names {
		k := key(n)
		f.MakeDirty(&k)
	}
}

// next takes the name of the next dirty key, "" if there is none.
func (f *fixture) next() (*Dirty, string) {
	d, _ := f.NextDirty(Primary, f.clock)
	if d == nil {
		return nil, ""
	}
	return d, string(d.Key.Name)
}

func TestDirtyKeysComeInOrder(t *testing.T) {
	f := newFixture(t)
	name := []byte("a1")
	k := key(string(name))
	k.Name = name
	f.MakeDirty(&k)
	name[0] = '#' // the caller's
	f.dirty("b1", "a2", "a1")
	for _, want := range []string{"a1", "b1", "a2", ""} {
		if _, got := f.next(); got != want {
			t.Errorf("next is %q, want %q", got, want)
		}
	}
	if f.DirtyKeys() != 3 {
		t.Errorf("%d are dirty; those with the copier still are", f.DirtyKeys())
	}
}

// TestClearedWhileTheCopierHasIt: another Dirty takes its place, and the old one is not given back.
func TestClearedWhileTheCopierHasIt(t *testing.T) {
	f := newFixture(t)
	lane := f.AddLane(Primary)
	f.dirty("a")
	old, _ := f.next()
	f.done(lane, blind(), "a")
	if f.IsDirty(old.Key.Hash) || f.Wanted(old) {
		t.Fatal("a blind effect did not clear it")
	}
	f.dirty("a")
	f.Retry(old, f.clock, 0)
	d, _ := f.next()
	if d == nil || d == old || f.Wanted(old) {
		t.Fatal("the old one is still there")
	}
	if _, again := f.next(); again != "" {
		t.Fatal("the key is there twice")
	}
	f.Done(d)
	if f.copying != 0 {
		t.Errorf("%d are with the copier", f.copying)
	}
}

func TestRetryWaits(t *testing.T) {
	f := newFixture(t)
	f.dirty("a", "b", "c")
	a, _ := f.next()
	b, _ := f.next()
	f.Retry(a, f.clock, 30*time.Millisecond)
	f.Retry(b, f.clock, 10*time.Millisecond)
	if _, got := f.next(); got != "c" {
		t.Fatalf("next is %q", got)
	}
	if d, wait := f.NextDirty(Primary, f.clock); d != nil || wait != 10*time.Millisecond {
		t.Fatalf("there is one, or the wait is %v", wait)
	}
	f.clock = f.clock.Add(10 * time.Millisecond)
	if _, got := f.next(); got != "b" {
		t.Fatalf("next is %q", got)
	}
	if d, wait := f.NextDirty(Primary, f.clock); d != nil || wait != 20*time.Millisecond {
		t.Fatalf("there is one, or the wait is %v", wait)
	}
	// One that is cleared is waited for no longer.
	f.done(f.AddLane(Primary), blind(), "a")
	if d, wait := f.NextDirty(Primary, f.clock); d != nil || wait != 0 {
		t.Fatalf("there is one, or the wait is %v", wait)
	}
}

// TestRefusedCopiesBackOff: a copy that the secondary refuses is tried again more and more slowly.
func TestRefusedCopiesBackOff(t *testing.T) {
	f := newFixture(t)
	f.dirty("a")
	var pauses []time.Duration
	for range 13 {
		d, wait := f.NextDirty(Primary, f.clock)
		if d == nil {
			pauses = append(pauses, wait)
			f.clock = f.clock.Add(wait)
			d, _ = f.NextDirty(Primary, f.clock)
		}
		c := Copy{Key: d.Key, Dirty: d}
		if !f.BeginCopy(&c) || f.EndCopy(&c, &State{}) != Won {
			t.Fatal("the copy was not won")
		}
		f.Done(d)
		f.Acked(Secondary, Refused, "no room")
	}
	ms := time.Millisecond
	want := []time.Duration{10 * ms, 20 * ms, 40 * ms, 80 * ms, 160 * ms, 320 * ms, 640 * ms, 1280 * ms,
		2560 * ms, 5120 * ms, 10000 * ms, 10000 * ms}
	if !slices.Equal(pauses, want) {
		t.Errorf("pauses are %v", pauses)
	}
	if n, why := f.Trouble(key("a").Hash); n != 13 || why != "no room" {
		t.Errorf("it failed %d times: %s", n, why)
	}
	var failing []string
	f.Failing(13, func(d *Dirty) bool { failing = append(failing, string(d.Key.Name)); return true })
	f.Failing(14, func(d *Dirty) bool { failing = append(failing, "more"); return true })
	if !slices.Equal(failing, []string{"a"}) {
		t.Errorf("failing are %v", failing)
	}
	f.done(f.AddLane(Primary), blind(), "a")
	f.Failing(1, func(*Dirty) bool { t.Error("a key that is clean is failing"); return true })
}

// probe copies a key after a copy of it was refused, and leaves the copy on the Sink.
func (f *fixture) probe(name string) {
	f.t.Helper()
	f.dirty(name)
	for range 2 {
		d, wait := f.NextDirty(Primary, f.clock)
		if d == nil {
			f.clock = f.clock.Add(wait)
			d, _ = f.NextDirty(Primary, f.clock)
		}
		c := Copy{Key: d.Key, Dirty: d}
		if !f.BeginCopy(&c) || f.EndCopy(&c, &State{}) != Won {
			f.t.Fatal("the copy was not won")
		}
		f.Done(d)
		if d.Failures == 0 {
			f.Acked(Secondary, Refused, "no room")
		}
	}
}

// TestCopyAfterARefusedOne: until it is acknowledged, effects behind it could meet anything.
func TestCopyAfterARefusedOne(t *testing.T) {
	k := key("a").Hash
	t.Run("acknowledged", func(t *testing.T) {
		f := newFixture(t)
		f.probe("a")
		if f.isExact(k) || f.Drained() {
			t.Fatal("the key is exact before its copy is acknowledged")
		}
		f.Acked(Secondary, Good, "")
		if n, _ := f.Trouble(k); !f.isExact(k) || n != 0 || !f.Drained() {
			t.Fatal("the key is not exact")
		}
	})
	t.Run("written meanwhile", func(t *testing.T) {
		f := newFixture(t)
		f.probe("a")
		if out := f.done(f.AddLane(Primary), notBlind(), "a"); out != Dirtied || f.sink.effects != 0 {
			t.Fatalf("outcome %d", out)
		}
		if _, name := f.next(); name != "" {
			t.Fatal("it is copied once more before the last copy is acknowledged")
		}
		f.Acked(Secondary, Good, "")
		d, name := f.next()
		if name != "a" || d.Failures != 0 {
			t.Fatalf("next is %q", name)
		}
	})
	t.Run("set meanwhile", func(t *testing.T) {
		f := newFixture(t)
		f.probe("a")
		f.done(f.AddLane(Primary), blind(), "a")
		f.dirty("a")
		f.Acked(Secondary, Good, "")
		if _, name := f.next(); name != "a" || f.isExact(k) {
			t.Fatal("it became dirty since, and is not copied")
		}
	})
	t.Run("refused again", func(t *testing.T) {
		f := newFixture(t)
		f.probe("a")
		f.Acked(Secondary, Refused, "no room")
		d, wait := f.NextDirty(Primary, f.clock)
		if n, _ := f.Trouble(k); d != nil || wait != 20*time.Millisecond || n != 2 {
			t.Fatalf("it failed %d times, and rests for %v", n, wait)
		}
	})
	t.Run("lost with the Sink", func(t *testing.T) {
		f := newFixture(t)
		f.probe("a")
		f.SinkLost(Secondary)
		if _, name := f.next(); name != "a" {
			t.Fatal("it is not copied once more")
		}
	})
	t.Run("failed to be read before", func(t *testing.T) {
		f := newFixture(t)
		f.dirty("a")
		d, _ := f.next()
		d.Failures = 1
		f.Retry(d, f.clock, 0)
		d, _ = f.next()
		c := Copy{Key: d.Key, Dirty: d}
		f.BeginCopy(&c)
		f.EndCopy(&c, &State{})
		f.Done(d)
		f.Acked(Secondary, Good, "")
		if !f.Drained() {
			t.Fatal("it is not settled")
		}
	})
}

// TestOneTooMany: the dirty set is bounded by number, and by the memory of names.
func TestOneTooMany(t *testing.T) {
	t.Run("keys", func(t *testing.T) {
		f := newFixture(t, func(o *Options) { o.MaxDirty = 2 })
		f.dirty("a", "b", "a")
		if f.Sweeping() {
			t.Fatal("a sweep is owed too early")
		}
		f.dirty("c")
		if !f.Sweeping() || f.DirtyKeys() != 0 || f.Stats().Overflows != 1 {
			t.Fatalf("sweep owed: %v, with %d dirty keys", f.Sweeping(), f.DirtyKeys())
		}
		if _, name := f.next(); name != "" {
			t.Fatalf("%s is still queued", name)
		}
	})
	t.Run("bytes", func(t *testing.T) {
		f := newFixture(t, func(o *Options) { o.MaxDirty = 10 })
		f.dirty("a" + strings.Repeat("x", 100_000))
		if f.Sweeping() {
			t.Fatal("a single key, however long its name, must be possible: its sweep would not end")
		}
		f.dirty("b")
		if !f.Sweeping() {
			t.Fatal("no sweep is owed")
		}
	})
	t.Run("no more than there are", func(t *testing.T) {
		f := newFixture(t, func(o *Options) { o.MaxDirty = 10 })
		lane := f.AddLane(Primary)
		for range 100 {
			names := []string{"a" + strings.Repeat("x", 500), "b" + strings.Repeat("x", 500)}
			f.dirty(names...)
			f.done(lane, blind(), names...)
		}
		if set := &f.Ledger.dirty; f.Sweeping() || set.names != 0 || set.inDB[0] != 0 || set.len() != 0 {
			t.Fatalf("a sweep is owed, or counted are %d bytes of names of %d keys", set.names, set.inDB[0])
		}
	})
}

// TestClearedKeysDoNotPileUp: keys that become dirty and are cleared while no copier takes any.
func TestClearedKeysDoNotPileUp(t *testing.T) {
	f := newFixture(t)
	lane := f.AddLane(Primary)
	for i := range 20 * maxStale {
		f.dirty("a")
		f.done(lane, blind(), "a")
		f.Acked(Secondary, Good, "")
		if n := len(f.to[Secondary].todo.items); n > 3*maxStale {
			t.Fatalf("%d cleared keys are queued after %d", n, i)
		}
	}
	f.dirty("b") // those behind it are not come across
	b, _ := f.next()
	f.Retry(b, f.clock, time.Minute)
	for i := range 20 * maxStale {
		f.dirty("a")
		d, _ := f.next()
		f.Retry(d, f.clock, time.Hour)
		f.done(lane, blind(), "a")
		f.Acked(Secondary, Good, "")
		if n := len(f.later); n > 3*maxStale {
			t.Fatalf("%d cleared keys back off after %d", n, i)
		}
	}
}

// TestDirtyQueuesAgainstAModel gives keys to the copier and takes them back at random: each dirty key is in
// one place, those that are due come, and none too early.
func TestDirtyQueuesAgainstAModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := newFixture(t)
		lane := f.AddLane(Primary)
		due := map[string]time.Time{} // of those that are dirty and not with the copier
		var held []*Dirty
		for range rapid.IntRange(1, 100).Draw(rt, "steps") {
			name := fmt.Sprint("a", rapid.IntRange(0, 5).Draw(rt, "key"))
			switch rapid.IntRange(0, 6).Draw(rt, "what") {
			case 0, 1:
				f.dirty(name)
				with := slices.ContainsFunc(held, func(d *Dirty) bool { return string(d.Key.Name) == name && f.Wanted(d) })
				if _, ok := due[name]; !ok && !with {
					due[name] = f.clock
				}
			case 2:
				f.done(lane, blind(), name)
				f.Acked(Secondary, Good, "")
				delete(due, name)
			case 3:
				f.clock = f.clock.Add(time.Duration(rapid.IntRange(0, 30).Draw(rt, "ms")) * time.Millisecond)
			case 4, 5:
				d, got := f.next()
				if d == nil {
					for n, at := range due {
						if !at.After(f.clock) {
							rt.Fatalf("%s is due and does not come", n)
						}
					}
					continue
				}
				if at, ok := due[got]; !ok || at.After(f.clock) {
					rt.Fatalf("%s comes and is not due", got)
				}
				delete(due, got)
				held = append(held, d)
			case 6:
				if len(held) > 0 {
					d := held[0]
					held = held[1:]
					pause := time.Duration(rapid.IntRange(0, 20).Draw(rt, "pause")) * time.Millisecond
					if f.Wanted(d) {
						due[string(d.Key.Name)] = f.clock.Add(pause)
					}
					f.Retry(d, f.clock, pause)
				}
			}
			if f.copying != len(held) {
				rt.Fatalf("%d are with the copier, not %d", f.copying, len(held))
			}
		}
	})
}
