package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"tandem/internal/crashpoint"
)

// The names of our files in the directory. tempFile is what a crash may leave; the next Save replaces it.
const (
	stateFile = "state.json"
	tempFile  = "state.json.tmp"
	lockFile  = "lock"
)

// Dir is an open state directory. It holds the lock until Close. Its methods are safe for concurrent use.
type Dir struct {
	path string

	mu   sync.Mutex // guards what follows, and is held over a whole Save: the last one wins
	lock *os.File   // nil after Close
	// id and pair are what Save must not change.
	id   string
	pair [2]string

	// beforeRename is for tests of a crash at that point.
	beforeRename func()
	// syncDir makes the rename last; another one for tests of a disk that fails there.
	syncDir func(path string) error
}

// Open locks the directory, which is made if it is missing, and loads its state, which is made if it is new.
// pair is the addresses of source and target without credentials. The generation is raised, and saved, before
// Open returns. The State returned is the caller's: it changes nothing until it is given to Save.
//
// Errors are ErrLocked, ErrOtherPair, ErrNewerFormat, ErrCorrupt, or the file system's; nothing is changed
// then, and the lock is free again.
func Open(dir string, pair [2]string) (*Dir, *State, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("make state directory: %w", err)
	}
	lock, err := acquire(filepath.Join(dir, lockFile))
	if err != nil {
		return nil, nil, fmt.Errorf("state directory %s: %w", dir, err)
	}
	d := &Dir{path: dir, lock: lock, pair: pair, syncDir: syncDir}
	s, err := d.load(pair)
	if err == nil {
		d.id = s.ID
		s.Generation++
		err = d.Save(s)
	}
	if err != nil {
		_ = d.Close()
		return nil, nil, err
	}
	return d, &s, nil
}

// Peek reads the state of a directory without locking or changing it. The error is fs.ErrNotExist if there is none,
// otherwise one of those of Open.
func Peek(dir string, pair [2]string) (*State, error) {
	s, err := read(filepath.Join(dir, stateFile), pair)
	if err != nil {
		return nil, err
	}
	return &s, nil
}

// load reads the state, or makes that of a new directory.
func (d *Dir) load(pair [2]string) (State, error) {
	s, err := read(d.File(stateFile), pair)
	if errors.Is(err, fs.ErrNotExist) {
		return newState(pair), nil
	}
	return s, err
}

// read reads a state file of this pair.
func read(path string, pair [2]string) (State, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return State{}, fmt.Errorf("read state: %w", err)
	}
	s, err := decode(data)
	switch {
	case errors.Is(err, ErrNewerFormat):
		return State{}, fmt.Errorf("%s: %w: use the version of the program that wrote it, or a newer one", path, err)
	case err != nil:
		return State{}, fmt.Errorf("%s: %w: restore it from a backup, or begin again with another state directory "+
			"(and an empty target)", path, err)
	case s.Pair != pair:
		return State{}, fmt.Errorf("%s: %w: it is of source %s and target %s, not of source %s and target %s: "+
			"give those addresses, letter for letter, or another state directory",
			path, ErrOtherPair, s.Pair[0], s.Pair[1], pair[0], pair[1])
	}
	return s, nil
}

// File is the path of a file in the directory.
func (d *Dir) File(name string) string { return filepath.Join(d.path, name) }

// Save replaces state.json: after it returned nil the new state outlives a crash of program or machine, after
// an error or a crash the file holds the old state or the new one, never a part. Format is set; ID and Pair
// must be those that Open gave. It costs two fsyncs.
func (d *Dir) Save(s State) error {
	s.Format = Format
	if err := s.check(); err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	data, err := s.encode()
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lock == nil {
		return fmt.Errorf("save state: %s: %w", d.path, os.ErrClosed)
	}
	if s.ID != d.id || s.Pair != d.pair {
		return fmt.Errorf("save state: id and pair of %s cannot be changed", d.path)
	}
	was, _ := os.ReadFile(d.File(stateFile))
	renamed, err := d.replace(data)
	if err == nil {
		return nil
	}
	if renamed && was != nil {
		// The caller goes on with the old state, so that is what the next process must find.
		_, _ = d.replace(was)
	}
	_ = os.Remove(d.File(tempFile)) // on a full disk its bytes may be the ones that are missing
	if full(err) {
		return fmt.Errorf("save state: there is no room in %s: %w", d.path, err)
	}
	return fmt.Errorf("save state: %w", err)
}

// full reports whether room is what a write lacked.
func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// replace writes aside, flushes, renames, and flushes the directory. Without the first flush some file systems
// bring the rename to disk before the data, and a crash leaves an empty file; without the second the rename
// itself may be lost. renamed: the file has the new content already, if it lasts.
func (d *Dir) replace(data []byte) (renamed bool, err error) {
	f, err := os.OpenFile(d.File(tempFile), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return false, err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return false, err
	}
	if d.beforeRename != nil {
		d.beforeRename()
	}
	crashpoint.Reach(crashpoint.StateWritten)
	if err := os.Rename(d.File(tempFile), d.File(stateFile)); err != nil {
		return false, err
	}
	crashpoint.Reach(crashpoint.StateRenamed)
	return true, d.syncDir(d.path)
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	err = f.Sync()
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// Close gives the lock back. A second Close does nothing.
func (d *Dir) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lock == nil {
		return nil
	}
	err := d.lock.Close() // the lock is the open file's
	d.lock = nil
	if err != nil {
		return fmt.Errorf("unlock state directory %s: %w", d.path, err)
	}
	return nil
}
