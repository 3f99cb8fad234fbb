package ledger

import "slices"

// Effect is what a write's reply turned out to mean for the secondary.
type Effect struct {
	// Steps has one element for a single command, one per changing command of a transaction.
	Steps []Step
	// Payload is the Sink's: the bytes and what they should be answered.
	Payload any
	// Guard is set by the ledger: indices into the write's keys that may have a time to live which decides
	// what a step does. The Sink looks at them in the same block (see EdgeSuspect).
	Guard []int
}

// Step is the effect of one command.
type Step struct {
	// Blind: the outcome does not depend on the earlier state of the keys.
	Blind bool
	// Copy: there is no effect to forward; the keys must be copied.
	Copy bool
	// MayExpire: the keys written may have a time to live afterwards.
	MayExpire bool
	// Everywhere: it belongs to no key (see Write.Everywhere), and Keys says nothing.
	Everywhere bool
	// Keys are indices into the write's keys. Empty: all; but in a transaction with a flush or swap in it, a
	// step without keys is that flush or swap.
	Keys []int
}

// Outcome says what became of a write's effect.
type Outcome uint8

const (
	// Unchanged: there was nothing to do.
	Unchanged Outcome = iota
	// Forwarded: the effect is on the Sink.
	Forwarded
	// Dirtied: the keys written are dirty.
	Dirtied
)

// Reply settles a write whose reply has arrived, and releases its stripes: the one place where it is
// decided between effect and copy (section "exact and dirty" of the architecture). e is nil when nothing
// changed.
func (l *Ledger) Reply(w *Write, e *Effect) Outcome {
	out := Unchanged
	switch {
	case e == nil:
	case w.barrier():
		for i := range e.Steps {
			if e.Steps[i].flushes(w) {
				l.flushed++
			}
		}
		out = l.replyBarrier(w, e)
	case l.mayForward(w, e) && l.append(l.toOther(w), w, e):
		out = Forwarded
		l.stats.Forwarded++
		l.nowExact(w, e)
	default:
		out = Dirtied
		l.dirtyWritten(w, e)
	}
	l.release(w)
	if len(l.awaits) > 0 && e != nil {
		l.tellWritten(w)
	}
	return out
}

// mayForward applies the table of exact and dirty to each step in order. A transaction is forwarded whole
// or not at all: a part of it would show the secondary a state that the primary never had.
func (l *Ledger) mayForward(w *Write, e *Effect) bool {
	e.Guard = e.Guard[:0]
	if l.two != nil && l.displaced(w) && l.two.without&sideDisplaced == 0 {
		return false
	}
	if (l.blocking > 0 || l.served > w.at) && l.meetsBlocked(w, e) {
		return false
	}
	if len(e.Steps) == 1 && e.Steps[0].Blind && !e.Steps[0].Copy {
		return true
	}
	if (w.beside || l.hid > w.at) && !e.blind() && l.without&ruleHidden == 0 {
		return false // it may hide what was written just before it
	}
	for i := range w.Keys {
		w.Keys[i].exact, w.Keys[i].made = l.isExact(w.Keys[i].Hash), false
	}
	for i := range e.Steps {
		s := &e.Steps[i]
		if s.Copy {
			return false
		}
		if !s.Blind && s.keys(w) > 1 && l.unreported() && l.without&ruleForeignDerived == 0 {
			return false // others may have changed what it was made from
		}
		if s.flushes(w) {
			for j := range w.Keys {
				if k := &w.Keys[j]; contains(w.DBs, int(k.DB)) {
					k.exact, k.made = true, true
				}
			}
		}
		for j, n := 0, s.keys(w); j < n; j++ {
			k := &w.Keys[s.key(j)]
			switch {
			case s.Blind:
				k.exact, k.made = k.exact || k.Write, k.made || k.Write
			case !k.exact && l.without&ruleOnlyExact == 0 && (k.Write || l.without&ruleAllExact == 0):
				return false
			case l.opt.Extends && l.expiring.has(k.Hash.Stripe()):
				return false
			case l.expiring.has(k.Hash.Stripe()) && !k.made: // what this very effect has made is the same on both sides
				e.Guard = append(e.Guard, s.key(j))
			}
		}
	}
	return true
}

func (s *Step) keys(w *Write) int {
	if s.Everywhere {
		return 0
	}
	if len(s.Keys) == 0 && (!w.barrier() || w.Kind == Anything) {
		return len(w.Keys)
	}
	return len(s.Keys)
}

// flushes reports whether the step is the flush that makes w a barrier. (A transaction may have two, FLUSHDB
// and FLUSHALL; to take the keys of both databases for empty at the first is right, because what it does
// between them is gone after the second.)
func (s *Step) flushes(w *Write) bool { return w.Kind == Flush && len(s.Keys) == 0 && !s.Everywhere }

func (s *Step) key(j int) int {
	if len(s.Keys) == 0 {
		return j
	}
	return s.Keys[j]
}

// nowExact notes what the forwarded steps have made of their keys.
func (l *Ledger) nowExact(w *Write, e *Effect) {
	for i := range e.Steps {
		s := &e.Steps[i]
		if s.flushes(w) {
			for j := range w.Keys {
				if k := &w.Keys[j]; contains(w.DBs, int(k.DB)) {
					l.becomesExact(k.Hash, w.at)
				}
			}
		}
		if !s.Blind && !s.MayExpire {
			continue
		}
		for j, n := 0, s.keys(w); j < n; j++ {
			k := &w.Keys[s.key(j)]
			if !k.Write {
				continue
			}
			if s.MayExpire && l.without&ruleMayExpire == 0 {
				l.expiring.add(k.Hash.Stripe())
			}
			if s.Blind && !l.becomesExact(k.Hash, w.at) && !l.IsDirty(k.Hash) && l.without&ruleFloorDirty == 0 {
				// It was sent before a sweep came to be owed, which may have passed the key already, and what
				// owed the sweep may have changed the key after it: a script whose reply came sooner.
				l.MakeDirty(k)
			}
		}
	}
}

func (l *Ledger) dirtyWritten(w *Write, e *Effect) {
	if e.changesEverywhere() {
		l.OweEverywhere("an effect was not forwarded")
	}
	for i := range e.Steps {
		s := &e.Steps[i]
		for j, n := 0, s.keys(w); j < n; j++ {
			if k := &w.Keys[s.key(j)]; k.Write {
				if s.MayExpire {
					l.expiring.add(k.Hash.Stripe())
				}
				l.MakeDirty(k)
			}
		}
		if l.without&ruleWhole != 0 {
			return
		}
	}
}

// replyBarrier: a flush is blind for every key there was. What was dirty before it was sent is clean, what
// became dirty since stays. A swap renames every key, so it is forwarded only if all are exact: otherwise the
// secondary would show what one database's key once was under the name of the other's. So nobody may be blocked:
// what was served, before the swap or by it, is not known yet. (What others have written is reported for the key's
// name in every database, so that after a swap the right one is among them.)
//
// A transaction with a flush or swap in it is a barrier too, and its other steps count as they always do.
func (l *Ledger) replyBarrier(w *Write, e *Effect) (out Outcome) {
	if e.changesEverywhere() {
		defer func() {
			if out == Dirtied {
				l.OweEverywhere("an effect was not forwarded")
			}
		}()
	}
	settled := l.Settled()
	swappable := l.allExact() && (l.blocking == 0 || l.without&ruleBlockedSwap != 0)
	switch {
	case w.Kind == Flush && len(w.DBs) == 0:
		return Unchanged
	case w.Kind == Anything && e.copies():
		l.dirtyWritten(w, e)
		return Dirtied
	case w.Kind == Anything && !settled:
		l.OweSweep("a script that may write any key was to be repeated while keys were dirty", 0)
		return Dirtied
	case w.Kind == Swap && !swappable && l.without&ruleSwapSettled == 0:
		l.OweSweep("two databases were swapped while keys were dirty", 0)
		return Dirtied
	case !l.mayForward(w, e) || !l.append(l.toOther(w), w, e):
		if l.without&ruleBarrierOwes == 0 {
			l.OweSweep("a flush, swap or script did not reach the secondary", 0)
		}
		return Dirtied
	}
	l.stats.Forwarded++
	if w.Kind == Anything {
		if slices.ContainsFunc(e.Steps, func(s Step) bool { return s.MayExpire }) {
			l.AssumeExpiring() // it may have given any key a time to live
		}
		return Forwarded
	}
	if w.Kind == Swap {
		// Keys with a time to live are in other stripes now.
		if l.without&ruleSwapExpiring == 0 && l.expiring.any() {
			l.AssumeExpiring()
		}
		return Forwarded
	}
	// In a transaction the flush itself may have failed.
	if slices.ContainsFunc(e.Steps, func(s Step) bool { return s.flushes(w) }) || l.without&ruleFlushDone != 0 {
		l.dirty.flushed(w.DBs, func(d *Dirty) bool {
			clean := d.since <= w.at || l.without&ruleDirtySince != 0
			if clean {
				l.unstand(d.Key.Hash.Stripe(), ruleDirtyStands)
			}
			return clean
		})
	}
	l.nowExact(w, e)
	l.onChange()
	return Forwarded
}

// copies reports whether a step of the effect is a copy.
func (e *Effect) copies() bool {
	return slices.ContainsFunc(e.Steps, func(s Step) bool { return s.Copy })
}

// allExact reports whether the secondary's state of every key that is not kept equals the primary's, as far as nobody
// blocks.
func (l *Ledger) allExact() bool { return !l.sweeping && l.dirty.len() == 0 && l.copying == 0 }

// Settled reports whether every key is exact now, so that a write of any key (Anything) may be repeated.
func (l *Ledger) Settled() bool {
	return l.allExact() && l.Kept() == 0 && (l.blocking == 0 || l.without&ruleBlockedSwap != 0)
}

func contains(dbs []int, db int) bool {
	for _, x := range dbs {
		if x == db {
			return true
		}
	}
	return false
}

// isExact reports whether the secondary's state of a key equals the primary's at this point of the order.
func (l *Ledger) isExact(h Hash) bool {
	if l.kept.list != nil && l.IsKept(h) && l.kept.without&ruleKeptNotExact == 0 {
		return false
	}
	return l.dirty.of(h) == nil && (!l.unknown(h) || l.exact.has(h) || l.intents.foundOnly && l.without&ruleMarkedUnknown != 0) &&
		!l.isBlockedOn(h) && (l.two == nil || l.two.abandoned[h.Stripe()].writes == 0)
}

// becomesExact: a blind effect or a copy of sequence number at has made a key right, unless it became dirty
// since then.
func (l *Ledger) becomesExact(h Hash, at uint64) bool {
	if l.floor > at && l.without&ruleFloor == 0 {
		return false
	}
	if d := l.dirty.of(h); d != nil {
		if l.two != nil && d.truth != l.sideOf(h.Stripe()) {
			l.turnDirty(d)
		}
		if d.since > at && l.without&ruleDirtySince == 0 {
			return false
		}
		l.dirty.remove(d)
		l.unstand(h.Stripe(), ruleDirtyStands)
		l.onChange()
	}
	if l.unknown(h) {
		l.exact.add(h)
	}
	return true
}

// Unanswered settles a write whose outcome will never be known, because its lane is lost: what it may have
// written is dirty. It is called once the old connection is known dead; until then the stripes stay held,
// for it may execute still. A copy read just ends.
func (l *Ledger) Unanswered(w *Write) {
	if w.Everywhere {
		l.OweEverywhere("the outcome of a write is unknown")
	}
	switch {
	case w.Kind == CopyRead || l.without&ruleUnanswered != 0:
	case w.barrier():
		l.OweSweep("a flush or swap was sent and its outcome is unknown", 0)
	default:
		for i := range w.Keys {
			if w.Keys[i].Write {
				l.MakeDirty(&w.Keys[i])
			}
		}
		l.reportDisplaced(w)
	}
	l.release(w)
	if l.two == nil || l.two.without&sideTold == 0 {
		l.tellWritten(w)
	}
}
