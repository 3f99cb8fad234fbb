package ledger

import (
	"fmt"
	"testing"
)

// TestReportsAreJudged by who owned the stripe last, and which feeds there are.
func TestReportsAreJudged(t *testing.T) {
	for _, x := range []struct {
		name  string
		setup func(f *fixture, lanes []LaneID) // lanes 0 and 1 have feeds, lane 2 has none
		want  [2]bool                          // whether a report counts, by its feed
	}{
		{"nobody has owned it", func(*fixture, []LaneID) {}, [2]bool{true, true}},
		{"one with a feed", func(f *fixture, l []LaneID) { f.done(l[0], nil, "a") }, [2]bool{true, false}},
		{"... that still does", func(f *fixture, l []LaneID) { f.sent(l[1], "a") }, [2]bool{false, true}},
		{"one without", func(f *fixture, l []LaneID) { f.done(l[2], nil, "a") }, [2]bool{true, true}},
		{"one that is gone", func(f *fixture, l []LaneID) {
			f.done(l[0], nil, "a")
			f.RemoveLane(l[0])
		}, [2]bool{true, true}},
		{"one whose feed was lost", func(f *fixture, l []LaneID) {
			f.done(l[0], nil, "a")
			f.SetFeed(l[0], false)
		}, [2]bool{true, true}},
		{"just handed over", func(f *fixture, l []LaneID) {
			f.done(l[0], nil, "a")
			f.done(l[1], nil, "a")
		}, [2]bool{true, true}},
		{"... in a round that has not ended", func(f *fixture, l []LaneID) {
			f.done(l[0], nil, "a")
			f.done(l[1], nil, "a")
			f.BeginRound()
		}, [2]bool{true, true}},
		{"... before a round", func(f *fixture, l []LaneID) {
			f.done(l[0], nil, "a")
			f.done(l[1], nil, "a")
			f.BeginRound()
			f.EndRound()
		}, [2]bool{false, true}},
		{"... during one", func(f *fixture, l []LaneID) {
			f.done(l[0], nil, "a")
			f.BeginRound()
			f.done(l[1], nil, "a")
			f.EndRound()
		}, [2]bool{true, true}},
		{"a script's, that names it", func(f *fixture, l []LaneID) { f.script(l[0], "a", false) }, [2]bool{false, false}},
		{"... while another may not", func(f *fixture, l []LaneID) {
			f.script(l[0], "a", false)
			f.script(l[0], "b", true)
		}, [2]bool{true, false}},
		{"... a while ago", func(f *fixture, l []LaneID) {
			f.script(l[0], "a", false)
			f.BeginRound()
			f.EndRound()
		}, [2]bool{true, false}},
		{"... while writers are looked for", func(f *fixture, l []LaneID) {
			f.SetForeign(true, true)
			f.script(l[0], "a", false)
		}, [2]bool{true, false}},
	} {
		for feed, want := range x.want {
			t.Run(fmt.Sprintf("%s, feed %d", x.name, feed), func(t *testing.T) {
				f := newFixture(t)
				lanes := []LaneID{f.AddLane(Primary), f.AddLane(Primary), f.AddLane(Primary)}
				f.SetForeign(true, false)
				f.SetFeed(lanes[0], true)
				f.SetFeed(lanes[1], true)
				x.setup(f, lanes)
				k := key("a")
				if got := f.Foreign(lanes[feed], []Key{k}); got != want {
					t.Errorf("it counts: %v, want %v", got, want)
				}
				if got := f.IsDirty(k.Hash); got != want {
					t.Errorf("dirty: %v", got)
				}
			})
		}
	}
}

// TestReportsOfTheTimeBeforeTheFirstFeed may be of our own writes, until a round has passed: who wrote was not noted then.
func TestReportsOfTheTimeBeforeTheFirstFeed(t *testing.T) {
	f := newFixture(t)
	lanes := []LaneID{f.AddLane(Primary), f.AddLane(Primary)}
	f.SetForeign(true, false)
	f.done(lanes[0], nil, "a")
	f.done(lanes[1], nil, "a")
	f.SetFeed(lanes[1], true)
	others := func() uint64 {
		t.Helper()
		f.copied("a")
		if k := key("a"); !f.Foreign(lanes[1], []Key{k}) {
			t.Fatal("a report does not count")
		}
		return f.Stats().Others
	}
	if n := others(); n != 0 {
		t.Errorf("%d of our own writes were counted as those of others", n)
	}
	f.BeginRound()
	f.EndRound()
	if n := others(); n != 1 {
		t.Errorf("%d writes by others were counted", n)
	}
}

// script runs one that names a key and is replayed, and may write others.
func (f *fixture) script(lane LaneID, name string, hidden bool) {
	w, _ := write(lane, name)
	w.Script, w.Hidden = true, hidden
	if !f.Acquire(w) {
		f.t.Fatal("a script had to wait")
	}
	f.Reply(w, blind())
}

// TestDerivedIsCopiedWhileOthersWrite, also in a transaction.
func TestDerivedIsCopiedWhileOthersWrite(t *testing.T) {
	f := newFixture(t)
	lane := f.AddLane(Primary)
	f.SetForeign(false, true)
	if got := f.done(lane, notBlind(), "a", "b"); got != Dirtied {
		t.Errorf("a rename: outcome %d", got)
	}
	if got := f.done(lane, &Effect{Steps: []Step{{Keys: []int{0}}, {Keys: []int{1, 2}}}}, "c", "d", "?e"); got != Dirtied {
		t.Errorf("a transaction: outcome %d", got)
	}
	if got := f.done(lane, notBlind(), "f"); got != Forwarded {
		t.Errorf("a write of one key: outcome %d", got)
	}
	if got := f.done(lane, blind(), "a", "b"); got != Forwarded {
		t.Errorf("a blind write of two: outcome %d", got)
	}
	f.SetForeign(false, false)
	if got := f.done(lane, notBlind(), "a", "b"); got != Forwarded {
		t.Errorf("a rename when nobody else writes: outcome %d", got)
	}
}

// TestRecentIsBounded: of too many stripes all count, or none that come.
func TestRecentIsBounded(t *testing.T) {
	var all, none recent
	for x := range uint32(maxRecent + 10) {
		all.add(x, true)
		none.add(x, false)
	}
	if len(all.now) > maxRecent || len(none.now) > maxRecent {
		t.Errorf("%d and %d are remembered", len(all.now), len(none.now))
	}
	if !all.has(1<<19) || none.has(1<<19) || !none.has(5) {
		t.Error("what is beyond the bound is taken wrongly")
	}
	all.begin()
	if !all.has(1 << 19) {
		t.Error("it is forgotten too early")
	}
	if all.end(); all.has(5) {
		t.Error("it is not forgotten")
	}
}

// TestFlushesAreCounted: those that were done, in transactions too.
func TestFlushesAreCounted(t *testing.T) {
	f := newFixture(t)
	lane := f.AddLane(Primary)
	flush := func(e *Effect) {
		w := &Write{Kind: Flush, Lane: lane, DBs: []int{0}}
		if !f.Acquire(w) {
			t.Fatal("a flush had to wait")
		}
		if _, inFlight := f.Flushes(); !inFlight {
			t.Error("none is in flight")
		}
		f.Reply(w, e)
	}
	flush(blind())
	flush(nil)
	flush(&Effect{Steps: []Step{{Blind: true}, {Blind: true}}})
	if n, inFlight := f.Flushes(); n != 3 || inFlight {
		t.Errorf("%d were done, in flight: %v", n, inFlight)
	}
}

// What a script may have written without naming it is unread until a round has passed that began after its reply.
func TestAScriptIsUnreadUntilItsReportsAre(t *testing.T) {
	f := newFixture(t)
	lane := f.AddLane(Primary)
	f.SetForeign(true, false)
	f.SetFeed(lane, true)
	if f.script(lane, "a", false); f.Unread() {
		t.Error("a script that names its keys is unread")
	}
	f.BeginRound()
	f.script(lane, "a", true)
	f.EndRound()
	if !f.Unread() || !f.RoundWanted() {
		t.Errorf("after a round that began before its reply: unread %v, a round is wanted %v", f.Unread(), f.RoundWanted())
	}
	f.BeginRound()
	if !f.Unread() {
		t.Error("read before the round has ended")
	}
	f.EndRound()
	if f.Unread() || f.RoundWanted() {
		t.Errorf("after its round: unread %v, a round is wanted %v", f.Unread(), f.RoundWanted())
	}
}
