package ledger

import (
	"slices"

	"tandem/internal/crashpoint"
)

// AddLane returns a number for a lane of an instance.
func (l *Ledger) AddLane(at Side) LaneID {
	for i := range l.lanes {
		if !l.lanes[i].used && !l.awaited(LaneID(i)) {
			l.lanes[i] = laneState{at: at, used: true}
			return LaneID(i)
		}
	}
	l.lanes = append(l.lanes, laneState{at: at, used: true})
	return LaneID(len(l.lanes) - 1)
}

func (l *Ledger) awaited(id LaneID) bool {
	return slices.ContainsFunc(l.tickets, func(w *Write) bool { return w.Lane == id })
}

// Idle reports whether nothing is in flight on the lane, nor waits to be.
func (l *Ledger) Idle(id LaneID) bool { return l.lanes[id].inflight == 0 && !l.awaited(id) }

// RemoveLane gives the number back. Nothing may be in flight on the lane; a write that still waits for it
// waits on, until it is cancelled or rerouted.
func (l *Ledger) RemoveLane(id LaneID) {
	l.SetFeed(id, false)
	l.lanes[id] = laneState{down: true}
}

// Acquire asks whether w may be sent now. True: it owns the stripes of all its keys, and the caller puts
// it on its lane before releasing the lock. False: it has taken its place in the queues of all of them in
// this one step, and its Waiter will be told; until then nothing of the same session may be sent.
func (l *Ledger) Acquire(w *Write) bool {
	l.unkeep(w)
	if l.can(w) {
		l.grant(w)
		return true
	}
	l.stats.Waits++
	l.enqueue(w)
	return false
}

// can reports whether w may go: its lane is up, no one stands before it, and what is in flight on its
// stripes is on its own lane, whose order includes it.
func (l *Ledger) can(w *Write) bool {
	if l.lanes[w.Lane].down || l.held && (w.Kind != CopyRead || l.without&ruleReadPasses != 0) {
		return false
	}
	if w.unkept > 0 && !l.onDisk(w) {
		return false
	}
	if l.barriers > 0 && l.barrierLane != w.Lane && l.without&ruleBarrier == 0 {
		return false
	}
	if w.Everywhere && !l.canEverywhere(w) || l.two != nil && !l.canHere(w) {
		return false
	}
	if w.barrier() {
		if len(l.tickets) > 0 && l.tickets[0] != w && l.behind(l.tickets, w) && l.without&ruleBarrier == 0 {
			return false
		}
		return l.inflight == l.lanes[w.Lane].inflight || l.without&ruleBarrier != 0
	}
	if l.waitingBarriers > 0 && !l.held && !l.passesBarriers(w) && l.behindBarrier(w) {
		return false
	}
	for i := range w.Keys {
		x := w.Keys[i].Hash.Stripe()
		if len(l.queues) > 0 && (w.Kind != CopyRead || l.without&ruleReadPasses != 0) {
			if q := l.queues[x]; len(q) > 0 && q[0] != w && l.behind(q, w) {
				return false
			}
		}
		s := &l.stripes[x]
		if s.inflight > 0 && s.lastOwner() != w.Lane && l.without&ruleOwnership == 0 && !l.decides(w, x) {
			return false
		}
	}
	return true
}

// behindBarrier reports whether a barrier stands before w: one that waits stands in every queue. Copies' reads
// respect it as well, for with many big keys to read there may never be a moment without one.
func (l *Ledger) behindBarrier(w *Write) bool {
	for _, t := range l.tickets {
		if t == w {
			return false
		}
		if t.barrier() && l.stands(t) {
			return true
		}
	}
	return false
}

// grant makes w the owner of its stripes and raises the versions of those it writes, before it is sent: a
// copy that was read before must not land after it.
func (l *Ledger) grant(w *Write) {
	crashpoint.Reach(crashpoint.BeforeMark)
	if w.Kind != CopyRead {
		l.seq++
	} else {
		l.reads++
	}
	w.at = l.seq
	if l.two != nil && w.Kind != CopyRead {
		l.take(w)
	}
	for i := range w.Keys {
		x := w.Keys[i].Hash.Stripe()
		s := &l.stripes[x]
		if l.feeds > 0 && s.lastOwner() != w.Lane {
			l.handOver(x, s)
		}
		if s.owner != int32(w.Lane)+1 {
			l.passes++
		}
		s.owner = int32(w.Lane) + 1
		s.inflight++
		if w.Keys[i].Write && w.Kind != CopyRead {
			s.version = l.seq
			l.intend(x)
		}
	}
	if w.Kind != CopyRead {
		l.begun(w)
	}
	if w.barrier() {
		l.barrier = l.seq
		l.barriers++
		if w.Kind == Flush {
			l.flushing++
		}
		l.barrierLane = w.Lane
	}
	if w.Everywhere {
		l.everywhere.version++
		l.everywhere.owner = w.Lane
		l.everywhere.inflight++
	}
	w.beside = l.hiding > 0
	if w.Hidden {
		l.hiding++
		l.hid = l.seq
		l.doubt()
	}
	if w.Hidden || w.Script || w.Kind == Anything {
		l.tell(w)
	}
	crashpoint.Reach(crashpoint.Marked)
	w.epoch = l.epoch
	l.inEpoch[w.epoch]++
	l.inflight++
	l.lanes[w.Lane].inflight++
}

// release ends w's ownership and lets those go that waited for it.
func (l *Ledger) release(w *Write) {
	for i := range w.Keys {
		x := w.Keys[i].Hash.Stripe()
		if l.two == nil || !l.wasAbandoned(x, w) {
			l.stripes[x].inflight--
		}
	}
	l.inflight--
	l.lanes[w.Lane].inflight--
	if l.inEpoch[w.epoch]--; l.sweptWait && l.inEpoch[1-l.epoch] == 0 {
		l.sweptWait = false
		l.onChange()
	}
	if w.Kind == CopyRead {
		l.reads--
	} else {
		l.ended(w)
	}
	if w.barrier() {
		l.barriers--
		if w.Kind == Flush {
			l.flushing--
		}
	}
	if w.Hidden {
		l.hiding--
	}
	if l.feeds > 0 && (w.Script || !l.lanes[w.Lane].feed) {
		l.unfeed(w.Keys)
	}
	if w.Hidden || w.Script || w.Kind == Anything {
		l.tell(w)
	}
	if w.Everywhere {
		l.everywhere.inflight--
		l.onChange()
	}
	if len(l.tickets) == 0 {
		return
	}
	if l.waitingBarriers > 0 || w.barrier() || w.Everywhere || l.stirred() {
		l.pump()
		return
	}
	for i := range w.Keys {
		l.wake(w.Keys[i].Hash.Stripe())
	}
}

func (l *Ledger) enqueue(w *Write) {
	w.queued = true
	if w.barrier() {
		l.waitingBarriers++
	}
	place := len(l.tickets)
	if w.Kind == CopyRead && l.without&ruleReadPasses == 0 {
		// Ahead of all that is not ahead of a barrier: writes may wait for what only this copy can bring.
		for place = 0; place < len(l.tickets) && l.waitingBarriers > 0 && !l.passesBarriers(w); place++ {
			if l.tickets[place].barrier() && !slices.ContainsFunc(l.tickets[place+1:], (*Write).barrier) {
				place++
				break
			}
		}
	}
	for i := range w.Keys {
		x := w.Keys[i].Hash.Stripe()
		q := l.queues[x]
		if slices.Contains(q, w) {
			continue // two of its keys share the stripe
		}
		at := len(q)
		for at > 0 && place < len(l.tickets) && slices.Contains(l.tickets[place:], q[at-1]) {
			at--
		}
		l.queues[x] = slices.Insert(q, at, w)
	}
	l.tickets = slices.Insert(l.tickets, place, w)
}

// dequeue takes w out of all queues.
func (l *Ledger) dequeue(w *Write) {
	w.queued = false
	if w.barrier() {
		l.waitingBarriers--
	}
	l.tickets = without(l.tickets, w)
	for i := range w.Keys {
		x := w.Keys[i].Hash.Stripe()
		if q := without(l.queues[x], w); len(q) > 0 {
			l.queues[x] = q
		} else {
			delete(l.queues, x)
		}
	}
}

func without(q []*Write, w *Write) []*Write {
	if i := slices.Index(q, w); i >= 0 {
		return slices.Delete(q, i, i+1)
	}
	return q
}

// Cancel gives up w's place, for a session that will not wait any longer.
func (l *Ledger) Cancel(w *Write) {
	if !w.queued {
		return
	}
	l.dequeue(w)
	l.pumpAround(w)
}

// wake lets the head of one stripe's queue go, and those that can follow it.
func (l *Ledger) wake(x uint32) {
	for w := l.next(x); w != nil; w = l.next(x) {
		l.send(w)
	}
}

func (l *Ledger) send(w *Write) {
	l.dequeue(w)
	l.grant(w)
	w.Waiter.Granted(w)
	l.pumpAround(w)
}

// pumpAround looks at whoever stands first now in the queues that w has left.
func (l *Ledger) pumpAround(w *Write) {
	if w.barrier() || w.Everywhere {
		l.pump()
		return
	}
	for i := range w.Keys {
		if first := l.next(w.Keys[i].Hash.Stripe()); first != nil {
			l.send(first)
		}
	}
	if l.waitingBarriers > 0 {
		l.pump()
	}
}

// pump lets everyone go who can: after a change that concerns all (a barrier, a hold, a lane that is back).
func (l *Ledger) pump() {
	// To grant one lets only those go that stand behind it, but whoever is granted may come back with more,
	// or give up: so passes are made until one finds nobody.
	for again := len(l.tickets) > 0; again; {
		again = false
		for i := 0; i < len(l.tickets); {
			w := l.tickets[i]
			if !l.can(w) {
				i++
				continue
			}
			again = true
			l.dequeue(w)
			l.grant(w)
			w.Waiter.Granted(w)
		}
	}
}

// Hold keeps back every write that is not yet sent, those that wait included; only copy reads pass.
func (l *Ledger) Hold() { l.held = true }

// Waiting returns the writes that wait, in the order in which they came.
func (l *Ledger) Waiting() []*Write { return slices.Clone(l.tickets) }

// Release ends a hold. After a change of roles, reroute is called first for every write that waits, to set
// its lane among the new primary's.
func (l *Ledger) Release(reroute func(w *Write)) {
	if reroute != nil {
		for _, w := range l.tickets {
			reroute(w)
		}
	}
	l.held = false
	l.pump()
}

// LaneDown says that a lane has lost its connection. What is in flight on it keeps its stripes: the old
// connection may still execute it (see LaneLost).
func (l *Ledger) LaneDown(id LaneID) {
	l.lanes[id].down = true
	l.stir()
	l.settleStir()
}

// LaneUp says that the lane can be used again.
func (l *Ledger) LaneUp(id LaneID) {
	l.lanes[id].down = false
	l.pump()
}
