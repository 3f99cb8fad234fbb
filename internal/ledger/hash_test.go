package ledger

import "testing"

// TestHasherIsStable: stripes are on disk, so a key's hash must be the same for ever. The first is the first
// of SipHash's own test vectors.
func TestHasherIsStable(t *testing.T) {
	h := Hasher{K0: 0x0706050403020100, K1: 0x0f0e0d0c0b0a0908}
	for _, x := range []struct {
		db   int
		name string
		want Hash
	}{
		{0, "", Hash{0xe6a825ba047f81a3, 0x930255c71472f66d}},
		{0, "a", Hash{0xd921ad02fbf2a40e, 0x2664f28416c95f2d}},
		{1, "a", Hash{0x1d43a6f1f2d322d, 0x72c45f84fcbe77ed}},
		{15, "a", Hash{0x33f77f129ac2b311, 0xdc490fb68bb083dc}},
		{0, "user:1000:profile", Hash{0x3ff4209f348b3d72, 0xdd0d8c134a1c3296}},
		{0, "\x00\xff", Hash{0x39ecf243078e2b7a, 0xf25345ce2c3e247e}},
	} {
		if got := h.Sum(x.db, []byte(x.name)); got != x.want {
			t.Errorf("{%d, %q, Hash{%#x, %#x}},", x.db, x.name, got.Lo, got.Hi)
		}
	}
}

// TestHasherTellsApart: keys, databases and secrets.
func TestHasherTellsApart(t *testing.T) {
	seen := map[Hash]string{}
	stripes := map[uint32]int{}
	for _, h := range []Hasher{{1, 2}, {2, 1}, {1, 3}} {
		for db := range 16 {
			for i := range 200 {
				name := string([]byte{byte(i), 'k'})
				x := h.Sum(db, []byte(name))
				if was, ok := seen[x]; ok {
					t.Fatalf("%s and db %d key %q have one hash", was, db, name)
				}
				seen[x] = name
				stripes[x.Stripe()]++
			}
		}
	}
	for s, n := range stripes {
		if s >= Stripes || n > 5 {
			t.Fatalf("stripe %d has %d of %d keys", s, n, len(seen))
		}
	}
}
