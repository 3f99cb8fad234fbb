package resp

import (
	"errors"
	"fmt"
)

// Strict makes a Framer refuse what a reader that believes every length must not see: one that makes room for
// what a header announces, or goes out of step where a server does what none does. The zero value refuses
// nothing; with either bound set, the other is one too.
type Strict struct {
	// Bulk is the longest string, in bytes.
	Bulk int64
	// Elements is how many elements may be announced, and not yet there, by all aggregates within each other.
	Elements int64
}

var (
	errPush     = errors.New("resp: a push that nobody asked for")
	errStreamed = errors.New("resp: a value that does not say how long it is")
	errNullMap  = errors.New("resp: a map without a length")
)

// NewStrictFramer returns a Framer at the start of a stream that refuses what s says.
func NewStrictFramer(s Strict) Framer { return Framer{strict: s} }

func (s Strict) on() bool { return s != Strict{} }

// textLimit is the longest line of a value of this type, without its LF. Of a null or boolean some read as much as
// there must be, whatever is there.
func (s Strict) textLimit(typ byte) int {
	switch {
	case s.on() && typ == '_':
		return 1
	case s.on() && typ == '#':
		return 2
	}
	return textLimit(typ)
}

// length looks at the length h of the value that begins.
func (s Strict) length(f *Framer, h int64) error {
	if !s.on() {
		return nil
	}
	switch f.typ {
	case '>':
		return errPush
	case '$', '=', '!', ';':
		switch {
		case h == lengthStreamed:
			return errStreamed
		case h > s.Bulk:
			return fmt.Errorf("resp: a string of %d bytes, where at most %d may come", h, s.Bulk)
		}
		return nil
	case '%', '|':
		if h == lengthNull {
			return errNullMap
		}
		h *= 2
	}
	if h == lengthStreamed || h == 2*lengthStreamed {
		return errStreamed
	}
	left := max(h, 0)
	for i := range f.stack {
		left += f.stack[i].left
	}
	if left > s.Elements {
		return fmt.Errorf("resp: %d elements, where at most %d may come", left, s.Elements)
	}
	return nil
}
