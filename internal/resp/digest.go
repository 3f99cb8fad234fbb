package resp

import (
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"math/bits"
	"strconv"
)

// ErrErrorReply says that a reply is, or holds, an error: it equals no reply, itself included.
var ErrErrorReply = errors.New("resp: the reply is or holds an error")

// The secrets make digests comparable within this process only, and collisions unforeseeable.
var (
	digestSeed   = maphash.MakeSeed()
	digestSecret = [2]uint64{maphash.String(digestSeed, "left"), maphash.String(digestSeed, "right")}
)

// Digest hashes one complete reply by its meaning, so that replies of two servers, of two versions or
// protocols, have the same digest when they say the same:
//
//   - a null is a null, "$-1", "*-1" or "_";
//   - a text is a text, "+", "$", "(" or "=" (without its format), chunked or not;
//   - a boolean is the integer 1 or 0;
//   - a map is the flat array of its keys and values, a set and a push are arrays: the order counts;
//   - attributes say nothing.
//
// A number in a text, as RESP2 has it, and a "," are the same, and compared as float64: servers print 0.1 as
// "0.1" or as "0.10000000000000001". That holds for texts that have the form of a decimal number without
// needless zeros or signs in front, of at most 32 bytes, and not for whole numbers of more than 15 digits,
// which are identifiers more often than scores and would lose digits. The integers of ":" are never equal to
// texts.
//
// It allocates nothing, but for streamed strings and attributes. The error is ErrErrorReply, or says that reply is not
// exactly one reply.
func Digest(reply []byte) (sum uint64, err error) {
	d := digester{reader: reader{b: reply}}
	if sum, err = d.value(0); err != nil {
		return 0, err
	}
	if d.i != len(reply) {
		return 0, fmt.Errorf("resp: %d bytes behind the reply", len(reply)-d.i)
	}
	return sum, nil
}

// What a value is, besides its content; never the same for two meanings.
const (
	digestNull = iota + 1
	digestInteger
	digestNumber
	digestText
	digestArray
	digestElement
)

// mix hashes two words into one, by the high and low half of a product; which is left and which right counts.
func mix(left, right uint64) uint64 {
	high, low := bits.Mul64(left^digestSecret[0], right^digestSecret[1])
	return high ^ low
}

// Form says which replies to a read are the same.
type Form uint8

const (
	// Exact: texts are the same byte by byte. Else it is as Digest has it.
	Exact Form = iota
	// Numbers: as Digest has it.
	Numbers
	// Set: as Exact, and the elements may come in any order.
	Set
	// Pairs: as Set, of pairs of two elements, or a map.
	Pairs
)

// DigestAs is Digest of a reply in a form.
func DigestAs(form Form, reply []byte) (sum uint64, err error) {
	if form == Numbers {
		return Digest(reply)
	}
	d := digester{reader: reader{b: reply}, exact: true}
	if form == Exact {
		sum, err = d.value(0)
	} else {
		sum, err = d.unordered(form)
	}
	if err == nil && d.i != len(reply) {
		err = fmt.Errorf("resp: %d bytes behind the reply", len(reply)-d.i)
	}
	return sum, err
}

// unordered hashes an aggregate so that the order of its elements, or pairs of these, does not count.
func (d *digester) unordered(form Form) (sum uint64, err error) {
	typ, _, size, err := d.head()
	switch {
	case err != nil:
		return 0, err
	case typ == '-' || typ == '!':
		return 0, ErrErrorReply
	case typ != '*' && typ != '~' && typ != '%' || size < 0:
		return 0, errType(typ) // no list, or none that tells its length
	case typ == '%':
		size *= 2
	}
	for i := int64(0); i < size; i++ {
		elem, err := d.value(1)
		if err == nil && form == Pairs {
			var second uint64
			second, err = d.value(1)
			elem = mix(elem, second)
			i++
		}
		if err != nil {
			return 0, err
		}
		sum += mix(elem, digestElement)
	}
	return mix(sum, digestArray), nil
}

// digester walks through a reply and returns the hash of each value.
type digester struct {
	reader
	exact  bool // texts that are numbers are texts
	pushed bool // the value just read is a push inside another, which counts for nothing (see Framer)
}

func (d *digester) value(depth int) (uint64, error) {
	d.pushed = false
	typ, line, size, err := d.head()
	for err == nil && typ == '|' {
		if _, err = d.reader.elems(typ, size, depth); err == nil {
			typ, line, size, err = d.head()
		}
	}
	if err != nil {
		return 0, err
	}
	switch typ {
	case '+', ',', '(':
		return d.text(line), nil
	case '#', ':':
		n, err := integer(typ, line)
		return mix(uint64(n), digestInteger), err
	case '_':
		return mix(0, digestNull), nil
	case '-', '!':
		return 0, ErrErrorReply
	case '.':
		return 0, errEnd
	case ';':
		return 0, errType(typ)
	}
	if size == lengthNull {
		return mix(0, digestNull), nil
	}
	if typ == '>' && depth > 0 {
		_, err = d.reader.elems(typ, size, depth)
		d.pushed = true
		return 0, err
	}
	if typ != '$' && typ != '=' {
		return d.elems(typ, size, depth)
	}
	body, err := d.bulk(size)
	if typ == '=' && len(body) >= 4 && body[3] == ':' {
		body = body[4:]
	}
	return d.text(body), err
}

func (d *digester) text(text []byte) uint64 {
	if d.exact {
		return mix(maphash.Bytes(digestSeed, text), digestText)
	}
	return textDigest(text)
}

// elems hashes the elements of an aggregate that is itself inside depth others.
func (d *digester) elems(typ byte, size int64, depth int) (uint64, error) {
	if size != 0 && depth == maxDepth {
		return 0, errDepth
	}
	if typ == '%' {
		size *= 2
	}
	var sum uint64
	count := 0
	for size < 0 || int64(count) < size {
		if size < 0 {
			if end, err := d.streamEnd(typ, count); err != nil {
				return 0, err
			} else if end {
				break
			}
		}
		elem, err := d.value(depth + 1)
		if err != nil {
			return 0, err
		}
		if !d.pushed {
			sum = mix(sum, elem)
			count++
		}
	}
	d.pushed = false
	return mix(sum, digestArray), nil
}

func textDigest(text []byte) uint64 {
	if f, ok := decimal(text); ok {
		return mix(math.Float64bits(f), digestNumber)
	}
	return mix(maphash.Bytes(digestSeed, text), digestText)
}

// The bounds of what decimal takes for a number.
const (
	maxDecimal = 32 // bytes
	maxWhole   = 15 // digits that a float64 always tells apart
)

// decimal reads a text that has the form of a number: -?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)?
func decimal(text []byte) (float64, bool) {
	if len(text) == 0 || len(text) > maxDecimal || text[0] != '-' && text[0]-'0' > 9 {
		return 0, false
	}
	i := 0
	if text[0] == '-' {
		i++
	}
	whole := digits(text[i:])
	if whole == 0 || whole > 1 && text[i] == '0' {
		return 0, false
	}
	if i += whole; i == len(text) && whole > maxWhole {
		return 0, false
	}
	if i < len(text) && text[i] == '.' {
		fraction := digits(text[i+1:])
		if fraction == 0 {
			return 0, false
		}
		i += 1 + fraction
	}
	if i < len(text) && (text[i] == 'e' || text[i] == 'E') {
		if i++; i < len(text) && (text[i] == '+' || text[i] == '-') {
			i++
		}
		exponent := digits(text[i:])
		if exponent == 0 {
			return 0, false
		}
		i += exponent
	}
	if i != len(text) {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return 0, false
	}
	return f + 0, true // -0 + 0 is 0
}

// digits counts the digits at the start of b.
func digits(b []byte) int {
	n := 0
	for n < len(b) && b[n]-'0' <= 9 {
		n++
	}
	return n
}
