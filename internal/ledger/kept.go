package ledger

import (
	"tandem/internal/crashpoint"
	"tandem/internal/kept"
)

// A kept key is one that was on the target before the migration and keeps its value there: no copy is made of it, in
// either direction, no sweep removes it, and verify leaves it out. It is never exact, so what a command makes from it
// is copied, and the key itself gets no effects.
//
// That ends when a client writes to it: a live write always wins. Whatever a write may change leaves the list before the
// write is sent, and is dirty from then on, so that it becomes what the write makes of it, whether or not its effect can
// be forwarded. The write waits until that is on disk: kept once more after a loss of power, the key would lose it. So
// it takes its place in the queues as if its stripes were owned by another lane, until KeptSynced.
//
//	a write        takes its keys off the list when it is submitted (Acquire), whatever it turns out to change.
//	a flush, swap  takes off all keys of its databases. Their names are not known: a sweep is owed that finds them.
//	a blocked      takes off the keys that it may change when it is sent. It is not held for the disk.
//	command
//	a report       that somebody else has changed a kept key makes it dirty. If the copier then finds it on the
//	               primary, it was written to, and leaves the list; if it finds none, the key has expired or was
//	               removed, and stays kept. The list notes the report until then: if what is dirty is forgotten, for a
//	               sweep is owed, or the process is killed, that sweep does not leave the key alone.
//
// A key that is kept because the source had none of its name (kept.Alone) is given up, too, when a sweep of the source
// finds it there: it was written before the ledger saw writes, or past the proxy.

// keptKeys is what the ledger knows of kept keys.
type keptKeys struct {
	list *kept.List // nil: there are none
	// onPrimary: the primary is the instance whose values are kept.
	onPrimary bool
	// wanted is called when keys have left the list, for somebody to bring that to disk (KeptSynced).
	wanted func()
	synced uint64 // of list.Asked, what is on disk
	// passed are dirty keys that NextDirty has passed over. They wait here, and not in todo, until KeptSynced.
	passed []*Dirty

	without keptRules // for tests: the rules taken out
}

// keptRules name the rules of kept keys one by one, like rules.
type keptRules uint16

const (
	ruleKeptNotExact keptRules = 1 << iota // a kept key is not exact
	ruleKeptEnds                           // a write takes its keys off the list before it is sent
	ruleKeptSynced                         // ... and waits until that is on disk
	ruleKeptUncopied                       // ... and so does the key's copy
	ruleKeptBarrier                        // ... and so does a flush or swap, with all keys of its databases
	ruleKeptBlocked                        // ... and a blocked command
	ruleKeptDirty                          // what has left the list is dirty
	ruleKeptSwept                          // sweeps leave kept keys alone
	ruleKeptCame                           // ... unless one that the source had not has come there
)

// SetKept gives the ledger the list of kept keys. It is called before any write of the migration, and before Resume.
// onPrimary says that the primary is the instance whose values are kept: after a cutover. wanted is called, with the
// lock held, when keys have left the list: somebody must then call the list's Sync, and KeptSynced; it must not block.
func (l *Ledger) SetKept(list *kept.List, onPrimary bool, wanted func()) {
	l.kept = keptKeys{list: list, onPrimary: onPrimary, wanted: wanted, without: l.kept.without}
}

// KeptOnPrimary is told with each change of roles which instance it is whose values are kept.
func (l *Ledger) KeptOnPrimary(yes bool) { l.kept.onPrimary = yes }

// KeptAsked returns up to where the list is to be brought to disk. It is asked before that begins.
func (l *Ledger) KeptAsked() uint64 {
	if l.kept.list == nil {
		return 0
	}
	return l.kept.list.Asked()
}

// KeptSynced says that the list is on disk up to what KeptAsked said, and lets those writes go that waited for it.
func (l *Ledger) KeptSynced(asked uint64) {
	l.kept.synced = max(l.kept.synced, asked)
	l.backInQueue()
	l.pump()
	l.onChange()
}

// Kept returns how many keys are kept.
func (l *Ledger) Kept() int {
	if l.kept.list == nil {
		return 0
	}
	return l.kept.list.Left()
}

// IsKept reports whether a key is kept, and so is none of a sweep's second half's business, nor verify's.
func (l *Ledger) IsKept(h Hash) bool { return l.keptAs(h) != kept.No }

func (l *Ledger) keptAs(h Hash) kept.Kind {
	if l.kept.list == nil || l.kept.list.Left() == 0 {
		return kept.No
	}
	return l.kept.list.Find(kept.Hash(h))
}

// keptFrom reports whether a key that a sweep has found on the primary, or wants to remove, is to be left alone.
func (l *Ledger) keptFrom(h Hash) bool {
	kind := l.keptAs(h)
	if kind == kept.No || l.kept.without&ruleKeptSwept != 0 {
		return false
	}
	if l.kept.list.Reported(kept.Hash(h)) {
		return false
	}
	return kind == kept.Kept || l.kept.onPrimary || l.kept.without&ruleKeptCame != 0
}

// reportKept notes on the list that a kept key becomes dirty, and so is in doubt whatever becomes of the dirty set.
func (l *Ledger) reportKept(h Hash) {
	if l.Kept() > 0 {
		l.kept.list.Report(kept.Hash(h))
	}
}

// keptSwept settles the reports of kept keys at the end of a sweep: what it has found on the primary has left the list.
// Those that are dirty have become so since.
func (l *Ledger) keptSwept() {
	if l.kept.list == nil || !l.kept.list.SettleEach() {
		return
	}
	for h := range l.dirty.keys {
		l.reportKept(h)
	}
}

// unkeep takes off the list what w may change, before it is sent, and notes what it then has to wait for.
func (l *Ledger) unkeep(w *Write) {
	if l.kept.list == nil || w.Kind == CopyRead {
		return
	}
	if l.kept.list.Asked() > l.kept.synced {
		// Another write, which was given up since, may have taken a key off, or a blocked command.
		for i := range w.Keys {
			if d := l.dirty.of(w.Keys[i].Hash); d != nil && w.Keys[i].Write {
				w.unkept = max(w.unkept, d.unkept)
			}
		}
	}
	if l.kept.list.Left() == 0 {
		return
	}
	before := l.kept.list.Asked()
	if (w.Kind == Flush || w.Kind == Swap) && l.kept.without&ruleKeptBarrier == 0 {
		for _, db := range w.DBs {
			if l.kept.list.Holds(db) {
				l.unkeepDB(db)
			}
		}
	}
	if l.kept.without&ruleKeptEnds == 0 {
		for i := range w.Keys {
			if k := &w.Keys[i]; k.Write {
				l.unkeepKey(k)
			}
		}
	}
	if after := l.kept.list.Asked(); after > before {
		w.unkept = after
		crashpoint.Reach(crashpoint.KeptReleased)
		l.kept.wanted()
	}
}

// unkeepKey makes a kept key dirty and takes it off the list. In this order: a crash in between must not leave it
// neither kept nor known to differ.
func (l *Ledger) unkeepKey(k *Key) bool {
	if !l.IsKept(k.Hash) {
		return false
	}
	var d *Dirty
	if l.kept.without&ruleKeptDirty == 0 {
		d = l.MakeDirty(k)
	}
	gone := l.kept.list.Release(kept.Hash(k.Hash))
	if d != nil {
		d.unkept = l.kept.list.Asked()
	}
	return gone
}

// stillListed reports whether a dirty key has left the list, but not yet on disk. A copy would destroy what a loss of
// power would have the next process keep, although no write was sent.
func (l *Ledger) stillListed(d *Dirty) bool {
	return d.unkept > l.kept.synced && l.kept.without&ruleKeptUncopied == 0
}

// backInQueue puts back what was passed over for that. Until then it is in no queue, and the copier has no reason to look.
func (l *Ledger) backInQueue() {
	for i, d := range l.kept.passed {
		l.to[d.truth.Other()].todo.push(d)
		l.kept.passed[i] = nil
	}
	l.kept.passed = l.kept.passed[:0]
}

// unkeepDB takes all keys of a database off the list. The sweep is owed first, for the same reason.
func (l *Ledger) unkeepDB(db int) {
	if l.kept.without&ruleKeptDirty == 0 {
		l.OweSweep("a database with kept keys was flushed or swapped", 0)
	}
	l.kept.list.ReleaseDB(db)
}

// unkeepBlocked takes off the list what a command that is about to block may change.
func (l *Ledger) unkeepBlocked(b *Blocked) {
	if l.Kept() == 0 || l.kept.without&ruleKeptBlocked != 0 {
		return
	}
	gone := false
	for i := range b.Keys {
		if k := &b.Keys[i]; k.Write {
			gone = l.unkeepKey(k) || gone
		}
	}
	if gone {
		l.kept.wanted()
	}
}

// endsKept reports whether a copy of a kept key ends here, and how. One that is missing on the primary stays as it is on
// both sides. Any other has come to the primary past what the ledger saw: it leaves the list, and is copied once that is on
// disk. The copy that was read is void; it would destroy what a loss of power would have the next process keep.
func (l *Ledger) endsKept(c *Copy, s *State, at uint64) (r Result, ends bool) {
	if l.Kept() == 0 || !l.IsKept(c.Key.Hash) {
		return Won, false
	}
	if s.Missing {
		if l.becomesExact(c.Key.Hash, at) {
			l.kept.list.Settle(kept.Hash(c.Key.Hash))
			return Won, true
		}
	} else {
		if l.kept.without&ruleKeptUncopied != 0 {
			l.kept.list.Release(kept.Hash(c.Key.Hash))
			l.kept.wanted()
			return Won, false
		}
		l.unkeepKey(&c.Key)
		l.kept.wanted()
	}
	l.stats.Races++
	return Lost, true
}

// onDisk reports whether nothing that w waits for has still to be brought to disk.
func (l *Ledger) onDisk(w *Write) bool {
	return w.unkept <= l.kept.synced || l.kept.without&ruleKeptSynced != 0
}
