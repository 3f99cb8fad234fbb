package ledger

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// heapOf is how many bytes of the heap something keeps that make makes.
func heapOf[T any](make func() T) (kept T, bytes int64) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	kept = make()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return kept, int64(after.HeapAlloc) - int64(before.HeapAlloc)
}

// What docs/reliability.md says of the two bounds, apart from each other, at the bound. A collection by Go's collector may
// need as much again for a moment, which is not part of it.
func TestMemoryAtItsBounds(t *testing.T) {
	const nameBytes = 40
	l := New(Options{Hasher: Hasher{1, 2}, MaxDirty: 1 << 30, MaxExact: 1 << 30, Now: func() int64 { return time.Now().UnixNano() }})
	for _, keys := range []int{100_000, 1 << 18} {
		_, bytes := heapOf(func() *dirtySet {
			for i := range keys {
				name := fmt.Appendf(nil, "%0*d", nameBytes, i)
				if l.MakeDirty(&Key{Hash: l.Hash(0, name), Name: name, Write: true}) == nil {
					t.Fatal("it overflowed")
				}
			}
			return &l.dirty
		})
		perKey := float64(bytes) / float64(keys)
		t.Logf("%d dirty keys with names of %d bytes: %.0f bytes each", keys, nameBytes, perKey)
		if ceiling := float64(dirtyBytes + nameBytes); perKey > 1.1*ceiling {
			t.Errorf("%d dirty keys take %.0f bytes each, more than %.0f", keys, perKey, ceiling)
		}
		_, rest := heapOf(func() int { l.forgetDirty(); return 0 })
		if left := bytes + rest; left > bytes/10 {
			t.Errorf("%d of %d bytes are kept when the dirty keys are forgotten", left, bytes)
		}
	}
	for _, keys := range []int{100_000, 1 << 18, 300_000, 1<<19 - 1} {
		set, bytes := heapOf(func() *exactSet {
			s := new(exactSet)
			s.size(keys, keys)
			for i := range keys {
				s.add(l.Hash(0, fmt.Appendf(nil, "%d", i)))
			}
			return s
		})
		remembered := 0
		for i := range keys {
			if set.has(l.Hash(0, fmt.Appendf(nil, "%d", i))) {
				remembered++
			}
		}
		perKey := float64(bytes) / float64(keys)
		t.Logf("%d exact keys: %.1f bytes each, %.1f %% of them are remembered", keys, perKey, 100*float64(remembered)/float64(keys))
		if perKey > 1.1*exactBytes {
			t.Errorf("%d exact keys take %.1f bytes each, more than %d", keys, perKey, exactBytes)
		}
		if remembered < keys*3/4 {
			t.Errorf("only %d of %d exact keys are remembered", remembered, keys)
		}
	}
}

// As in docs/reliability.md.
const (
	dirtyBytes = 230 // and the name
	exactBytes = 32
)
