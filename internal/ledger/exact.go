package ledger

import "math/bits"

// exactSet remembers, during a sweep, which keys are exact. It is a cache in form: full buckets forget an
// old entry, which costs that key one more copy and nothing else. The zero Hash marks an empty place.
//
// Places are found by the bits of Hi, for those of Lo name the stripe. All is forgotten at once, whatever the
// size, by beginning a new generation: a region of an older one is empty, and cleared when it is next used.
type exactSet struct {
	buckets [][4]Hash // one cache line each
	mask    uint64
	turn    uint8
	gen     uint32
	regions []uint32 // the generation of each
}

// regionBits is the binary logarithm of a region's buckets: it has 64 KiB.
const regionBits = 10

// size makes room for about n keys, or max if that is less, and forgets all. A key takes 43 bytes at most.
func (s *exactSet) size(n, max int) {
	n = min(n, max)
	want := 1 << bits.Len(uint(n*4/3/4)) // buckets, three quarters full
	want = min(want, 1<<bits.Len(uint(max/4)))
	if s.gen++; len(s.buckets) != want || s.gen == 0 {
		s.buckets = make([][4]Hash, want)
		s.regions = make([]uint32, (want+1<<regionBits-1)>>regionBits)
		s.gen = 0
	}
	s.mask = uint64(want - 1)
}

// drop forgets all and gives the memory back.
func (s *exactSet) drop() { *s = exactSet{} }

// bucket returns where h is, if it is there; nil if nothing is.
func (s *exactSet) bucket(h Hash) *[4]Hash {
	if s.buckets == nil {
		return nil
	}
	i := h.Hi & s.mask
	if s.regions[i>>regionBits] != s.gen {
		return nil
	}
	return &s.buckets[i]
}

func (s *exactSet) has(h Hash) bool {
	b := s.bucket(h)
	return b != nil && (b[0] == h || b[1] == h || b[2] == h || b[3] == h)
}

func (s *exactSet) add(h Hash) {
	if s.buckets == nil {
		return
	}
	i := h.Hi & s.mask
	if r := i >> regionBits; s.regions[r] != s.gen {
		clear(s.buckets[r<<regionBits : min((r+1)<<regionBits, uint64(len(s.buckets)))])
		s.regions[r] = s.gen
	}
	b := &s.buckets[i]
	free := -1
	for i := range b {
		if b[i] == h {
			return
		}
		if b[i] == (Hash{}) {
			free = i
		}
	}
	if free < 0 {
		s.turn++
		free = int(s.turn & 3)
	}
	b[free] = h
}

func (s *exactSet) remove(h Hash) {
	b := s.bucket(h)
	if b == nil {
		return
	}
	for i := range b {
		if b[i] == h {
			b[i] = Hash{}
		}
	}
}
