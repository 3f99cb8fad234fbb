package ledger

import (
	"bytes"
	"time"
)

// Dirty is a key whose copy is owed. The copier takes it, tries, and gives it back.
type Dirty struct {
	Key Key // Name is the Dirty's own
	// Races counts copies of this key that lost against a newer write since it became dirty.
	Races int
	// Failures counts copies that could not be read, or that the secondary refused, in a row.
	Failures int
	// Why the last copy failed.
	Why string
	// Long is the copier's note of a value that is more than the secondary takes in one piece; nil for nearly all.
	Long *Long

	since     uint64 // seq when it last became dirty
	truth     Side   // where it is copied from
	served    uint64 // ... because a blocked command was served from it
	unkept    uint64 // what must be on disk of the list of kept keys before it is copied
	state     dirtyState
	notBefore time.Time
}

// Long says how many bytes the longest piece of a key's copy had when it was last read.
type Long struct {
	Bytes int64
	Read  time.Time
}

type dirtyState uint8

const (
	dirtyIdle    dirtyState = iota // in later
	dirtyQueued                    // in todo, or passed over
	dirtyCopying                   // with the copier
	dirtyProbed                    // on the Sink, after a failure: exact when it is acknowledged
)

// MakeDirty records that the secondary's state of a key may differ from now on. It raises the stripe's
// version, so that no copy read before can clear it. It returns nil when there are too many dirty keys, and a
// sweep is owed instead.
func (l *Ledger) MakeDirty(k *Key) *Dirty {
	l.seq++
	l.dirtied[k.Hash.Stripe()%dirtyCounts]++
	if l.without&ruleDirtyRaise == 0 {
		l.stripes[k.Hash.Stripe()].version = l.seq
	}
	l.exact.remove(k.Hash)
	l.reportKept(k.Hash)
	d := l.dirty.of(k.Hash)
	if d == nil {
		if l.dirty.full(k, l.opt.MaxDirty) {
			l.stats.Overflows++
			l.OweSweep("more dirty keys than max_dirty_keys", 0)
			return nil
		}
		d = &Dirty{Key: Key{Hash: k.Hash, Name: bytes.Clone(k.Name), DB: k.DB, Write: true}}
		d.truth = l.sideOf(k.Hash.Stripe())
		l.stand(k.Hash.Stripe(), ruleDirtyStands)
		l.dirty.add(d)
		l.enqueueDirty(d)
		l.stir()
	} else if l.two != nil && d.truth != l.sideOf(k.Hash.Stripe()) {
		l.turnDirty(d)
	}
	d.since = l.seq
	l.onChange()
	return d
}

// NextDirty hands the oldest queued dirty key whose truth is on the side from to the copier, which must end it with a Done or
// Retry. It returns nil when there is none, with the time to come back for those that back off (zero: none).
func (l *Ledger) NextDirty(from Side, now time.Time) (d *Dirty, wait time.Duration) {
	for len(l.later) > 0 {
		d := l.later[0]
		if l.idle(d) {
			if wait = d.notBefore.Sub(now); wait > 0 {
				break
			}
			d.state = dirtyQueued
			l.to[d.truth.Other()].todo.push(d)
		}
		l.later.pop()
	}
	for d = l.popDirty(from); d != nil; d = l.popDirty(from) {
		if !l.queued(d) {
			continue // cleared by a blind effect or forgotten meanwhile
		}
		if l.stillListed(d) {
			l.kept.passed = append(l.kept.passed, d)
			continue
		}
		d.state = dirtyCopying
		l.copying++
		return d, 0
	}
	return nil, max(wait, 0)
}

// queued and idle tell whether d is still where its state says: what has been cleared since stays in todo
// and later until it is come across.
func (l *Ledger) queued(d *Dirty) bool { return d.state == dirtyQueued && l.dirty.of(d.Key.Hash) == d }
func (l *Ledger) idle(d *Dirty) bool   { return d.state == dirtyIdle && l.dirty.of(d.Key.Hash) == d }

// Retry gives back a dirty key whose copy did not come about; it is tried again after the pause. The caller
// raises Races or Failures first.
func (l *Ledger) Retry(d *Dirty, now time.Time, pause time.Duration) {
	l.copying--
	l.dirty.failed(d)
	switch {
	case l.dirty.of(d.Key.Hash) != d:
	case pause > 0:
		l.putOff(d, now.Add(pause))
	default:
		l.enqueueDirty(d)
	}
	l.onChange()
	if l.waitingBarriers > 0 {
		l.stir()
		l.settleStir()
	}
}

// enqueueDirty puts d behind all that the copier is to take.
func (l *Ledger) enqueueDirty(d *Dirty) {
	todo := &l.to[d.truth.Other()].todo
	if todo.len() >= maxStale+2*l.dirty.len() {
		todo.keep(l.queued) // nobody takes any, and they are cleared as fast as they come
	}
	d.state = dirtyQueued
	todo.push(d)
}

// putOff leaves d alone until then. If it was queued it is skipped there.
func (l *Ledger) putOff(d *Dirty, until time.Time) {
	if len(l.later) >= maxStale+2*l.dirty.len() {
		l.later.keep(l.idle)
	}
	d.state, d.notBefore = dirtyIdle, until
	l.later.push(d)
}

// maxStale is how many dirty keys that have been cleared may be left in the queues, besides twice as many as
// there are.
const maxStale = 1024

// Failing calls f for dirty keys whose copies have failed at least n times in a row, until f says no.
func (l *Ledger) Failing(n int, f func(d *Dirty) bool) {
	for _, d := range l.dirty.failing {
		if d.Failures >= n && !f(d) {
			return
		}
	}
}

// EachDirty calls f for every dirty key, in no order.
func (l *Ledger) EachDirty(f func(d *Dirty)) {
	for _, d := range l.dirty.keys {
		f(d)
	}
}

// IsDirty reports whether a copy of the key is owed.
func (l *Ledger) IsDirty(h Hash) bool {
	return l.dirty.of(h) != nil
}

// Forget drops what is known of all keys, when nothing is kept equal any more.
func (l *Ledger) Forget() {
	l.endSweep()
	l.forgetDirty()
	l.everywhere.owed, l.everywhere.why = false, ""
	l.onChange()
	l.stir()
	l.settleStir()
}

// forgetDirty drops all dirty keys.
func (l *Ledger) forgetDirty() {
	l.dirty = newDirtySet() // a million are not cleared under the lock
	l.to[Primary].todo, l.to[Secondary].todo = dirtyQueue{}, dirtyQueue{}
	l.later, l.kept.passed = nil, nil
	l.standAnew()
}
