package ledger

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"
	"time"
)

// What a key costs in the sets that grow with the keyspace, for the formulas in docs/performance.md: at a million keys and at ten,
// from which 100 million are extrapolated. bytes/key is of the heap, names included.

// sizes are the numbers of keys that are measured. The last of them, for the dirty set, needs 2.5 GB.
var sizes = []int{1_000_000, 10_000_000}

// BenchmarkExactSet adds keys, as a sweep does, and looks for them and for others, as each write does that is not blind.
func BenchmarkExactSet(b *testing.B) {
	for _, keys := range sizes {
		hashes := hashesOf(keys)
		set, bytes := heapOf(func() *exactSet {
			s := new(exactSet)
			s.size(keys, keys)
			for _, h := range hashes {
				s.add(h)
			}
			return s
		})
		for _, x := range []struct {
			name string
			do   func(h Hash)
		}{
			{"add", set.add},
			{"has", func(h Hash) { set.has(h) }},
			{"miss", func(h Hash) { set.has(Hash{Lo: h.Lo, Hi: ^h.Hi}) }},
		} {
			b.Run(fmt.Sprintf("op=%s/keys=%d", x.name, keys), func(b *testing.B) {
				i := 0
				for b.Loop() {
					x.do(hashes[i])
					if i++; i == keys {
						i = 0
					}
				}
				b.ReportMetric(float64(bytes)/float64(keys), "bytes/key")
			})
		}
		runtime.KeepAlive(set)
	}
}

// BenchmarkDirtySet is the same for keys that are owed a copy, with names of 40 bytes. A key is looked for before each write.
func BenchmarkDirtySet(b *testing.B) {
	const nameBytes = 40
	for _, keys := range sizes {
		l := New(Options{Hasher: Hasher{1, 2}, MaxDirty: 1 << 30, MaxExact: 1, Now: func() int64 { return time.Now().UnixNano() }})
		name := make([]byte, nameBytes)
		key := func(i int) *Key {
			binary.BigEndian.PutUint64(name, uint64(i))
			return &Key{Hash: l.Hash(0, name), Name: name, Write: true}
		}
		began := processorTime()
		_, bytes := heapOf(func() *dirtySet {
			for i := range keys {
				l.MakeDirty(key(i))
			}
			return &l.dirty
		})
		each := float64(processorTime()-began) / float64(keys)
		for _, x := range []struct {
			name string
			from int
		}{{"has", 0}, {"miss", keys}} {
			b.Run(fmt.Sprintf("op=%s/keys=%d", x.name, keys), func(b *testing.B) {
				i := 0
				for b.Loop() {
					l.dirty.of(key(x.from + i).Hash)
					if i++; i == keys {
						i = 0
					}
				}
				b.ReportMetric(float64(bytes)/float64(keys), "bytes/key")
				b.ReportMetric(each, "cpu-ns/added")
			})
		}
	}
}

// BenchmarkNew is what a ledger costs before there is a key, whatever their number will be.
func BenchmarkNew(b *testing.B) {
	var bytes int64
	for b.Loop() {
		var l *Ledger
		l, bytes = heapOf(func() *Ledger { return New(Options{MaxDirty: 1, MaxExact: 1, Now: func() int64 { return 0 }}) })
		runtime.KeepAlive(l)
	}
	b.ReportMetric(float64(bytes), "bytes/ledger")
}

func hashesOf(keys int) []Hash {
	h, name := Hasher{1, 2}, make([]byte, 16)
	all := make([]Hash, keys)
	for i := range all {
		binary.BigEndian.PutUint64(name, uint64(i))
		all[i] = h.Sum(0, name)
	}
	return all
}
