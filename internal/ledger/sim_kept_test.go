package ledger

import (
	"fmt"
	"slices"
	"testing"

	"tandem/internal/kept"
)

// simKept is what a run knows of kept keys, besides the list itself.
type simKept struct {
	wanted bool               // what has left the list is to be brought to disk
	was    server             // the target at the start
	listed [maxKeys]kept.Kind // how far keys were kept at the start
	wrote  [maxKeys]bool      // a client's write of the key was executed
	named  [maxKeys]bool      // one was submitted, or something else may have changed it
}

// keep gives the target keys of its own, and lists them.
func (s *sim) keep() {
	if !s.cfg.kept {
		return
	}
	var entries []kept.Entry
	for k := range keyID(s.cfg.keys) {
		if !s.chance(.5) {
			continue
		}
		s.inst[1][k].val = "t" + k.name()[4:]
		e := kept.Entry{Hash: kept.Hash(k.hash()), DB: int32(k.db()), Kind: kept.Kept}
		if s.chance(.3) {
			e.Kind = kept.Alone // it may have come to the source since the list was made
		}
		entries = append(entries, e)
		s.kept.listed[k] = e.Kind
		s.kept.named[k] = e.Kind == kept.Alone && s.inst[0][k].val != missing
	}
	s.kept.was = s.inst[1]
	s.disk.kept = kept.NewMemory(entries...)
	s.disk.keptSynced = s.disk.kept.Clone()
}

// keptSynced: the list is brought to disk.
func (s *sim) keptSynced() {
	s.kept.wanted = false
	asked := s.l.KeptAsked()
	s.disk.keptSynced = s.disk.kept.Clone()
	s.l.KeptSynced(asked)
}

// reopenKept is the list as the next process finds it. After a loss of power it is as it was brought to disk last, and
// the intent map tells nothing.
func (s *sim) reopenKept() {
	if s.cfg.powerLoss && s.chance(.7) {
		s.logf("the machine has lost its power")
		s.disk.intents.SetDoubt(true)
		if s.disk.kept != nil {
			s.disk.kept = s.disk.keptSynced.Clone()
		}
	}
	if s.disk.kept != nil {
		s.disk.kept = s.disk.kept.Reopen()
		s.disk.keptSynced = s.disk.kept.Clone()
	}
}

// isKept reports whether a key is kept now.
func (s *sim) isKept(k keyID) bool {
	return s.disk.kept != nil && s.disk.kept.Find(kept.Hash(k.hash())) != kept.No
}

// equal compares both servers but for kept keys.
func (s *sim) equal() bool {
	for k := range keyID(s.cfg.keys) {
		if s.inst[0][k] != s.inst[1][k] && !s.isKept(k) {
			return false
		}
	}
	return true
}

// changeRoles makes the other server the primary. What that one has of kept keys is what clients see from now on.
func (s *sim) changeRoles() {
	s.prim = 1 - s.prim
	for k := range keyID(s.cfg.keys) {
		if s.isKept(k) {
			s.ref[k] = s.inst[s.prim][k]
		}
		s.note(k) // also what only differs in expiry
	}
}

// keptAtRest reports whether a key is still kept. It checks that it is then as it was on the target, and that no client
// has written to it; and that it still is, if nobody has named it in a write.
func (s *sim) keptAtRest(k keyID) (is bool, err error) {
	switch v := s.inst[1][k].val; {
	case !s.isKept(k):
		if s.kept.listed[k] != kept.No && !s.kept.named[k] {
			err = fmt.Errorf("key %d is not kept any more, and nobody has written to it", k)
		}
		return false, err
	case v != s.kept.was[k].val:
		err = fmt.Errorf("key %d is kept, and was changed from %q to %q", k, s.kept.was[k].val, v)
	case s.kept.wrote[k]:
		err = fmt.Errorf("key %d is kept, and clients have written to it", k)
	case s.kept.listed[k] == kept.Alone && !s.cfg.cutover && s.inst[0][k].val != missing:
		err = fmt.Errorf("key %d is kept for the source had none, and it has: %q", k, s.inst[0][k].val)
	}
	return true, err
}

// names notes that a write of keys, or of whole databases, is about to be submitted, or that somebody else writes them.
func (s *sim) names(keys []Key, dbs []int) {
	for k := range keyID(s.cfg.keys) {
		for i := range keys {
			s.kept.named[k] = s.kept.named[k] || keys[i].Write && keys[i].Hash == k.hash()
		}
		s.kept.named[k] = s.kept.named[k] || contains(dbs, k.db())
	}
}

// wrote notes what a client's command has changed.
func (s *sim) wrote(c *command) {
	for k := range keyID(s.cfg.keys) {
		if !c.hidden && (slices.Contains(c.w, k) || contains(c.dbs, k.db())) {
			s.kept.wrote[k] = true
		}
	}
}

// TestEveryRuleOfKeptKeysIsMissed takes the rules of kept keys out one by one.
func TestEveryRuleOfKeptKeysIsMissed(t *testing.T) {
	for _, x := range []struct {
		name   string
		rule   keptRules
		config string
	}{
		{"not exact", ruleKeptNotExact, "kept keys"},
		{"ends with a write", ruleKeptEnds, "kept keys"},
		{"on disk before the write", ruleKeptSynced, "kept keys and loss of power"},
		{"on disk before the copy", ruleKeptUncopied, "kept keys and loss of power"},
		{"ends with a flush or swap", ruleKeptBarrier, "kept keys and barriers"},
		{"ends with a blocked command", ruleKeptBlocked, "kept keys and blocked"},
		{"is dirty then", ruleKeptDirty, "kept keys and crash"},
		{"is not swept", ruleKeptSwept, "kept keys"},
		{"came to the source", ruleKeptCame, "kept keys"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			var cfg simConfig
			for _, c := range simConfigs {
				if c.name == x.config {
					cfg = *c
				}
			}
			cfg.withoutKept = x.rule
			seed, err := campaign(&cfg, 20000)
			if err == nil {
				t.Fatalf("%q without it: %d interleavings are clean", x.config, seed)
			}
			t.Logf("%q without it, seed %d: %v", x.config, seed, err)
		})
	}
}
