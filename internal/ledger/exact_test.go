package ledger

import (
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// TestExactSetAgainstAMap: it may forget, but never claims what was not added, or was removed or forgotten
// since.
func TestExactSetAgainstAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s exactSet
		size := func() {
			s.size(rapid.IntRange(1, 20_000).Draw(t, "keys"), rapid.IntRange(1, 10_000).Draw(t, "max"))
		}
		model := map[Hash]bool{}
		h := rapid.Custom(func(t *rapid.T) Hash {
			// Few values, so that keys meet again; high and low bits, so that regions and buckets do.
			return Hash{
				Lo: rapid.Uint64Range(0, 2).Draw(t, "lo"),
				Hi: 1 + rapid.Uint64Range(0, 12).Draw(t, "bucket")<<rapid.SampledFrom([]int{0, 9, 11, 40}).Draw(t, "shift"),
			}
		})
		size()
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			x := h.Draw(t, "hash")
			switch rapid.IntRange(0, 20).Draw(t, "what") {
			case 0:
				s.drop()
				clear(model)
				if s.add(x); s.has(x) {
					t.Fatal("a dropped set remembers")
				}
				size()
			case 1, 2:
				size()
				clear(model)
			case 3, 4, 5, 6, 7:
				s.remove(x)
				delete(model, x)
			default:
				s.add(x)
				model[x] = true
				if !s.has(x) {
					t.Fatalf("%v was just added", x)
				}
			}
			if y := h.Draw(t, "asked"); s.has(y) && !model[y] {
				t.Fatalf("%v is not in it", y)
			}
		}
	})
}

// TestExactSetIsBoundedAndForgetsLittle: as many keys as it was sized for mostly stay, and ten times as many
// take no more room.
func TestExactSetIsBoundedAndForgetsLittle(t *testing.T) {
	const n = 200_000
	random := rand.New(rand.NewPCG(1, 2))
	keys := make([]Hash, 10*n)
	for i := range keys {
		keys[i] = Hash{random.Uint64(), random.Uint64()}
	}
	var s exactSet
	s.size(n, 1<<30)
	kept := func(keys []Hash) (k int) {
		for _, h := range keys {
			if s.has(h) {
				k++
			}
		}
		return k
	}
	for _, h := range keys[:n] {
		s.add(h)
	}
	if k := kept(keys[:n]); k < n*8/10 {
		t.Errorf("%d of %d keys are remembered", k, n)
	}
	for _, h := range keys {
		s.add(h)
	}
	if k, room := kept(keys), 4*len(s.buckets); k > room || room > 43*n/16 {
		t.Errorf("%d keys are remembered, with room for %d", k, room)
	}
	s.size(n, n/4)
	if room := 4 * len(s.buckets); room > 43*n/4/16 {
		t.Errorf("room for %d keys, more than the bound allows", room)
	}
}

// TestExactSetForgetsAtOnce: an owed sweep is declared with the shard's lock held.
func TestExactSetForgetsAtOnce(t *testing.T) {
	var s exactSet
	s.size(1<<20, 1<<20)
	h := Hash{3, 4}
	for range 3 {
		s.add(h)
		if n := testing.AllocsPerRun(1, func() { s.size(1<<20, 1<<20) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
		if s.has(h) {
			t.Error("it remembers")
		}
	}
}
