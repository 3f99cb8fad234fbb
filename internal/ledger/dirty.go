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

	since     uint64 // seq when it last became dirty
	state     dirtyState
	notBefore time.Time
}

type dirtyState uint8

const (
	dirtyIdle    dirtyState = iota // in later
	dirtyQueued                    // in todo
	dirtyCopying                   // with the copier
)

// dirtyQueue is a FIFO.
type dirtyQueue struct {
	items []*Dirty
	head  int
}

func (q *dirtyQueue) push(d *Dirty) { q.items = append(q.items, d) }

func (q *dirtyQueue) pop() *Dirty {
	for q.head < len(q.items) {
		d := q.items[q.head]
		q.items[q.head] = nil
		q.head++
		if q.head == len(q.items) {
			q.items, q.head = q.items[:0], 0
		} else if q.head > 1024 && q.head*2 > len(q.items) {
			n := copy(q.items, q.items[q.head:])
			clear(q.items[n:])
			q.items, q.head = q.items[:n], 0
		}
		return d
	}
	return nil
}

// MakeDirty records that the secondary's state of a key may differ from now on. It raises the stripe's
// version, so that no copy read before can clear it.
func (l *Ledger) MakeDirty(k *Key) *Dirty {
	l.seq++
	if l.without&ruleDirtyRaise == 0 {
		l.stripes[k.Hash.Stripe()].version = l.seq
	}
	l.exact.remove(k.Hash)
	d := l.dirty[k.Hash]
	if d == nil {
		if len(l.dirty) >= l.opt.MaxDirty {
			l.stats.Overflows++
			l.OweSweep("more dirty keys than max_dirty_keys", 0)
			return nil
		}
		d = &Dirty{Key: Key{Hash: k.Hash, Name: bytes.Clone(k.Name), DB: k.DB, Write: true}, state: dirtyQueued}
		l.dirty[k.Hash] = d
		l.todo.push(d)
	}
	d.since = l.seq
	l.onChange()
	return d
}

// NextDirty hands the oldest queued dirty key to the copier, which must end it with a Copied, Retry or
// Clean. It returns nil when there is none, with the time to come back for those that back off (zero: none).
func (l *Ledger) NextDirty(now time.Time) (d *Dirty, wait time.Duration) {
	if len(l.later) > 0 {
		rest := l.later[:0]
		for _, d := range l.later {
			switch {
			case l.dirty[d.Key.Hash] != d: // cleared meanwhile
			case !now.Before(d.notBefore):
				d.state = dirtyQueued
				l.todo.push(d)
			default:
				if w := d.notBefore.Sub(now); wait == 0 || w < wait {
					wait = w
				}
				rest = append(rest, d)
			}
		}
		clear(l.later[len(rest):])
		l.later = rest
	}
	for d = l.todo.pop(); d != nil; d = l.todo.pop() {
		if l.dirty[d.Key.Hash] != d || d.state != dirtyQueued {
			continue // cleared by a blind effect or forgotten meanwhile
		}
		d.state = dirtyCopying
		l.copying++
		return d, 0
	}
	return nil, wait
}

// Retry gives back a dirty key whose copy did not come about; it is tried again after the pause. The caller
// raises Races or Failures first.
func (l *Ledger) Retry(d *Dirty, now time.Time, pause time.Duration) {
	l.copying--
	if l.dirty[d.Key.Hash] != d {
		l.onChange()
		return
	}
	if pause > 0 {
		d.state, d.notBefore = dirtyIdle, now.Add(pause)
		l.later = append(l.later, d)
	} else {
		d.state = dirtyQueued
		l.todo.push(d)
	}
	l.onChange()
}

// Failing calls f for dirty keys whose copies have failed at least n times in a row, until f says no.
func (l *Ledger) Failing(n int, f func(d *Dirty) bool) {
	for _, d := range l.dirty {
		if d.Failures >= n && !f(d) {
			return
		}
	}
}

// OweSweep forgets what is known of every key: all are unknown until a sweep has compared the whole
// keyspaces, however much was on the way when it was called. keys is how many keys are expected (0: as many
// as the exact set may hold).
func (l *Ledger) OweSweep(why string, keys int) {
	l.seq++
	l.floor = l.seq
	clear(l.dirty)
	l.todo = dirtyQueue{}
	l.later = nil
	if keys <= 0 {
		keys = l.opt.MaxExact
	}
	l.exact.size(keys, l.opt.MaxExact)
	l.sweeping = true
	l.sweepGen++
	l.owedWhy = why
	l.onChange()
}

// SweepOwed returns the number of the owed sweep, and why it is owed. Each OweSweep raises it.
func (l *Ledger) SweepOwed() (gen uint64, why string, owed bool) {
	return l.sweepGen, l.owedWhy, l.sweeping
}

// Quiet reports whether all that was appended to the Sink is acknowledged: the second half of a sweep may
// start, for it would not see what lands later. What comes after it is exact or dirty by its own.
func (l *Ledger) Quiet(mark uint64) bool {
	return l.without&ruleSweepAcks != 0 || l.outstanding.acked >= mark
}

// Mark is the point that Quiet waits for: the end of what is appended now.
func (l *Ledger) Mark() uint64 { return l.outstanding.acked + uint64(l.outstanding.len()) }

// Swept ends the sweep with the given number if it has not been owed again and nothing is left of it:
// every page is copied, acknowledged, and no key is dirty. From then on every key is exact unless dirty.
func (l *Ledger) Swept(gen uint64) bool {
	if !l.sweeping || l.sweepGen != gen || len(l.dirty) > 0 || l.copying > 0 || l.outstanding.copies > 0 {
		return false
	}
	l.sweeping = false
	l.exact.drop()
	l.stats.Swept++
	l.onChange()
	return true
}

// IsDirty reports whether a copy of the key is owed.
func (l *Ledger) IsDirty(h Hash) bool {
	_, ok := l.dirty[h]
	return ok
}
