package ledger

// dirtySet finds dirty keys by their hash, and knows of them what must not cost a walk over all: there may
// be a million, and the shard's lock is held.
type dirtySet struct {
	keys    map[Hash]*Dirty
	inDB    map[int32]int   // how many each database has
	failing map[Hash]*Dirty // those whose last copy failed
	names   int             // bytes of all names
	truths  [2]int          // how many are copied from each side
}

// meanName is what a key's name may have in bytes on average before memory, and not their number, bounds
// the dirty keys.
const meanName = 128

func newDirtySet() dirtySet {
	return dirtySet{keys: map[Hash]*Dirty{}, inDB: map[int32]int{}, failing: map[Hash]*Dirty{}}
}

func (s *dirtySet) len() int { return len(s.keys) }

// of returns nil for a key that is not dirty.
func (s *dirtySet) of(h Hash) *Dirty {
	if len(s.keys) == 0 {
		return nil
	}
	return s.keys[h]
}

// full reports whether k is one too many. A single one never is, however long its name.
func (s *dirtySet) full(k *Key, most int) bool {
	return len(s.keys) >= most || len(s.keys) > 0 && s.names+len(k.Name) > most*meanName
}

func (s *dirtySet) add(d *Dirty) {
	s.keys[d.Key.Hash] = d
	s.inDB[d.Key.DB]++
	s.names += len(d.Key.Name)
	s.truths[d.truth]++
}

func (s *dirtySet) remove(d *Dirty) {
	delete(s.keys, d.Key.Hash)
	delete(s.failing, d.Key.Hash)
	s.inDB[d.Key.DB]--
	s.names -= len(d.Key.Name)
	s.truths[d.truth]--
}

// failed notes that d.Failures may have changed.
func (s *dirtySet) failed(d *Dirty) {
	switch {
	case s.keys[d.Key.Hash] != d:
	case d.Failures > 0:
		s.failing[d.Key.Hash] = d
	default:
		delete(s.failing, d.Key.Hash)
	}
}

// flushed removes the keys of the databases that have been dirty since before the flush was sent.
func (s *dirtySet) flushed(dbs []int, before func(d *Dirty) bool) {
	n := 0
	for _, db := range dbs {
		n += s.inDB[int32(db)]
	}
	if n == 0 {
		return
	}
	for _, d := range s.keys {
		if contains(dbs, int(d.Key.DB)) && before(d) {
			s.remove(d)
		}
	}
}
