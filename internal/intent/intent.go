// Package intent keeps the intent map: a file, mapped into memory, that knows at every instant which stripes of
// the keyspace a crash would leave in doubt. It owns that file and the bits in it. What has settled, and so when a
// mark may go, it does not know: the ledger does.
//
// # The invariant
//
//	A key whose state on the secondary may differ from the primary's, or may come to by something that is under
//	way, has its stripe marked here, or all stripes are, or a sweep over all keys is noted as owed.
//
// It holds between any two instructions of the process, so that kill -9 may come at any of them. That is why it is in
// mapped memory: a mark is one store, made under the shard's lock before the write can reach a socket, and what was
// stored is the kernel's, whatever becomes of the process. Nothing is written through a system call, nothing is
// waited for. Nothing of it is sure to outlive the machine, though: after a loss of power the kernel's last pages may
// be missing. So the file carries the id of the boot; after another boot everything counts as marked, unless the file
// was closed cleanly, and flushed, by then.
//
// # What is in the file
//
//	header      what the file is, and of which directory; checked as a whole, and replaced if it is not ours
//	words       single aligned stores: every stripe is marked, a sweep is owed, it was closed cleanly
//	two generations    writes and copies that were sent: the current one is marked, the older settles, is cleared,
//	            and becomes the current one
//	standing    stripes with a key that is dirty or blocked on, for as long as it is
//	expiring    stripes in which a time to live was ever set: no mark, but known to the ledger in the same way
//	sides       stripes of which the secondary has the truth, where clients write at both instances: no mark either, but
//	            what a mark means depends on it
//
// A map that is opened holds what was found in all three sets together in its older generation, where it stays until
// the ledger has worked it off (Held). The union is made before anything is cleared, so a crash while opening
// loses nothing either.
//
// The file is allocated in full when it is made, for a store into a hole of a full disk would end the process. Who
// truncates it while it is mapped ends the process all the same; the next start finds it damaged and has everything
// compared.
package intent

import (
	"math/bits"
	"sync/atomic"

	"tandem/internal/crashpoint"
)

// Found is what a map was left with by an earlier process.
type Found struct {
	// All stripes may be in doubt; Why says why, if it is not because something was under way that concerns all.
	All bool
	Why string
	// Stripes is the set of those that are; nil if there are none.
	Stripes []uint64
	// Count is how many.
	Count int
}

// Map is an intent map. Its methods are called under the shard's lock.
type Map struct {
	words       *words
	generations [2][]uint64
	current     uint8
	now         []uint64 // the current generation
	standing    []uint64
	expiring    []uint64
	sides       []uint64
	found       Found
	held        bool  // what was found is still in the older generation
	file        *file // nil: it is only in memory
}

// words are those that change one by one.
type words struct {
	found   atomic.Uint64 // 1: every stripe was marked when the map was opened, and is until that is worked off
	barrier atomic.Uint64 // 1: every stripe is, by a barrier
	doubt   atomic.Uint64 // 1: every stripe is, by what nobody knows the keys of
	sweep   atomic.Uint64 // number<<1, and 1 if it is owed
	again   atomic.Uint64 // 1: one more is, when that has ended
	clean   atomic.Uint64 // 1: closed, with everything on disk
	side    atomic.Uint64 // the side that has the truth of what belongs to no key
}

// NewMemory returns a map without a file, for so many stripes: for an instance alone, and for tests.
func NewMemory(stripes int) *Map {
	set := func() []uint64 { return make([]uint64, (stripes+63)/64) }
	m := &Map{words: &words{}, generations: [2][]uint64{set(), set()}, standing: set(), expiring: set(), sides: set()}
	m.take()
	return m
}

// Mark marks a stripe in the current generation. It must be done before what it is for can leave the process.
func (m *Map) Mark(stripe uint32) {
	w, bit := &m.now[stripe>>6], uint64(1)<<(stripe&63)
	if *w&bit == 0 {
		*w |= bit
	}
}

// Stand marks a stripe until Unstand.
func (m *Map) Stand(stripe uint32) { m.standing[stripe>>6] |= 1 << (stripe & 63) }

// Unstand ends that. What may be under way by then must be marked in a generation.
func (m *Map) Unstand(stripe uint32) { m.standing[stripe>>6] &^= 1 << (stripe & 63) }

// UnstandEach ends all that Stand has marked: a sweep over all keys is owed instead.
func (m *Map) UnstandEach() { clear(m.standing) }

// SetBarrier marks every stripe for a barrier that has not settled, or no longer.
func (m *Map) SetBarrier(on bool) { set(&m.words.barrier, on) }

// SetDoubt marks every stripe for what is under way and may change any key, or no longer.
func (m *Map) SetDoubt(on bool) { set(&m.words.doubt, on) }

func set(w *atomic.Uint64, on bool) {
	if on {
		w.Store(1)
	} else {
		w.Store(0)
	}
}

// Generation is the current one, 0 or 1.
func (m *Map) Generation() uint8 { return m.current }

// Turn clears the older generation, in which everything has settled, and makes it the current one.
func (m *Map) Turn() {
	older := 1 - m.current
	crashpoint.Reach(crashpoint.BeforeTurn)
	clear(m.generations[older])
	crashpoint.Reach(crashpoint.Cleared)
	m.current = older
	m.now = m.generations[older]
}

// SetSweep notes the number of the last sweep that was owed, and whether it still is. One more is not, then.
func (m *Map) SetSweep(number uint64, owed bool) {
	w := number << 1
	if owed {
		w |= 1
	}
	m.words.sweep.Store(w)
	m.words.again.Store(0)
}

// SetAgain notes that one more sweep is owed when the one that is has ended: what that has achieved so far is not
// enough.
func (m *Map) SetAgain() { m.words.again.Store(1) }

// Again reports whether SetAgain was called since SetSweep.
func (m *Map) Again() bool { return m.words.again.Load() != 0 }

// Sweep returns what SetSweep was last told, by this process or an earlier one.
func (m *Map) Sweep() (number uint64, owed bool) {
	w := m.words.sweep.Load()
	return w >> 1, w&1 != 0
}

// Expiring is the set of stripes in which a time to live may have been set; it is the caller's to change.
func (m *Map) Expiring() []uint64 { return m.expiring }

// Sides is the set of stripes of which the secondary has the truth: should the process end, marks there say that the
// primary's state is in doubt. It is the caller's to change.
func (m *Map) Sides() []uint64 { return m.sides }

// SetSide notes which side, 0 or 1, has the truth of what belongs to no key.
func (m *Map) SetSide(side uint8) { m.words.side.Store(uint64(side)) }

// Side returns what SetSide was last told, by this process or an earlier one.
func (m *Map) Side() uint8 { return uint8(m.words.side.Load() & 1) }

// Found is what an earlier process has left. It is in the older generation when the map is opened, and must stay there,
// so Turn must not be called, until it is worked off.
func (m *Map) Found() *Found { return &m.found }

// Held reports whether what was found is not worked off yet.
func (m *Map) Held() bool { return m.held }

// Release says that it is, or that something which finds it as well is noted as owed. It is marked no longer.
func (m *Map) Release() {
	if !m.held {
		return
	}
	m.held = false
	older := 1 - m.current // nothing else is in it: there was no turn
	clear(m.generations[older])
	m.words.found.Store(0)
}

// Marked returns how many stripes a crash would leave in doubt at this moment; all is true if it would be every one.
func (m *Map) Marked() (n int, all bool) {
	for i := range m.standing {
		n += bits.OnesCount64(m.generations[0][i] | m.generations[1][i] | m.standing[i])
	}
	_, owed := m.Sweep()
	return n, owed || m.words.all()
}

// all reports whether every stripe is marked.
func (w *words) all() bool {
	return w.found.Load() != 0 || w.barrier.Load() != 0 || w.doubt.Load() != 0
}

// Reopen returns the map that another process would find after this one was killed. It is for tests of maps without
// a file.
func (m *Map) Reopen() *Map {
	n := &Map{words: m.words, generations: m.generations, standing: m.standing, expiring: m.expiring, sides: m.sides}
	n.take()
	return n
}

// take gathers what was found in the older generation. Nothing is cleared before all of it is there.
func (m *Map) take() {
	w, into := m.words, m.generations[0]
	m.found = Found{All: w.all()}
	for i := range into {
		into[i] |= m.generations[1][i] | m.standing[i]
		m.found.Count += bits.OnesCount64(into[i])
	}
	if m.found.All {
		w.found.Store(1)
	}
	m.held = m.found.All || m.found.Count > 0
	if m.found.Count > 0 {
		m.found.Stripes = append([]uint64(nil), into...)
	}
	crashpoint.Reach(crashpoint.Folding)
	clear(m.generations[1])
	clear(m.standing)
	w.barrier.Store(0)
	w.doubt.Store(0)
	m.current, m.now = 1, m.generations[1]
}
