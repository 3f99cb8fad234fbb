package router

import (
	"bytes"
	"hash/maphash"
	"math"
	"strconv"
)

// Replies are read where they lie: complete by contract (the lane has framed them), from a server that is
// trusted to speak RESP but not to answer in the shape that we expect. A cursor walks over one without
// allocating; whatever is odd ends the walk and makes the effect a Copy.

// cursor walks over the values of a reply in order, aggregates before their elements.
type cursor struct {
	b  []byte
	ok bool // false after the first value that could not be read
}

func walk(reply []byte) cursor { return cursor{b: reply, ok: true} }

// value is one step of a walk.
type value struct {
	kind byte   // the type byte
	text []byte // the line, or the body of a bulk
	n    int    // the number of elements of an aggregate, twice the pairs of a map; -1 for null
}

// null reports whether the value is null in any of its three encodings.
func (v value) null() bool { return v.n < 0 }

// aggregate reports whether elements follow (even if there are none).
func (v value) aggregate() bool {
	switch v.kind {
	case '*', '~', '%', '>':
		return v.n >= 0
	}
	return false
}

// next reads one value; of an aggregate only its header. An attribute is passed over.
func (c *cursor) next() value {
	end := bytes.IndexByte(c.b, '\n')
	if !c.ok || end < 2 {
		c.ok = false
		return value{}
	}
	v := value{kind: c.b[0], text: c.b[1 : end-1]}
	c.b = c.b[end+1:]
	switch v.kind {
	case '_':
		v.n = -1
	case '$', '=', '!', '*', '~', '%', '>', '|':
		n, ok := parseInt(v.text)
		if !ok || n < -1 || n > math.MaxInt32*64 {
			c.ok = false
			return value{}
		}
		v.n = int(n)
	}
	switch v.kind {
	case '$', '=', '!':
		if v.n < 0 {
			return v
		}
		if len(c.b) < v.n+2 {
			c.ok = false
			return value{}
		}
		v.text, c.b = c.b[:v.n], c.b[v.n+2:]
	case '%':
		v.n *= 2
	case '|':
		for range 2 * v.n {
			c.skip()
		}
		return c.next()
	}
	return v
}

// skip passes over one value with all that is in it.
func (c *cursor) skip() { c.rest(c.next()) }

// rest passes over the elements of a value that next has returned.
func (c *cursor) rest(v value) {
	if !v.aggregate() {
		return
	}
	for range v.n {
		if !c.ok {
			return
		}
		c.skip()
	}
}

func isError(reply []byte) bool { return len(reply) > 0 && (reply[0] == '-' || reply[0] == '!') }

func isOK(reply []byte) bool { return string(reply) == "+OK\r\n" }

func isNull(reply []byte) bool {
	c := walk(reply)
	v := c.next()
	return c.ok && v.null()
}

// replyInt reads an integer reply.
func replyInt(reply []byte) (int64, bool) {
	if len(reply) < 4 || reply[0] != ':' {
		return 0, false
	}
	return parseInt(reply[1 : len(reply)-2])
}

// replyText reads a reply that is a bulk or status string. null is true, and ok, for a null.
func replyText(reply []byte) (text []byte, null, ok bool) {
	c := walk(reply)
	v := c.next()
	switch {
	case !c.ok:
		return nil, false, false
	case v.null():
		return nil, true, true
	case v.kind == '$' || v.kind == '+':
		return v.text, false, true
	}
	return nil, false, false
}

// replyFloat reads a double: a bulk in RESP2, a double in RESP3.
func replyFloat(reply []byte) (float64, bool) {
	c := walk(reply)
	v := c.next()
	if !c.ok || v.null() || v.kind != '$' && v.kind != ',' {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(v.text), 64)
	return f, err == nil
}

// allAtLeast reports whether a reply is an array of integers of which none is less than n.
func allAtLeast(reply []byte, n int64) bool {
	c := walk(reply)
	a := c.next()
	if !c.ok || !a.aggregate() {
		return false
	}
	for range a.n {
		v := c.next()
		got, ok := parseInt(v.text)
		if !c.ok || v.kind != ':' || !ok || got < n {
			return false
		}
	}
	return true
}

var digestSeed = maphash.MakeSeed()

// digest hashes what a reply says: its texts and numbers in order, and where there is a null. How they are
// nested does not count, for a reply that is an array of pairs in RESP2 may be a map in RESP3.
func digest(reply []byte) uint64 {
	var sum uint64
	for c := walk(reply); len(c.b) > 0 && c.ok; {
		v := c.next()
		leaf := uint64(1)
		switch {
		case v.aggregate():
			continue
		case !v.null():
			leaf = maphash.Bytes(digestSeed, v.text)
		}
		sum = (sum ^ leaf) * 0x9e3779b97f4a7c15
		sum ^= sum >> 32
	}
	return sum
}

// parseInt reads a 64-bit integer as the servers do: an optional minus and digits, no plus, no spaces, no
// leading zeros.
func parseInt(text []byte) (int64, bool) {
	digits := text
	negative := len(digits) > 0 && digits[0] == '-'
	if negative {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > 19 || digits[0] == '0' && (len(digits) > 1 || negative) {
		return 0, false
	}
	var n uint64
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, false
		}
		n = n*10 + uint64(d-'0')
	}
	switch {
	case negative && n <= 1<<63:
		return -int64(n), true
	case !negative && n < 1<<63:
		return int64(n), true
	}
	return 0, false
}
