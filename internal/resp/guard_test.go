package resp

import (
	"strings"
	"testing"
)

// verdict is what Guard says about a stream as a whole.
type verdict struct {
	counts string // the arguments of each complete command: a digit, 'i' in front of an inline one's
	err    string
	used   int // bytes of complete commands
}

// guardInPieces feeds stream to a Guard, which sees it grow by the given lengths in turn.
func guardInPieces(t testing.TB, limits Limits, stream []byte, cuts ...int) (v verdict) {
	g := NewGuard(limits)
	var counts strings.Builder
	seen := 0
	for turn := 0; seen < len(stream); turn++ {
		size := len(stream)
		if len(cuts) > 0 {
			size = max(1, cuts[turn%len(cuts)])
		}
		seen = min(len(stream), seen+size)
		for v.err == "" && v.used < seen {
			n, complete, err := g.Next(stream[v.used:seen])
			if err != nil {
				v.err = err.Error()
				break
			}
			if !complete {
				if n != 0 || g.Want() < 1 {
					t.Fatalf("%.80q: incomplete with n=%d, want=%d", stream, n, g.Want())
				}
				break
			}
			if n < 1 || n > seen-v.used {
				t.Fatalf("%.80q: complete with n=%d of %d", stream, n, seen-v.used)
			}
			if g.Inline() {
				counts.WriteByte('i')
			}
			counts.WriteByte(byte('0' + min(g.Count(), 10)))
			v.used += n
		}
	}
	v.counts = counts.String()
	return v
}

// guardCases are streams of a client and what becomes of them: Redis' own rules, and where we are stricter.
var guardCases = []struct {
	name, stream, counts, err string
	stricter                  bool // Redis accepts it
}{
	{name: "command", stream: "*1\r\n$4\r\nPING\r\n", counts: "1"},
	{name: "pipeline", stream: "*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\nPING\r\n", counts: "12i1"},
	{name: "binary argument", stream: "*2\r\n$4\r\nECHO\r\n$6\r\n\r\n*1\x00\n\r\n", counts: "2"},
	{name: "empty argument", stream: "*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", counts: "2"},
	{name: "incomplete", stream: "*2\r\n$4\r\nECHO\r\n$5\r\nabc", counts: ""},
	{name: "incomplete count", stream: "*2\r", counts: ""},

	{name: "no arguments", stream: "*0\r\n*1\r\n$4\r\nPING\r\n", counts: "01"},
	{name: "minus one", stream: "*-1\r\n*1\r\n$4\r\nPING\r\n", counts: "01"},
	{name: "very negative", stream: "*-9223372036854775808\r\nPING\r\n", counts: "0i1"},
	{name: "empty lines", stream: "\r\n\n  \r\n\t\nPING\r\n", counts: "i0i0i0i0i1"},

	{name: "count not a number", stream: "*a\r\n", err: "Protocol error: invalid multibulk length"},
	{name: "count missing", stream: "*\r\n", err: "Protocol error: invalid multibulk length"},
	{name: "count with plus", stream: "*+1\r\n", err: "Protocol error: invalid multibulk length"},
	{name: "count with zero", stream: "*01\r\n", err: "Protocol error: invalid multibulk length"},
	{name: "count minus zero", stream: "*-0\r\n", err: "Protocol error: invalid multibulk length"},
	{name: "count with space", stream: "*1 \r\n", err: "Protocol error: invalid multibulk length"},
	{name: "count beyond int64", stream: "*9223372036854775808\r\n", err: "Protocol error: invalid multibulk length"},
	{name: "count near int64", stream: "*9223372036854775807\r\n", err: "Protocol error: invalid multibulk length"},
	{name: "count beyond int32", stream: "*2147483648\r\n", err: "Protocol error: invalid multibulk length"},
	{name: "count line with LF only", stream: "*1\n$4\r\nPING\r\n", err: "Protocol error: invalid multibulk length"},
	{name: "count beyond older servers", stream: "*1048577\r\n", err: "Protocol error: invalid multibulk length", stricter: true},
	{name: "count line with CR only", stream: "*1\r\r\n", err: "Protocol error: invalid multibulk length", stricter: true},

	{name: "no dollar", stream: "*1\r\nPING\r\n", err: "Protocol error: expected '$', got 'P'"},
	{name: "integer argument", stream: "*1\r\n:1\r\n", err: "Protocol error: expected '$', got ':'"},
	{name: "empty header", stream: "*1\r\n\r\n", err: "Protocol error: expected '$', got ' '"},
	{name: "header is LF", stream: "*1\r\n\n\r\n", err: "Protocol error: expected '$', got ' '"},
	{name: "length not a number", stream: "*1\r\n$x\r\n", err: "Protocol error: invalid bulk length"},
	{name: "length missing", stream: "*1\r\n$\r\n", err: "Protocol error: invalid bulk length"},
	{name: "null argument", stream: "*1\r\n$-1\r\n", err: "Protocol error: invalid bulk length"},
	{name: "length with plus", stream: "*1\r\n$+4\r\nPING\r\n", err: "Protocol error: invalid bulk length"},
	{name: "length with zero", stream: "*1\r\n$04\r\nPING\r\n", err: "Protocol error: invalid bulk length"},
	{name: "length beyond limit", stream: "*1\r\n$536870913\r\n", err: "Protocol error: invalid bulk length"},
	{name: "length near int64", stream: "*1\r\n$9223372036854775807\r\n", err: "Protocol error: invalid bulk length"},
	{name: "length wraps", stream: "*1\r\n$18446744073709551620\r\nPING\r\n", err: "Protocol error: invalid bulk length"},
	{name: "header line with LF only", stream: "*1\r\n$4\nPING\r\n", err: "Protocol error: invalid bulk length"},
	{name: "argument too long", stream: "*1\r\n$4\r\nPINGXX", err: "Protocol error: invalid bulk length", stricter: true},
	{name: "argument ends in LF CR", stream: "*1\r\n$4\r\nPING\n\r", err: "Protocol error: invalid bulk length", stricter: true},

	{name: "inline", stream: "PING\r\nPING\nECHO a\r\n", counts: "i1i1i2"},
	{name: "inline dollar", stream: "$4 SET a\r\n", counts: "i3"},
	{name: "inline quotes", stream: "ECHO \"a b\"\r\nECHO 'c d'\r\nECHO \"\"\r\n''\r\n", counts: "i2i2i2i1"},
	{name: "inline open quote", stream: "ECHO \"a\r\n", err: "Protocol error: unbalanced quotes in request"},
	{name: "inline text behind quote", stream: "ECHO \"a\"b\r\n", err: "Protocol error: unbalanced quotes in request"},
	{name: "inline with CR inside", stream: "ECHO a\rb\r\n", counts: "i3"},
	{name: "inline incomplete", stream: "PING\r", counts: ""},
	{name: "inline with NUL never ends", stream: "PING\x00\r\nPING\r\n", counts: ""},

	{name: "long count line", stream: "*" + strings.Repeat("1", 70000), err: "Protocol error: too big mbulk count string"},
	{name: "long header", stream: "*1\r\n$" + strings.Repeat("1", 70000), err: "Protocol error: too big bulk count string"},
	{name: "long inline", stream: strings.Repeat("x", 70000), err: "Protocol error: too big inline request"},
	{name: "long line with NUL", stream: "\x00\r\n" + strings.Repeat("x", 70000), err: "Protocol error: too big inline request"},
}

func TestGuardJudgesAsRedisHoweverTheStreamIsCut(t *testing.T) {
	for _, c := range guardCases {
		for _, cuts := range [][]int{nil, {1}, {2}, {3, 1}, {7, 2}, {1000}} {
			if len(c.stream) > 1000 && cuts != nil && cuts[0] < 1000 {
				continue
			}
			v := guardInPieces(t, DefaultLimits, []byte(c.stream), cuts...)
			if v.counts != c.counts || v.err != c.err {
				t.Errorf("%s, cut by %v: commands %q, error %q; want %q, %q", c.name, cuts, v.counts, v.err, c.counts, c.err)
			}
		}
	}
}
