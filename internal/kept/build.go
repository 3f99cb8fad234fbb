package kept

import (
	"bufio"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"tandem/internal/crashpoint"
)

// Builder makes the file of a list from keys in any order. What it takes is written beside the file as it comes, sorted
// there, and written out in order, so that memory does not grow with the keys. The list gets its name when it is
// complete and on disk; until then there is none.
type Builder struct {
	path string
	o    Options
	raw  *os.File
	w    *bufio.Writer
	n    int
}

// Build begins a list that is to be at path. What is there, a list that nobody has begun to use, is removed.
func Build(path string, o Options) (*Builder, error) {
	if err := Remove(path); err != nil {
		return nil, err
	}
	raw, err := os.OpenFile(path+".raw", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the list of kept keys: %w", err)
	}
	return &Builder{path: path, o: o, raw: raw, w: bufio.NewWriterSize(raw, 256<<10)}, nil
}

// Remove removes the list at path and what the making of one has left there.
func Remove(path string) error {
	for _, p := range []string{path, path + ".raw", path + ".tmp"} {
		if err := os.Remove(p); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove the list of kept keys: %w", err)
		}
	}
	return nil
}

// Add puts a key on the list. One that comes again counts once.
func (b *Builder) Add(e Entry) error {
	b.n++
	if _, err := b.w.Write(unsafe.Slice((*byte)(unsafe.Pointer(&e)), unsafe.Sizeof(e))); err != nil {
		return fmt.Errorf("make the list of kept keys: %w", err)
	}
	return nil
}

// Abandon ends it without a list.
func (b *Builder) Abandon() {
	_ = b.raw.Close()
	_ = Remove(b.path) // the next Build removes it, too
}

// Finish writes the list. It returns nil if it would be empty.
func (b *Builder) Finish() (*List, error) {
	l, err := b.finish()
	if err != nil {
		b.Abandon()
		return nil, fmt.Errorf("make the list of kept keys: %w", err)
	}
	return l, nil
}

func (b *Builder) finish() (*List, error) {
	if b.n == 0 {
		b.Abandon()
		return nil, nil
	}
	if err := b.w.Flush(); err != nil {
		return nil, err
	}
	data, err := unix.Mmap(int(b.raw.Fd()), 0, b.n*int(unsafe.Sizeof(Entry{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map into memory: %w", err)
	}
	entries := unsafe.Slice((*Entry)(unsafe.Pointer(&data[0])), b.n)
	slices.SortFunc(entries, Entry.compare)
	entries = slices.Compact(entries)
	err = write(b.path, b.o, entries)
	if err := errors.Join(err, unix.Munmap(data), b.raw.Close(), os.Remove(b.raw.Name())); err != nil {
		return nil, err
	}
	crashpoint.Reach(crashpoint.KeptListed)
	return Open(b.path, b.o)
}

// write writes the file of entries in order, and gives it its name when it is on disk.
func write(path string, o Options, entries []Entry) error {
	var sections []tableEntry
	for i, e := range entries {
		if i == 0 || !e.sameSection(entries[i-1]) {
			sections = append(sections, tableEntry{DB: e.DB, Kind: uint32(e.Kind)})
		}
		sections[len(sections)-1].Keys++
	}
	f, err := os.OpenFile(path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = fill(f, o, sections, entries)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// fill writes everything, the bits too: a hole in a file of which the disk is full would end the process.
func fill(f *os.File, o Options, sections []tableEntry, entries []Entry) error {
	at := layoutOf(sections)
	if _, err := f.Seek(at.keys, io.SeekStart); err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 256<<10)
	sum := crc32.New(castagnoli)
	both := io.MultiWriter(w, sum)
	for i := range entries {
		h := &entries[i].Hash
		if _, err := both.Write(unsafe.Slice((*byte)(unsafe.Pointer(h)), hashBytes)); err != nil {
			return err
		}
	}
	zeros := make([]byte, page)
	for left := at.end - at.keys - int64(len(entries))*hashBytes; left > 0; left -= page {
		if _, err := w.Write(zeros[:min(left, page)]); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	head, table, err := encode(o, sections, uint64(len(entries)), sum.Sum32())
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(table, at.table); err != nil {
		return err
	}
	_, err = f.WriteAt(head, 0)
	return err
}
