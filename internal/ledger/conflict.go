package ledger

// Where clients write at both instances and one of them is down, what it has and the other one has not is on no other
// machine: keys that were dirty, and those of writes that were in flight. They wait for it. Whoever would rather go on
// says so (SetConflict): then a write at the instance that is up decides for that one, and what the other one had of the
// stripe is replaced as soon as it is back. Keys that nobody writes wait all the same, and are copied from it.
//
// A decision is one for a whole stripe, for a stripe has one side: other keys of it that were dirty are decided with it.
// Each key is reported, those of writes in flight when their outcome is asked for in vain, and those that a crash has left
// unknown not at all: there only stripes are counted.

// Conflict says what becomes of a key whose truth is on an instance that is down, when a client of the other writes it.
type Conflict uint8

const (
	// Wait: the write waits until the instance is back.
	Wait Conflict = iota
	// Newest: the write is newer, so it decides; but only if no other key is decided with it, and the older write is
	// known. What was in flight, and what a crash has left in doubt, waits.
	Newest
	// Overrule: what the instance has that is up counts.
	Overrule
)

// SetConflict says what becomes of conflicts with an instance that is down; Wait when it is up again. The caller has
// told before which of its lanes are down, for a conflict with a write is none while its reply may come.
func (l *Ledger) SetConflict(down Side, c Conflict) {
	l.two.conflict[down] = c
	l.pump()
}

// Decided returns how many times a stripe was decided.
func (l *Ledger) Decided() uint64 {
	if l.two == nil {
		return 0
	}
	return l.two.decided
}

// mayDecide reports whether w, at the instance that is up, may decide for it what of a stripe is in doubt.
func (l *Ledger) mayDecide(w *Write, x uint32, up Side) bool {
	t, s := l.two, &l.stripes[x]
	c := t.conflict[up.Other()]
	switch {
	case c == Wait:
		return false
	case (l.to[up].lost || !l.hasArrived(t.ends[x], up)) && t.without&sideDecidedAcked == 0:
		return false // what is on its way here is older, and must not land on what is decided
	case t.abandoned[x].writes > 0 || s.inflight > 0 && !l.lanes[s.lastOwner()].down:
		return false
	case c == Overrule || t.without&sideNewest != 0:
		return true
	case s.inflight > 0 || l.unknownStripe(x):
		return false
	}
	written := map[Hash]bool{}
	for i := range w.Keys {
		if k := &w.Keys[i]; k.Write && k.Hash.Stripe() == x && l.IsDirty(k.Hash) {
			written[k.Hash] = true
		}
	}
	return uint32(len(written)) == l.intents.standing[x]
}

// decides reports whether w, which may go as far as the other instance is concerned, decides for its own what is in
// flight there.
func (l *Ledger) decides(w *Write, x uint32) bool {
	return l.two != nil && w.Kind != CopyRead && l.sideOf(x) != l.lanes[w.Lane].at
}

// decide passes a stripe to an instance although the other may have what this one has not. What is in flight there may
// still be executed, and holds the stripe no longer: it makes its keys dirty when its lane is known dead.
func (l *Ledger) decide(x uint32) {
	l.two.decided++
	l.tellAll() // the other instance's keys may be others than whoever waits has seen
	if s := &l.stripes[x]; s.inflight > 0 {
		l.two.abandoned[x] = abandoned{s.inflight, l.seq}
		s.inflight = 0
	}
}

// turnDirty notes that the truth of a dirty key is on the other side now.
func (l *Ledger) turnDirty(d *Dirty) {
	l.dirty.truths[d.truth]--
	d.truth = d.truth.Other()
	l.dirty.truths[d.truth]++
	d.since = l.seq
	if l.opt.Decided != nil {
		l.opt.Decided(&d.Key)
	}
	if d.state == dirtyQueued {
		l.enqueueDirty(d)
	}
}

// reportDisplaced reports the keys of a write whose instance was decided against while it was in flight.
func (l *Ledger) reportDisplaced(w *Write) {
	if l.two == nil || l.opt.Decided == nil {
		return
	}
	for i := range w.Keys {
		k := &w.Keys[i]
		if !k.Write || l.sideOf(k.Hash.Stripe()) == l.lanes[w.Lane].at {
			continue
		}
		if a := l.two.abandoned[k.Hash.Stripe()]; w.at > l.two.restartedAt || w.at < a.before {
			l.opt.Decided(k)
		}
	}
}

// abandoned are writes of an instance that is down which hold their stripe no longer: all that were sent before.
type abandoned struct {
	writes int32
	before uint64 // seq
}

// wasAbandoned reports whether w holds a stripe no longer, and that it is over now.
func (l *Ledger) wasAbandoned(x uint32, w *Write) bool {
	a, ok := l.two.abandoned[x]
	if !ok || w.at >= a.before {
		return false
	}
	if a.writes--; a.writes > 0 {
		l.two.abandoned[x] = a
	} else {
		delete(l.two.abandoned, x)
	}
	return true
}
