package rdb

import (
	"encoding/binary"
	"math"
	"strconv"
)

// field is one of a hash: name and value as encoded strings, and when it expires, Unix ms, 0 for never.
type field struct {
	name, value []byte
	at          int64
}

// noExpiry is what stands for none in a hash of Valkey.
const noExpiry = math.MaxUint64

// hash writes a hash whose fields may expire, each by write, which says whether it has written it.
func (w *writing) hash(kind byte, write func(field) bool) {
	head := len(w.out)
	w.out = append(w.out, 0x81, 0, 0, 0, 0, 0, 0, 0, 0) // as in list
	var count uint64
	w.fields(kind, func(f field) {
		if write(f) {
			count++
		}
	})
	w.empty = count == 0
	binary.BigEndian.PutUint64(w.out[head+1:], count)
}

// fields reads the fields of a hash.
func (w *writing) fields(kind byte, each func(field)) {
	var earliest uint64
	if kind != typeHashExpiring {
		if b := w.take(8); b != nil {
			earliest = binary.LittleEndian.Uint64(b)
		}
	}
	if kind == typeListpackExpiring {
		w.packedFields(each)
		return
	}
	for n := w.count(2); n > 0 && !w.full(); n-- {
		var f field
		if kind == typeHashMetadata {
			// 0 is none, and 1 the earliest of all.
			if after := w.number(); after > 0 {
				f.at = int64(earliest + after - 1)
			}
		}
		f.name, f.value = w.encoded(), w.encoded()
		if kind == typeHashExpiring {
			if b := w.take(8); b != nil && binary.LittleEndian.Uint64(b) != noExpiry {
				f.at = int64(binary.LittleEndian.Uint64(b))
			}
		}
		if !w.bad {
			each(f)
		}
	}
}

// packedFields reads a listpack of names, values and times.
func (w *writing) packedFields(each func(field)) {
	l := w.listpack()
	if l.left%3 != 0 {
		w.bad = true
	}
	encode := func(e element) []byte {
		b := writing{}
		b.text(&e)
		return b.out
	}
	for ; l.left > 0 && !l.bad && !w.full(); l.left -= 3 {
		f := field{name: encode(l.element()), value: encode(l.element())}
		at := l.element()
		if f.at = at.number; at.text != nil {
			var err error
			f.at, err = strconv.ParseInt(string(at.text), 10, 64)
			w.bad = w.bad || err != nil
		}
		if !w.bad && !l.bad {
			each(f)
		}
	}
	w.bad = w.bad || !l.done()
}

// expiringField writes a field for Valkey.
func (w *writing) expiringField(f field) bool {
	w.out = append(append(w.out, f.name...), f.value...)
	at := uint64(f.at)
	if f.at == 0 {
		at = noExpiry
	}
	w.out = binary.LittleEndian.AppendUint64(w.out, at)
	return true
}

// plainField writes a field for a server that has no expiry of fields. Where it has expired already, it is not there.
func (w *writing) plainField(f field) bool {
	if f.at > 0 {
		if f.at <= w.now {
			return false
		}
		w.lost++
		if w.next == 0 || f.at < w.next {
			w.next = f.at
		}
	}
	w.out = append(append(w.out, f.name...), f.value...)
	return true
}

// hashMetadata writes a hash of Valkey for Redis: the earliest expiry, and of each field by how much it is later.
func (w *writing) hashMetadata() {
	rest := w.source
	var earliest int64
	w.fields(typeHashExpiring, func(f field) {
		if f.at > 0 && (earliest == 0 || f.at < earliest) {
			earliest = f.at
		}
	})
	if w.bad {
		return
	}
	w.source = rest
	w.out = binary.LittleEndian.AppendUint64(w.out, uint64(earliest))
	w.putLength(w.number()) // checked when it was read first
	w.source = rest
	w.fields(typeHashExpiring, func(f field) {
		after := uint64(0)
		if f.at > 0 {
			after = uint64(f.at-earliest) + 1
		}
		w.putLength(after)
		w.out = append(append(w.out, f.name...), f.value...)
	})
}
