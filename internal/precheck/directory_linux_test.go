package precheck

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// A directory that belongs to somebody else is no place for the state, and is one as soon as it may be written.
func TestStateDirectoryOfSomebodyElse(t *testing.T) {
	dir, err := os.MkdirTemp("", "tandem-state-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	at := filepath.Join(dir, "state")
	look := func(mode os.FileMode) *Report {
		t.Helper()
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		f := asNobody(t, func() finding { return stateDirectory(t.Context(), &run{Options: Options{StateDir: at}}, nil) })
		saw("state_directory", f)
		return &Report{Items: []Item{{Name: "state_directory", Status: f.status, Found: f.found, Remedy: f.remedy}}}
	}
	r := look(0o555)
	r.expect(t, "state_directory", Failed, "permission denied", "let Tandem's user write there")
	look(0o777).cured(t, r, "state_directory")
}

// asNobody looks as a user without rights. A thread of its own has that user, and ends with the look.
func asNobody(t *testing.T, look func() finding) finding {
	if os.Getuid() != 0 {
		return look()
	}
	found := make(chan finding, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, 65534, 65534, 65534); errno != 0 {
			found <- failed("", "another user cannot be had: %v", errno)
			return
		}
		found <- look()
	}()
	f := <-found
	if strings.Contains(f.found, "cannot be had") {
		t.Fatal(f.found)
	}
	return f
}
