// Package resp reads and checks the Redis serialization protocol, RESP2 and RESP3.
//
// It has a reader for each trust. Guard reads what clients send, believes nothing, and decides
// whether a complete command is there before redcon's parser may see it. Framer finds where a server's
// reply ends, incrementally and without decoding it, so that replies travel on byte for byte. Parse decodes
// one complete reply, for the few commands whose effect depends on it, and Digest hashes one by its meaning,
// to compare what two servers answered.
//
// It never does I/O and never keeps a slice it was given.
package resp

// Value is one decoded reply. Byte slices point into the parsed buffer.
type Value struct {
	// Kind is the type byte: + - : $ * and, of RESP3, _ # , ( ! = % ~ > |
	Kind byte
	// Null is set for $-1, *-1 and _.
	Null bool
	// Int is the number of a ':' (for '#': 0 or 1).
	Int int64
	// Str is the text of + - $ , ( ! and = (for '=' with its "txt:" prefix).
	Str []byte
	// Elems are the elements of * ~ > and, twice as many as its length says, of %.
	Elems []Value
}

// IsError reports whether the reply is an error (RESP2 or RESP3 blob error).
func (v *Value) IsError() bool { return v.Kind == '-' || v.Kind == '!' }

// Parse decodes the value at the start of b and returns the bytes it took. An attribute ('|') in front of
// a value is skipped, and a push inside one; the chunks of a streamed string are joined, in new memory. It fails with ErrIncomplete
// or a protocol error, never panics, and allocates for elements that are there, whatever the lengths say.
func Parse(b []byte) (v Value, n int, err error) {
	r := reader{b: b}
	if v, err = r.value(0); err != nil {
		return Value{}, 0, err
	}
	return v, r.i, nil
}

// firstElems is how many elements room is made for before any of them was seen.
const firstElems = 1024

func (r *reader) value(depth int) (v Value, err error) {
	typ, line, size, err := r.head()
	for err == nil && typ == '|' {
		// An attribute is read to find its end, and forgotten.
		if _, err = r.elems(typ, size, depth); err == nil {
			typ, line, size, err = r.head()
		}
	}
	if err != nil {
		return v, err
	}
	v.Kind = typ
	switch typ {
	case '+', '-', ',', '(':
		v.Str = line
	case '_':
		v.Null = true
	case '#', ':':
		v.Int, err = integer(typ, line)
	case '$', '=', '!':
		v.Null = size == lengthNull
		v.Str, err = r.bulk(size)
	case '*', '%', '~', '>':
		v.Null = size == lengthNull
		v.Elems, err = r.elems(typ, size, depth)
	case '.':
		err = errEnd
	default:
		err = errType(typ)
	}
	return v, err
}

// elems decodes the elements of an aggregate that is itself inside depth others.
func (r *reader) elems(typ byte, size int64, depth int) ([]Value, error) {
	if size == 0 || size == lengthNull {
		return nil, nil
	}
	if depth == maxDepth {
		return nil, errDepth
	}
	if typ == '%' || typ == '|' {
		size *= 2 // a streamed one keeps a negative length
	}
	// The shortest element has 3 bytes.
	left := int64(len(r.b) - r.i)
	if size*3 > left {
		return nil, ErrIncomplete
	}
	elems := make([]Value, 0, min(max(size, 0), firstElems))
	for size < 0 || int64(len(elems)) < size {
		if size < 0 {
			if end, err := r.streamEnd(typ, len(elems)); end || err != nil {
				return elems, err
			}
		}
		elem, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		if elem.Kind != '>' { // a push is no element, see Framer
			elems = append(elems, elem)
		}
	}
	return elems, nil
}
