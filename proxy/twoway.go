package proxy

import (
	"fmt"

	"tandem/internal/ledger"
)

// What is otherwise where clients write at both instances. There are two shards then, each with the lanes, sessions and
// accounts of one instance and an EffectLane to the other, and one ledger, so one lock, for both (see ledger's twoway.go).
//
//   - Nobody blocks at an instance by a command that takes something (takers.go): what arrives there from the other one might
//     be served to him.
//   - No instance reports changed keys: it would report every effect. So a write that may change keys which it does not name is
//     a barrier, and what it has changed is found by a sweep.
//   - Functions run only when those of both instances are known to be the same.
//   - A write whose keys' truth is at the other instance waits for it to be handed over, and is refused when that is out of
//     reach for longer than a command waits.

// Beside makes sh the shard of the other instance of one: they share the ledger, and what is known of scripts. It is
// called before there are sessions.
func (sh *Shard) Beside(one *Shard) { sh.scripts.book = one.scripts.book }

// enclose makes a barrier of a write that may change other keys than it names. False: it has waited, and everything must be
// looked at again. The lock is held, and released while waiting.
func (s *session) enclose(r *request) bool {
	unseen := r.unseenPart() != nil
	if unseen && !s.awaitShelf(r) {
		return false
	}
	w := &r.write
	if r.unkeyed || w.Kind == ledger.Plain && (unseen || w.Unnamed || r.unkeyedPart() != nil) {
		w.Kind, w.DBs = ledger.Anything, nil
	}
	w.Hidden, w.Unnamed = false, false
	if r.script != nil {
		r.script.alone = w.Kind == ledger.Anything && s.sh.ledger.Settled()
	}
	return true
}

// sameFunctions reports whether the functions that this shard's instance has are those that the ledger knows of.
func (sh *Shard) sameFunctions() bool {
	return !sh.opt.TwoWay || sh.ledger.EverywhereSettled(sh.opt.At)
}

// bringsLibraries reports whether it is for this shard to bring functions to its secondary, when that is owed.
func (sh *Shard) bringsLibraries() bool { return sh.ledger.LibrariesSide() == sh.opt.At }

// notHandedOver answers a write that has waited in vain for what only the other instance has. False ends the session.
func (s *session) notHandedOver(r *request) bool {
	if r.queued == isMulti {
		r.tx.unsent = true
	}
	s.sh.counts.Answers++
	s.sh.counts.Errors++
	return s.refuseInstead(r, errorReply(nil, "two-way: what the other instance has of these keys did not arrive within %s; "+
		"the command was not sent (%s)", s.sh.opt.PrimaryWait, s.sh.otherTrouble()))
}

// otherTrouble says what keeps keys from being handed over. The lock is held.
func (sh *Shard) otherTrouble() string {
	if e := sh.effects; e != nil && !e.up {
		return fmt.Sprintf("%s is not connected: %s", e.inst, e.lastErr)
	}
	if _, why, owed := sh.ledger.SweepOwed(); owed {
		return "not all keys have been compared since then: " + why
	}
	if n := sh.ledger.DirtyKeys(); n > 0 {
		return fmt.Sprintf("%d keys are still to be copied", n)
	}
	return "it has not answered its own clients"
}
