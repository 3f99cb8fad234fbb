package state

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// acquire takes the lock and writes our process id into its file, for the one who is refused. The kernel
// frees the lock when the process ends, however it ends. The file itself stays: removing it would let two
// processes hold locks on two files of that name.
func acquire(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		err = fmt.Errorf("%w by %s: one process per state directory; stop that one, or give another directory",
			ErrLocked, holder(f))
	case err != nil:
		err = fmt.Errorf("lock: %w", err)
	default:
		// Only a courtesy, so a full disk must not keep us from starting.
		if f.Truncate(0) == nil {
			_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		}
		return f, nil
	}
	_ = f.Close()
	return nil, err
}

// holder names the process that wrote its id into the lock file.
func holder(f *os.File) string {
	var b [32]byte
	n, _ := f.ReadAt(b[:], 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err != nil || pid <= 0 {
		return "another process"
	}
	return fmt.Sprintf("process %d", pid)
}
