package ledger

import "testing"

// read begins a shadow read of keys on a lane.
func (f *fixture) read(lane LaneID, names ...string) (*Shadow, bool) {
	s := &Shadow{}
	for _, n := range names {
		s.Keys = append(s.Keys, key(n))
	}
	return s, f.BeginShadow(s, lane)
}

func TestAReadIsPlacedWhereNothingCanComeBetween(t *testing.T) {
	unnamed := func(f *fixture, lane LaneID) { // a script that may write anything, which is reported
		f.SetForeign(true, false)
		w := &Write{Lane: lane, Keys: []Key{key("b")}, Hidden: true, Script: true}
		f.Acquire(w)
		f.Reply(w, nil)
	}
	for name, c := range map[string]struct {
		before func(f *fixture, own, other LaneID) // and sent before the read
		during func(f *fixture, own, other LaneID) // while it is under way
		begins bool
		placed bool
	}{
		"nobody writes": {begins: true, placed: true},
		"its own lane has written": {
			before: func(f *fixture, own, _ LaneID) { f.done(own, notBlind(), "a") }, begins: true, placed: true},
		"a write of its own lane is before it": {
			before: func(f *fixture, own, _ LaneID) { f.sent(own, "a") }, begins: true, placed: true},
		"a write of its own lane comes behind it": {
			before: func(f *fixture, own, _ LaneID) { f.done(own, notBlind(), "a") },
			during: func(f *fixture, own, _ LaneID) { f.sent(own, "a") }, begins: true, placed: true},
		"another lane's write is under way": {
			before: func(f *fixture, _, other LaneID) { f.sent(other, "a") }, begins: false},
		"another lane has written before": {
			before: func(f *fixture, _, other LaneID) { f.done(other, notBlind(), "a") }, begins: true, placed: true},
		"another lane writes meanwhile": {
			during: func(f *fixture, _, other LaneID) { f.sent(other, "a") }, begins: true},
		"another lane has written meanwhile": {
			during: func(f *fixture, _, other LaneID) { f.done(other, notBlind(), "a") }, begins: true},
		"another lane has written meanwhile, and its own behind that": {
			before: func(f *fixture, own, _ LaneID) { f.done(own, notBlind(), "a") },
			during: func(f *fixture, own, other LaneID) { f.done(other, notBlind(), "a"); f.done(own, notBlind(), "a") }, begins: true},
		"another lane writes to another stripe": {
			during: func(f *fixture, _, other LaneID) { f.done(other, notBlind(), "b") }, begins: true, placed: true},
		"the key is dirty": {
			before: func(f *fixture, _, _ LaneID) { k := key("a"); f.MakeDirty(&k) }, begins: true},
		"the key becomes dirty": {
			during: func(f *fixture, _, _ LaneID) { k := key("a"); f.MakeDirty(&k) }, begins: true},
		"its own lane has written, and what others wrote is reported and copied": {
			before: func(f *fixture, own, _ LaneID) { f.done(own, notBlind(), "a") },
			during: func(f *fixture, _, _ LaneID) { f.dirty("a"); f.copied("a") }, begins: true},
		"its own lane has written, and what others wrote to another key is reported": {
			before: func(f *fixture, own, _ LaneID) { f.done(own, notBlind(), "a") },
			during: func(f *fixture, _, _ LaneID) { f.dirty("b") }, begins: true, placed: true},
		"a sweep is owed": {
			during: func(f *fixture, _, _ LaneID) { f.OweSweep("x", 0) }, begins: true},
		"a flush meanwhile": {
			during: func(f *fixture, _, other LaneID) {
				w := &Write{Kind: Flush, Lane: other, DBs: []int{0}}
				f.Acquire(w)
				f.Reply(w, blind())
			}, begins: true},
		"a flush under way": {
			before: func(f *fixture, own, _ LaneID) { f.Acquire(&Write{Kind: Flush, Lane: own, DBs: []int{0}}) }, begins: false},
		"a script that may write anything, meanwhile": {
			during: func(f *fixture, _, other LaneID) {
				w := &Write{Lane: other, Keys: []Key{key("b")}, Hidden: true, Script: true}
				f.Acquire(w)
				f.Reply(w, notBlind())
			}, begins: true},
		"a script that may write anything, before; its reports are not read": {
			before: func(f *fixture, _, other LaneID) { unnamed(f, other) }, begins: false},
		"... are being read": {
			before: func(f *fixture, _, other LaneID) { unnamed(f, other); f.BeginRound() }, begins: false},
		"... have been read": {
			before: func(f *fixture, _, other LaneID) { unnamed(f, other); f.BeginRound(); f.EndRound() }, begins: true, placed: true},
		"a write of unknown keys under way": {
			before: func(f *fixture, _, _ LaneID) { f.BeginUnnamed() }, begins: false},
		"a write of unknown keys meanwhile": {
			during: func(f *fixture, _, _ LaneID) { f.BeginUnnamed() }, begins: true},
	} {
		f := newFixture(t)
		own, other := f.AddLane(Primary), f.AddLane(Primary)
		if c.before != nil {
			c.before(f, own, other)
		}
		s, begins := f.read(own, "a", "c")
		if begins != c.begins {
			t.Errorf("%s: begins %v", name, begins)
		}
		if !begins {
			continue
		}
		if c.during != nil {
			c.during(f, own, other)
		}
		if placed := f.PlaceShadow(s); placed != c.placed {
			t.Errorf("%s: placed %v", name, placed)
		}
	}
}

func TestWhatDiffersIsNewsUnlessItIsExplained(t *testing.T) {
	for name, c := range map[string]struct {
		before func(f *fixture, lane LaneID) // on the Sink before the read
		during func(f *fixture)              // until the secondary answers the read
		news   bool
	}{
		"nothing else is wrong": {news: true},
		"an effect before it went wrong": {
			before: func(f *fixture, lane LaneID) { f.done(lane, notBlind(), "a") },
			during: func(f *fixture) { f.Acked(Secondary, Differs, "") }},
		"an effect before it, and the key was made right since": {
			before: func(f *fixture, lane LaneID) { f.done(lane, notBlind(), "a") },
			during: func(f *fixture) {
				f.Acked(Secondary, Differs, "")
				f.done(0, blind(), "a")
			}},
		"an effect before it was right": {
			before: func(f *fixture, lane LaneID) { f.done(lane, notBlind(), "a") },
			during: func(f *fixture) { f.Acked(Secondary, Good, "") }, news: true},
		"the key became dirty": {
			during: func(f *fixture) { k := key("a"); f.MakeDirty(&k) }},
	} {
		f := newFixture(t)
		lane := f.AddLane(Primary)
		if c.before != nil {
			c.before(f, lane)
		}
		s, _ := f.read(lane, "a")
		if !f.PlaceShadow(s) {
			t.Errorf("%s: not placed", name)
			continue
		}
		if c.during != nil {
			c.during(f)
		}
		if news := f.ShadowDiffers(s); news != c.news {
			t.Errorf("%s: news %v", name, news)
		}
		if k := key("a"); !f.IsDirty(k.Hash) {
			t.Errorf("%s: the key is not copied", name)
		}
	}
}

func TestMayExpireKnowsTheStripes(t *testing.T) {
	f := newFixture(t)
	lane := f.AddLane(Primary)
	f.Reply(f.sent(lane, "a"), &Effect{Steps: []Step{{Blind: true, MayExpire: true}}})
	for name, want := range map[string]bool{"a": true, "b": false} {
		if s, _ := f.read(lane, name); f.MayExpire(s) != want {
			t.Errorf("%s may expire: %v", name, !want)
		}
	}
}
