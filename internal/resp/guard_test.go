package resp

import (
	"bytes"
	"fmt"
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
	stricter                  bool // not every server refuses it
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
	{name: "inline text behind quote", stream: "ECHO \"a\"b\r\n", err: "Protocol error: unbalanced quotes in request", stricter: true},
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

func TestGuardLimits(t *testing.T) {
	limits := Limits{MaxBulk: 10, MaxArgs: 3, MaxInline: 12, MaxCommand: 37}
	for _, c := range []struct {
		limits              Limits
		stream, counts, err string
	}{
		{limits, "*1\r\n$10\r\n0123456789\r\n", "1", ""},
		{limits, "*1\r\n$11\r\n0123456789a\r\n", "", "Protocol error: invalid bulk length"},
		{limits, "*1\r\n$11\r\n", "", "Protocol error: invalid bulk length"},
		{limits, "*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n", "3", ""},
		{limits, "*4\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n", "", "Protocol error: invalid multibulk length"},
		{limits, "*4\r\n", "", "Protocol error: invalid multibulk length"},
		{limits, "PING 6789ab\r\n", "i2", ""},
		{limits, "PING 6789abc\r\n", "", "Protocol error: too big inline request"},
		{limits, "PING 6789abc\n", "i2", ""},
		{limits, "*2\r\n$10\r\n0123456789\r\n$10\r\n0123456789\r\n", "", "Protocol error: too big request"},
		{limits, "*2\r\n$10\r\n0123456789\r\n$9\r\n012345678\r\n", "2", ""},
		{PreAuthLimits, "*10\r\n", "", ""},
		{PreAuthLimits, "*11\r\n", "", "Protocol error: unauthenticated multibulk length"},
		{PreAuthLimits, "*1048577\r\n", "", "Protocol error: invalid multibulk length"},
		{PreAuthLimits, "*1\r\n$16384\r\n", "", ""},
		{PreAuthLimits, "*1\r\n$16385\r\n", "", "Protocol error: unauthenticated bulk length"},
		{PreAuthLimits, "*1\r\n$536870913\r\n", "", "Protocol error: invalid bulk length"},
		{DefaultLimits, "*1\r\n$16385\r\n", "", ""},
		{DefaultLimits, "*1\r\n$536870912\r\n", "", ""},
	} {
		for _, cuts := range [][]int{nil, {1}, {3}} {
			if v := guardInPieces(t, c.limits, []byte(c.stream), cuts...); v.counts != c.counts || v.err != c.err {
				t.Errorf("%q cut by %v: commands %q, error %q; want %q, %q", c.stream, cuts, v.counts, v.err, c.counts, c.err)
			}
		}
	}
}

func TestGuardLimitsChangeBetweenCommands(t *testing.T) {
	auth := AppendCommand(nil, "AUTH", "secret")
	set := AppendCommand(nil, "SET", "key", strings.Repeat("v", 20000))
	stream := append(append([]byte{}, auth...), set...)
	g := NewGuard(PreAuthLimits)
	if n, complete, err := g.Next(stream); n != len(auth) || !complete || err != nil {
		t.Fatal(n, complete, err)
	}
	if _, _, err := g.Next(stream[len(auth):]); err != ErrUnauthBulk {
		t.Fatalf("before authentication: %v", err)
	}
	g.Reset()
	g.SetLimits(DefaultLimits)
	if n, complete, err := g.Next(stream[len(auth):]); n != len(set) || !complete || err != nil {
		t.Fatal(n, complete, err)
	}
}

// A caller that makes room for what Want says must come to the end with few calls, and never read beyond it.
func TestGuardWantLeadsToTheEndOfTheCommand(t *testing.T) {
	command := AppendCommand(nil, "SET", "key", strings.Repeat("v", 1<<20))
	g := NewGuard(DefaultLimits)
	calls, seen := 0, 0
	for complete := false; !complete; calls++ {
		var err error
		if _, complete, err = g.Next(command[:seen]); err != nil {
			t.Fatal(err)
		}
		if seen += g.Want(); seen > len(command) {
			t.Fatalf("wants %d bytes, the command has %d", seen, len(command))
		}
	}
	if calls > 40 {
		t.Errorf("%d calls", calls)
	}
	if _, complete, err := g.Next(nil); complete || err != nil || g.Want() != 1 {
		t.Errorf("of nothing: %v, %v, wants %d", complete, err, g.Want())
	}
	if _, complete, err := g.Next([]byte("*1\r\n$4\r\nPING\r\n")); !complete || err != nil || g.Want() != 0 {
		t.Errorf("of a whole command: %v, %v, wants %d", complete, err, g.Want())
	}
}

// Bytes once looked at are not looked at again: with a second look at each call these would take hours.
func TestGuardIsLinearInOneBytePieces(t *testing.T) {
	command := AppendCommand(nil, "SET", "key", strings.Repeat("v", 4<<20))
	many := AppendCommand(nil, strings.Split(strings.Repeat("a,", 200000), ",")...)
	for _, stream := range [][]byte{command, many} {
		g := NewGuard(DefaultLimits)
		for seen := range stream {
			if _, complete, err := g.Next(stream[:seen]); complete || err != nil {
				t.Fatal(seen, complete, err)
			}
		}
		if n, complete, err := g.Next(stream); n != len(stream) || !complete || err != nil {
			t.Fatal(n, complete, err)
		}
	}
	line := []byte(strings.Repeat("x", DefaultLimits.MaxInline))
	g := NewGuard(DefaultLimits)
	for seen := 1; seen <= len(line); seen++ {
		if _, complete, err := g.Next(line[:seen]); complete || err != nil || g.seen != seen {
			t.Fatalf("%d bytes: searched %d, %v, %v", seen, g.seen, complete, err)
		}
	}
}

func TestGuardSurvivesABufferThatShrank(t *testing.T) {
	g := NewGuard(DefaultLimits)
	if _, complete, err := g.Next([]byte("*2\r\n$4\r\nECHO\r\n$1\r\n")); complete || err != nil {
		t.Fatal(complete, err)
	}
	if n, complete, err := g.Next([]byte("PING\r\n")); n != 6 || !complete || err != nil || !g.Inline() {
		t.Fatal(n, complete, err)
	}
}

func TestProtocolErrorReply(t *testing.T) {
	if got := string(ErrBulkLength.AppendReply([]byte("+OK\r\n"))); got != "+OK\r\n-ERR Protocol error: invalid bulk length\r\n" {
		t.Errorf("%q", got)
	}
}

// BenchmarkGuard is the check of all commands of one read.
func BenchmarkGuard(b *testing.B) {
	for _, x := range benchmarked {
		b.Run(x.name, func(b *testing.B) {
			g := NewGuard(DefaultLimits)
			b.ReportAllocs()
			for b.Loop() {
				for at := 0; at < len(x.stream); {
					n, complete, err := g.Next(x.stream[at:])
					if !complete || err != nil {
						b.Fatal(n, complete, err)
					}
					at += n
				}
			}
		})
	}
}

// benchmarked are streams of clients, named as benchstat can sort them.
var benchmarked = func() (all []benchmark) {
	for _, depth := range []int{1, 16, 64} {
		get := AppendCommand(nil, "GET", "key:000000000001")
		all = append(all, benchmark{fmt.Sprintf("command=GET/bytes=0/pipeline=%d", depth), bytes.Repeat(get, depth), 2})
		for _, size := range []int{64, 1 << 10, 16 << 10} {
			set := AppendCommand(nil, "SET", "key:000000000001", strings.Repeat("x", size))
			all = append(all, benchmark{fmt.Sprintf("command=SET/bytes=%d/pipeline=%d", size, depth), bytes.Repeat(set, depth), 3})
		}
	}
	mset := AppendCommand(nil, strings.Split("MSET"+strings.Repeat(",key:000000000001,value", 100), ",")...)
	return append(all, benchmark{"command=MSET/keys=100/pipeline=1", mset, 201})
}()

type benchmark struct {
	name   string
	stream []byte
	args   int // of each command
}
