package ledger

import "math/bits"

// Two-way: clients write at both instances, each of which is kept equal to the other. A write goes first to the
// instance of its client, and its effect to the other one. It is the same ledger, with lanes of both, and one idea more:
// a stripe has a side, the instance that has the truth of its keys. All that is under way of a stripe is under way from
// there: writes in flight are on lanes of that instance, effects and copies go to the other one, a dirty key is copied
// from it, and so is one that is unknown.
//
//	I8  One side at a time. A stripe passes to the other side, by a write there, only when nothing is in flight on it,
//	    every effect and copy of its keys is acknowledged, and none of them is dirty or unknown. So at that moment
//	    both instances hold the same of it, both see all its writes in one order, there are no loops to break and
//	    no conflicts to lose. It is a write of the stripe as far as copies are concerned: what was read before is void.
//	    A key that a command only reads passes as well, for what is made from it is made anew on the other side.
//	I9  A barrier takes every stripe, under the same conditions. Until its effect is acknowledged nothing may be sent
//	    where it is still to arrive.
//	I10 Nobody waits for what must be repaired but who needs it. A write that can go only when a key is copied, a sweep
//	    has ended or a lane is up again stands in nobody's way; one that waits for replies and acknowledgements alone
//	    does, or it might wait for ever.
//	I11 Sides are not forgotten. They are in the intent map, which by a mark and a side says what to copy, and from where.
//	    A side changes before the first mark of a write there, when no mark of the stripe says anything any more.
//
// While too much is dirty to be remembered, every key is unknown, and no stripe changes sides until a sweep has ended.
//
// What is in doubt on an instance that is down waits for it, or is decided (conflict.go). Some things must not be done
// here: block at an instance, for an effect that arrives might be served to whoever blocks there (Block: who waits is to
// be told of writes, and then takes what there is by a command that does not block); change keys that are not named but
// by a barrier (Hidden, Unnamed); have keys reported by feeds (Foreign), which would report every effect; and keep keys
// (kept.go), for there would be two truths.
type twoWay struct {
	sides bitset    // stripes of which the secondary has the truth
	ends  []end     // by stripe: what was appended of it last
	gate  [2]uint64 // by instance: nothing is sent there before all has arrived that was appended before this Mark; 0: none

	libraries    Side // that has the truth of what belongs to no key
	librariesEnd end  // as ends

	lostAt uint64 // seq when an instance was last found to have lost its data
	// restartedAt is the seq when one was last found restarted. What was in flight there is displaced, and was not decided against.
	restartedAt uint64
	returns     [2]bool // by instance: what is on its way there behind the gate would be lost with it: see giveBack

	conflict  [2]Conflict
	abandoned map[uint32]abandoned // by stripe
	decided   uint64

	silent [2]bool // by instance: see SetSilent

	freed   []uint32 // scratch of Acked
	stirred bool     // some that have waited in others' way may not any more

	without sideRules // for tests: the rules taken out
}

// end is the Mark of something on its way, and the instance that it goes to.
type end uint64

func (to *stream) end(mark uint64) end { return end(mark<<1 | uint64(to.feeds)) }

// hasArrived reports whether an instance has acknowledged what ends there, and no old connection may still bring it:
// what was made dirty when the connection was lost is not all that it can do, for an effect may read keys, too. What was
// on its way to the other instance had arrived when the stripe was handed over.
func (l *Ledger) hasArrived(e end, at Side) bool {
	return Side(e&1) != at || l.to[at].reached(uint64(e>>1)) && (!l.to[at].lost || l.two.without&sideDead != 0)
}

// newTwoWay takes up the sides that an earlier process has left.
func newTwoWay(sides bitset, libraries Side, stripes int) *twoWay {
	return &twoWay{sides: sides, ends: make([]end, stripes), libraries: libraries, abandoned: map[uint32]abandoned{}}
}

// sideOf is the side of a stripe.
func (l *Ledger) sideOf(x uint32) Side {
	if l.two != nil && l.two.sides.has(x) {
		return Secondary
	}
	return Primary
}

// SideOf returns which instance has the truth of a key, so that a copy of it is read there. It stays so while the key is
// dirty or unknown, unless a conflict is decided (conflict.go).
func (l *Ledger) SideOf(h Hash) Side { return l.sideOf(h.Stripe()) }

// Elsewhere returns how many stripes were left in doubt by an earlier process whose truth is on the secondary; what belongs to no key
// counts as one. Without
// TwoWay it must be 0 before anything is written or copied, for all would be copied from the primary: whoever finds it
// otherwise goes on in two-way until all has settled. Sides that say nothing any more are cleared when the ledger is made.
func (l *Ledger) Elsewhere() int {
	f, n := l.intents.m.Found(), 0
	_, owed := l.intents.m.Sweep()
	if Side(l.intents.m.Side()) == Secondary {
		n++ // what belongs to no key; see settleLibraries
	}
	for i, sides := range l.intents.m.Sides() {
		if !f.All && !owed {
			if f.Stripes == nil {
				return n
			}
			sides &= f.Stripes[i]
		}
		n += bits.OnesCount64(sides)
	}
	return n
}

// LibrariesSide returns which instance has the truth of what belongs to no key (see EverywhereOwed).
func (l *Ledger) LibrariesSide() Side {
	if l.two == nil {
		return Primary
	}
	return l.two.libraries
}

// canHere reports whether w may be sent at its instance as far as the other one is concerned.
func (l *Ledger) canHere(w *Write) bool {
	t, at := l.two, l.lanes[w.Lane].at
	if w.Kind == CopyRead {
		// It takes nothing, and is lost if the key's side is another by now.
		return t.gate[at] == 0
	}
	if t.gate[at] != 0 && t.without&sideGate == 0 {
		return false
	}
	if w.Everywhere && t.libraries != at && !l.librariesSettled(at) && t.without&sideLibraries == 0 {
		return false
	}
	if w.barrier() {
		return l.settledElsewhere(at) || t.without&sideBarrier != 0
	}
	for i := range w.Keys {
		x := w.Keys[i].Hash.Stripe()
		if l.sideOf(x) != at && !l.settled(x, at) && !l.mayDecide(w, x, at) {
			return false
		}
	}
	return true
}

// settled reports whether a stripe may pass to an instance: both hold the same of it.
func (l *Ledger) settled(x uint32, to Side) bool {
	t := l.two
	switch {
	case l.stripes[x].inflight > 0 || t.abandoned[x].writes > 0:
		return false
	case !l.hasArrived(t.ends[x], to) && t.without&sideAcked == 0:
		return false
	case l.intents.standing[x] > 0 && t.without&sideDirty == 0:
		return false
	}
	return !l.unknownStripe(x) || t.without&sideUnknown != 0
}

// settledElsewhere reports whether a barrier may take, for an instance, all stripes that are the other's.
func (l *Ledger) settledElsewhere(at Side) bool {
	return l.to[at].outstanding.n == 0 && !l.to[at].lost && l.dirty.truths[at.Other()] == 0 && len(l.two.abandoned) == 0 &&
		!l.unknownAt(at.Other())
}

// passesBarriers: a read of a dirty key does not respect barriers that wait, for one of the other side waits for it.
func (l *Ledger) passesBarriers(w *Write) bool {
	return l.two != nil && w.Kind == CopyRead && l.IsDirty(w.Keys[0].Hash)
}

// unknownAt reports whether there may be keys whose truth is on a side and nowhere else, and nobody knows which.
func (l *Ledger) unknownAt(at Side) bool {
	if !l.sweeping {
		return false
	}
	for i, sides := range l.two.sides {
		if at == Primary {
			sides = ^sides
		}
		if l.intents.foundOnly {
			sides &= l.intents.found[i]
		}
		if i == len(l.two.sides)-1 && len(l.stripes)%64 != 0 {
			sides &= 1<<(len(l.stripes)%64) - 1
		}
		if sides != 0 {
			return true
		}
	}
	return false
}

func (l *Ledger) librariesSettled(at Side) bool {
	return l.everywhere.inflight == 0 && !l.everywhere.owed && l.hasArrived(l.two.librariesEnd, at)
}

// settleLibraries lets the primary have the truth of what belongs to no key when both instances have the same, so that nothing is
// elsewhere by the time at which two-way is left.
func (l *Ledger) settleLibraries() {
	if t := l.two; t != nil && t.libraries == Secondary && l.librariesSettled(Primary) {
		t.libraries = Primary
		l.intents.m.SetSide(uint8(Primary))
	}
}

// EverywhereSettled reports whether an instance has all that belongs to no key which the other one has.
func (l *Ledger) EverywhereSettled(at Side) bool {
	return l.two.libraries == at || l.librariesSettled(at)
}

// Barred reports whether a write that waits does so for something to be repaired: a copy, a sweep, a lane that is down. All
// else comes by itself.
func (l *Ledger) Barred(w *Write) bool { return l.two != nil && l.barred(w) }

// stands reports whether a write that waits stands in the way of those behind it.
func (l *Ledger) stands(w *Write) bool {
	return l.two == nil || !l.barred(w) || l.two.without&sideStands != 0
}

// barred reports whether w waits for something to be repaired. All else that it may wait for comes by itself.
func (l *Ledger) barred(w *Write) bool {
	at := l.lanes[w.Lane].at
	switch {
	case l.lanes[w.Lane].down, l.two.gate[at] != 0 && l.to[at].lost:
		return true
	case l.barriers > 0 && l.stuck(l.barrierLane, at), w.Everywhere && l.everywhere.inflight > 0 && l.stuck(l.everywhere.owner, at):
		return true
	case w.Everywhere && l.two.libraries != at && l.everywhere.owed:
		return true
	case w.barrier():
		return l.to[at].lost || l.unknownAt(at.Other()) || l.dirty.truths[at.Other()] > 0 && len(l.dirty.failing) > 0 ||
			l.barredLanes(at.Other())
	}
	for i := range w.Keys {
		x := w.Keys[i].Hash.Stripe()
		if s := &l.stripes[x]; s.inflight > 0 && l.stuck(s.lastOwner(), at) {
			return true
		}
		if l.sideOf(x) == at {
			continue
		}
		if l.intents.standing[x] > 0 || l.unknownStripe(x) || l.two.abandoned[x].writes > 0 || l.to[at].lost && !l.hasArrived(l.two.ends[x], at) {
			return true
		}
	}
	return false
}

// barredLanes reports whether writes in flight on a side have lost their lane.
func (l *Ledger) barredLanes(at Side) bool {
	for i := range l.lanes {
		if s := &l.lanes[i]; s.at == at && (s.down || l.two.silent[at]) && s.inflight > 0 {
			return true
		}
	}
	return false
}

// stuck reports whether nobody can tell when a lane's replies come, for one who waits at an instance: it is down, or it is the other
// instance's, which is silent.
func (l *Ledger) stuck(id LaneID, at Side) bool {
	s := &l.lanes[id]
	return s.down || s.at != at && l.two.silent[s.at]
}

// SetSilent says whether an instance leaves its lanes without replies for so long that nobody knows when they will come, though their
// connections stand. Those who wait for it at the other instance are in nobody's way meanwhile.
func (l *Ledger) SetSilent(at Side, silent bool) {
	if l.two != nil && l.two.silent[at] != silent {
		l.two.silent[at] = silent
		l.stir()
		l.settleStir()
	}
}

// behind reports whether one stands before w in a queue.
func (l *Ledger) behind(q []*Write, w *Write) bool {
	for _, t := range q {
		if t == w {
			return false
		}
		if l.stands(t) {
			return true
		}
	}
	return false
}

// next is the first in a stripe's queue that may go now, or nil.
func (l *Ledger) next(x uint32) *Write {
	for _, t := range l.queues[x] {
		if l.can(t) {
			return t
		}
		if l.stands(t) {
			return nil
		}
	}
	return nil
}

// take passes to w's instance what w needs of the other. It comes before the first mark for w.
func (l *Ledger) take(w *Write) {
	t, at := l.two, l.lanes[w.Lane].at
	if w.Everywhere && t.libraries != at {
		t.libraries = at
		l.intents.m.SetSide(uint8(at))
	}
	if w.barrier() {
		if t.without&sideBarrier == 0 {
			l.takeAll(at)
		}
		return
	}
	for i := range w.Keys {
		x := w.Keys[i].Hash.Stripe()
		if l.sideOf(x) == at {
			continue
		}
		decided := !l.settled(x, at)
		if decided {
			l.decide(x)
		}
		if t.sides.set(x, at == Secondary); t.without&sideVoids == 0 {
			l.stripes[x].version = l.seq
		}
		if d := l.dirty.of(w.Keys[i].Hash); decided && d != nil {
			l.turnDirty(d) // others of the stripe when they are come across
		}
	}
}

// takeAll makes every stripe one side's.
func (l *Ledger) takeAll(at Side) {
	for i := range l.two.sides {
		l.two.sides[i] = -uint64(at) // all ones for the secondary
	}
}

// displaced reports whether a stripe of w has passed to the other side while w was in flight, because its instance had
// lost its data or was down. What the two instances hold of it is not what w's order says.
func (l *Ledger) displaced(w *Write) bool {
	at := l.lanes[w.Lane].at
	if w.barrier() {
		return w.at <= l.two.lostAt
	}
	for i := range w.Keys {
		if l.sideOf(w.Keys[i].Hash.Stripe()) != at {
			return true
		}
	}
	return false
}

// appended notes how far what is on its way reaches.
func (l *Ledger) appended(to *stream, p *pending) {
	t := l.two
	for i, keys := 0, p.keys(); i < len(keys); i++ {
		t.ends[keys[i].Hash.Stripe()] = to.end(l.pushed)
	}
	if p.barrier() {
		t.gate[to.feeds] = l.pushed
	}
}

// letIn notes which stripes may pass to the other side because p is acknowledged; to be woken by wakeFreed.
func (l *Ledger) letIn(p *pending) {
	t := l.two
	if len(l.tickets) == 0 {
		return
	}
	for i, keys := 0, p.keys(); i < len(keys); i++ {
		t.freed = append(t.freed, keys[i].Hash.Stripe())
	}
	if p.barrier() || p.keyless || l.waitingBarriers > 0 {
		t.stirred = true
	}
}

// wakeFreed lets those go that may now that something has arrived on a stream.
func (l *Ledger) wakeFreed(on *stream) {
	l.openGate(on)
	l.settleStir()
	for _, x := range l.two.freed {
		l.wake(x)
	}
	l.two.freed = l.two.freed[:0]
}

// openGate ends what holds everything back at an instance, when it may.
func (l *Ledger) openGate(on *stream) {
	if gate := &l.two.gate[on.feeds]; *gate != 0 && !on.lost && on.reached(*gate) {
		*gate, l.two.returns[on.feeds] = 0, false
		l.stir()
	}
}

// popDirty takes the next key that waits for the copier of a side's keys.
func (l *Ledger) popDirty(from Side) *Dirty {
	to := &l.to[from.Other()]
	if l.two == nil {
		return to.todo.pop()
	}
	for !to.lost && to.todo.len() > 0 {
		d := to.todo.pop()
		if l.queued(d) && d.truth != l.sideOf(d.Key.Hash.Stripe()) {
			l.turnDirty(d) // it was decided with another key, and stands in the other queue now
		} else if d.truth == from {
			return d
		}
	}
	return nil
}

// stir says that tickets must be looked at anew, at the end of what is being done.
func (l *Ledger) stir() {
	if l.two != nil && len(l.tickets) > 0 {
		l.two.stirred = true
	}
}

// stirred reports whether they must, and that they are now.
func (l *Ledger) stirred() bool {
	if l.two == nil || !l.two.stirred {
		return false
	}
	l.two.stirred = false
	return true
}

func (l *Ledger) settleStir() {
	if l.stirred() {
		l.pump()
	}
}

// Restarted says that an instance has come back, and may lack the last of what it had acknowledged, as servers do that write to
// disk now and then. Of what the other one has, or will have when all has arrived that is on its way there, that one has the truth
// from now on, for it lacks nothing of that. What was to be copied from the instance, or is unknown, stays its own: nobody else
// has it. All keys are compared. The caller has told before which of its lanes are down.
//
// What was sent to the old process and is not answered does not count, so that it cannot hold back what was: it is undone, if it
// was done. But all of it or nothing, lest half of a transaction be: where anything stays, so does what that has written.
func (l *Ledger) Restarted(at Side, why string) {
	if t := l.two; t != nil && (l.barriers == 0 || l.lanes[l.barrierLane].down) {
		other, coming := at.Other(), false
		unanswered := l.undone(at)
		for x := range uint32(len(l.stripes)) {
			if l.sideOf(x) == at && l.outlives(x, other, unanswered) {
				t.sides.set(x, other == Secondary)
				coming = coming || !l.hasArrived(t.ends[x], other)
			}
		}
		if coming {
			t.gate[other], t.returns[other] = l.Mark(), true
		}
		t.restartedAt = l.seq
		if t.libraries == at && l.librariesSettled(other) {
			t.libraries = other
			l.intents.m.SetSide(uint8(t.libraries))
		}
	}
	l.OweEverywhere(why)
	l.OweSweep(why, 0) // what was read before that is void
	l.settleStir()
	l.tellAll()
}

// giveBack gives the truth of keys back to an instance that was restarted, when it turns out that the other one does not get
// what was on its way there. Behind the gate nobody has written or read them.
func (l *Ledger) giveBack(on *stream, p *pending) {
	t := l.two
	if t == nil || !t.returns[on.feeds] || t.without&sideGiveBack != 0 {
		return
	}
	for i, keys := 0, p.keys(); i < len(keys); i++ {
		t.sides.set(keys[i].Hash.Stripe(), on.feeds.Other() == Secondary)
	}
}

// undone reports whether the other instance has all that a restarted one has acknowledged, or gets it, and no reply of that is
// still to come: then nothing is left of what it has not answered.
func (l *Ledger) undone(at Side) bool {
	if l.sweeping || l.dirty.truths[at] > 0 || len(l.two.abandoned) > 0 || l.to[at.Other()].lost || l.two.without&sideUndone != 0 {
		return false
	}
	for i := range l.lanes {
		if s := &l.lanes[i]; s.at == at && s.inflight > 0 && !s.down {
			return false
		}
	}
	return true
}

// outlives reports whether an instance has all of a stripe that the other one has acknowledged, or gets it.
func (l *Ledger) outlives(x uint32, at Side, unanswered bool) bool {
	t := l.two
	switch {
	case l.stripes[x].inflight > 0 && !unanswered:
		return false
	case t.abandoned[x].writes > 0, l.intents.standing[x] > 0, l.unknownStripe(x):
		return false
	}
	return !l.to[at].lost || l.hasArrived(t.ends[x], at)
}

// LostData says that an instance has come back without what it had: every key may differ, and the other one has the
// truth. What was on its way to that is let in first.
func (l *Ledger) LostData(at Side, why string) {
	if t := l.two; t != nil {
		for x, a := range t.abandoned {
			l.stripes[x].inflight += a.writes
			delete(t.abandoned, x)
		}
		l.takeAll(at.Other())
		t.gate[at.Other()], t.returns[at.Other()] = l.Mark(), false
		l.openGate(&l.to[at.Other()])
		t.lostAt = l.seq
		t.libraries = at.Other()
		l.intents.m.SetSide(uint8(at.Other()))
	}
	l.OweEverywhere(why)
	l.OweSweep(why, 0)
	l.settleStir()
	l.tellAll()
}
