package rdb

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
)

// Rewritten is what a payload has become.
type Rewritten struct {
	// Payload is for RESTORE; nil if nothing is left of the value, all of whose fields have expired.
	Payload []byte
	// LostExpiry is how many fields have lost their expiry, which the other server does not have; NextExpiry is when
	// the first of them expires on the server that it is from, Unix ms.
	LostExpiry int
	NextExpiry int64
}

// Rewrite makes a payload one that d reads. p is the caller's own: it may be changed, and be what is returned. now is the
// clock of the server that it is from, Unix ms: fields that have expired by then, where an expiry is lost, are left out.
// limit is how many bytes the outcome may have; ErrTooLarge says that it would have more. What cannot be read by any
// means is ErrUnknown, and what is no payload ErrMalformed.
func (d *Dialect) Rewrite(p []byte, now, limit int64) (Rewritten, error) {
	v := version(p)
	if v == 0 {
		return Rewritten{}, ErrMalformed
	}
	accepted := slices.Contains(d.versions, v)
	kind, known := kindOf(p)
	switch {
	case accepted && (!known || d.types[kind]):
		return Rewritten{Payload: p}, nil
	case kind == typeModule, known && d.types[kind]:
		// A module's values carry a version of their own, by which the module there knows whether it reads them.
		restamp(p, d.stamp())
		return Rewritten{Payload: p}, nil
	case !known:
		return Rewritten{}, ErrUnknown
	}
	w := writing{
		source: source{p: p[1 : len(p)-footerSize], limit: limit},
		out:    make([]byte, 0, len(p)+len(p)/4+64), d: d, now: now,
	}
	if !w.rewrite(kind) {
		return Rewritten{}, ErrUnknown
	}
	switch {
	case w.large || int64(len(w.out)) > limit:
		return Rewritten{}, ErrTooLarge
	case w.bad || len(w.p) > 0:
		return Rewritten{}, ErrMalformed
	}
	r := Rewritten{LostExpiry: w.lost, NextExpiry: w.next}
	if !w.empty {
		r.Payload = seal(w.out, d.stamp())
	}
	return r, nil
}

// writing is a value that is read as one type and written as another.
type writing struct {
	source
	out  []byte
	d    *Dialect
	now  int64
	lost int
	next int64
	// empty: nothing is left of it.
	empty bool
}

// rewrite writes the value as the newest type that stands for its own and that is known; false: there is none.
func (w *writing) rewrite(kind byte) bool {
	knows := func(t byte) bool {
		if w.d.types[t] {
			w.out = append(w.out, t)
			return true
		}
		return false
	}
	switch kind {
	case typeQuicklist2:
		if knows(typeList) {
			w.list()
			return true
		}
	case typeSetListpack:
		if knows(typeSet) {
			w.elements(1, func(e []element) { w.text(&e[0]) })
			return true
		}
	case typeZSetListpack:
		if knows(typeZSet2) {
			w.elements(2, func(e []element) { w.text(&e[0]); w.score(&e[1]) })
			return true
		}
	case typeHashListpack:
		if knows(typeHash) {
			w.elements(2, func(e []element) { w.text(&e[0]); w.text(&e[1]) })
			return true
		}
	case typeHashExpiring, typeHashMetadata, typeListpackExpiring:
		switch {
		case kind != typeHashExpiring && knows(typeHashExpiring):
			w.hash(kind, w.expiringField)
			return true
		case kind == typeHashExpiring && knows(typeHashMetadata):
			w.hashMetadata()
			return true
		case knows(typeHash):
			w.hash(kind, w.plainField)
			return true
		}
	case typeStreamListpacks3:
		if knows(typeStreamListpacks2) {
			w.stream(3, 2)
			return true
		}
		if knows(typeStreamListpacks) {
			w.stream(3, 1)
			return true
		}
	case typeStreamListpacks2:
		if knows(typeStreamListpacks) {
			w.stream(2, 1)
			return true
		}
	}
	return false
}

// full notes that no more can be written; reading on would be in vain.
func (w *writing) full() bool {
	if int64(len(w.out)) > w.limit {
		w.bad, w.large = true, true
	}
	return w.bad
}

// appendLength appends a length.
func appendLength(b []byte, n uint64) []byte {
	switch {
	case n < 1<<6:
		return append(b, byte(n))
	case n < 1<<14:
		return append(b, length14<<6|byte(n>>8), byte(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, 0x80), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, 0x81), n)
}

func (w *writing) putLength(n uint64) { w.out = appendLength(w.out, n) }

// text writes an element as a string.
func (w *writing) text(e *element) {
	if e.text != nil {
		w.putLength(uint64(len(e.text)))
		w.out = append(w.out, e.text...)
		return
	}
	var digits [20]byte
	text := e.append(digits[:0])
	w.putLength(uint64(len(text)))
	w.out = append(w.out, text...)
}

// score writes an element as the score of a sorted set's member. Servers print them so that they read as the same.
func (w *writing) score(e *element) {
	score := float64(e.number)
	if e.text != nil {
		var err error
		if score, err = strconv.ParseFloat(string(e.text), 64); err != nil || math.IsNaN(score) {
			w.bad = true
		}
	}
	w.out = binary.LittleEndian.AppendUint64(w.out, math.Float64bits(score))
}

// elements writes a listpack whose elements belong together by n, beginning with how many such groups there are.
func (w *writing) elements(n int, write func([]element)) {
	l := w.listpack()
	if l.left%n != 0 {
		w.bad = true
	}
	if w.bad {
		return
	}
	w.putLength(uint64(l.left / n))
	group := make([]element, n)
	for l.left > 0 && !l.bad && !w.full() {
		for i := range group {
			group[i] = l.element()
		}
		l.left -= n
		write(group)
	}
	w.bad = w.bad || !l.done()
}

// The containers of a list's nodes.
const (
	containerPlain  = 1 // one element, as a string
	containerPacked = 2 // a listpack
)

// list writes a list as its elements one after another.
func (w *writing) list() {
	nodes := w.count(2)
	head := len(w.out)
	// The number of elements is known at the end only, and so is the length of it.
	var count uint64
	w.out = append(w.out, 0x81, 0, 0, 0, 0, 0, 0, 0, 0)
	for i := 0; i < nodes && !w.full(); i++ {
		switch w.number() {
		case containerPlain:
			w.out = append(w.out, w.encoded()...)
			count++
		case containerPacked:
			l := w.listpack()
			count += uint64(l.left)
			for ; l.left > 0 && !l.bad && !w.full(); l.left-- {
				e := l.element()
				w.text(&e)
			}
			w.bad = w.bad || !l.done()
		default:
			w.bad = true
		}
	}
	binary.BigEndian.PutUint64(w.out[head+1:], count)
}
