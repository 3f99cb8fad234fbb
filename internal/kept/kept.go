// Package kept keeps the list of keys that keep the target's value: those that were on the target before the
// migration and that no copy may touch, until a client writes to them. It owns one file of the state directory, mapped
// into memory. Who is put on the list, and when a key leaves it, is not known here.
//
// # The invariant
//
//	A key that has left the list never comes back to it, and a write waits for that to be on disk.
//
// A list is complete, and on disk, before the first copy is made, and from then on keys only leave it. A key leaves by
// one bit, set in mapped memory under the shard's lock, without a system call: from then on kill -9 cannot bring it
// back. A loss of power could. So each key that leaves raises a number (Asked), whoever writes the bits to disk (Sync)
// says up to which number they are there, and the write that the key left for is not sent before. That costs the first
// write to a kept key one flush of a file, together with all that wait at the same time, and later ones nothing.
//
// # What it costs
//
// 16 bytes and two bits for each key on disk, and the same again in the kernel's page cache, which the lookups read; half a
// byte of memory of our own. While the list is made it takes up to 40 bytes for each key on disk.
package kept

import (
	"math/bits"
	"slices"
)

// Kind says how far a key is kept.
type Kind uint8

const (
	// No: it is not, or not any more.
	No Kind = iota
	// Kept: the target's value stays whatever the source has.
	Kept
	// Alone: it stays as long as the source has no such key, which it had not when the list was made.
	Alone
)

// Hash identifies a key in its database: the 128 bits under which the ledger knows it.
type Hash struct{ Lo, Hi uint64 }

// compare orders hashes by their high half, by which a section is indexed.
func (h Hash) compare(o Hash) int {
	switch {
	case h.Hi != o.Hi && h.Hi < o.Hi, h.Hi == o.Hi && h.Lo < o.Lo:
		return -1
	case h == o:
		return 0
	}
	return 1
}

// Entry is a key that is put on a list.
type Entry struct {
	Hash Hash
	DB   int32
	Kind Kind
}

// List is a list of kept keys. Its methods are called under the shard's lock, but for those that say otherwise.
type List struct {
	sections []section
	left     int
	asked    uint64
	reports  int   // keys with a report
	file     *file // nil: it is only in memory
}

// section is the keys of one database and kind.
type section struct {
	db       int32
	kind     Kind
	keys     []Hash   // in order
	released []uint64 // a bit for each key that has left
	reported []uint64 // ... and for each with a report
	left     int

	// index finds the few keys whose high half begins with the same bits: those of bucket b are
	// keys[index[b]:index[b+1]].
	index []uint32
	shift uint
}

// bucketKeys is how many keys a bucket of the index has on average.
const bucketKeys = 8

// newSection makes the section of keys in order, with the bits that say which have left, and of which there are reports.
func newSection(db int32, kind Kind, keys []Hash, released, reported []uint64) section {
	s := section{db: db, kind: kind, keys: keys, released: released, reported: reported, left: len(keys)}
	for _, w := range released {
		s.left -= bits.OnesCount64(w)
	}
	width := uint(bits.Len(uint(len(keys) / bucketKeys)))
	s.shift = 64 - width
	s.index = make([]uint32, 1<<width+1)
	b := uint64(0)
	for i := range keys {
		for ; b <= keys[i].Hi>>s.shift && b < uint64(len(s.index)); b++ {
			s.index[b] = uint32(i)
		}
	}
	for ; b < uint64(len(s.index)); b++ {
		s.index[b] = uint32(len(keys))
	}
	return s
}

// find returns the place of a key that is still in the section, or -1.
func (s *section) find(h Hash) int {
	b := h.Hi >> s.shift
	from, to := s.index[b], s.index[b+1]
	i, ok := slices.BinarySearchFunc(s.keys[from:to], h, Hash.compare)
	if i += int(from); !ok || s.released[i>>6]&(1<<(i&63)) != 0 {
		return -1
	}
	return i
}

// NewMemory returns a list without a file, for tests.
func NewMemory(entries ...Entry) *List {
	entries = slices.Clone(entries)
	slices.SortFunc(entries, Entry.compare)
	entries = slices.Compact(entries)
	l := &List{}
	for from := 0; from < len(entries); {
		to, keys := from, []Hash{}
		for ; to < len(entries) && entries[to].sameSection(entries[from]); to++ {
			keys = append(keys, entries[to].Hash)
		}
		l.add(newSection(entries[from].DB, entries[from].Kind, keys, make([]uint64, (len(keys)+63)/64), make([]uint64, (len(keys)+63)/64)))
		from = to
	}
	return l
}

func (l *List) add(s section) {
	l.sections = append(l.sections, s)
	l.left += s.left
	for _, w := range s.reported {
		l.reports += bits.OnesCount64(w)
	}
}

// compare orders entries by their sections, and by their hashes there.
func (e Entry) compare(o Entry) int {
	switch {
	case e.DB != o.DB:
		return int(e.DB) - int(o.DB)
	case e.Kind != o.Kind:
		return int(e.Kind) - int(o.Kind)
	}
	return e.Hash.compare(o.Hash)
}

func (e Entry) sameSection(o Entry) bool { return e.DB == o.DB && e.Kind == o.Kind }

// Left is how many keys are on the list.
func (l *List) Left() int { return l.left }

// Find returns how far a key is kept.
func (l *List) Find(h Hash) Kind {
	for i := range l.sections {
		if s := &l.sections[i]; s.left > 0 && s.find(h) >= 0 {
			return s.kind
		}
	}
	return No
}

// Release takes a key off the list, and reports whether it was on it.
func (l *List) Release(h Hash) (was bool) {
	for i := range l.sections {
		s := &l.sections[i]
		if s.left == 0 {
			continue
		}
		// Both kinds are looked at: a key that a scan has met twice may be in both.
		if at := s.find(h); at >= 0 {
			s.released[at>>6] |= 1 << (at & 63)
			l.reports -= s.report(at, false)
			s.left--
			l.left--
			was = true
		}
	}
	if was {
		l.asked++
	}
	return was
}

// Holds reports whether a key of the database is on the list.
func (l *List) Holds(db int) bool {
	return slices.ContainsFunc(l.sections, func(s section) bool { return int(s.db) == db && s.left > 0 })
}

// ReleaseDB takes all keys of a database off the list.
func (l *List) ReleaseDB(db int) {
	for i := range l.sections {
		s := &l.sections[i]
		if int(s.db) != db || s.left == 0 {
			continue
		}
		for j := range s.released {
			s.released[j] = ^uint64(0)
		}
		if rest := len(s.keys) & 63; rest != 0 {
			s.released[len(s.released)-1] = 1<<rest - 1
		}
		l.left -= s.left
		s.left = 0
		l.asked++
	}
}

// Report notes that a key of the list may have been changed by somebody whose write was not seen. The key stays on the
// list, and the note with it, also for the next process after a kill -9, until the key leaves or the report is settled.
func (l *List) Report(h Hash) { l.reports += l.report(h, true) }

// Settle ends that: the key is as it is to be kept.
func (l *List) Settle(h Hash) {
	if l.reports > 0 {
		l.reports -= l.report(h, false)
	}
}

// report returns how many bits it has changed: a key may be in both kinds.
func (l *List) report(h Hash, on bool) (changed int) {
	for i := range l.sections {
		s := &l.sections[i]
		if s.left == 0 {
			continue
		}
		if at := s.find(h); at >= 0 {
			changed += s.report(at, on)
		}
	}
	return changed
}

// report returns 1 if that is a change, and 0 if not.
func (s *section) report(at int, on bool) int {
	word, bit := &s.reported[at>>6], uint64(1)<<(at&63)
	if on == (*word&bit != 0) {
		return 0
	}
	*word ^= bit
	return 1
}

// Reported reports whether there is such a note of a key on the list.
func (l *List) Reported(h Hash) bool {
	if l.reports == 0 {
		return false
	}
	for i := range l.sections {
		s := &l.sections[i]
		if s.left == 0 {
			continue
		}
		if at := s.find(h); at >= 0 && s.reported[at>>6]&(1<<(at&63)) != 0 {
			return true
		}
	}
	return false
}

// SettleEach settles all reports, and reports whether there were any.
func (l *List) SettleEach() bool {
	if l.reports == 0 {
		return false
	}
	l.reports = 0
	for i := range l.sections {
		reported := l.sections[i].reported
		for j, w := range reported {
			if w != 0 { // no page is written to without need
				reported[j] = 0
			}
		}
	}
	return true
}

// Asked is raised whenever keys leave the list. What it was when a Sync began is on disk when that ends.
func (l *List) Asked() uint64 { return l.asked }

// Reopen returns the list that another process would find after this one was killed. It is for tests of lists without
// a file.
func (l *List) Reopen() *List {
	n := &List{}
	for _, s := range l.sections {
		n.add(newSection(s.db, s.kind, s.keys, s.released, s.reported))
	}
	return n
}

// Clone returns a list that is as this one is now: as a loss of power would bring it back, if it came back to this. It
// is for tests of lists without a file.
func (l *List) Clone() *List {
	n := &List{}
	for _, s := range l.sections {
		n.add(newSection(s.db, s.kind, s.keys, slices.Clone(s.released), slices.Clone(s.reported)))
	}
	return n
}
