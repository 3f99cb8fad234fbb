package ledger

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// TestArenaDoesNotAlias hands out and takes back pieces as names do, in order, each filled with what nobody
// else has.
func TestArenaDoesNotAlias(t *testing.T) {
	type piece struct {
		mem   []byte
		block *block
		fill  byte
	}
	rapid.Check(t, func(t *rapid.T) {
		var a arena
		var live []piece
		fill := byte(0)
		check := func(p piece) {
			if !bytes.Equal(p.mem, bytes.Repeat([]byte{p.fill}, len(p.mem))) {
				t.Fatal("a piece was overwritten")
			}
		}
		size := rapid.OneOf(rapid.IntRange(0, 200), rapid.IntRange(blockSize/5, blockSize/4+1), rapid.Just(blockSize))
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			if len(live) > 0 && rapid.IntRange(0, 2).Draw(t, "what") == 0 {
				for range rapid.IntRange(1, len(live)).Draw(t, "gone") {
					check(live[0])
					a.release(live[0].block)
					live = live[1:]
				}
				continue
			}
			n := size.Draw(t, "size")
			m, b := a.alloc(n)
			if len(m) != n || cap(m) != n {
				t.Fatalf("%d bytes with room for %d, want %d", len(m), cap(m), n)
			}
			fill++
			for i := range m {
				m[i] = fill
			}
			live = append(live, piece{m, b, fill})
		}
		for _, p := range live {
			check(p)
			a.release(p.block)
		}
		if a.cur != nil && (a.cur.live != 0 || a.cur.used != 0) {
			t.Fatalf("%d pieces are alive", a.cur.live)
		}
		for _, b := range a.free {
			if b.live != 0 || b.used != 0 || b == a.cur {
				t.Fatal("a block is free and in use")
			}
		}
	})
}

// TestArenaReusesItsBlocks: in the steady state nothing is allocated, and a burst is given back.
func TestArenaReusesItsBlocks(t *testing.T) {
	var a arena
	var live []*block
	pass := func() {
		_, b := a.alloc(100)
		live = append(live, b)
		if len(live) > 5000 { // eight blocks
			a.release(live[0])
			copy(live, live[1:])
			live = live[:len(live)-1]
		}
	}
	live = make([]*block, 0, 6000)
	for range 20_000 {
		pass()
	}
	if n := testing.AllocsPerRun(20_000, pass); n != 0 {
		t.Errorf("%v allocations", n)
	}
	for range 200_000 { // 20 MB
		_, b := a.alloc(100)
		live = append(live, b)
	}
	for _, b := range live {
		a.release(b)
	}
	if n := len(a.free); n > 64 {
		t.Errorf("%d blocks are kept", n)
	}
}
