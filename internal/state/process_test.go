package state

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// childRole names what this test binary does when a test runs it again, and childDir the directory it does it
// in. A lock, a crash and a file size limit are a process' own.
const (
	childRole = "STATE_TEST_CHILD"
	childDir  = "STATE_TEST_DIR"
)

var children = map[string]func(dir string) error{
	"hold":     holdLock,
	"crash":    crashBeforeRename,
	"full":     saveOnFullDisk,
	"readonly": openWithoutRights,
}

func TestMain(m *testing.M) {
	role := os.Getenv(childRole)
	if role == "" {
		os.Exit(m.Run())
	}
	if err := children[role](os.Getenv(childDir)); err != nil {
		fmt.Println("child:", err)
		os.Exit(1)
	}
}

// child runs this binary again, in a role.
func child(t *testing.T, role, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childRole+"="+role, childDir+"="+dir)
	cmd.Stderr = os.Stderr
	return cmd
}

func holdLock(dir string) error {
	d, _, err := Open(dir, testPair)
	if err != nil {
		return err
	}
	defer d.Close()
	fmt.Println("held")
	_, err = io.Copy(io.Discard, os.Stdin) // until the test closes it, or kills us
	return err
}

func TestASecondProcessIsRefusedUntilTheFirstIsDead(t *testing.T) {
	dir := t.TempDir()
	cmd := child(t, "hold", dir)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "held\n" {
		t.Fatalf("child says %q, %v", line, err)
	}
	before := mustRead(t, filepath.Join(dir, stateFile))
	_, _, err = Open(dir, testPair)
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", cmd.Process.Pid)) {
		t.Fatalf("got %v, want ErrLocked by process %d", err, cmd.Process.Pid)
	}
	unchanged(t, dir, before)

	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if s := reopen(t, dir); s.Generation != 2 {
		t.Fatalf("generation %d after the first process died", s.Generation)
	}
}

func TestASecondOpenInOneProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	d, _, err := Open(dir, testPair)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, _, err := Open(dir, testPair); !errors.Is(err, ErrLocked) {
		t.Fatalf("got %v", err)
	}
}

func crashBeforeRename(dir string) error {
	d, s, err := Open(dir, testPair)
	if err != nil {
		return err
	}
	d.beforeRename = func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL); select {} }
	s.Phase = "synced"
	return d.Save(*s)
}

func TestACrashBetweenWriteAndRenameLeavesTheOldState(t *testing.T) {
	dir := t.TempDir()
	reopen(t, dir)
	cmd := child(t, "crash", dir)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child should have been killed: %v %s", err, out)
	}
	if _, err := os.Stat(filepath.Join(dir, tempFile)); err != nil {
		t.Fatalf("the child was to leave its temporary file: %v", err)
	}
	// Generation 2 was the child's Open; its Save to synced is not there.
	if s := reopen(t, dir); s.Phase != "passthrough" || s.Generation != 3 {
		t.Fatalf("got %+v", s)
	}
}

// saveOnFullDisk stands for a full disk: no file may grow beyond some bytes, and writes beyond fail.
func saveOnFullDisk(dir string) error {
	d, s, err := Open(dir, testPair)
	if err != nil {
		return err
	}
	defer d.Close()
	signal.Ignore(syscall.SIGXFSZ)
	limit := unix.Rlimit{Cur: 16, Max: unix.RLIM_INFINITY}
	if err := unix.Prlimit(0, unix.RLIMIT_FSIZE, &limit, nil); err != nil {
		return err
	}
	next := *s
	next.Phase = "synced"
	if err := d.Save(next); err == nil {
		return errors.New("Save reports no error")
	}
	if _, err := os.Stat(d.File(tempFile)); err == nil {
		return errors.New("the partial file stays")
	}
	limit.Cur = unix.RLIM_INFINITY
	if err := unix.Prlimit(0, unix.RLIMIT_FSIZE, &limit, nil); err != nil {
		return err
	}
	if onDisk, err := d.load(testPair); err != nil || onDisk != *s {
		return fmt.Errorf("on disk is %+v, %v, want %+v", onDisk, err, *s)
	}
	return d.Save(next) // there is room again
}

func TestAFullDiskLeavesTheOldStateAndLaterSavesWork(t *testing.T) {
	dir := t.TempDir()
	if out, err := child(t, "full", dir).Output(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if s := reopen(t, dir); s.Phase != "synced" {
		t.Fatalf("got %+v", s)
	}
}

// openWithoutRights gives up the rights of root, for which no directory is read-only.
func openWithoutRights(dir string) error {
	if os.Geteuid() == 0 {
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(65534), syscall.Setuid(65534)); err != nil {
			return err
		}
	}
	for _, path := range []string{dir, filepath.Join(dir, "new")} {
		_, _, err := Open(path, testPair)
		if !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), dir) {
			return fmt.Errorf("Open(%s): got %v, want a refusal that names the directory", path, err)
		}
	}
	return nil
}

func TestADirectoryWithoutRightsIsRefused(t *testing.T) {
	dir := t.TempDir()
	reopen(t, dir)
	// The temporary directory's parent is closed to others; the child may be another user.
	for path, mode := range map[string]os.FileMode{filepath.Dir(dir): 0o755, dir: 0o555} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o755) })
	if err := os.Chmod(filepath.Join(dir, lockFile), 0o444); err != nil {
		t.Fatal(err)
	}
	if out, err := child(t, "readonly", dir).Output(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}
