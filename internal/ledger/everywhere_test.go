package ledger

import "testing"

func loaded() *Effect { return &Effect{Steps: []Step{{Everywhere: true}}} }

// loading is a write of what belongs to no key.
func loading(lane LaneID) *Write { return &Write{Lane: lane, Everywhere: true, Waiter: &waiter{}} }

// TestEverywhereIsOwed whenever an effect did not arrive, or nobody knows.
func TestEverywhereIsOwed(t *testing.T) {
	for _, x := range []struct {
		name string
		owed bool
		do   func(f *fixture, w *Write)
	}{
		{"acknowledged", false, func(f *fixture, w *Write) { f.Reply(w, loaded()); f.Acked(Secondary, Good, "") }},
		{"nothing changed", false, func(f *fixture, w *Write) { f.Reply(w, nil) }},
		{"dropped", true, func(f *fixture, w *Write) { f.sink.refuses = true; f.Reply(w, loaded()) }},
		{"mismatched", true, func(f *fixture, w *Write) { f.Reply(w, loaded()); f.Acked(Secondary, Differs, "no") }},
		{"lost with the secondary", true, func(f *fixture, w *Write) { f.Reply(w, loaded()); f.SinkLost(Secondary) }},
		{"lost with the lane", true, func(f *fixture, w *Write) { f.Unanswered(w) }},
		{"not forwarded with the rest of its transaction", true, func(f *fixture, w *Write) {
			f.Reply(w, &Effect{Steps: []Step{{Everywhere: true}, {Copy: true, Keys: []int{0}}}})
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			f := newFixture(t)
			lane := f.AddLane(Primary)
			w := loading(lane)
			w.Keys = []Key{key("a")}
			if !f.Acquire(w) {
				t.Fatal("it had to wait")
			}
			if f.Unsettled() != 1 {
				t.Errorf("%d writes are unsettled", f.Unsettled())
			}
			x.do(f, w)
			if why, owed := f.EverywhereOwed(); owed != x.owed {
				t.Errorf("owed: %v (%s)", owed, why)
			}
			if x.owed && f.Drained() {
				t.Error("drained")
			}
			if f.Unsettled() != 0 {
				t.Errorf("%d writes are unsettled", f.Unsettled())
			}
			if f.Forget(); f.everywhere.owed {
				t.Error("it is owed when nothing is kept equal")
			}
		})
	}
}

// TestEverywhereIsBrought in one piece, and not if a write was sent meanwhile.
func TestEverywhereIsBrought(t *testing.T) {
	f := newFixture(t)
	lane := f.AddLane(Primary)
	f.OweEverywhere("a test")
	v, ok := f.BeginEverywhere()
	if !ok {
		t.Fatal("it cannot be read")
	}
	w := loading(lane)
	f.Acquire(w)
	if _, ok := f.BeginEverywhere(); ok {
		t.Error("it can be read while a write is in flight")
	}
	f.Reply(w, loaded())
	if got := f.EndEverywhere(v, &Effect{}); got != Lost {
		t.Errorf("result %d of what was read before a write", got)
	}
	v, _ = f.BeginEverywhere()
	f.sink.refuses = true
	if got := f.EndEverywhere(v, &Effect{}); got != NotTaken {
		t.Errorf("result %d when the secondary is away", got)
	}
	f.sink.refuses = false
	if got := f.EndEverywhere(v, &Effect{}); got != Won {
		t.Errorf("result %d", got)
	}
	f.Acked(Secondary, Good, "")
	f.Acked(Secondary, Good, "")
	if !f.Drained() {
		t.Error("not drained")
	}
}

// TestEverywhereWaitsForOtherLanes, in the order in which they came, and holds up nothing else.
func TestEverywhereWaitsForOtherLanes(t *testing.T) {
	f := newFixture(t)
	one, two := f.AddLane(Primary), f.AddLane(Primary)
	first, second, third := loading(one), loading(two), loading(one)
	if !f.Acquire(first) {
		t.Fatal("the first had to wait")
	}
	f.waits(second)
	f.waits(third) // behind the second, though the lane is the first's
	f.done(two, blind(), "a")
	f.Reply(first, loaded())
	if second.Waiter.(*waiter).granted != 1 || third.Waiter.(*waiter).granted != 0 {
		t.Error("they were not granted in order")
	}
	f.Cancel(third)
	f.Reply(second, loaded())
	if len(f.tickets) != 0 || f.everywhere.inflight != 0 {
		t.Error("something is left")
	}
}
