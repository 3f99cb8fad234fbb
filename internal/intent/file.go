package intent

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Format is the version of the file that this program writes, and the newest that it reads.
const Format = 2

// ErrNewerFormat: a newer version of the program wrote the file.
var ErrNewerFormat = errors.New("intent map has a newer format")

// Where things are in the file. Whole pages, so that no two parts share one.
const (
	page    = 4096
	wordsAt = 512 // within the first page
	magic   = "tandem-i"
)

// Options say what a file must be to be believed.
type Options struct {
	// ID is the state directory's.
	ID string
	// Check is a hash under the secret by which keys find their stripes: with another secret the marks mean nothing.
	Check uint64
	// Stripes is how many there are.
	Stripes int
}

// header is the first part of the file. Sum is over what is before it.
type header struct {
	Magic   [8]byte
	Format  uint32
	_       uint32
	Stripes uint64
	ID      [32]byte
	Check   uint64
	Boot    [64]byte
	Sum     uint32
	_       uint32
}

// file is a map's place on disk.
type file struct {
	path string
	f    *os.File
	data []byte
	// changed: somebody else has changed its size.
	changed bool
}

// Open opens the map at path, or makes it. The caller holds the lock of the directory. What cannot be believed is
// replaced by a new map with everything marked, and Found says why; a missing file is that, too. Errors are
// ErrNewerFormat, where nothing is changed, and the file system's.
func Open(path string, o Options) (*Map, error) {
	why, err := examine(path, o)
	if err != nil {
		return nil, err
	}
	if why == "" {
		if err := extend(path, o); err != nil {
			return nil, fmt.Errorf("extend intent map: %w", err)
		}
	}
	if why != "" {
		if err := create(path, o); err != nil {
			return nil, fmt.Errorf("make intent map: %w", err)
		}
	}
	m, err := open(path, o)
	if err != nil {
		return nil, fmt.Errorf("open intent map %s: %w", path, err)
	}
	if why != "" {
		m.found, m.held = Found{All: true, Why: why}, true
		m.words.found.Store(1)
	}
	return m, nil
}

// examine says why the file must be replaced, "" if it need not be.
func examine(path string, o Options) (why string, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "there is none", nil
	}
	if err != nil {
		return "", fmt.Errorf("open intent map: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("open intent map: %w", err)
	}
	raw := make([]byte, binary.Size(header{}))
	if n, _ := f.ReadAt(raw, 0); n < len(raw) {
		return "it is cut off", nil
	}
	var h header
	if _, err := binary.Decode(raw, binary.LittleEndian, &h); err != nil {
		return "", fmt.Errorf("read intent map: %w", err)
	}
	// The format first: of a newer one nothing else need be as it is here.
	if string(h.Magic[:]) != magic {
		return "it is damaged", nil
	}
	if h.Format > Format {
		return "", fmt.Errorf("%s: %w: %d, this program knows %d and older: use the version of the program that wrote it, "+
			"or a newer one", path, ErrNewerFormat, h.Format, Format)
	}
	switch {
	case h.Format < 1, h.Sum != sum(raw), h.Stripes != uint64(o.Stripes), h.Format == Format && info.Size() != size(o),
		h.Format < Format && (info.Size() < sizeBefore(o) || info.Size() > size(o)):
		return "it is damaged", nil
	case text(h.ID[:]) != o.ID:
		return "it is of another state directory", nil
	case h.Check != o.Check:
		return "it was made with another secret", nil
	}
	return "", nil
}

func sum(raw []byte) uint32 {
	return crc32.ChecksumIEEE(raw[:unsafe.Offsetof(header{}.Sum)])
}

func text(b []byte) string { return string(bytes.TrimRight(b, "\x00")) }

// setSize is the bytes of one set.
func setSize(o Options) int { return (o.Stripes/8 + page - 1) / page * page }

func size(o Options) int64 { return int64(page + 5*setSize(o)) }

// sizeBefore is that of format 1, which had no sides.
func sizeBefore(o Options) int64 { return int64(page + 4*setSize(o)) }

// extend gives a file of format 1 the room for what it has not. Its header says so only when it is opened; a file that is
// extended in part is extended again.
func extend(path string, o Options) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	raw := make([]byte, binary.Size(header{}))
	var h header
	if _, err := f.ReadAt(raw, 0); err != nil {
		return err
	}
	if _, err := binary.Decode(raw, binary.LittleEndian, &h); err != nil || h.Format == Format {
		return err
	}
	if _, err := f.WriteAt(make([]byte, setSize(o)), sizeBefore(o)); err != nil {
		return err
	}
	return f.Sync()
}

// encode makes the header of a file of this boot.
func (o Options) encode(boot string) ([]byte, error) { return o.encodeAs(Format, boot) }

func (o Options) encodeAs(format uint32, boot string) ([]byte, error) {
	h := header{Format: format, Stripes: uint64(o.Stripes), Check: o.Check}
	copy(h.Magic[:], magic)
	copy(h.ID[:], o.ID)
	copy(h.Boot[:], boot)
	raw, err := binary.Append(nil, binary.LittleEndian, &h)
	if err != nil {
		return nil, err
	}
	binary.LittleEndian.PutUint32(raw[unsafe.Offsetof(h.Sum):], sum(raw))
	return raw, nil
}

// create makes a file in which a sweep, number 1, is owed: of two servers that nobody has compared. All of it is written, so that
// the disk has room for it, and it gets its name when it is complete.
func create(path string, o Options) error {
	data := make([]byte, size(o))
	raw, err := o.encode(bootID())
	if err != nil {
		return err
	}
	copy(data, raw)
	(*words)(unsafe.Pointer(&data[wordsAt])).sweep.Store(1<<1 | 1)
	temp := path + ".tmp"
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		_ = os.Remove(temp) // on a full disk its bytes may be the ones that are missing
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	err = d.Sync()
	if closeErr := d.Close(); err == nil {
		err = closeErr
	}
	return err
}

// open maps a file that was examined, and makes it one of this boot.
func open(path string, o Options) (*Map, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(size(o)), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("map into memory: %w", err)
	}
	m := &Map{file: &file{path: path, f: f, data: data}, words: (*words)(unsafe.Pointer(&data[wordsAt]))}
	set := func(i int) []uint64 {
		return unsafe.Slice((*uint64)(unsafe.Pointer(&data[page+i*setSize(o)])), (o.Stripes+63)/64)
	}
	m.generations = [2][]uint64{set(0), set(1)}
	m.standing, m.expiring, m.sides = set(2), set(3), set(4)
	var h header
	_, err = binary.Decode(data, binary.LittleEndian, &h)
	clean := m.words.clean.Load() != 0
	boot := bootID()
	m.take()
	if !clean && (boot == "" || text(h.Boot[:]) != boot) {
		m.held, m.found.All, m.found.Why = true, true, "the machine was started anew, so that its last stores may be missing"
		m.words.found.Store(1)
	}
	raw, encodeErr := o.encode(boot)
	if err = errors.Join(err, encodeErr); err == nil {
		copy(data, raw)
		m.words.clean.Store(0)
		// From here on it is a file in use, also for who finds it after a loss of power.
		err = m.file.flush()
	}
	if err != nil {
		_ = unix.Munmap(data)
		_ = f.Close()
		return nil, err
	}
	return m, nil
}

func (f *file) flush() error {
	if err := unix.Msync(f.data, unix.MS_SYNC); err != nil {
		return fmt.Errorf("write to disk: %w", err)
	}
	return nil
}

// ErrChanged: something else than this process has changed the size of the file.
var ErrChanged = errors.New("the intent map was truncated or extended by somebody else")

// Look reports whether the file is still as long as it must be. If it is not, marks may be missing, and a store behind
// its end would end the process: so it gets its length back and is made unreadable, for the next process to know. This
// one should end.
func (m *Map) Look() error {
	f := m.file
	if f == nil {
		return nil
	}
	info, err := f.f.Stat()
	switch {
	case err != nil:
		return fmt.Errorf("look at intent map: %w", err)
	case f.changed:
	case info.Size() == int64(len(f.data)):
		return nil
	}
	f.changed = true
	err = fmt.Errorf("%s: %w: %d bytes instead of %d", f.path, ErrChanged, info.Size(), len(f.data))
	if grow := f.f.Truncate(int64(len(f.data))); grow != nil {
		return errors.Join(err, grow)
	}
	clear(f.data[:binary.Size(header{})])
	return err
}

// Close brings all to disk: after it, a loss of power takes nothing away. Nothing may be marked any more; for who still
// looks, the memory stays. A second Close does nothing.
func (m *Map) Close() error {
	f := m.file
	if f == nil {
		return nil
	}
	defer f.f.Close()
	if err := m.Look(); err != nil {
		return err
	}
	m.file = nil
	if err := f.flush(); err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	m.words.clean.Store(1)
	if err := f.flush(); err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	return nil
}
