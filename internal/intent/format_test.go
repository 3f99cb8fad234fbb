package intent

import (
	"os"
	"path/filepath"
	"testing"
)

// TestFormatBeforeIsExtended: a file without sides, made by an older version, keeps what it says.
func TestFormatBeforeIsExtended(t *testing.T) {
	for name, size := range map[string]int64{"whole": sizeBefore(options), "extended in part": sizeBefore(options) + 100} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "intents")
			m, err := Open(path, options)
			if err != nil {
				t.Fatal(err)
			}
			m.Release() // it was new
			m.SetSweep(7, false)
			m.Mark(3)
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			old := options
			raw, err := old.encodeAs(1, bootID())
			if err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt(raw, 0); err != nil {
				t.Fatal(err)
			}
			if err := f.Truncate(size); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			m, err = Open(path, options)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if n, _ := m.Sweep(); n != 7 || m.Found().All || m.Found().Count != 1 {
				t.Errorf("sweep %d, found all: %v, %d stripes", n, m.Found().All, m.Found().Count)
			}
			for _, w := range m.Sides() {
				if w != 0 {
					t.Fatal("a stripe has changed sides")
				}
			}
			m.Sides()[0] = 1
		})
	}
}
