package ledger

import (
	"fmt"
	"testing"
)

// TestWhatWasMadeFromAFailedKey: a RENAME behind a refused copy moves whatever it finds, and is answered OK.
func TestWhatWasMadeFromAFailedKey(t *testing.T) {
	f := newFixture(t)
	lane := f.AddLane(Primary)
	c := Copy{Key: key("a")}
	f.BeginCopy(&c)
	f.EndCopy(&c, &State{})             // the copy of a will be refused
	f.done(lane, notBlind(), "b", "?a") // b is made from a
	f.done(lane, notBlind(), "c", "?b") // c from b
	f.done(lane, notBlind(), "d", "?e") // d from neither
	f.done(lane, blind(), "f", "a")     // depends on nothing
	f.Acked(Secondary, Refused, "no room")
	for range 4 {
		f.Acked(Secondary, Good, "")
	}
	for name, want := range map[string]bool{"b": true, "c": true, "d": false, "e": false, "f": false} {
		if got := f.IsDirty(key(name).Hash); got != want {
			t.Errorf("%s is dirty: %v", name, got)
		}
	}
	if f.to[Secondary].suspects.any() {
		t.Error("a suspicion outlives what it concerns")
	}
}

// TestWhatWasMadeAtAnEdgeIsNoMismatch: what was made from a key that was about to expire counts as that, as long as
// nothing else is wrong with it.
func TestWhatWasMadeAtAnEdgeIsNoMismatch(t *testing.T) {
	f := newFixture(t)
	lane := f.AddLane(Primary)
	f.done(lane, notBlind(), "a")
	f.done(lane, notBlind(), "x")
	f.done(lane, notBlind(), "b", "?a")
	f.done(lane, notBlind(), "c", "?b")
	f.done(lane, notBlind(), "d", "?c", "?x")
	f.Acked(Secondary, AtEdge, "close to an expiry")
	f.Acked(Secondary, Differs, "an error")
	for range 3 {
		f.Acked(Secondary, Good, "")
	}
	for _, name := range []string{"a", "b", "c", "d", "x"} {
		if !f.IsDirty(key(name).Hash) {
			t.Errorf("%s is not dirty", name)
		}
	}
	if s := f.Stats(); s.Edges != 3 || s.Mismatched != 2 {
		t.Errorf("%d at an edge, want a, b and c; %d mismatched, want x and d", s.Edges, s.Mismatched)
	}
}

// TestWhatIsBehindAnEdgeIsNoMismatch: a counter that has expired on one side begins anew there, and so do those that
// count on behind it. Once all that is acknowledged it is over.
func TestWhatIsBehindAnEdgeIsNoMismatch(t *testing.T) {
	f := newFixture(t)
	lane := f.AddLane(Primary)
	f.done(lane, notBlind(), "a")
	f.done(lane, notBlind(), "a")
	f.done(lane, notBlind(), "x")
	for i, c := range []struct{ said, want Verdict }{{AtEdge, AtEdge}, {Differs, AtEdge}, {Differs, Differs}} {
		if got := f.Acked(Secondary, c.said, "1"); got != c.want {
			t.Errorf("effect %d: %v, want %v", i, got, c.want)
		}
	}
	f.done(lane, blind(), "a")
	f.done(lane, notBlind(), "a")
	f.Acked(Secondary, Good, "")
	if got := f.Acked(Secondary, Differs, "1"); got != Differs {
		t.Errorf("a mismatch of later: %v", got)
	}
	if s := f.Stats(); s.Edges != 2 || s.Mismatched != 2 {
		t.Errorf("%d at an edge and %d mismatched, want 2 and 2", s.Edges, s.Mismatched)
	}
	if f.to[Secondary].suspects.any() {
		t.Error("a suspicion outlives what it concerns")
	}
}

func TestSuspicionEndsWithWhatWasBehindIt(t *testing.T) {
	f := newFixture(t)
	lane := f.AddLane(Primary)
	f.done(lane, notBlind(), "a")
	f.done(lane, notBlind(), "x", "?y")
	f.Acked(Secondary, Differs, "an error")
	f.copied2("a", 1)
	f.done(lane, notBlind(), "b", "?a") // a has been copied since: b is right
	f.Acked(Secondary, Good, "")        // of b
	if f.IsDirty(key("b").Hash) {
		t.Error("b was made from a after its copy, and is dirty")
	}
}

// copied2 is copied for a Sink on which n things are before the copy.
func (f *fixture) copied2(name string, n int) {
	f.t.Helper()
	c := Copy{Key: key(name)}
	if !f.BeginCopy(&c) || f.EndCopy(&c, &State{}) != Won {
		f.t.Fatalf("the copy of %s was not won", name)
	}
	for range n + 1 {
		f.Acked(Secondary, Good, "")
	}
}

// TestSuspicionOfAKeyThatFailsAgain lasts until the end of the later one.
func TestSuspicionOfAKeyThatFailsAgain(t *testing.T) {
	f := newFixture(t)
	lane := f.AddLane(Primary)
	f.done(lane, notBlind(), "a")
	f.done(lane, notBlind(), "a")
	f.done(lane, notBlind(), "x", "?y")
	f.Acked(Secondary, Differs, "an error") // the first of a: until x
	f.done(lane, blind(), "a")              // a is exact once more,
	f.done(lane, notBlind(), "b", "?a")     // b is made from it,
	f.Acked(Secondary, Differs, "another")  // the second of a: until b
	f.Acked(Secondary, Good, "")            // x
	f.Acked(Secondary, Good, "")            // the blind one
	if f.IsDirty(key("b").Hash) {
		t.Fatal("b is dirty too early")
	}
	f.Acked(Secondary, Good, "") // b
	if !f.IsDirty(key("b").Hash) {
		t.Fatal("b is not dirty")
	}
}

// TestSuspicionsAreBounded: a secondary that refuses everything, for ever, does not fill memory.
func TestSuspicionsAreBounded(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.MaxDirty = 1 << 20 })
	lane := f.AddLane(Primary)
	const window = 100
	for i := range 20 * window {
		f.done(lane, notBlind(), "x", "?y")
		name := fmt.Sprint("a", i)
		f.done(lane, notBlind(), name)
		if i >= window {
			f.Acked(Secondary, Good, "")
			f.Acked(Secondary, Differs, "out of memory")
		}
		if n := len(f.to[Secondary].suspects.order); n > 3*window || len(f.to[Secondary].suspects.last) > n {
			t.Fatalf("%d suspicions with %d effects on the way", n, f.to[Secondary].outstanding.len())
		}
	}
}
