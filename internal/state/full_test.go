package state

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"
)

// Where the new content may not last, the old one is put back: the process goes on with the old state.
func TestAFailedSaveLeavesTheOldState(t *testing.T) {
	path := t.TempDir()
	d, s, err := Open(path, testPair)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	before := mustRead(t, filepath.Join(path, stateFile))
	fail := syscall.EIO
	d.syncDir = func(string) error { return fail }
	changed := *s
	changed.Phase = "reversed"
	if err := d.Save(changed); !errors.Is(err, syscall.EIO) {
		t.Fatalf("%v", err)
	}
	unchanged(t, path, before)
	fail = 0
	d.syncDir = syncDir
	if err := d.Save(changed); err != nil {
		t.Fatal(err)
	}
}
