package resp

import "bytes"

// Framer finds where each reply of a server ends, RESP2 and RESP3, in a stream that arrives in pieces. It
// decodes nothing: bulk bodies are skipped unseen, and the bytes travel on as they are. The zero value is
// ready at the start of a stream; one Framer belongs to one connection.
//
// An attribute ('|') belongs to the value behind it and is part of its bytes. A push ('>') is a reply of its
// own: Kind tells. One inside an aggregate is none of its elements: servers before 7.2 write what a connection tells
// itself in a transaction into the middle of EXEC's reply.
type Framer struct {
	kind   byte // of the reply, once its type byte is read
	typ    byte // of the value whose line or body is being read
	state  framerState
	cr     bool // inText: the last byte was a CR
	attr   bool // an attribute has ended, its value has not begun
	open   bool // see OpenArrays
	held   int  // bytes in header
	header [maxHeader]byte
	line   int   // inText: bytes of the line so far
	skip   int64 // inBody: bytes still to come, the CRLF not counted
	stack  []frame
	strict Strict
}

// frame is an aggregate that is being read.
type frame struct {
	// left is the number of elements to come; of a streamed aggregate ("*?"), minus one and the number that
	// has come.
	left int64
	typ  byte
}

type framerState uint8

const (
	atValue  framerState = iota // before a type byte
	inText                      // in a line that ends the value: + - : , ( # _
	inHeader                    // in a line with a length
	inBody                      // in a bulk's bytes
	atBodyCR                    // before the CR of a bulk
	atBodyLF                    // before the LF of a bulk
	atChunk                     // before a chunk of a streamed string
)

// Reset forgets everything but Strict: a new connection.
func (f *Framer) Reset() {
	*f = Framer{stack: f.stack[:0], strict: f.strict}
}

// Kind is the type byte of the reply that has just ended or, inside one, of the one in progress (of its
// attribute, while only that has been seen).
func (f *Framer) Kind() byte { return f.kind }

// OpenArrays has the header of an array that is a reply count as a reply of its own, and so each of its elements, from
// the next reply on: for arrays that do not say how many replies are in them.
func (f *Framer) OpenArrays(on bool) { f.open = on }

// Feed reads on in the current reply. When the reply ends within b, done is true, b[:n] are its last bytes
// and the next call begins another. Otherwise all of b belongs to it: n is len(b). After an error the stream
// cannot be trusted and the connection must be closed.
func (f *Framer) Feed(b []byte) (n int, done bool, err error) {
	if f.state == atValue && len(f.stack) == 0 {
		if n = wholeLeaf(b); n > 0 {
			f.kind, f.attr = b[0], false
			return n, true, nil
		}
	}
	return f.feed(b)
}

// wholeLeaf returns the length of the value at the start of b if it is one without elements and all there,
// else 0: the common case, and a hint only. What it does not take, feed takes or refuses.
func wholeLeaf(b []byte) int {
	if len(b) < 4 {
		return 0
	}
	switch b[0] {
	case '+', '-', ':':
		if i := bytes.IndexByte(b, '\n'); i > 1 && i < maxTextLine && b[i-1] == '\r' {
			return i + 1
		}
	case '$':
		size, start := quickLength(b, 1)
		if start == 0 {
			if b[1] == '-' && len(b) >= 5 && b[2] == '1' && b[3] == '\r' && b[4] == '\n' {
				return 5
			}
			return 0
		}
		if end := start + size; end+2 <= len(b) && b[end] == '\r' && b[end+1] == '\n' {
			return end + 2
		}
	}
	return 0
}

func (f *Framer) feed(b []byte) (i int, done bool, err error) {
	for i < len(b) {
		var ended bool // a value has ended at b[:i]
		switch f.state {
		case atValue:
			f.typ = b[i]
			if len(f.stack) == 0 {
				f.kind = f.typ
			}
			if f.typ == '.' && (f.attr || f.strict.on()) {
				return i, false, errEnd
			}
			f.attr = false
			if n := wholeLeaf(b[i:]); n > 0 {
				i += n
				ended = true
				break
			}
			switch {
			case isText(f.typ):
				f.state = inText
			case hasLength(f.typ) && f.typ != ';':
				f.state = inHeader
			default:
				return i, false, errType(f.typ)
			}
			i++

		case inText:
			var n int
			n, ended, err = f.text(b[i:])
			i += n

		case inHeader:
			var n int
			n, ended, err = f.length(b[i:])
			i += n

		case inBody:
			n := min(f.skip, int64(len(b)-i))
			i += int(n)
			if f.skip -= n; f.skip == 0 {
				f.state = atBodyCR
			}

		case atBodyCR:
			if b[i] != '\r' {
				return i, false, errBulk
			}
			i++
			f.state = atBodyLF

		case atBodyLF:
			if b[i] != '\n' {
				return i, false, errBulk
			}
			i++
			f.state = atValue
			if f.typ == ';' {
				f.state = atChunk
			} else {
				ended = true
			}

		case atChunk:
			if b[i] != ';' {
				return i, false, errChunk
			}
			f.typ, f.state = ';', inHeader
			i++
		}
		if err != nil {
			return i, false, err
		}
		if ended && f.close() {
			return i, true, nil
		}
	}
	return i, false, nil
}

// text reads on in a line that is a whole value.
func (f *Framer) text(b []byte) (n int, ended bool, err error) {
	limit := f.strict.textLimit(f.typ)
	n = bytes.IndexByte(b, '\n')
	if n < 0 {
		if f.line += len(b); f.line > limit {
			return len(b), false, errLine
		}
		f.cr = b[len(b)-1] == '\r'
		return len(b), false, nil
	}
	cr := f.cr
	if n > 0 {
		cr = b[n-1] == '\r'
	}
	if f.line+n > limit {
		return n, false, errLine
	}
	if !cr {
		return n, false, errCRLF
	}
	f.line, f.cr, f.state = 0, false, atValue
	return n + 1, true, nil
}

// length reads on in a line that holds a length. The line is short: pieces of it are held until it is whole.
func (f *Framer) length(b []byte) (n int, ended bool, err error) {
	n = bytes.IndexByte(b[:min(len(b), maxHeader-f.held)], '\n')
	if n < 0 {
		n = copy(f.header[f.held:], b)
		if f.held += n; f.held == maxHeader {
			return n, false, errLine
		}
		return n, false, nil
	}
	line := b[:n]
	if f.held > 0 {
		line = f.header[:f.held+copy(f.header[f.held:], line)]
		f.held = 0
	}
	if len(line) == 0 || line[len(line)-1] != '\r' {
		return n, false, errCRLF
	}
	ended, err = f.begin(line[:len(line)-1])
	return n + 1, ended, err
}

// begin goes on behind the length line of a value of type f.typ, and reports whether the value ended with it.
func (f *Framer) begin(line []byte) (ended bool, err error) {
	h, err := parseLength(f.typ, line)
	if err == nil {
		err = f.strict.length(f, h)
	}
	if err != nil {
		return false, err
	}
	f.state = atValue
	switch f.typ {
	case '$', '=', '!', ';':
		switch {
		case h == lengthNull:
			return true, nil
		case h == lengthStreamed:
			f.state = atChunk
		case f.typ == ';' && h == 0: // the last chunk has no body
			return true, nil
		case h == 0:
			f.state = atBodyCR
		default:
			f.state, f.skip = inBody, h
		}
		return false, nil
	case '.':
		return true, f.endStream()
	}
	switch h {
	case lengthNull:
		return true, nil
	case 0:
		f.attr = f.typ == '|'
		return !f.attr, nil
	}
	if f.open && f.typ == '*' && len(f.stack) == 0 {
		return true, nil
	}
	if len(f.stack) == maxDepth {
		return false, errDepth
	}
	if h == lengthStreamed {
		h = -1
	} else if f.typ == '%' || f.typ == '|' {
		h *= 2
	}
	f.stack = append(f.stack, frame{left: h, typ: f.typ})
	return false, nil
}

// endStream ends the streamed aggregate that is being read.
func (f *Framer) endStream() error {
	last := len(f.stack) - 1
	if last < 0 || f.stack[last].left >= 0 {
		return errEnd
	}
	if f.stack[last].typ == '%' && f.stack[last].left%2 == 0 {
		return errOddMap
	}
	f.stack = f.stack[:last]
	return nil
}

// close counts a value that has ended in the aggregates around it, and reports whether the reply has ended
// with it.
func (f *Framer) close() bool {
	typ := f.typ
	for last := len(f.stack) - 1; last >= 0; last-- {
		if typ == '>' {
			return false // inside an aggregate, of which it is no element
		}
		top := &f.stack[last]
		if top.left--; top.left != 0 {
			return false
		}
		f.stack = f.stack[:last]
		if top.typ == '|' {
			f.attr = true
			return false
		}
		typ = top.typ
	}
	return true
}
