package journal

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
)

const (
	fileName = "journal.jsonl"
	oldName  = "journal.1.jsonl"
)

// disk is the journal's files: one that is appended to, and the one before it.
//
// A line is written by one system call and is whole or, where the process or the disk ended in the middle of it, torn.
// Only the last can be; it is cut off before the next is written, by whoever wrote it or by the next process. So what
// ends in a line feed and is no event is damage, and is passed over.
type disk struct {
	sync.Mutex // guards what follows
	dir        string
	max        int64
	file       *os.File // nil while it is not open
	size       int64    // of its lines
}

// append writes events, and returns how many are on disk now.
func (d *disk) append(events []Event) (n int, err error) {
	for _, e := range events {
		line, err := json.Marshal(e)
		if err != nil { // a NaN among the numbers
			e.Numbers = map[string]float64{}
			if line, err = json.Marshal(e); err != nil {
				return n, err
			}
		}
		if err := d.line(append(line, '\n')); err != nil {
			return n, err
		}
		n++
	}
	return n, d.file.Sync()
}

// line writes one line.
func (d *disk) line(line []byte) error {
	if d.file != nil && d.size > 0 && d.size+int64(len(line)) > d.max {
		if err := d.turn(); err != nil {
			return err
		}
	}
	if d.file == nil {
		if err := d.open(); err != nil {
			return err
		}
	}
	if _, err := d.file.Write(line); err != nil {
		// Half of it may be there. The next open cuts it off.
		_ = d.close()
		return err
	}
	d.size += int64(len(line))
	return nil
}

// open opens the file that is appended to and cuts off what is torn of it.
func (d *disk) open() error {
	path := filepath.Join(d.dir, fileName)
	data, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	size := int64(bytes.LastIndexByte(data, '\n') + 1)
	if size < int64(len(data)) {
		if err := f.Truncate(size); err != nil {
			_ = f.Close()
			return err
		}
	}
	d.file, d.size = f, size
	return nil
}

// turn makes the file the one before it.
func (d *disk) turn() error {
	_ = d.close() // all of it is written, and has been flushed or is about to be lost with the machine
	return os.Rename(filepath.Join(d.dir, fileName), filepath.Join(d.dir, oldName))
}

func (d *disk) close() error {
	if d.file == nil {
		return nil
	}
	err := d.file.Close()
	d.file, d.size = nil, 0
	return err
}

// read returns all events of both files, in order.
func (d *disk) read() []Event {
	var events []Event
	for _, name := range []string{oldName, fileName} {
		data, err := os.ReadFile(filepath.Join(d.dir, name))
		if err != nil {
			continue // it is not there; one that cannot be read shows when it is written
		}
		for line := range bytes.Lines(data) {
			var e Event
			if line[len(line)-1] != '\n' || json.Unmarshal(line, &e) != nil || e.Seq == 0 {
				continue
			}
			events = append(events, e)
		}
	}
	return events
}
