package script

import (
	"container/list"
	"strings"
	"sync"
	"sync/atomic"
)

// Script is a script that has been seen. It is shared and never changes, except for its record.
type Script struct {
	// Name is its SHA-1, by which servers call it.
	Name   string
	Source string
	Facts  Facts
	Record Record

	sightings atomic.Uint32
	place     *list.Element // in Book.recent
}

// Kept reports whether a client may expect to run the script by its name: it has been loaded, or run by its
// source more than once. (Sources made up for one run each would fill a server's memory if they were loaded.)
func (s *Script) Kept() bool { return s.sightings.Load() > 1 }

// Record is how repetitions went. What a look takes for repeatable and is not, or answers something that differs
// without effect on data, shows there.
type Record struct{ good, bad atomic.Uint32 }

const (
	// enoughBad is how many repetitions must have gone wrong before any conclusion is drawn.
	enoughBad = 8
	// oftenBad: one in so many goes wrong.
	oftenBad = 4
)

// Went notes whether a repetition answered what the first run did.
func (r *Record) Went(well bool) {
	if well {
		r.good.Add(1)
	} else {
		r.bad.Add(1)
	}
}

// Fails reports whether repeating costs more than it spares: the keys are copied after each that goes wrong.
func (r *Record) Fails() bool {
	bad := r.bad.Load()
	return bad >= enoughBad && r.good.Load() < oftenBad*bad
}

// Book is the scripts that have been seen, those of the last use within a bound of memory, by name and by
// source. It is safe for concurrent use.
type Book struct {
	mu       sync.Mutex
	limit    int
	size     int
	byName   map[string]*Script
	bySource map[string]*Script
	recent   *list.List // of *Script, the newest first
}

// scriptOverhead is about what a script costs besides its source.
const scriptOverhead = 512

// NewBook returns an empty book. limit bounds the memory of the scripts in it, in bytes.
func NewBook(limit int) *Book {
	return &Book{limit: limit, byName: map[string]*Script{}, bySource: map[string]*Script{}, recent: list.New()}
}

// Run notes that a script is run by its source, and returns it.
func (b *Book) Run(source []byte) *Script { return b.note(source, 1) }

// Loaded notes that a script is loaded, so as to be run by its name, and returns it.
func (b *Book) Loaded(source []byte) *Script { return b.note(source, 2) }

func (b *Book) note(source []byte, sightings uint32) *Script {
	b.mu.Lock()
	s := b.bySource[string(source)]
	if s != nil {
		b.recent.MoveToFront(s.place)
	}
	b.mu.Unlock()
	if s == nil {
		s = b.add(&Script{Name: SHA1(source), Source: string(source), Facts: Look(source)})
	}
	if s.sightings.Load() < 2 {
		s.sightings.Add(sightings)
	}
	return s
}

// add enters a script that was looked at outside of the lock. Somebody else may have been faster.
func (b *Book) add(s *Script) *Script {
	b.mu.Lock()
	defer b.mu.Unlock()
	if old := b.byName[s.Name]; old != nil {
		return old
	}
	if s.cost() > b.limit {
		return s
	}
	b.byName[s.Name], b.bySource[s.Source] = s, s
	s.place = b.recent.PushFront(s)
	b.size += s.cost()
	for b.size > b.limit {
		oldest := b.recent.Remove(b.recent.Back()).(*Script)
		delete(b.byName, oldest.Name)
		delete(b.bySource, oldest.Source)
		b.size -= oldest.cost()
	}
	return s
}

func (s *Script) cost() int { return scriptOverhead + len(s.Source) }

// Named returns the script of a name as a client gives it, nil if it is not known.
func (b *Book) Named(name []byte) *Script {
	var lower [40]byte
	if len(name) != len(lower) {
		return nil
	}
	for i, c := range name {
		if c >= 'A' && c <= 'F' {
			c |= 0x20
		}
		lower[i] = c
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.byName[string(lower[:])]
	if s != nil {
		b.recent.MoveToFront(s.place)
	}
	return s
}

// Kept lists the scripts that clients may expect to run by name.
func (b *Book) Kept() []*Script {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []*Script
	for e := b.recent.Back(); e != nil; e = e.Prev() {
		if s := e.Value.(*Script); s.Kept() {
			all = append(all, s)
		}
	}
	return all
}

// Function is a function of a library, with what was found out about it.
type Function struct {
	Name   string
	Facts  Facts
	Record Record
}

// Shelf is the functions of the libraries that a server has at one time. It never changes.
type Shelf struct{ functions map[string]*Function }

// NewShelf looks at the sources of libraries, as given to FUNCTION LOAD.
func NewShelf(sources [][]byte) *Shelf {
	s := &Shelf{functions: map[string]*Function{}}
	for _, source := range sources {
		l, err := LookLibrary(source)
		if err != nil {
			continue
		}
		for name, facts := range l.Functions {
			s.functions[strings.ToLower(name)] = &Function{Name: name, Facts: facts}
		}
	}
	return s
}

// Function returns a function, nil if it is not known. Case does not matter, as for servers.
func (s *Shelf) Function(name []byte) *Function {
	if s == nil {
		return nil
	}
	return s.functions[strings.ToLower(string(name))]
}
