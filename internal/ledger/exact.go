package ledger

import "math/bits"

// exactSet remembers, during a sweep, which keys are exact. It is a cache in form: full buckets forget an
// old entry, which costs that key one more copy and nothing else. The zero Hash marks an empty place.
//
// Places are found by the bits of Hi, for those of Lo name the stripe.
type exactSet struct {
	buckets [][4]Hash // one cache line each
	mask    uint64
	turn    uint8
}

// size makes room for about n keys, or max if that is less, and forgets all.
func (s *exactSet) size(n, max int) {
	n = min(n, max)
	want := 1 << bits.Len(uint(n*4/3/4)) // buckets, three quarters full
	want = min(want, 1<<bits.Len(uint(max/4)))
	if len(s.buckets) == want {
		clear(s.buckets)
	} else {
		s.buckets = make([][4]Hash, want)
	}
	s.mask = uint64(want - 1)
}

// drop forgets all and gives the memory back.
func (s *exactSet) drop() { s.buckets = nil }

func (s *exactSet) has(h Hash) bool {
	if s.buckets == nil {
		return false
	}
	b := &s.buckets[h.Hi&s.mask]
	return b[0] == h || b[1] == h || b[2] == h || b[3] == h
}

func (s *exactSet) add(h Hash) {
	if s.buckets == nil {
		return
	}
	b := &s.buckets[h.Hi&s.mask]
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
	if s.buckets == nil {
		return
	}
	b := &s.buckets[h.Hi&s.mask]
	for i := range b {
		if b[i] == h {
			b[i] = Hash{}
		}
	}
}
