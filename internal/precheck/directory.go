package precheck

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// The room that a state directory takes: the intent map and the state always, lists of keys besides.
const (
	leastRoom = 2 << 20
	goodRoom  = 256 << 20
)

// stateDirectory looks at where the state will be kept, and changes nothing there.
func stateDirectory(_ context.Context, r *run, _ *side) finding {
	if r.StateDir == "" {
		return finding{}
	}
	dir, err := filepath.Abs(r.StateDir)
	if err != nil {
		return failed("write another state_dir", "%s: %v", r.StateDir, err)
	}
	at := dir
	for { // what does not exist yet is made in the nearest directory that does
		info, err := os.Stat(at)
		if err == nil && !info.IsDir() {
			return failed("remove it, or choose another state_dir", "%s is not a directory", at)
		}
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) || at == filepath.Dir(at) {
			return failed("let Tandem's user look there, or choose another state_dir", "%v", err)
		}
		at = filepath.Dir(at)
	}
	if err := unix.Access(at, unix.W_OK|unix.X_OK); err != nil {
		return failed("let Tandem's user write there, or choose another state_dir", "%s: %v", at, err)
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(at, &disk); err != nil {
		return warning("see to it that there is room", "%s: %v", at, err)
	}
	free := int64(disk.Bavail) * int64(disk.Bsize)
	return roomFor(dir, free)
}

func roomFor(dir string, free int64) finding {
	switch {
	case free < leastRoom:
		return failed("make room there, or choose a state_dir on another disk", "%s: %s are free", dir, bytes(free))
	case free < goodRoom:
		return warning("make room there, or choose a state_dir on another disk", "%s: %s are free", dir, bytes(free))
	}
	return success("%s: %s are free", dir, bytes(free))
}
