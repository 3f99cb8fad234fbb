package ledger

// Side is one of the two instances, by its role: the primary answers clients, the secondary is kept equal. In
// two-way both answer clients, and each is kept equal to the other (twoway.go); which of them is called the primary
// is then of no weight here.
type Side uint8

const (
	Primary Side = iota
	Secondary
)

// Other is the side that effects of this one's writes go to.
func (s Side) Other() Side { return 1 - s }

// stream is all that is on its way to one of the instances: effects of what the other has executed, and copies of its
// keys.
type stream struct {
	feeds       Side
	sink        Sink
	outstanding outstandingRing
	suspects    suspects
	todo        dirtyQueue // keys to be copied there
	unacked     int        // effects in outstanding, copies not counted
	lost        bool       // the Sink's connection is gone, and what is on it may still be executed
}

// reached reports whether all is settled that was appended before the mark.
func (s *stream) reached(mark uint64) bool {
	return s.outstanding.n == 0 || s.outstanding.front().number >= mark
}

// toOther is the stream on which w's effect goes: to the instance at which w is not.
func (l *Ledger) toOther(w *Write) *stream { return &l.to[l.lanes[w.Lane].at.Other()] }

// SetSink sets the lane that feeds an instance. Nothing may be outstanding there, and no old connection of it be alive.
func (l *Ledger) SetSink(to Side, s Sink) { l.to[to].sink, l.to[to].lost = s, false }

// Wake says that a Sink is connected again: it takes copies, and its old connection is known dead.
func (l *Ledger) Wake(to Side) {
	l.to[to].lost = false
	l.onChange()
	if l.two != nil {
		l.openGate(&l.to[to])
		l.stir()
		l.settleStir()
	}
}

// Mark is the point that Quiet waits for: the end of what is appended now.
func (l *Ledger) Mark() uint64 { return l.pushed }

// Quiet reports whether all that was appended to the Sinks before the mark is acknowledged, or is lost with
// an old connection that is known dead: the second half of a sweep may start, for it would not see what
// lands later. What is appended after the mark is exact or dirty by its own.
func (l *Ledger) Quiet(mark uint64) bool {
	for i := range l.to {
		if l.to[i].lost && l.without&ruleSweepDead == 0 {
			return false
		}
	}
	return l.acknowledged(mark) || l.without&ruleSweepAcks != 0
}

// acknowledged is Quiet without the care for old connections.
func (l *Ledger) acknowledged(mark uint64) bool {
	return l.to[Primary].reached(mark) && l.to[Secondary].reached(mark)
}

// Copying returns how many copies, and how many bytes of their payloads, wait for an acknowledgement.
func (l *Ledger) Copying() (n, bytes int) {
	for i := range l.to {
		n += l.to[i].outstanding.copies
		bytes += l.to[i].outstanding.bytes
	}
	return n, bytes
}

// Oldest returns when the oldest unacknowledged thing was appended, in Unix nanoseconds, or 0.
func (l *Ledger) Oldest() (at int64) {
	for i := range l.to {
		if o := &l.to[i].outstanding; o.n > 0 && (at == 0 || o.front().at < at) {
			at = o.front().at
		}
	}
	return at
}

// onTheWay is how much is on the Sinks.
func (l *Ledger) onTheWay() int { return l.to[Primary].outstanding.n + l.to[Secondary].outstanding.n }

// Ready reports whether a Sink would take a copy now. A Sink that can tell says so by a method Ready() bool,
// called with the lock held; of any other, only AppendCopy's answer is known. It is asked for one copy at a time: a Sink in
// trouble may say yes to a single one.
func (l *Ledger) Ready(to Side) bool {
	sink := l.to[to].sink
	if sink == nil {
		return false
	}
	s, ok := sink.(interface{ Ready() bool })
	return !ok || s.Ready()
}
