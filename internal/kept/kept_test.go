package kept

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var options = Options{ID: "0123456789abcdef", Check: 42}

// build makes a list of entries, and returns the path of its file.
func build(t *testing.T, entries ...Entry) (*List, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kept")
	b, err := Build(path, options)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := b.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	l, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(path + ".*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	return l, path
}

// reopen opens a list as the next process finds it, after this one was killed.
func reopen(t *testing.T, path string) *List {
	t.Helper()
	l, err := Open(path, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.file.f.Close() })
	return l
}

func randomEntries(n int, seed uint64) []Entry {
	r := rand.New(rand.NewPCG(seed, 0))
	out := make([]Entry, n)
	for i := range out {
		out[i] = Entry{Hash: Hash{Lo: r.Uint64(), Hi: r.Uint64()}, DB: int32(r.IntN(3) * 5), Kind: Kept + Kind(r.IntN(2))}
		if i%7 == 0 {
			out[i].Hash.Hi &= 0xff // crowded into one bucket
		}
	}
	return out
}

// Keys are found in a list as it was made, in one that the next process opens, and in one without a file; others are not.
func TestKeysAreFound(t *testing.T) {
	for _, n := range []int{1, 2, 63, 64, 65, 5000} {
		entries := randomEntries(n, uint64(n))
		made, path := build(t, append(slices.Clone(entries), entries[:n/2]...)...) // some are met twice
		for name, l := range map[string]*List{"made": made, "opened": reopen(t, path), "memory": NewMemory(entries...)} {
			if l.Left() != n {
				t.Errorf("%d keys, %s: %d left", n, name, l.Left())
			}
			for _, e := range entries {
				if got := l.Find(e.Hash); got != e.Kind {
					t.Fatalf("%d keys, %s: %v is %d, want %d", n, name, e.Hash, got, e.Kind)
				}
				for _, other := range []Hash{{e.Hash.Lo + 1, e.Hash.Hi}, {e.Hash.Lo, e.Hash.Hi + 1}, {e.Hash.Hi, e.Hash.Lo}} {
					if l.Find(other) != No {
						t.Fatalf("%d keys, %s: %v is kept, and was never added", n, name, other)
					}
				}
			}
		}
	}
}

// A list of nothing is none.
func TestAnEmptyListIsNone(t *testing.T) {
	l, path := build(t)
	if l != nil {
		t.Errorf("%+v", l)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a file: %v", err)
	}
}

// What has left stays away from a process that was killed, without anything having been written for it.
func TestWhoHasLeftDoesNotComeBack(t *testing.T) {
	entries := randomEntries(500, 1)
	l, path := build(t, entries...)
	gone := map[Hash]bool{}
	for i, e := range entries {
		if i%3 == 0 {
			if before := l.Asked(); !l.Release(e.Hash) || l.Asked() != before+1 {
				t.Fatalf("%v was not released", e)
			}
			gone[e.Hash] = true
		}
		if gone[e.Hash] && l.Release(e.Hash) {
			t.Fatalf("%v was released twice", e)
		}
	}
	for range 2 {
		l = reopen(t, path)
		for _, e := range entries {
			if is := l.Find(e.Hash) != No; is == gone[e.Hash] {
				t.Fatalf("%v is kept: %v", e, is)
			}
		}
		if l.Left() != len(entries)-len(gone) {
			t.Errorf("%d left", l.Left())
		}
	}
}

// A database's keys leave at once, and no others.
func TestADatabaseLeaves(t *testing.T) {
	entries := randomEntries(1000, 2)
	l, path := build(t, entries...)
	if !l.Holds(5) || l.Holds(4) {
		t.Errorf("holds 5: %v, 4: %v", l.Holds(5), l.Holds(4))
	}
	before := l.Asked()
	l.ReleaseDB(5)
	if l.Asked() == before || l.Holds(5) {
		t.Errorf("asked %d, holds 5: %v", l.Asked(), l.Holds(5))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = reopen(t, path)
	left := 0
	for _, e := range entries {
		if is := l.Find(e.Hash) != No; is != (e.DB != 5) {
			t.Fatalf("%v is kept: %v", e, is)
		} else if is {
			left++
		}
	}
	if l.Left() != left || l.Holds(5) || !l.Holds(0) {
		t.Errorf("%d left, want %d; holds 5: %v", l.Left(), left, l.Holds(5))
	}
}

// A key that was listed in both kinds leaves in both.
func TestAKeyOfTwoKindsLeavesWhole(t *testing.T) {
	h := Hash{1, 2}
	l, _ := build(t, Entry{h, 0, Kept}, Entry{h, 0, Alone})
	if !l.Release(h) || l.Find(h) != No || l.Left() != 0 {
		t.Errorf("found %d, %d left", l.Find(h), l.Left())
	}
}

// A file that is not what was written is not used: nobody could tell which keys are to be kept.
func TestADamagedFileIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(path string) error
		o      Options
		want   error
		says   string
	}{
		"missing":           {damage: os.Remove, want: ErrDamaged, says: "missing"},
		"empty":             {damage: func(p string) error { return os.Truncate(p, 0) }, want: ErrDamaged, says: "cut off"},
		"cut off":           {damage: func(p string) error { return os.Truncate(p, 2*page+100) }, want: ErrDamaged, says: "instead of"},
		"something else":    {damage: poke(0, 'x'), want: ErrDamaged, says: "something else"},
		"header":            {damage: poke(60, 'x'), want: ErrDamaged, says: "header"},
		"table":             {damage: poke(page+3, 'x'), want: ErrDamaged, says: "table"},
		"a key":             {damage: poke(2*page+1234, 'x'), want: ErrDamaged, says: "keys"},
		"newer format":      {damage: poke(8, 2), want: ErrNewerFormat, says: "2, this program knows 1"},
		"another directory": {o: Options{ID: "other", Check: 42}, want: ErrDamaged, says: "another state directory"},
		"another secret":    {o: Options{ID: options.ID, Check: 43}, want: ErrDamaged, says: "another state directory"},
	} {
		t.Run(name, func(t *testing.T) {
			l, path := build(t, randomEntries(1000, 3)...)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if c.damage != nil {
				if err := c.damage(path); err != nil {
					t.Fatal(err)
				}
			}
			if c.o.ID == "" {
				c.o = options
			}
			if _, err := Open(path, c.o); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("%v", err)
			}
		})
	}
}

// poke changes one byte of a file.
func poke(at int64, to byte) func(path string) error {
	return func(path string) error {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.WriteAt([]byte{to}, at)
		return err
	}
}

// A file that somebody truncates is noticed before a lookup meets what is missing.
func TestATruncatedFileIsNoticed(t *testing.T) {
	l, path := build(t, randomEntries(1000, 4)...)
	if err := l.Look(); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, page); err != nil {
		t.Fatal(err)
	}
	if err := l.Look(); !errors.Is(err, ErrChanged) {
		t.Errorf("%v", err)
	}
}

// What the making of a list has left is no list, and is removed by the next.
func TestAnUnfinishedListIsNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kept")
	for range 2 {
		b, err := Build(path, options)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Add(Entry{Hash{1, 1}, 0, Kept}); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, options); !errors.Is(err, ErrDamaged) {
			t.Errorf("%v", err)
		}
	}
	if err := Remove(path); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(path + "*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A report stays with its key, over a kill -9, until it is settled or the key leaves; the key itself stays on the list.
func TestAReportStaysWithItsKey(t *testing.T) {
	entries := randomEntries(500, 6)
	l, path := build(t, entries...)
	reported := map[Hash]bool{}
	check := func(what string, l *List) {
		t.Helper()
		for _, e := range entries {
			if l.Reported(e.Hash) != reported[e.Hash] {
				t.Fatalf("%s: %v is reported: %v", what, e, l.Reported(e.Hash))
			}
		}
	}
	for i, e := range entries {
		if i%3 > 0 {
			l.Report(e.Hash)
			l.Report(e.Hash)
			reported[e.Hash] = true
		}
	}
	l.Report(Hash{1, 1}) // not on the list
	check("reported", l)
	if l.Left() != len(entries) || l.Asked() != 0 {
		t.Errorf("%d left, %d asked", l.Left(), l.Asked())
	}
	for i, e := range entries {
		switch i % 4 {
		case 0:
			l.Settle(e.Hash)
		case 1:
			l.Release(e.Hash)
		default:
			continue
		}
		delete(reported, e.Hash)
	}
	check("settled", l)
	left := l.Left()
	l = reopen(t, path)
	check("opened", l)
	if l.Left() != left || l.reports != len(reported) {
		t.Errorf("%d left, want %d; %d reports, want %d", l.Left(), left, l.reports, len(reported))
	}
	clear(reported)
	if !l.SettleEach() || l.SettleEach() {
		t.Error("all are settled once")
	}
	check("all settled", l)
	check("opened again", reopen(t, path))
}

// What is brought to disk begins where a page of memory does, however long those are, and leaves out nothing that changes.
func TestWhatIsBroughtToDiskBeginsAtAPageOfMemory(t *testing.T) {
	l, _ := build(t, randomEntries(5000, 7)...)
	for _, pageBytes := range []int{page, 4 * page, 16 * page} {
		from := int64(len(l.file.data) - len(l.file.changing(pageBytes)))
		if from%int64(pageBytes) != 0 || from > l.file.bits || l.file.bits-from >= int64(pageBytes) {
			t.Errorf("pages of %d bytes: from %d on, and the bits begin at %d", pageBytes, from, l.file.bits)
		}
	}
	if l.file.bits%(16*page) == 0 {
		t.Errorf("the bits begin at %d, at such a page", l.file.bits)
	}
}

// BenchmarkFind looks up keys in a list of a million, half of which are on it.
func BenchmarkFind(b *testing.B) {
	path := filepath.Join(b.TempDir(), "kept")
	builder, err := Build(path, options)
	if err != nil {
		b.Fatal(err)
	}
	entries := randomEntries(1_000_000, 5)
	for i := range entries {
		entries[i].DB, entries[i].Kind = 0, Kept
		if err := builder.Add(entries[i]); err != nil {
			b.Fatal(err)
		}
	}
	l, err := builder.Finish()
	if err != nil {
		b.Fatal(err)
	}
	i := 0
	for b.Loop() {
		h := entries[i%len(entries)].Hash
		h.Lo ^= uint64(i & 1)
		if l.Find(h) == No && i&1 == 0 {
			b.Fatal("not found")
		}
		i += 7919
	}
	b.ReportMetric(float64(binary.Size(Hash{})), "bytes/key")
}
