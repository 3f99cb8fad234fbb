package resp

import (
	"bytes"
	"fmt"
	"strconv"
)

// reader walks through a reply that is in memory as a whole: what Parse and Digest have in common.
type reader struct {
	b []byte
	i int // what is before it has been read
}

// head reads a value's first line. size is the length of the types that have one.
func (r *reader) head() (typ byte, line []byte, size int64, err error) {
	if r.i == len(r.b) {
		return 0, nil, 0, ErrIncomplete
	}
	typ = r.b[r.i]
	limit, text := maxHeader-1, isText(typ)
	switch {
	case text:
		limit = textLimit(typ)
	case !hasLength(typ):
		return 0, nil, 0, errType(typ)
	}
	rest := r.b[r.i+1:]
	rest = rest[:min(len(rest), limit+1)]
	end := bytes.IndexByte(rest, '\n')
	switch {
	case end < 0 && len(rest) > limit:
		return 0, nil, 0, errLine
	case end < 0:
		return 0, nil, 0, ErrIncomplete
	case end == 0 || rest[end-1] != '\r':
		return 0, nil, 0, errCRLF
	}
	line = rest[:end-1]
	r.i += end + 2
	if !text {
		size, err = parseLength(typ, line)
	}
	return typ, line, size, err
}

// bulk reads the body of a bulk of that size, joining the chunks of a streamed one.
func (r *reader) bulk(size int64) ([]byte, error) {
	switch size {
	case lengthNull:
		return nil, nil
	case lengthStreamed:
		return r.chunks()
	}
	if int64(len(r.b)-r.i) < size+2 {
		return nil, ErrIncomplete
	}
	end := r.i + int(size)
	if r.b[end] != '\r' || r.b[end+1] != '\n' {
		return nil, errBulk
	}
	body := r.b[r.i:end:end]
	r.i = end + 2
	return body, nil
}

// chunks reads the body of a streamed string.
func (r *reader) chunks() ([]byte, error) {
	body := []byte{}
	for {
		typ, _, size, err := r.head()
		switch {
		case err != nil:
			return nil, err
		case typ != ';':
			return nil, errChunk
		case size == 0:
			return body, nil
		}
		chunk, err := r.bulk(size)
		if err != nil {
			return nil, err
		}
		body = append(body, chunk...)
	}
}

// streamEnd reads the end of a streamed aggregate, of which count elements were read, if it is here.
func (r *reader) streamEnd(typ byte, count int) (end bool, err error) {
	if r.i == len(r.b) {
		return false, ErrIncomplete
	}
	if r.b[r.i] != '.' {
		return false, nil
	}
	if _, _, _, err = r.head(); err != nil {
		return false, err
	}
	if typ == '%' && count%2 != 0 {
		return false, errOddMap
	}
	return true, nil
}

// integer is the number of a ':' or '#' line.
func integer(typ byte, line []byte) (int64, error) {
	if typ == '#' {
		switch string(line) {
		case "t":
			return 1, nil
		case "f":
			return 0, nil
		}
		return 0, fmt.Errorf("%w: boolean %q", errContent, line)
	}
	v, err := strconv.ParseInt(string(line), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: integer %q", errContent, line)
	}
	return v, nil
}
