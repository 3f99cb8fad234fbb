package ledger

import (
	"slices"
	"testing"
)

func TestOneLaneOwnsAStripe(t *testing.T) {
	f := newFixture(t)
	a, b := f.AddLane(Primary), f.AddLane(Primary)
	first := f.sent(a, "k")
	f.sent(a, "k") // its own lane's order includes it
	w, g := write(b, "k")
	f.waits(w)
	other, og := write(a, "k")
	f.waits(other) // nor may the owner go on for ever
	f.Reply(first, nil)
	if g.granted != 0 {
		t.Fatal("granted with a write of another lane in flight")
	}
	f.Reply(&Write{Lane: a, Keys: []Key{key("k")}}, nil) // the second one
	if g.granted != 1 || og.granted != 0 {
		t.Fatalf("granted %d and %d, want the first that waited", g.granted, og.granted)
	}
	f.Reply(w, nil)
	if og.granted != 1 {
		t.Fatal("the last was not granted")
	}
}

func TestWaitersOfOneLaneGoTogether(t *testing.T) {
	f := newFixture(t)
	a, b := f.AddLane(Primary), f.AddLane(Primary)
	first := f.sent(a, "k")
	w1, g1 := write(b, "k")
	w2, g2 := write(b, "k")
	f.waits(w1)
	f.waits(w2)
	f.Reply(first, nil)
	if g1.granted != 1 || g2.granted != 1 {
		t.Fatalf("granted %d and %d", g1.granted, g2.granted)
	}
}

// TestFollowersOnOtherStripesGoToo: those of its lane that stood behind it anywhere.
func TestFollowersOnOtherStripesGoToo(t *testing.T) {
	f := newFixture(t)
	a, b := f.AddLane(Primary), f.AddLane(Primary)
	first := f.sent(a, "x")
	w1, _ := write(b, "x", "y")
	w2, g2 := write(b, "y", "z")
	w3, g3 := write(b, "z")
	f.waits(w1)
	f.waits(w2)
	f.waits(w3)
	f.Reply(first, nil)
	if g2.granted != 1 || g3.granted != 1 {
		t.Fatalf("granted %d and %d", g2.granted, g3.granted)
	}
}

// canceller gives up another write when it is granted, as a session does that ends.
type canceller struct {
	f *fixture
	w *Write
}

func (c canceller) Granted(*Write) { c.f.Cancel(c.w) }

func TestGivingUpWhileOthersAreGranted(t *testing.T) {
	f := newFixture(t)
	a, b := f.AddLane(Primary), f.AddLane(Primary)
	f.sent(a, "x")
	f.LaneDown(b)
	blocked, _ := write(b, "x")
	second, _ := write(b, "y")
	second.Waiter = canceller{f, blocked}
	third, g := write(b, "z")
	for _, w := range []*Write{blocked, second, third} {
		f.waits(w)
	}
	f.LaneUp(b)
	if g.granted != 1 || len(f.tickets) != 0 {
		t.Fatalf("the third was granted %d times, %d wait", g.granted, len(f.tickets))
	}
}

// TestPlacesInAllQueuesAtOnce: of two writes that share two stripes, one is before the other in both.
func TestPlacesInAllQueuesAtOnce(t *testing.T) {
	f := newFixture(t)
	a, b, c := f.AddLane(Primary), f.AddLane(Primary), f.AddLane(Primary)
	onX, onY := f.sent(a, "x"), f.sent(a, "y")
	w1, g1 := write(b, "x", "y")
	w2, g2 := write(c, "y", "x")
	f.waits(w1)
	f.waits(w2)
	f.Reply(onY, nil) // y is free, but w2 must not take it
	if g1.granted+g2.granted != 0 {
		t.Fatal("granted with x still in flight")
	}
	f.Reply(onX, nil)
	if g1.granted != 1 || g2.granted != 0 {
		t.Fatalf("granted %d and %d, want the one that came first", g1.granted, g2.granted)
	}
	f.Reply(w1, nil)
	if g2.granted != 1 {
		t.Fatal("the second was not granted")
	}
}

func TestKeysThatShareAStripe(t *testing.T) {
	f := newFixture(t)
	a, b := f.AddLane(Primary), f.AddLane(Primary)
	first := f.sent(a, "k1", "k2", "?k3")
	w, g := write(b, "k4", "k5", "k4")
	f.waits(w)
	f.Reply(first, nil)
	if g.granted != 1 {
		t.Fatal("not granted")
	}
	f.Reply(w, nil)
	if n := f.stripes[w.Keys[0].Hash.Stripe()].inflight; n != 0 || len(f.queues) != 0 {
		t.Fatalf("%d in flight, %d queues", n, len(f.queues))
	}
}

// TestWaitsBehindThoseThatWait: whoever could go at once must not, if that would overtake.
func TestWaitsBehindThoseThatWait(t *testing.T) {
	f := newFixture(t)
	a, b, c := f.AddLane(Primary), f.AddLane(Primary), f.AddLane(Primary)
	onX := f.sent(a, "x")
	w1, g1 := write(b, "x", "y")
	f.waits(w1)
	w2, g2 := write(c, "y") // y is free, but w1 stands before it
	f.waits(w2)
	f.Cancel(w1)
	if g2.granted != 1 || g1.granted != 0 {
		t.Fatalf("granted %d and %d after the first gave up", g1.granted, g2.granted)
	}
	f.Cancel(w1) // once more: nothing
	f.Reply(onX, nil)
	if g1.granted != 0 || len(f.tickets) != 0 {
		t.Fatal("a cancelled write is still there")
	}
}

func TestBarrierAndOtherLanes(t *testing.T) {
	f := newFixture(t)
	a, b := f.AddLane(Primary), f.AddLane(Primary)
	onB := f.sent(b, "x")
	onA := f.sent(a, "y")
	flush, fg := &Write{Kind: Flush, Lane: a, DBs: []int{0}}, &waiter{}
	flush.Waiter = fg
	f.waits(flush)
	w1, g1 := write(b, "z")
	w2, g2 := write(a, "z")
	f.waits(w1)
	f.waits(w2)
	f.Reply(onB, nil) // its own lane's writes need not be answered
	if fg.granted != 1 || g1.granted+g2.granted != 0 {
		t.Fatalf("granted: flush %d, behind it %d and %d", fg.granted, g1.granted, g2.granted)
	}
	f.Reply(onA, nil)
	if g1.granted != 0 {
		t.Fatal("a write of another lane went with the flush in flight")
	}
	f.Reply(flush, blind())
	if g1.granted != 1 || g2.granted != 0 {
		t.Fatalf("granted %d and %d after the flush", g1.granted, g2.granted)
	}
	f.Reply(w1, nil)
	if g2.granted != 1 {
		t.Fatal("the last was not granted")
	}
}

// TestCopyReadAndThoseThatWait: it goes ahead of writes, and waits for what is in flight.
func TestCopyReadAndThoseThatWait(t *testing.T) {
	f := newFixture(t)
	a, b, copier := f.AddLane(Primary), f.AddLane(Primary), f.AddLane(Primary)
	first := f.sent(a, "k")
	w, g := write(b, "k")
	f.waits(w)
	read, rg := write(copier, "k")
	read.Kind = CopyRead
	f.waits(read)
	f.Reply(first, nil)
	if rg.granted != 1 || g.granted != 0 {
		t.Fatalf("granted: read %d, write %d", rg.granted, g.granted)
	}
	if c := (Copy{Key: key("k")}); f.BeginCopy(&c) {
		t.Fatal("another copy began while the read owns the stripe")
	}
	if r := f.EndCopyRead(read, &Copy{Key: key("k")}, &State{}); r != Won {
		t.Fatalf("result %d", r)
	}
	if g.granted != 1 {
		t.Fatal("the write was not granted")
	}
}

// TestCopyReadsDoNotStarveABarrier: with one read or another always in flight a flush would never go, and
// nobody behind it.
func TestCopyReadsDoNotStarveABarrier(t *testing.T) {
	f := newFixture(t)
	a, copier := f.AddLane(Primary), f.AddLane(Primary)
	read := func(name string) (*Write, *waiter) {
		w, g := write(copier, name)
		w.Kind = CopyRead
		return w, g
	}
	r1, _ := read("k")
	f.Acquire(r1)
	before, bg := write(a, "k")
	f.waits(before)
	flush, fg := &Write{Kind: Flush, Lane: a, DBs: []int{0}}, &waiter{}
	flush.Waiter = fg
	f.waits(flush)
	r2, g2 := read("l")
	f.waits(r2)
	r3, g3 := read("k")
	f.waits(r3)
	behind, hg := write(a, "k")
	f.waits(behind)
	f.Unanswered(r1)
	if bg.granted != 1 || fg.granted != 1 || g2.granted+g3.granted+hg.granted != 0 {
		t.Fatalf("granted: before %d, flush %d, reads %d and %d, behind %d",
			bg.granted, fg.granted, g2.granted, g3.granted, hg.granted)
	}
	f.Reply(before, nil)
	f.Reply(flush, nil)
	if g2.granted != 1 || g3.granted != 1 || hg.granted != 0 {
		t.Fatalf("granted after the flush: reads %d and %d, behind %d", g2.granted, g3.granted, hg.granted)
	}
	f.Unanswered(r3)
	if hg.granted != 1 {
		t.Fatal("the write behind the read was not granted")
	}
}

// TestHold: only copies' reads pass, and with a barrier before them, too.
func TestHold(t *testing.T) {
	f := newFixture(t)
	a, copier := f.AddLane(Primary), f.AddLane(Primary)
	f.Hold()
	flush, fg := &Write{Kind: Flush, Lane: a, DBs: []int{0}}, &waiter{}
	flush.Waiter = fg
	f.waits(flush)
	w, g := write(a, "k")
	f.waits(w)
	read, _ := write(copier, "k")
	read.Kind = CopyRead
	if !f.Acquire(read) {
		t.Fatal("a copy's read waits for the end of the hold, which waits for it")
	}
	f.EndCopyRead(read, &Copy{Key: key("k")}, &State{})
	f.Acked(Secondary, Good, "")
	if !f.Drained() {
		t.Fatal("not drained, with nothing under way")
	}
	if ws := f.Waiting(); !slices.Equal(ws, []*Write{flush, w}) {
		t.Fatalf("%d writes wait", len(ws))
	}
	b := f.AddLane(Primary)
	f.Release(func(w *Write) { w.Lane = b })
	if fg.granted != 1 || g.granted != 1 || flush.Lane != b || w.Lane != b {
		t.Fatalf("granted %d and %d on lanes %d and %d", fg.granted, g.granted, flush.Lane, w.Lane)
	}
}

// TestLostLaneKeepsItsStripes: the old connection may still execute what was sent.
func TestLostLaneKeepsItsStripes(t *testing.T) {
	f := newFixture(t)
	a, b := f.AddLane(Primary), f.AddLane(Primary)
	lost := f.sent(a, "k", "?l")
	f.LaneDown(a)
	w, g := write(b, "k")
	f.waits(w)
	again, ag := write(a, "m")
	f.waits(again)
	if c := (Copy{Key: key("k")}); f.BeginCopy(&c) {
		t.Fatal("a copy began")
	}
	f.Unanswered(lost)
	if g.granted != 1 || ag.granted != 0 {
		t.Fatalf("granted: the other lane's %d, its own %d", g.granted, ag.granted)
	}
	if !f.IsDirty(key("k").Hash) || f.IsDirty(key("l").Hash) {
		t.Fatal("what it may have written is not dirty, or what it read is")
	}
	f.LaneUp(a)
	if ag.granted != 1 {
		t.Fatal("a lane that is back is not used")
	}
}

// TestRemovedLane: what waits for a lane that is gone waits on, and nobody else gets its number.
func TestRemovedLane(t *testing.T) {
	f := newFixture(t)
	a, b := f.AddLane(Primary), f.AddLane(Primary)
	first := f.sent(a, "k")
	w, g := write(b, "k")
	f.waits(w)
	f.RemoveLane(b)
	if c := f.AddLane(Primary); c == b {
		t.Fatal("the number was given to another lane")
	}
	f.Reply(first, nil)
	if g.granted != 0 {
		t.Fatal("granted on a lane that is gone")
	}
	f.Cancel(w)
	if c := f.AddLane(Primary); c != b {
		t.Fatal("the number is lost")
	}
}
