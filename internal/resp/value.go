// Package resp reads and checks the Redis serialization protocol, RESP2 and RESP3.
//
// It has three readers, for three trusts. Guard reads what clients send, believes nothing, and decides
// whether a complete command is there before redcon's parser may see it. Framer finds where a server's
// reply ends, incrementally and without decoding it, so that replies travel on byte for byte. Parse decodes
// one complete reply, for the few commands whose effect depends on it.
//
// It never does I/O and never keeps a slice it was given.
package resp

import (
	"errors"
	"fmt"
	"strconv"
)

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

// ErrIncomplete says that the buffer ends inside the value.
var ErrIncomplete = errors.New("resp: incomplete value")

// maxDepth bounds recursion; no server nests replies deeper than a handful of levels.
const maxDepth = 128

// Parse decodes the value at the start of b and returns the bytes it took. An attribute ('|') in front of
// a value is skipped. It fails with ErrIncomplete or a protocol error, never panics, and allocates only for
// elements that are really there.
func Parse(b []byte) (v Value, n int, err error) { return parse(b, 0) }

func parse(b []byte, depth int) (v Value, n int, err error) {
	if depth > maxDepth {
		return v, 0, fmt.Errorf("resp: nested deeper than %d", maxDepth)
	}
	line, n, err := readLine(b)
	if err != nil {
		return v, 0, err
	}
	v.Kind = b[0]
	switch v.Kind {
	case '+', '-', ',', '(':
		v.Str = line
		return v, n, nil
	case '_':
		v.Null = true
		return v, n, nil
	case '#':
		if len(line) == 1 && line[0] == 't' {
			v.Int = 1
		}
		return v, n, nil
	case ':':
		v.Int, err = strconv.ParseInt(string(line), 10, 64)
		if err != nil {
			return v, 0, fmt.Errorf("resp: bad integer %q", line)
		}
		return v, n, nil
	case '$', '=', '!', '*', '~', '>', '%', '|':
	default:
		return v, 0, fmt.Errorf("resp: unknown type byte %q", v.Kind)
	}
	size, err := strconv.ParseInt(string(line), 10, 63)
	if err != nil || size < -1 {
		return v, 0, fmt.Errorf("resp: bad length %q", line)
	}
	if size == -1 {
		v.Null = true
		return v, n, nil
	}
	switch v.Kind {
	case '$', '=', '!':
		if int64(len(b)-n) < size+2 {
			return v, 0, ErrIncomplete
		}
		v.Str = b[n : n+int(size)]
		return v, n + int(size) + 2, nil
	case '%', '|':
		size *= 2
	}
	// A length promises nothing: room is made only for what the buffer can hold (3 bytes an element).
	if int64(len(b)-n) < size*3 {
		return v, 0, ErrIncomplete
	}
	if size > 0 {
		v.Elems = make([]Value, 0, size)
	}
	for range size {
		e, m, err := parse(b[n:], depth+1)
		if err != nil {
			return v, 0, err
		}
		v.Elems = append(v.Elems, e)
		n += m
	}
	if v.Kind == '|' {
		w, m, err := parse(b[n:], depth+1)
		return w, n + m, err
	}
	return v, n, nil
}

// readLine returns what stands between the type byte and CRLF, and the length of the whole line.
func readLine(b []byte) (line []byte, n int, err error) {
	for i := 1; i < len(b); i++ {
		if b[i] == '\n' {
			if b[i-1] != '\r' || i == 1 {
				return nil, 0, errors.New("resp: line without CRLF")
			}
			return b[1 : i-1], i + 1, nil
		}
	}
	return nil, 0, ErrIncomplete
}
