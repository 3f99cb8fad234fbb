package router

import "math"

// Expect is what one command of an effect should be answered on the secondary. It is a small value: keep it
// by value. Its zero value accepts every reply that is not an error.
type Expect struct {
	kind expectKind
	n    uint64
}

type expectKind uint8

const (
	expectAny     expectKind = iota // any reply but an error
	expectOK                        // +OK
	expectInt                       // the integer n
	expectFloat                     // a double, as text or as a RESP3 double, equal to the one with bits n
	expectSame                      // a reply with digest n
	expectAtLeast                   // an array of integers, each n or more
)

// ExpectAny accepts every reply but an error: what a blind effect may ask, for its key's earlier state on
// the secondary is not known.
func ExpectAny() Expect { return Expect{} }

// ExpectOK accepts +OK.
func ExpectOK() Expect { return Expect{kind: expectOK} }

// ExpectInt accepts the integer n.
func ExpectInt(n int64) Expect { return Expect{kind: expectInt, n: uint64(n)} }

// ExpectFloat accepts the double f in any text that reads as it: versions print doubles differently.
func ExpectFloat(f float64) Expect { return Expect{kind: expectFloat, n: math.Float64bits(f)} }

// ExpectSame accepts replies that mean the same as this one of the primary's.
func ExpectSame(reply []byte) Expect { return Expect{kind: expectSame, n: digest(reply)} }

// ExpectAtLeast accepts an array of integers of which none is less than n.
func ExpectAtLeast(n int64) Expect { return Expect{kind: expectAtLeast, n: uint64(n)} }

// Match reports whether the secondary's reply is what was expected, by meaning and in either protocol. An
// error never is. It does not allocate.
func (x Expect) Match(reply []byte) bool {
	if len(reply) == 0 || isError(reply) {
		return false
	}
	switch x.kind {
	case expectAny:
		return true
	case expectOK:
		return isOK(reply)
	case expectInt:
		n, ok := replyInt(reply)
		return ok && n == int64(x.n)
	case expectFloat:
		f, ok := replyFloat(reply)
		return ok && math.Float64bits(f) == x.n
	case expectSame:
		return digest(reply) == x.n
	case expectAtLeast:
		return allAtLeast(reply, int64(x.n))
	}
	return false
}
