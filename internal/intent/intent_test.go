package intent

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

const stripes = 1 << 16

var options = Options{ID: "0123456789abcdef", Check: 42, Stripes: stripes}

// fixture opens maps on one file.
type fixture struct {
	t    *testing.T
	path string
}

func newFixture(t *testing.T) *fixture {
	return &fixture{t: t, path: filepath.Join(t.TempDir(), "intents")}
}

// open opens the map. What was open before is left as a killed process leaves it.
func (f *fixture) open(o Options) *Map {
	f.t.Helper()
	m, err := Open(f.path, o)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		if m.file != nil {
			_ = m.file.f.Close()
		}
	})
	return m
}

// used opens the map and has it like one in use: no sweep is owed, and stripe 7 is marked.
func (f *fixture) used() *Map {
	f.t.Helper()
	f.open(options)
	m := f.open(options)
	m.SetSweep(9, false)
	m.Release()
	m.Mark(7)
	return m
}

func (f *fixture) found(m *Map, want ...uint32) {
	f.t.Helper()
	got := m.Found()
	if got.All || got.Why != "" || got.Count != len(want) {
		f.t.Fatalf("found all %v (%q), %d stripes, want %v", got.All, got.Why, got.Count, want)
	}
	for _, x := range want {
		if got.Stripes[x>>6]&(1<<(x&63)) == 0 {
			f.t.Errorf("stripe %d is not among them", x)
		}
	}
}

// TestKilledProcessLeavesItsMarks: of each of the three sets, and the sweep that is owed.
func TestKilledProcessLeavesItsMarks(t *testing.T) {
	f := newFixture(t)
	m := f.used()
	m.Turn() // 7 is in the older generation now
	m.Mark(8)
	m.Stand(stripes - 1)
	m.Stand(9)
	m.Unstand(9)
	m.SetSweep(12, true)
	m.Expiring()[3] = 5

	m = f.open(options)
	f.found(m, 7, 8, stripes-1)
	if n, owed := m.Sweep(); n != 12 || !owed {
		t.Errorf("sweep %d, owed %v", n, owed)
	}
	if m.Expiring()[3] != 5 {
		t.Error("the stripes with a time to live are lost")
	}
	// They are found again until they are worked off, with what has come since.
	m.Mark(100)
	m = f.open(options)
	f.found(m, 7, 8, 100, stripes-1)
	if n, all := m.Marked(); n != 4 || !all {
		t.Errorf("%d marked, all %v, want 4, and all as a sweep is owed", n, all)
	}
	m.SetSweep(12, false)
	m.Release()
	m.Mark(200)
	f.found(f.open(options), 200)
}

func TestEverythingIsMarked(t *testing.T) {
	for name, mark := range map[string]func(m *Map){
		"by a barrier":            func(m *Map) { m.SetBarrier(true) },
		"by a barrier and turned": func(m *Map) { m.SetBarrier(true); m.Turn() },
		"by what nobody knows":    func(m *Map) { m.SetDoubt(true) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			mark(f.used())
			for range 2 {
				m := f.open(options)
				if got := m.Found(); !got.All || got.Why != "" {
					t.Errorf("found all %v (%q)", got.All, got.Why)
				}
				if _, all := m.Marked(); !all {
					t.Error("it is not marked any more")
				}
			}
		})
	}
}

// TestTurnForgetsTheOlderGeneration, and only that.
func TestTurnForgetsTheOlderGeneration(t *testing.T) {
	f := newFixture(t)
	m := f.used()
	m.SetBarrier(true)
	m.Turn()
	m.SetBarrier(false)
	m.Mark(8)
	m.Turn()
	if m.Generation() != 1 {
		t.Errorf("generation %d", m.Generation())
	}
	f.found(f.open(options), 8)
}

// rewrite changes the file of a map.
func (f *fixture) rewrite(change func(b []byte) []byte) {
	f.t.Helper()
	b, err := os.ReadFile(f.path)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(f.path, change(bytes.Clone(b)), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// headed changes the header, and makes its sum right.
func headed(change func(h *header)) func(b []byte) []byte {
	return func(b []byte) []byte {
		var h header
		if _, err := binary.Decode(b, binary.LittleEndian, &h); err != nil {
			panic(err)
		}
		change(&h)
		raw, err := binary.Append(nil, binary.LittleEndian, &h)
		if err != nil {
			panic(err)
		}
		binary.LittleEndian.PutUint32(raw[unsafe.Offsetof(h.Sum):], sum(raw))
		copy(b, raw)
		return b
	}
}

// TestWhatCannotBeBelievedMarksEverything and is said.
func TestWhatCannotBeBelievedMarksEverything(t *testing.T) {
	other := options
	other.ID = "fedcba9876543210"
	secret := options
	secret.Check++
	for _, x := range []struct {
		name   string
		change func(b []byte) []byte
		o      Options
		why    string
	}{
		{"a bit of the header is wrong", func(b []byte) []byte { b[30] ^= 1; return b }, options, "damaged"},
		{"it is something else", func(b []byte) []byte { return bytes.Repeat([]byte("x"), len(b)) }, options, "damaged"},
		{"it is empty", func([]byte) []byte { return nil }, options, "cut off"},
		{"it is cut off in the header", func(b []byte) []byte { return b[:100] }, options, "cut off"},
		{"it is cut off in the marks", func(b []byte) []byte { return b[:len(b)-1] }, options, "damaged"},
		{"it is too long", func(b []byte) []byte { return append(b, 0) }, options, "damaged"},
		{"another number of stripes", headed(func(h *header) { h.Stripes *= 2 }), options, "damaged"},
		{"another directory's", nil, other, "another state directory"},
		{"another secret", nil, secret, "another secret"},
		{"another boot", headed(func(h *header) { h.Boot[0] ^= 1 }), options, "the machine was started anew"},
	} {
		t.Run(x.name, func(t *testing.T) {
			f := newFixture(t)
			f.used()
			if x.change != nil {
				f.rewrite(x.change)
			}
			m := f.open(x.o)
			if got := m.Found(); !got.All || !strings.Contains(got.Why, x.why) {
				t.Errorf("found all %v (%q), want all, because %q", got.All, got.Why, x.why)
			}
			if got := f.open(x.o).Found(); !got.All {
				t.Error("the next process does not find it")
			}
		})
	}
}

func TestNewFileOwesASweep(t *testing.T) {
	f := newFixture(t)
	m := f.open(options)
	if got := m.Found(); !got.All || got.Why == "" {
		t.Errorf("found all %v (%q)", got.All, got.Why)
	}
	if n, owed := m.Sweep(); n == 0 || !owed {
		t.Errorf("sweep %d, owed %v", n, owed)
	}
	// A store into a hole of a full disk would end the process.
	var st syscall.Stat_t
	if err := syscall.Stat(f.path, &st); err != nil || st.Blocks*512 < size(options) {
		t.Errorf("%d of %d bytes are allocated, %v", st.Blocks*512, size(options), err)
	}
	if st.Mode&0o777 != 0o600 {
		t.Errorf("its mode is %o", st.Mode&0o777)
	}
}

// TestNewerFormatIsRefused, and left as it is.
func TestNewerFormatIsRefused(t *testing.T) {
	f := newFixture(t)
	f.used()
	f.rewrite(headed(func(h *header) { h.Format = Format + 1 }))
	before, _ := os.ReadFile(f.path)
	if _, err := Open(f.path, options); !errors.Is(err, ErrNewerFormat) || !strings.Contains(err.Error(), f.path) {
		t.Errorf("%v", err)
	}
	if after, _ := os.ReadFile(f.path); !bytes.Equal(before, after) {
		t.Error("the file was changed")
	}
}

// TestClosedMapOutlivesTheMachine: what was flushed is there after another boot, and only the first time.
func TestClosedMapOutlivesTheMachine(t *testing.T) {
	f := newFixture(t)
	if err := f.used().Close(); err != nil {
		t.Fatal(err)
	}
	f.rewrite(headed(func(h *header) { h.Boot[0] ^= 1 }))
	f.found(f.open(options), 7)
	f.rewrite(headed(func(h *header) { h.Boot[0] ^= 1 }))
	if got := f.open(options).Found(); !got.All {
		t.Error("a map that was in use when the machine ended is believed")
	}
}

// TestTruncationIsSeen before a store meets it.
func TestTruncationIsSeen(t *testing.T) {
	f := newFixture(t)
	m := f.used()
	if err := m.Look(); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(f.path, 3*page); err != nil {
		t.Fatal(err)
	}
	if err := m.Look(); !errors.Is(err, ErrChanged) {
		t.Errorf("%v", err)
	}
	m.Mark(stripes - 1) // this ends no process
	if err := m.Close(); !errors.Is(err, ErrChanged) {
		t.Errorf("close: %v", err)
	}
	if got := f.open(options).Found(); !got.All || got.Why == "" {
		t.Errorf("found all %v (%q)", got.All, got.Why)
	}
}

func TestMarkAllocatesNothing(t *testing.T) {
	m, x := newFixture(t).used(), uint32(0)
	if n := testing.AllocsPerRun(1000, func() { x = (x + 7919) % stripes; m.Mark(x) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkMark(b *testing.B) {
	m := NewMemory(1 << 20)
	x := uint32(0)
	for b.Loop() {
		x = (x*1664525 + 1013904223) & (1<<20 - 1)
		m.Mark(x)
	}
}

func BenchmarkTurn(b *testing.B) {
	m := NewMemory(1 << 20)
	for b.Loop() {
		m.Turn()
	}
}
