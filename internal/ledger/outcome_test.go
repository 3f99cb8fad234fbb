package ledger

import (
	"fmt"
	"slices"
	"testing"
)

// TestExactAndDirty is the table of what becomes of an effect.
func TestExactAndDirty(t *testing.T) {
	for _, x := range []struct {
		is     string // what the key is: exact, unknown, dirty, dirty since (it was sent)
		effect *Effect
		want   Outcome
		exact  bool // afterwards; unknown or dirty otherwise
	}{
		{"exact", blind(), Forwarded, true},
		{"exact", notBlind(), Forwarded, true},
		{"exact", &Effect{Steps: []Step{{Copy: true}}}, Dirtied, false},
		{"exact", &Effect{Steps: []Step{{Blind: true, Copy: true}}}, Dirtied, false},
		{"exact", nil, Unchanged, true},
		{"unknown", blind(), Forwarded, true},
		{"unknown", notBlind(), Dirtied, false},
		{"unknown", nil, Unchanged, false},
		{"dirty", blind(), Forwarded, true},
		{"dirty", notBlind(), Dirtied, false},
		{"dirty since", blind(), Forwarded, false},
		{"dirty since", notBlind(), Dirtied, false},
		{"forgotten since", blind(), Forwarded, false},
	} {
		t.Run(fmt.Sprintf("%s, %v", x.is, x.effect), func(t *testing.T) {
			f := newFixture(t)
			lane := f.AddLane(Primary)
			k := key("a")
			switch x.is {
			case "unknown":
				f.OweSweep("a test", 0)
			case "dirty":
				f.MakeDirty(&k)
			}
			w := f.sent(lane, "a")
			switch x.is {
			case "dirty since":
				f.MakeDirty(&k)
			case "forgotten since":
				f.OweSweep("a test", 0)
			}
			if got := f.Reply(w, x.effect); got != x.want {
				t.Errorf("outcome %d, want %d", got, x.want)
			}
			if got := f.isExact(k.Hash); got != x.exact {
				t.Errorf("exact: %v, want %v", got, x.exact)
			}
			if n := f.sink.effects; n != 0 != (x.want == Forwarded) {
				t.Errorf("%d effects were forwarded", n)
			}
		})
	}
}

func TestRefusedEffectMakesItsKeysDirty(t *testing.T) {
	f := newFixture(t)
	lane := f.AddLane(Primary)
	f.sink.refuses = true
	if out := f.done(lane, blind(), "a", "b", "?c"); out != Dirtied {
		t.Fatalf("outcome %d", out)
	}
	for _, name := range []string{"a", "b"} {
		if !f.IsDirty(key(name).Hash) {
			t.Errorf("%s is not dirty", name)
		}
	}
	if f.IsDirty(key("c").Hash) {
		t.Error("c was only read, and is dirty")
	}
}

// TestSeveralKeys: an effect needs all of its keys exact, and if it is not forwarded all that it writes are
// dirty.
func TestSeveralKeys(t *testing.T) {
	steps := func(s ...Step) *Effect { return &Effect{Steps: s} }
	for _, x := range []struct {
		name   string
		dirty  string
		keys   []string
		effect *Effect
		want   Outcome
		after  []string // dirty afterwards
	}{
		{"a source that is not exact", "b", []string{"a", "?b"}, notBlind(), Dirtied, []string{"a", "b"}},
		{"a destination that is not exact", "a", []string{"a", "?b"}, notBlind(), Dirtied, []string{"a"}},
		{"a blind effect cleans", "a", []string{"a", "b"}, blind(), Forwarded, nil},
		{"a step makes the key of the next exact", "a", []string{"a"},
			steps(Step{Blind: true, Keys: []int{0}}, Step{Keys: []int{0}}), Forwarded, nil},
		{"a step does not help the one before", "a", []string{"a"},
			steps(Step{Keys: []int{0}}, Step{Blind: true, Keys: []int{0}}), Dirtied, []string{"a"}},
		{"a step does not help a key that it only reads", "b", []string{"a", "?b"},
			steps(Step{Blind: true, Keys: []int{0, 1}}, Step{Keys: []int{1}}), Dirtied, []string{"a", "b"}},
		{"a transaction is forwarded whole or not at all", "a", []string{"a", "b"},
			steps(Step{Blind: true, Keys: []int{1}}, Step{Keys: []int{0}}), Dirtied, []string{"a", "b"}},
		{"a step that must be copied spoils the others", "", []string{"a", "b"},
			steps(Step{Blind: true, Keys: []int{1}}, Step{Copy: true, Keys: []int{0}}), Dirtied, []string{"a", "b"}},
		{"keys that no step names stay", "", []string{"a", "b"},
			steps(Step{Copy: true, Keys: []int{0}}), Dirtied, []string{"a"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			f := newFixture(t)
			lane := f.AddLane(Primary)
			if x.dirty != "" {
				k := key(x.dirty)
				f.MakeDirty(&k)
			}
			if got := f.done(lane, x.effect, x.keys...); got != x.want {
				t.Errorf("outcome %d, want %d", got, x.want)
			}
			for _, name := range []string{"a", "b"} {
				if got := f.IsDirty(key(name).Hash); got != slices.Contains(x.after, name) {
					t.Errorf("%s is dirty: %v", name, got)
				}
			}
		})
	}
}

func TestGuardsOnlyWhatMayExpire(t *testing.T) {
	f := newFixture(t)
	lane := f.AddLane(Primary)
	f.done(lane, notBlind(), "a")
	if len(f.sink.guard) != 0 {
		t.Error("a key without a time to live is guarded")
	}
	f.done(lane, &Effect{Steps: []Step{{Blind: true, MayExpire: true}}}, "a")
	if len(f.sink.guard) != 0 {
		t.Error("a blind effect is guarded")
	}
	f.done(lane, notBlind(), "b", "?a")
	if !slices.Equal(f.sink.guard, []int{1}) {
		t.Errorf("guarded are %v, want the key that is read", f.sink.guard)
	}
	f.done(lane, notBlind(), "b")
	if len(f.sink.guard) != 0 {
		t.Error("a key of another stripe is guarded")
	}

	c := Copy{Key: key("c")}
	f.BeginCopy(&c)
	f.EndCopy(&c, &State{ExpireAt: 1})
	f.done(lane, notBlind(), "c")
	if len(f.sink.guard) != 1 {
		t.Error("a key that was copied with a time to live is not guarded")
	}
	// A write that is copied instead leaves its mark as well.
	f.done(lane, &Effect{Steps: []Step{{Copy: true, MayExpire: true}}}, "d")
	f.copied("d")
	f.done(lane, notBlind(), "d")
	if len(f.sink.guard) != 1 {
		t.Error("a key that a copied write gave a time to live is not guarded")
	}
}

func TestFlushCleansWhatWasDirtyBefore(t *testing.T) {
	f := newFixture(t)
	lane := f.AddLane(Primary)
	before, since, other := key("a"), key("b"), key("c")
	other.DB = 1
	f.MakeDirty(&before)
	f.MakeDirty(&other)
	w := &Write{Kind: Flush, Lane: lane, DBs: []int{0}}
	f.Acquire(w)
	f.MakeDirty(&since)
	if out := f.Reply(w, blind()); out != Forwarded {
		t.Fatalf("outcome %d", out)
	}
	if f.IsDirty(before.Hash) || !f.IsDirty(since.Hash) || !f.IsDirty(other.Hash) {
		t.Error("a flush cleans its databases' keys that were dirty before it was sent, and no others")
	}
}

// TestBarriersThatOwe: a flush or swap that does not come through leaves every key unknown.
func TestBarriersThatOwe(t *testing.T) {
	for _, kind := range []Kind{Flush, Swap} {
		for _, how := range []string{"refused by the Sink", "differs", "lost with the Sink", "unanswered"} {
			t.Run(fmt.Sprint(kind, " ", how), func(t *testing.T) {
				f := newFixture(t)
				w := &Write{Kind: kind, Lane: f.AddLane(Primary), DBs: []int{0, 1}}
				f.Acquire(w)
				f.sink.refuses = how == "refused by the Sink"
				switch how {
				case "unanswered":
					f.Unanswered(w)
				default:
					f.Reply(w, blind())
				}
				switch how {
				case "differs":
					f.Acked(Secondary, Differs, "an error")
				case "lost with the Sink":
					f.SinkLost(Secondary)
				}
				if !f.Sweeping() {
					t.Error("no sweep is owed")
				}
			})
		}
	}
}

// TestSwap: a swap renames keys, so what is still to be said about one by its name must not be.
func TestSwap(t *testing.T) {
	swap := func(f *fixture) Outcome {
		w := &Write{Kind: Swap, Lane: f.AddLane(Primary), DBs: []int{0, 1}}
		if !f.Acquire(w) {
			f.t.Fatal("the swap had to wait")
		}
		return f.Reply(w, notBlind())
	}
	t.Run("while a key is dirty", func(t *testing.T) {
		f := newFixture(t)
		k := key("a")
		f.MakeDirty(&k)
		if swap(f) != Dirtied || f.sink.effects != 0 || !f.Sweeping() {
			t.Error("it was forwarded, or owes no sweep")
		}
	})
	t.Run("before an effect is found to have failed", func(t *testing.T) {
		f := newFixture(t)
		f.done(f.AddLane(Primary), notBlind(), "a")
		if swap(f) != Forwarded || f.Sweeping() {
			t.Fatal("it was not forwarded")
		}
		f.Acked(Secondary, Differs, "an error")
		if !f.Sweeping() {
			t.Error("only a key is dirty, under a name that is another's now")
		}
	})
	t.Run("before a copy is found to have failed", func(t *testing.T) {
		f := newFixture(t)
		c := Copy{Key: key("a")}
		f.BeginCopy(&c)
		f.EndCopy(&c, &State{})
		swap(f)
		f.Acked(Secondary, Refused, "no room")
		if !f.Sweeping() {
			t.Error("only a key is dirty, under a name that is another's now")
		}
	})
	t.Run("of keys with a time to live", func(t *testing.T) {
		f := newFixture(t)
		lane := f.AddLane(Primary)
		f.done(lane, &Effect{Steps: []Step{{Blind: true, MayExpire: true}}}, "a")
		swap(f)
		f.done(lane, notBlind(), "b")
		if len(f.sink.guard) != 1 {
			t.Error("a key that may have been another is not guarded")
		}
	})
}

// TestFlushInATransaction: the other steps count as they always do.
func TestFlushInATransaction(t *testing.T) {
	flush, app, set := Step{Blind: true}, Step{Keys: []int{0}}, Step{Blind: true, Keys: []int{0}}
	for _, x := range []struct {
		name  string
		db    int32
		steps []Step
		want  Outcome
	}{
		{"a key of the flushed database, afterwards", 0, []Step{flush, app}, Forwarded},
		{"a key of the flushed database, before", 0, []Step{app, flush}, Dirtied},
		{"a key of another database", 1, []Step{flush, app}, Dirtied},
		{"a key of another database, set", 1, []Step{flush, set, app}, Forwarded},
		{"a key that is not exact, and no flush", 0, []Step{app}, Dirtied},
	} {
		t.Run(x.name, func(t *testing.T) {
			f := newFixture(t)
			k := key("a")
			k.DB = x.db
			f.MakeDirty(&k)
			w := &Write{Kind: Flush, Lane: f.AddLane(Primary), DBs: []int{0}, Keys: []Key{k}}
			f.Acquire(w)
			if out := f.Reply(w, &Effect{Steps: x.steps}); out != x.want {
				t.Fatalf("outcome %d, want %d", out, x.want)
			}
			if x.want == Forwarded && !f.isExact(k.Hash) || x.want == Dirtied && !f.Sweeping() {
				t.Error("what is known of the key does not fit")
			}
		})
	}
}

// TestFailedFlushInATransaction cleans nothing.
func TestFailedFlushInATransaction(t *testing.T) {
	f := newFixture(t)
	f.dirty("b")
	w := &Write{Kind: Flush, Lane: f.AddLane(Primary), DBs: []int{0}, Keys: []Key{key("a")}}
	f.Acquire(w)
	if out := f.Reply(w, &Effect{Steps: []Step{{Blind: true, Keys: []int{0}}}}); out != Forwarded || !f.IsDirty(key("b").Hash) {
		t.Fatalf("outcome %d, or a key is clean that was not flushed", out)
	}
}
