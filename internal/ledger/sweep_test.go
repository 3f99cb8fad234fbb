package ledger

import "testing"

// end is what a sweep does when it has seen all: it asks for its end.
func (f *fixture) end() bool {
	gen, _, _ := f.SweepOwed()
	return f.Swept(gen)
}

func TestSweepEnds(t *testing.T) {
	f := newFixture(t)
	f.OweSweep("a test", 10)
	gen, why, owed := f.SweepOwed()
	if !owed || why != "a test" || f.Known(key("a").Hash) || f.Drained() {
		t.Fatalf("owed %v because of %q", owed, why)
	}
	f.copied("a")
	if !f.Known(key("a").Hash) || f.Known(key("b").Hash) {
		t.Fatal("what has been copied is known, and nothing else")
	}
	if f.Swept(gen - 1) {
		t.Fatal("a sweep that began before ended this one")
	}
	if !f.Swept(gen) || f.Sweeping() || !f.Known(key("b").Hash) || !f.Drained() {
		t.Fatal("it did not end")
	}
	if f.Swept(gen) {
		t.Fatal("it ended twice")
	}
	if f.exact.buckets != nil {
		t.Error("the memory of exact keys is kept")
	}
}

// What becomes unknown in the course of a sweep has another one behind it, without beginning the first anew; there is no
// moment between the two at which nothing is owed.
func TestAnotherSweepComesBehind(t *testing.T) {
	f := newFixture(t)
	f.OweAgain("first")
	gen, why, owed := f.SweepOwed()
	if !owed || why != "first" {
		t.Fatalf("owed %v because of %q", owed, why)
	}
	f.OweAgain("second")
	f.OweAgain("second")
	if now, why, _ := f.SweepOwed(); now != gen || why != "first" {
		t.Fatalf("the first began anew: %d because of %q, not %d", now, why, gen)
	}
	if f.Swept(gen) || !f.Sweeping() || f.Drained() {
		t.Fatal("nothing is owed behind the first")
	}
	if now, why, _ := f.SweepOwed(); now == gen || why != "second" {
		t.Fatalf("owed is %d, as before %d, because of %q", now, gen, why)
	}
	if !f.end() || f.Sweeping() {
		t.Fatal("the second did not end")
	}
	// One that has yet to begin needs none behind it.
	f.OweSweep("third", 0)
	f.OweAgain("fourth")
	f.OweSweep("fifth", 0)
	if !f.end() || f.Sweeping() {
		t.Fatal("there is one behind the fifth")
	}
}

// TestSweepThatHasSettledEndsLater: the moment without dirty keys may be over when it is ended, and copies of later ones
// on the way.
func TestSweepThatHasSettledEndsLater(t *testing.T) {
	f := newFixture(t)
	f.AddLane(Primary)
	f.OweSweep("a test", 0)
	gen, _, _ := f.SweepOwed()
	f.dirty("a")
	if f.SweepSettled(gen) {
		t.Fatal("it settled with a dirty key")
	}
	moment := false
	f.OnChange(func() { moment = moment || f.SweepSettled(gen) })
	f.done(0, blind(), "a")
	if !moment {
		t.Fatal("nobody was told of the moment without dirty keys")
	}
	f.dirty("b")
	f.dirty("c")
	c := Copy{Key: key("c")}
	f.BeginCopy(&c)
	f.EndCopy(&c, &State{})
	if !f.Swept(gen) {
		t.Fatal("it did not end")
	}
	if !f.IsDirty(key("b").Hash) || f.isExact(key("b").Hash) || !f.isExact(key("d").Hash) {
		t.Error("what has become dirty since is not, or something else is")
	}
	f.OweSweep("another", 0)
	if gen, _, _ := f.SweepOwed(); f.SweepSettled(gen) {
		t.Error("another sweep has settled with the first")
	}
}

// TestSweepDoesNotEndBefore what it has found, or has passed over, is settled.
func TestSweepDoesNotEndBefore(t *testing.T) {
	for name, x := range map[string]struct {
		begin func(f *fixture) (settle func())
	}{
		"a dirty key": {func(f *fixture) func() {
			f.dirty("a")
			return func() { f.done(0, blind(), "a") }
		}},
		"a dirty key that a flush cleans": {func(f *fixture) func() {
			f.dirty("a")
			w := &Write{Kind: Flush, Lane: 0, DBs: []int{0}}
			return func() {
				f.Acquire(w)
				f.Reply(w, blind())
			}
		}},
		"a key with the copier": {func(f *fixture) func() {
			f.dirty("a")
			d, _ := f.next()
			f.done(0, blind(), "a")
			return func() { f.Retry(d, f.clock, 0) }
		}},
		"a copy that is not acknowledged": {func(f *fixture) func() {
			c := Copy{Key: key("a")}
			f.BeginCopy(&c)
			f.EndCopy(&c, &State{})
			return func() { f.Acked(Secondary, Good, "") }
		}},
		"a write in flight": {func(f *fixture) func() {
			w := f.sent(0, "a")
			return func() { f.Reply(w, nil) }
		}},
		"a write of a lost lane": {func(f *fixture) func() {
			w := f.sent(0, "a")
			f.LaneDown(0)
			return func() {
				f.Unanswered(w)
				f.LaneUp(0)
				f.done(0, blind(), "a")
			}
		}},
		"being owed again": {func(f *fixture) func() {
			gen, _, _ := f.SweepOwed()
			f.OweSweep("another", 0)
			if f.Swept(gen) {
				f.t.Error("the first sweep ended the second")
			}
			f.dirty("a")
			return func() { f.done(0, blind(), "a") }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.AddLane(Primary)
			f.OweSweep("a test", 0)
			settle := x.begin(f)
			for range 3 {
				if f.end() {
					t.Fatal("it ended")
				}
			}
			told := false
			f.OnChange(func() { told = true })
			settle()
			if !told {
				t.Error("nobody is told that it may end")
			}
			if !f.end() {
				t.Error("it does not end")
			}
		})
	}
}

// TestSweepEndsUnderLoad: only what was sent before its last page is waited for, not a moment without
// writes.
func TestSweepEndsUnderLoad(t *testing.T) {
	f := newFixture(t)
	lane := f.AddLane(Primary)
	f.OweSweep("a test", 0)
	before := f.sent(lane, "a")
	if f.end() {
		t.Fatal("it ended with a write in flight that was sent before")
	}
	since := f.sent(lane, "b")
	f.Reply(before, nil)
	if !f.end() {
		t.Fatal("a write that was sent since keeps it from ending")
	}
	// And the next one, with that still in flight.
	f.OweSweep("another test", 0)
	if f.end() {
		t.Fatal("it ended with a write in flight that was sent before")
	}
	last := f.sent(lane, "c")
	f.Reply(since, nil)
	if !f.end() {
		t.Fatal("it does not end")
	}
	f.Reply(last, nil)
	if f.inEpoch != [2]int{} {
		t.Errorf("%v are counted", f.inEpoch)
	}
}

func TestQuiet(t *testing.T) {
	f := newFixture(t)
	lane := f.AddLane(Primary)
	if !f.Quiet(f.Mark()) {
		t.Fatal("not quiet, with nothing on the way")
	}
	f.done(lane, blind(), "a")
	mark := f.Mark()
	f.done(lane, blind(), "b")
	if f.Quiet(mark) {
		t.Fatal("quiet, with a on the way")
	}
	f.Acked(Secondary, Good, "")
	if !f.Quiet(mark) || f.Quiet(f.Mark()) {
		t.Fatal("what came after the mark counts")
	}
	f.SinkLost(Secondary)
	if f.Quiet(f.Mark()) {
		t.Fatal("quiet, with an old connection that may still be alive")
	}
	f.Wake(Secondary)
	if !f.Quiet(f.Mark()) {
		t.Fatal("not quiet, with the old connection dead")
	}
}

// TestOwedMeanwhile: a sweep owed in the middle of anything leaves no key exact that is not.
func TestOwedMeanwhile(t *testing.T) {
	t.Run("a copy being read", func(t *testing.T) {
		f := newFixture(t)
		c := Copy{Key: key("a")}
		f.BeginCopy(&c)
		f.OweSweep("a test", 0)
		if r := f.EndCopy(&c, &State{}); r != Lost || f.sink.copies != 0 || f.Known(c.Key.Hash) {
			t.Errorf("result %d", r)
		}
	})
	t.Run("a copy's read that owns the stripe", func(t *testing.T) {
		f := newFixture(t)
		w, _ := write(f.AddLane(Primary), "a")
		w.Kind = CopyRead
		f.Acquire(w)
		f.OweSweep("a test", 0)
		if r := f.EndCopyRead(w, &Copy{Key: key("a")}, &State{}); r != Lost || f.sink.copies != 0 || f.inflight != 0 {
			t.Errorf("result %d", r)
		}
	})
	t.Run("a dirty key with the copier", func(t *testing.T) {
		f := newFixture(t)
		f.dirty("a")
		d, _ := f.next()
		f.OweSweep("a test", 0)
		f.Retry(d, f.clock, 0)
		if _, name := f.next(); name != "" || f.copying != 0 || f.DirtyKeys() != 0 {
			t.Errorf("%q is still there", name)
		}
	})
	t.Run("a blind effect in flight", func(t *testing.T) {
		f := newFixture(t)
		w := f.sent(f.AddLane(Primary), "a")
		f.OweSweep("a test", 0)
		if out := f.Reply(w, blind()); out != Forwarded || !f.IsDirty(key("a").Hash) {
			t.Errorf("outcome %d", out)
		}
	})
	t.Run("an effect that is not acknowledged", func(t *testing.T) {
		f := newFixture(t)
		f.done(f.AddLane(Primary), notBlind(), "a")
		f.OweSweep("a test", 0)
		f.Acked(Secondary, Differs, "an error")
		if !f.IsDirty(key("a").Hash) || f.Stats().Mismatched != 1 {
			t.Error("it is not dirty")
		}
	})
}

func TestSinkLost(t *testing.T) {
	f := newFixture(t)
	lane := f.AddLane(Primary)
	f.done(lane, notBlind(), "a", "?b")
	f.copied("c")
	f.Acked(Secondary, Good, "")
	c := Copy{Key: key("d")}
	c.Key.Write = false // a copier need not say
	f.BeginCopy(&c)
	f.EndCopy(&c, &State{Payload: "some bytes"})
	f.done(lane, blind(), "e")
	if n, bytes := f.Copying(); n != 1 || bytes != 10 {
		t.Fatalf("%d copies of %d bytes are on the way", n, bytes)
	}
	f.SinkLost(Secondary)
	for name, want := range map[string]bool{"a": false, "b": false, "c": false, "d": true, "e": true} {
		if got := f.IsDirty(key(name).Hash); got != want {
			t.Errorf("%s is dirty: %v", name, got)
		}
	}
	if n, bytes := f.Copying(); n != 0 || bytes != 0 || f.to[Secondary].outstanding.len() != 0 || f.Unsettled() != 0 || f.Oldest() != 0 {
		t.Error("something is still counted")
	}
}
