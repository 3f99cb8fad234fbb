package ledger

import (
	"slices"
	"testing"

	"tandem/internal/intent"
)

// twoWayFixture is a fixture whose ledger has clients at both instances: a lane of each, and a Sink to each.
func twoWayFixture(t *testing.T, change ...func(o *Options)) (f *fixture, here, there LaneID, back *recorder) {
	f = newFixture(t, append(change, func(o *Options) { o.TwoWay = true })...)
	back = &recorder{}
	f.SetSink(Primary, back)
	return f, f.AddLane(Primary), f.AddLane(Secondary), back
}

// TestStripePassesWhenAllHasArrived: what was sent at one instance must be at the other one before clients there go on.
func TestStripePassesWhenAllHasArrived(t *testing.T) {
	f, here, there, back := twoWayFixture(t)
	f.done(here, notBlind(), "a1")
	f.done(there, notBlind(), "b1")
	if f.sink.effects != 1 || back.effects != 1 {
		t.Fatalf("%d effects went to the secondary and %d to the primary, want one each", f.sink.effects, back.effects)
	}
	w, g := write(there, "a1")
	f.waits(w)
	f.Acked(Primary, Good, "")
	if g.granted != 0 {
		t.Fatal("it was sent when an effect had arrived at the other instance")
	}
	f.Acked(Secondary, Good, "")
	if g.granted != 1 || f.SideOf(key("a1").Hash) != Secondary {
		t.Fatal("it was not sent when the effect had arrived")
	}
	if f.Reply(w, notBlind()) != Forwarded || back.effects != 2 {
		t.Error("its effect did not go to the other instance")
	}
}

// TestDirtyKeyIsCopiedFromItsSide, and clients of the other side wait for that without standing in anybody's way.
func TestDirtyKeyIsCopiedFromItsSide(t *testing.T) {
	f, here, there, back := twoWayFixture(t)
	back.refuses = true
	f.done(there, notBlind(), "a1")
	back.refuses = false
	w, g := write(here, "a1", "b1")
	f.waits(w)
	f.done(here, notBlind(), "b1")
	f.Acked(Secondary, Good, "")
	d, _ := f.NextDirty(Secondary, f.clock)
	c := Copy{Key: d.Key, Dirty: d}
	if !f.BeginCopy(&c) || c.From != Secondary || f.EndCopy(&c, &State{}) != Won || back.copies != 1 {
		t.Fatalf("the key was copied from side %d, and %d copies went to the primary", c.From, back.copies)
	}
	f.Done(d)
	if g.granted != 0 {
		t.Fatal("the write was sent before the copy had arrived")
	}
	if f.Acked(Primary, Good, ""); g.granted != 1 {
		t.Fatal("the write was not sent when the copy had arrived")
	}
}

// TestLateCopyOfTheOtherSide: what was read at one instance must not land at the other one any more when the stripe has
// been decided for that, and be it by a command that only reads the key.
func TestLateCopyOfTheOtherSide(t *testing.T) {
	f, here, there, _ := twoWayFixture(t)
	f.sink.refuses = true
	f.done(here, notBlind(), "a1")
	f.sink.refuses = false
	d, _ := f.NextDirty(Primary, f.clock)
	c := Copy{Key: d.Key, Dirty: d}
	if !f.BeginCopy(&c) || c.From != Primary {
		t.Fatalf("the copy begins from side %d", c.From)
	}
	f.LaneDown(here)
	f.SetConflict(Primary, Overrule)
	f.sent(there, "b1", "?a1")
	if f.EndCopy(&c, &State{}) != Lost || f.sink.copies != 0 {
		t.Error("the state of the instance that was decided against was copied to the other one")
	}
	f.Retry(d, f.clock, 0)
	if again := f.nextDirty(); again != d || f.SideOf(d.Key.Hash) != Secondary {
		t.Error("the key is not copied from the instance that it was decided for")
	}
}

// TestDecisions: what a conflict with an instance that is down comes to.
func TestDecisions(t *testing.T) {
	for _, x := range []struct {
		name     string
		conflict Conflict
		dirty    []string // on the instance that is down
		flying   string   // in flight there
		write    string   // at the other one
		goes     bool
		told     []string
	}{
		{"nobody decides", Wait, []string{"a1"}, "", "a1", false, nil},
		{"it is overruled", Overrule, []string{"a1"}, "", "a1", true, []string{"a1"}},
		{"with others of its stripe", Overrule, []string{"a1", "a2"}, "", "a1", true, []string{"a1", "a2"}},
		{"and what is in flight", Overrule, nil, "a1", "a1", true, []string{"a1"}},
		{"another stripe waits", Overrule, []string{"a1"}, "", "b1", true, nil},
		{"it is newer", Newest, []string{"a1"}, "", "a1", true, []string{"a1"}},
		{"what nobody has written since is the newest", Newest, []string{"a1", "a2"}, "", "a1", false, nil},
		{"what is in flight is not known, until its lane is dead", Newest, nil, "a1", "a1", false, []string{"a1"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			var told []string
			f, here, there, _ := twoWayFixture(t, func(o *Options) { o.Decided = func(k *Key) { told = append(told, string(k.Name)) } })
			f.sink.refuses = true
			for _, name := range x.dirty {
				f.done(here, notBlind(), name)
			}
			var flying *Write
			if x.flying != "" {
				flying = f.sent(here, x.flying)
			}
			f.sink.refuses = false
			f.LaneDown(here)
			w, g := write(there, x.write)
			w.Waiter = g
			went := f.Acquire(w)
			f.SetConflict(Primary, x.conflict)
			if went = went || g.granted > 0; went != x.goes {
				t.Fatalf("the write went: %v, want %v", went, x.goes)
			}
			if flying != nil {
				f.Unanswered(flying)
			}
			for d := f.nextDirty(); d != nil; d = f.nextDirty() {
				c := Copy{Key: d.Key, Dirty: d}
				if want := f.SideOf(d.Key.Hash); f.BeginCopy(&c) && c.From != want {
					t.Errorf("%s is copied from side %d", d.Key.Name, c.From)
				}
			}
			if slices.Sort(told); !slices.Equal(told, x.told) {
				t.Errorf("decided: %v, want %v", told, x.told)
			}
		})
	}
}

// TestLostData: what an instance has lost is read from the other one, whoever wrote it.
func TestLostData(t *testing.T) {
	f, here, there, back := twoWayFixture(t)
	f.done(there, notBlind(), "a1")
	flying, answered := f.sent(there, "b1"), f.sent(there, "d1")
	f.LaneDown(there)
	f.SinkLost(Secondary)
	f.LostData(Secondary, "it was started anew")
	w, g := write(here, "c1")
	f.waits(w)
	if f.Acked(Primary, Good, ""); g.granted != 1 {
		t.Error("a write at the instance that is left did not go when all had arrived there")
	}
	if f.Unanswered(flying); f.SideOf(key("b1").Hash) != Primary || back.effects != 1 {
		t.Error("what was in flight at the instance that lost its data counts")
	}
	if out := f.Reply(answered, blind()); out != Dirtied || back.effects != 1 {
		t.Error("nor may what it has answered be sent on: clients of the other one may be ahead of it")
	}
	if _, owed := f.EverywhereOwed(); !owed || f.LibrariesSide() != Primary {
		t.Error("its scripts and functions are not owed")
	}
}

// TestNothingIsReadBeforeItHasArrived: the instance that is left gets first what is on its way to it, and is read then.
func TestNothingIsReadBeforeItHasArrived(t *testing.T) {
	for name, lost := range map[string]func(f *fixture){
		"lost its data": func(f *fixture) { f.LostData(Secondary, "it was started anew") },
		"restarted":     func(f *fixture) { f.Restarted(Secondary, "it was restarted") },
	} {
		t.Run(name, func(t *testing.T) {
			f, here, there, back := twoWayFixture(t)
			f.done(there, notBlind(), "b1")
			flying := f.sent(there, "b1")
			f.LaneDown(there)
			lost(f)
			f.Unanswered(flying)
			d := f.nextDirty()
			c := Copy{Key: d.Key, Dirty: d}
			if f.SideOf(d.Key.Hash) != Primary || f.BeginCopy(&c) {
				t.Error("the key is read before what is on its way has arrived")
			}
			read := &Write{Kind: CopyRead, Lane: here, Keys: []Key{d.Key}, Waiter: &waiter{}}
			f.waits(read)
			f.Cancel(read)
			if f.Acked(Primary, Good, ""); !f.BeginCopy(&c) || c.From != Primary {
				t.Error("the key is not read when it has")
			}
			if back.effects != 1 {
				t.Errorf("%d effects went to the primary", back.effects)
			}
		})
	}
}

// TestRestartOfOne: whatever an instance was about to do when it ended, what it had acknowledged counts on the other one, which has
// it or gets it, and not the older state in which the instance may have come back.
func TestRestartOfOne(t *testing.T) {
	for _, x := range []struct {
		name   string
		before func(f *fixture, here LaneID) *Write // returns what is in flight
		want   Side                                 // that has the truth
	}{
		{"settled", func(f *fixture, here LaneID) *Write { return nil }, Secondary},
		{"on its way", func(f *fixture, here LaneID) *Write { f.done(here, notBlind(), "a1"); return nil }, Secondary},
		{"a write in flight", func(f *fixture, here LaneID) *Write { return f.sent(here, "a1") }, Secondary},
		{"a barrier in flight", func(f *fixture, here LaneID) *Write {
			w := &Write{Kind: Flush, Lane: here, DBs: []int{5}}
			if !f.Acquire(w) {
				t.Fatal("the barrier had to wait")
			}
			return w
		}, Secondary},
		{"only it has the last", func(f *fixture, here LaneID) *Write {
			f.sink.refuses = true
			f.done(here, notBlind(), "a1")
			return nil
		}, Primary},
		{"a write in flight, and only it has another key", func(f *fixture, here LaneID) *Write {
			f.sink.refuses = true
			f.done(here, notBlind(), "b1")
			return f.sent(here, "a1", "b1")
		}, Primary},
	} {
		t.Run(x.name, func(t *testing.T) {
			told := 0
			f, here, _, _ := twoWayFixture(t, func(o *Options) { o.Decided = func(*Key) { told++ } })
			f.done(here, notBlind(), "a1")
			f.Acked(Secondary, Good, "")
			flying := x.before(f, here)
			f.LaneDown(here)
			f.Restarted(Primary, "it was restarted")
			if flying != nil {
				f.Unanswered(flying)
			}
			if side := f.SideOf(key("a1").Hash); side != x.want {
				t.Errorf("the truth is on side %d, want %d", side, x.want)
			}
			if told != 0 {
				t.Error("what nobody has answered is reported as a conflict")
			}
		})
	}
}

// TestGivenBack: what was on its way to the other instance and does not arrive is copied from the one that was restarted.
func TestGivenBack(t *testing.T) {
	f, here, _, _ := twoWayFixture(t)
	f.done(here, notBlind(), "a1")
	f.LaneDown(here)
	f.Restarted(Primary, "it was restarted")
	f.SinkLost(Secondary)
	if f.SideOf(key("a1").Hash) != Primary {
		t.Error("a write that the other instance has not got is not taken from the one that had acknowledged it")
	}
}

// TestSidesOutliveTheProcess: with a stripe that is marked, and with what belongs to no key.
func TestSidesOutliveTheProcess(t *testing.T) {
	m := intent.NewMemory(64)
	f, _, there, _ := twoWayFixture(t, func(o *Options) { o.Intents = m })
	w, _ := write(there, "b1")
	w.Everywhere = true
	if !f.Acquire(w) {
		t.Fatal("a write had to wait")
	}
	g, here, _, _ := twoWayFixture(t, func(o *Options) { o.Intents = m.Reopen() })
	g.Resume()
	if g.SideOf(key("b1").Hash) != Secondary || g.LibrariesSide() != Secondary {
		t.Fatal("the sides are forgotten")
	}
	if one := newLedger(Options{MaxDirty: 1, MaxExact: 1, Now: g.opt.Now, Intents: m.Reopen()}, 64); one.Elsewhere() != 2 {
		t.Errorf("without two-way %d are in doubt elsewhere, want a stripe and what belongs to no key", one.Elsewhere())
	}
	f.Reply(w, &Effect{Steps: []Step{{Everywhere: true}}})
	if f.TurnIntents(); f.LibrariesSide() != Secondary {
		t.Error("what belongs to no key is the primary's before it has arrived there")
	}
	f.Acked(Primary, Good, "")
	if f.TurnIntents(); f.LibrariesSide() != Primary {
		t.Error("what belongs to no key is elsewhere when both have the same")
	}
	late, _ := write(here, "b1")
	g.waits(late)
	c := Copy{Key: key("b1")}
	if g.Known(c.Key.Hash) || !g.BeginCopy(&c) || c.From != Secondary {
		t.Errorf("what was in flight is not copied from there: known %v, from %d", g.Known(c.Key.Hash), c.From)
	}
}

// TestTwoWayAllocatesNothing in the steady state, not even where a stripe goes to and fro.
func TestTwoWayAllocatesNothing(t *testing.T) {
	f, here, there, back := twoWayFixture(t)
	ws := [2]*Write{{Lane: here, Keys: []Key{key("a1")}}, {Lane: there, Keys: []Key{key("a1")}}}
	e := blind()
	turn := func() {
		for side, w := range ws {
			if !f.Acquire(w) || f.Reply(w, e) != Forwarded {
				t.Fatal("it was not forwarded")
			}
			f.Acked(Side(side).Other(), Good, "")
		}
	}
	for range 1000 {
		turn()
	}
	if n := testing.AllocsPerRun(1000, turn); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if back.effects == 0 {
		t.Error("nothing went back")
	}
}

// TestSettledSidesAreForgottenWithoutTwoWay: or they would be those of what is marked later.
func TestSettledSidesAreForgottenWithoutTwoWay(t *testing.T) {
	m := intent.NewMemory(64)
	f, _, there, _ := twoWayFixture(t, func(o *Options) { o.Intents = m })
	f.done(there, nil, "b1")
	f.TurnIntents()
	f.TurnIntents()
	m = m.Reopen()
	if l := newLedger(Options{MaxDirty: 1, MaxExact: 1, Now: f.opt.Now, Intents: m}, 64); l.Elsewhere() != 0 || bitset(m.Sides()).any() {
		t.Errorf("%d stripes are in doubt elsewhere, and sides are left: %v", l.Elsewhere(), bitset(m.Sides()).any())
	}
}

// nextDirty is the next dirty key of either side.
func (f *fixture) nextDirty() *Dirty {
	for _, from := range []Side{Primary, Secondary, Primary} { // a key that is come across on the wrong side is the other one's then
		if d, _ := f.NextDirty(from, f.clock); d != nil {
			return d
		}
	}
	return nil
}
