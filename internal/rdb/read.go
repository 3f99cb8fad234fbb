package rdb

import (
	"encoding/binary"
	"math"
	"strconv"
)

// source is a value that is read from its beginning. What does not have the right form sets bad, after which everything
// that is read is empty or 0: it is asked for once, at the end.
type source struct {
	p []byte
	// limit is how many bytes a compressed string may have when it is whole.
	limit int64
	bad   bool
	large bool
}

// take returns the next n bytes, which are still the source's.
func (s *source) take(n uint64) []byte {
	if s.bad || n > uint64(len(s.p)) {
		s.bad = true
		return nil
	}
	out := s.p[:n]
	s.p = s.p[n:]
	return out
}

func (s *source) byte() byte {
	if b := s.take(1); b != nil {
		return b[0]
	}
	return 0
}

// The two highest bits of a length's first byte.
const (
	length6       = 0
	length14      = 1
	length32or64  = 2
	lengthEncoded = 3 // no length: the other bits say how a string is encoded
)

// length reads a length; encoded is set if it is none but the encoding of a string.
func (s *source) length() (n uint64, encoded bool) {
	first := s.byte()
	switch first >> 6 {
	case length6:
		return uint64(first & 0x3f), false
	case length14:
		return uint64(first&0x3f)<<8 | uint64(s.byte()), false
	case lengthEncoded:
		return uint64(first & 0x3f), true
	}
	switch first {
	case 0x80:
		if b := s.take(4); b != nil {
			return uint64(binary.BigEndian.Uint32(b)), false
		}
	case 0x81:
		if b := s.take(8); b != nil {
			return binary.BigEndian.Uint64(b), false
		}
	}
	s.bad = true
	return 0, false
}

// number reads a length that is one.
func (s *source) number() uint64 {
	n, encoded := s.length()
	if encoded {
		s.bad = true
		return 0
	}
	return n
}

// count reads how many things follow, of which each has size bytes at least. So nobody is made to loop for what is not
// there.
func (s *source) count(size int) int {
	n := s.number()
	if n > uint64(len(s.p)/size) {
		s.bad = true
		return 0
	}
	return int(n)
}

// How a string is encoded that is not written as it is.
const (
	encodedInt8  = 0
	encodedInt16 = 1
	encodedInt32 = 2
	encodedLZF   = 3
)

// encoded returns the next string as it stands, length and all.
func (s *source) encoded() []byte {
	from := s.p
	n, special := s.length()
	if special {
		switch n {
		case encodedInt8:
			n = 1
		case encodedInt16:
			n = 2
		case encodedInt32:
			n = 4
		case encodedLZF:
			n = s.number()
			s.number()
		default:
			s.bad = true
		}
	}
	s.take(n)
	if s.bad {
		return nil
	}
	return from[:len(from)-len(s.p)]
}

// bytes returns what the next string, which is no small number, stands for.
func (s *source) bytes() []byte {
	n, special := s.length()
	switch {
	case !special:
		return s.take(n)
	case n != encodedLZF:
		s.bad = true
		return nil
	}
	packed, size := s.number(), s.number()
	if size > uint64(s.limit) {
		s.bad, s.large = true, true
		return nil
	}
	out, ok := unpack(s.take(packed), int(size))
	s.bad = s.bad || !ok
	return out
}

// unpack is the opposite of LZF: runs of bytes as they are, and repetitions of what came before.
func unpack(in []byte, size int) (out []byte, ok bool) {
	// Three bytes stand for 264 at most, so what is claimed is bounded by what is there.
	if size > 88*len(in)+264 {
		return nil, false
	}
	out = make([]byte, 0, size)
	for len(in) > 0 {
		control := int(in[0])
		in = in[1:]
		if control < 32 {
			n := control + 1
			if n > len(in) || n > size-len(out) {
				return nil, false
			}
			out = append(out, in[:n]...)
			in = in[n:]
			continue
		}
		n := control >> 5
		if n == 7 {
			if len(in) == 0 {
				return nil, false
			}
			n += int(in[0])
			in = in[1:]
		}
		n += 2
		if len(in) == 0 {
			return nil, false
		}
		from := len(out) - (control&0x1f)<<8 - int(in[0]) - 1
		in = in[1:]
		if from < 0 || n > size-len(out) {
			return nil, false
		}
		for i := range n { // it may overlap with what it makes
			out = append(out, out[from+i])
		}
	}
	return out, len(out) == size
}

// element is one of a listpack: text, or a number if text is nil.
type element struct {
	text   []byte
	number int64
}

// append appends it as the text that it stands for.
func (e *element) append(b []byte) []byte {
	if e.text != nil {
		return append(b, e.text...)
	}
	return strconv.AppendInt(b, e.number, 10)
}

// listpack reads the elements of a listpack one after another.
type listpack struct {
	source
	// left is how many there are still to come.
	left int
}

// listpackHeader is total bytes (4) and number of elements (2, 65535 for those that have more).
const listpackHeader = 6

// listpack opens the next string as a listpack.
func (s *source) listpack() listpack {
	p := s.bytes()
	if s.bad || len(p) <= listpackHeader || p[len(p)-1] != 0xff || uint64(binary.LittleEndian.Uint32(p)) != uint64(len(p)) {
		s.bad = true
		return listpack{}
	}
	l := listpack{source: source{p: p[listpackHeader : len(p)-1], limit: s.limit}}
	if l.left = int(binary.LittleEndian.Uint16(p[4:])); l.left == math.MaxUint16 {
		l.left = 0
		for walk := l.source; len(walk.p) > 0 && !walk.bad; l.left++ {
			walk.element()
		}
	}
	return l
}

// element reads the next element of a listpack, and the length of it that stands behind it for those who come from there.
func (s *source) element() (e element) {
	before := len(s.p)
	first := s.byte()
	signed := func(bits int, v uint64) {
		e.number = int64(v<<(64-bits)) >> (64 - bits)
	}
	little := func(n uint64) (v uint64) {
		for i, b := range s.take(n) {
			v |= uint64(b) << (8 * i)
		}
		return v
	}
	text := func(n uint64) {
		if e.text = s.take(n); e.text == nil {
			e.text = []byte{}
		}
	}
	switch {
	case first < 0x80:
		e.number = int64(first)
	case first < 0xc0:
		text(uint64(first & 0x3f))
	case first < 0xe0:
		signed(13, uint64(first&0x1f)<<8|uint64(s.byte()))
	case first < 0xf0:
		n := uint64(first&0x0f) << 8
		text(n | uint64(s.byte()))
	case first == 0xf0:
		text(little(4))
	case first == 0xf1:
		signed(16, little(2))
	case first == 0xf2:
		signed(24, little(3))
	case first == 0xf3:
		signed(32, little(4))
	case first == 0xf4:
		signed(64, little(8))
	default:
		s.bad = true
	}
	s.back(before - len(s.p))
	return e
}

// back takes the length of an element of that size. It has seven bits in each byte, but one byte more than it needs where
// all its bits are set: some versions write that one, and its first byte is 0 then.
func (s *source) back(size int) {
	n := uint64(1)
	for rest := size; rest >= 128; rest >>= 7 {
		n++
	}
	if n > 1 && size == 1<<(7*n)-1 && len(s.p) > 0 && s.p[0] == 0 {
		n++
	}
	s.take(n)
}

// done reports whether all elements were read, and nothing but them was there.
func (l *listpack) done() bool { return !l.bad && l.left == 0 && len(l.p) == 0 }
