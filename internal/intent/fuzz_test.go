package intent

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// FuzzFile: whatever a file holds, it is opened, made anew with everything marked, or refused as of a newer format, and
// then left as it is.
func FuzzFile(f *testing.F) {
	o := Options{ID: "00112233445566aa", Check: 42, Stripes: 64}
	dir := f.TempDir()
	path := filepath.Join(dir, "seed")
	m, err := Open(path, o)
	if err != nil {
		f.Fatal(err)
	}
	m.Mark(3)
	if err := m.Close(); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, uint16(0), byte(0))
	f.Add(good, uint16(8), byte(9))   // a newer format
	f.Add(good, uint16(16), byte(1))  // other stripes
	f.Add(good, uint16(24), byte(1))  // another directory
	f.Add(good, uint16(512), byte(1)) // words
	f.Add(good[:100], uint16(0), byte(0))
	f.Add(good[:len(good)-1], uint16(0), byte(0))
	f.Add([]byte{}, uint16(0), byte(0))
	f.Fuzz(func(t *testing.T, content []byte, at uint16, flip byte) {
		if int(at) < len(content) {
			content[at] ^= flip
		}
		file := filepath.Join(t.TempDir(), "intent")
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := Open(file, o)
		if err != nil {
			after, readErr := os.ReadFile(file)
			if !errors.Is(err, ErrNewerFormat) || readErr != nil || string(after) != string(content) {
				t.Fatalf("%v (%v), changed: %v", err, readErr, string(after) != string(content))
			}
			return
		}
		if found := m.Found(); found.Why != "" && !found.All {
			t.Fatalf("%q, and not everything is marked", found.Why)
		}
		if err := m.Look(); err != nil {
			t.Fatal(err)
		}
		m.Mark(63)
		m.Turn()
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		if m, err = Open(file, o); err != nil || m.Found().Why != "" {
			t.Fatalf("what was made cannot be opened: %v", err)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
