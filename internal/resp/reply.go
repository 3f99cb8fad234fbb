package resp

import (
	"errors"
	"fmt"
)

// The bounds on a reply. No server comes near them; what does is not a RESP stream, or not one any more.
const (
	maxTextLine = 64 << 10 // of : , ( # _
	maxStatus   = 1 << 20  // of + and -
	maxLength   = 1 << 40  // bytes of a bulk, or elements of an aggregate
	maxDepth    = 128      // aggregates within each other
	maxHeader   = 24       // a length line behind its type byte, CRLF included: an int64 and some
)

// ErrIncomplete says that the buffer ends inside the value.
var ErrIncomplete = errors.New("resp: incomplete value")

// What can be wrong with a reply besides its lengths.
var (
	errDepth  = fmt.Errorf("resp: nested deeper than %d", maxDepth)
	errLine   = errors.New("resp: line too long")
	errCRLF   = errors.New("resp: line without CRLF")
	errBulk   = errors.New("resp: bulk without CRLF")
	errEnd    = errors.New("resp: end of a stream that was not begun")
	errChunk  = errors.New("resp: expected a chunk of a streamed string")
	errOddMap = errors.New("resp: streamed map with a key and no value")
	// errContent is wrong in a line of the right form; Framer does not look at it.
	errContent = errors.New("resp: bad value")
)

// The two lengths that are none.
const (
	lengthNull     = -1 // "$-1", "*-1"
	lengthStreamed = -2 // "$?", "*?", "~?", "%?"
)

// isText reports whether a value of this type is its line and nothing more.
func isText(typ byte) bool {
	switch typ {
	case '+', '-', ':', ',', '(', '#', '_':
		return true
	}
	return false
}

// textLimit is the longest line of a value of this type, without its LF.
func textLimit(typ byte) int {
	if typ == '+' || typ == '-' {
		return maxStatus
	}
	return maxTextLine
}

// parseLength reads what stands between the type byte and CRLF of the types that have a length, of a chunk
// (';') and of a stream's end ('.', whose line is empty).
func parseLength(typ byte, line []byte) (int64, error) {
	switch {
	case typ == '.' && len(line) == 0:
		return 0, nil
	case len(line) == 1 && line[0] == '?' && (typ == '$' || typ == '*' || typ == '~' || typ == '%'):
		return lengthStreamed, nil
	}
	length, ok := parseInt(line)
	if !ok || length > maxLength || length < lengthNull || typ == '.' ||
		length == lengthNull && (typ == '|' || typ == ';') {
		return 0, fmt.Errorf("resp: bad length %q of type %q", line, typ)
	}
	return length, nil
}

// hasLength reports whether the line of this type ends a stream or is followed by as much as it says.
func hasLength(typ byte) bool {
	switch typ {
	case '$', '*', '%', '~', '>', '|', '=', '!', '.', ';':
		return true
	}
	return false
}

func errType(typ byte) error { return fmt.Errorf("resp: unknown type byte %q", typ) }
