package kept

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Format is the version of the file that this program writes, and the newest that it reads.
const Format = 1

// What can be wrong with the file of a list, for errors.Is.
var (
	// ErrNewerFormat: a newer version of the program wrote it.
	ErrNewerFormat = errors.New("list of kept keys has a newer format")
	// ErrDamaged: it is not what this program wrote for this state directory. Nothing can tell any more which keys
	// are to be kept.
	ErrDamaged = errors.New("list of kept keys is damaged")
	// ErrChanged: something else than this process has changed the size of the file.
	ErrChanged = errors.New("the list of kept keys was truncated or extended by somebody else")
)

// Options say what a file must be to be believed.
type Options struct {
	// ID is the state directory's.
	ID string
	// Check is a hash under the secret by which keys get theirs: with another secret the list means nothing.
	Check uint64
}

// The file: a header, a table of sections, the keys of all sections in order, then bits, section by section: first those
// of keys that have left, then those of keys with a report. The table, the keys and the bits begin at whole pages; each
// section's bits begin at a whole word.
const (
	page      = 4096
	magic     = "tandem-k"
	hashBytes = 16
)

// header is the first page. Sum is over what is before it.
type header struct {
	Magic    [8]byte
	Format   uint32
	Sections uint32
	ID       [32]byte
	Check    uint64
	Keys     uint64
	TableSum uint32 // of the table
	KeysSum  uint32 // of all keys
	Sum      uint32
	_        uint32
}

// tableEntry is one section in the table.
type tableEntry struct {
	DB   int32
	Kind uint32
	Keys uint64
}

// layout is where things are.
type layout struct{ table, keys, bits, end int64 }

func pages(n int64) int64 { return (n + page - 1) / page * page }

func layoutOf(sections []tableEntry) layout {
	var l layout
	l.table = page
	l.keys = l.table + pages(int64(len(sections)*binary.Size(tableEntry{})))
	l.bits, l.end = l.keys, 0
	var words int64
	for _, s := range sections {
		l.bits += int64(s.Keys) * hashBytes
		words += int64(s.words())
	}
	l.bits = pages(l.bits)
	l.end = l.bits + pages(2*words*8)
	return l
}

func (t tableEntry) words() int { return int(t.Keys+63) / 64 }

// castagnoli is the polynomial that processors know: gigabytes are summed in a second.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func headerSum(raw []byte) uint32 {
	return crc32.Checksum(raw[:unsafe.Offsetof(header{}.Sum)], castagnoli)
}

// file is a list's place on disk.
type file struct {
	path string
	f    *os.File
	data []byte
	bits int64 // where they begin
}

// Open opens a list that was made by a Builder. All keys are read, which also brings them into memory. The errors are
// ErrDamaged, also for a file that is missing, ErrNewerFormat, and the file system's.
func Open(path string, o Options) (*List, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w: it is missing", path, ErrDamaged)
	}
	if err != nil {
		return nil, fmt.Errorf("open the list of kept keys: %w", err)
	}
	l, err := open(f, path, o)
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return l, nil
}

func open(f *os.File, path string, o Options) (*List, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() < page {
		return nil, fmt.Errorf("%w: it is cut off", ErrDamaged)
	}
	raw := make([]byte, page)
	if _, err := f.ReadAt(raw, 0); err != nil {
		return nil, err
	}
	var h header
	if _, err := binary.Decode(raw, binary.LittleEndian, &h); err != nil {
		return nil, err
	}
	switch {
	case string(h.Magic[:]) != magic:
		return nil, fmt.Errorf("%w: it is something else", ErrDamaged)
	case h.Format > Format:
		return nil, fmt.Errorf("%w: %d, this program knows %d and older", ErrNewerFormat, h.Format, Format)
	case h.Sum != headerSum(raw):
		return nil, fmt.Errorf("%w: its header", ErrDamaged)
	case string(bytes.TrimRight(h.ID[:], "\x00")) != o.ID || h.Check != o.Check:
		return nil, fmt.Errorf("%w: it is of another state directory", ErrDamaged)
	}
	sections := make([]tableEntry, h.Sections)
	table := make([]byte, binary.Size(sections))
	if _, err := f.ReadAt(table, page); err != nil || crc32.Checksum(table, castagnoli) != h.TableSum {
		return nil, fmt.Errorf("%w: its table", ErrDamaged)
	}
	if _, err := binary.Decode(table, binary.LittleEndian, sections); err != nil {
		return nil, err
	}
	at := layoutOf(sections)
	if info.Size() != at.end {
		return nil, fmt.Errorf("%w: %d bytes instead of %d", ErrDamaged, info.Size(), at.end)
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(at.end), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map into memory: %w", err)
	}
	if crc32.Checksum(data[at.keys:at.keys+int64(h.Keys)*hashBytes], castagnoli) != h.KeysSum {
		_ = unix.Munmap(data)
		return nil, fmt.Errorf("%w: its keys", ErrDamaged)
	}
	l := &List{file: &file{path: path, f: f, data: data, bits: at.bits}}
	keys := unsafe.Slice((*Hash)(unsafe.Pointer(&data[at.keys])), h.Keys)
	released := unsafe.Slice((*uint64)(unsafe.Pointer(&data[at.bits])), (at.end-at.bits)/8)
	words := 0
	for _, s := range sections {
		words += s.words()
	}
	reported := released[words:]
	for _, s := range sections {
		n := s.words()
		l.add(newSection(s.DB, Kind(s.Kind), keys[:s.Keys], released[:n], reported[:n]))
		keys, released, reported = keys[s.Keys:], released[n:], reported[n:]
	}
	return l, nil
}

// Sync brings to disk which keys have left. It needs no lock, and takes as long as the disk does.
func (l *List) Sync() error {
	if l.file == nil {
		return nil
	}
	if err := unix.Msync(l.file.changing(os.Getpagesize()), unix.MS_SYNC); err != nil {
		return fmt.Errorf("write the list of kept keys %s: %w", l.file.path, err)
	}
	return nil
}

// changing is what is written to while the list is used, from a whole page of memory on, which may be longer than one of
// the file.
func (f *file) changing(pageBytes int) []byte { return f.data[f.bits&^(int64(pageBytes)-1):] }

// Look reports whether the file is still as long as it must be: a look behind its end would end the process. It needs
// no lock.
func (l *List) Look() error {
	if l.file == nil {
		return nil
	}
	info, err := l.file.f.Stat()
	switch {
	case err != nil:
		return fmt.Errorf("look at the list of kept keys: %w", err)
	case info.Size() != int64(len(l.file.data)):
		return fmt.Errorf("%s: %w: %d bytes instead of %d", l.file.path, ErrChanged, info.Size(), len(l.file.data))
	}
	return nil
}

// Close brings all to disk and closes the file. The memory stays, for who still looks.
func (l *List) Close() error {
	if l.file == nil {
		return nil
	}
	err := l.Sync()
	return errors.Join(err, l.file.f.Close())
}

// encode makes the header's page and the table.
func encode(o Options, sections []tableEntry, keys uint64, keysSum uint32) (head, table []byte, err error) {
	if table, err = binary.Append(nil, binary.LittleEndian, sections); err != nil {
		return nil, nil, err
	}
	h := header{Format: Format, Sections: uint32(len(sections)), Check: o.Check, Keys: keys,
		TableSum: crc32.Checksum(table, castagnoli), KeysSum: keysSum}
	copy(h.Magic[:], magic)
	copy(h.ID[:], o.ID)
	if head, err = binary.Append(nil, binary.LittleEndian, &h); err != nil {
		return nil, nil, err
	}
	binary.LittleEndian.PutUint32(head[unsafe.Offsetof(h.Sum):], headerSum(head))
	return slices.Grow(head, page)[:page], table, nil
}
