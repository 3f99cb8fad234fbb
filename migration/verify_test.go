package migration

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"tandem/internal/admin"
	"tandem/internal/status"
)

// newFiles are files of a verify in a directory of its own.
func newFiles(t *testing.T) verifyFiles {
	t.Helper()
	return verifyFiles{dir: t.TempDir(), id: "1", log: slog.New(slog.DiscardHandler)}
}

func TestVerifiesAreBounded(t *testing.T) {
	var vs verifies
	present := func() *link { return nil }
	var all []*verify
	for range maxRunning {
		v := &verify{state: status.Running}
		if err := vs.begin(v, nil, present); err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	var refused *admin.Refused
	if err := vs.begin(&verify{state: status.Running}, nil, present); !errors.As(err, &refused) {
		t.Errorf("one too many: %v", err)
	}
	all[1].end(nil)
	if err := vs.begin(&verify{state: status.Running}, nil, present); err != nil {
		t.Error(err)
	}
}

func TestListedDifferencesAreBounded(t *testing.T) {
	v := &verify{state: status.Running, files: newFiles(t)}
	defer v.files.close(true)
	huge := status.Difference{Key: []byte(strings.Repeat("k", maxListedBytes/4))}
	for range 10 {
		v.add(huge)
	}
	v.add(status.Difference{Key: []byte("k")})
	if v.count != 11 || len(v.found) != 4 {
		t.Errorf("%d counted, %d listed", v.count, len(v.found))
	}
}

// A swap ends the verifies while it holds clients: it does not wait for the disk.
func TestAVerifyEndsWithoutItsFiles(t *testing.T) {
	vs := &verifies{}
	v := &verify{vs: vs, state: status.Running, files: newFiles(t), cancel: func(error) {}}
	defer v.files.close(true)
	vs.all = append(vs.all, v)
	// The list is on a disk that takes nothing: a pipe which nobody reads to its end.
	if err := syscall.Mkfifo(v.files.path(listSuffix), 0o600); err != nil {
		t.Fatal(err)
	}
	disk, err := os.OpenFile(v.files.path(listSuffix), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		v.add(status.Difference{Key: []byte(strings.Repeat("k", 1<<20))})
	}()
	if _, err := disk.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		vs.stop(errSwapped)
	}()
	select {
	case <-stopped:
	case <-time.After(10 * time.Second):
		t.Error("it waits for a file")
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(io.Discard, disk)
	}()
	<-written
	if err := disk.Close(); err != nil {
		t.Error(err)
	}
	<-read
	<-stopped
	v.add(status.Difference{Key: []byte("later")}) // of roles that are no more
	if v.count != 1 {
		t.Errorf("%d counted", v.count)
	}
}
