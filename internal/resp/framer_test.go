package resp

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// replies are whole replies of every type and form.
var replies = []string{
	"+OK\r\n", "+\r\n", "-ERR no\r\n", ":0\r\n", ":-12\r\n", ":9223372036854775807\r\n",
	"$0\r\n\r\n", "$5\r\nhello\r\n", "$-1\r\n", "$4\r\n\r\n\r\n\r\n", "$12\r\nhello\r\nworld\r\n",
	"*0\r\n", "*-1\r\n", "*2\r\n$1\r\na\r\n:1\r\n", "*3\r\n*0\r\n*-1\r\n*1\r\n*1\r\n+x\r\n",
	"_\r\n", "#t\r\n", "#f\r\n", ",1.5\r\n", ",inf\r\n", "(3492890328409238509324850943850943825024385\r\n",
	"!5\r\nERR x\r\n", "=7\r\ntxt:abc\r\n", "~2\r\n+a\r\n+b\r\n", "%1\r\n+k\r\n:1\r\n", "%0\r\n",
	">3\r\n+message\r\n+ch\r\n$2\r\nhi\r\n",
	"|1\r\n+ttl\r\n:3600\r\n$1\r\nv\r\n", "|0\r\n+OK\r\n", "|1\r\n+a\r\n*1\r\n+b\r\n|1\r\n+c\r\n+d\r\n:7\r\n",
	"*2\r\n|1\r\n+a\r\n+b\r\n:1\r\n:2\r\n", "|1\r\n|1\r\n+x\r\n+y\r\n+k\r\n+v\r\n*1\r\n:1\r\n",
	"$?\r\n;4\r\nHell\r\n;1\r\no\r\n;0\r\n", "$?\r\n;0\r\n",
	"*?\r\n:1\r\n*?\r\n.\r\n$1\r\na\r\n.\r\n", "~?\r\n.\r\n", "%?\r\n+k\r\n+v\r\n.\r\n", "*1\r\n*?\r\n.\r\n",
	"*1\r\n$?\r\n;2\r\nab\r\n;0\r\n",
	"*2\r\n:1\r\n>2\r\n+message\r\n*1\r\n+x\r\n>0\r\n$1\r\na\r\n", "%1\r\n+k\r\n>1\r\n%0\r\n+v\r\n",
	strings.Repeat("*1\r\n", maxDepth) + ":1\r\n",
	"+" + strings.Repeat("x", maxStatus-1) + "\r\n",
	"$70000\r\n" + strings.Repeat("y", 70000) + "\r\n",
}

// frameInPieces feeds b to a new Framer, cut after the given lengths in turn.
func frameInPieces(b []byte, cuts ...int) (n int, done bool, kind byte, err error) {
	var f Framer
	for turn := 0; n < len(b) && !done && err == nil; turn++ {
		size := len(b) - n
		if len(cuts) > 0 {
			size = min(size, max(1, cuts[turn%len(cuts)]))
		}
		var m int
		m, done, err = f.Feed(b[n : n+size])
		n += m
	}
	return n, done, f.Kind(), err
}

func TestFramerFindsTheEndHoweverTheReplyIsCut(t *testing.T) {
	for _, reply := range replies {
		kind := []byte(reply)[0]
		if kind == '|' {
			v, _, err := Parse([]byte(reply))
			if err != nil {
				t.Fatal(err)
			}
			kind = v.Kind
		}
		stream := []byte(reply + "+next\r\n")
		for _, cuts := range [][]int{nil, {1}, {2}, {3, 1}, {5, 2, 1}, {len(reply) - 1}, {len(reply)}, {4096}} {
			n, done, got, err := frameInPieces(stream, cuts...)
			if n != len(reply) || !done || err != nil || got != kind {
				t.Errorf("%.60q cut by %v: n=%d done=%v kind=%q err=%v, want n=%d kind=%q",
					reply, cuts, n, done, got, err, len(reply), kind)
			}
		}
	}
}

func TestFramerBeginsTheNextReplyByItself(t *testing.T) {
	stream := []byte(strings.Join(replies, ""))
	var f Framer
	var ends []string
	begin, at := 0, 0
	for at < len(stream) {
		n, done, err := f.Feed(stream[at:min(len(stream), at+977)])
		if err != nil {
			t.Fatalf("after %q: %v", ends[len(ends)-1], err)
		}
		if at += n; done {
			ends = append(ends, string(stream[begin:at]))
			begin = at
		}
	}
	if len(ends) != len(replies) {
		t.Fatalf("%d replies, want %d", len(ends), len(replies))
	}
	for i := range ends {
		if ends[i] != replies[i] {
			t.Errorf("reply %d is %.60q, want %.60q", i, ends[i], replies[i])
		}
	}
}

func TestFramerOpensArrays(t *testing.T) {
	var f Framer
	f.OpenArrays(true)
	stream := []byte(">1\r\n*1\r\n:0\r\n*3\r\n>2\r\n+subscribe\r\n+a\r\n*1\r\n:1\r\n*-1\r\n%1\r\n+k\r\n*2\r\n+a\r\n+b\r\n")
	var ends []string
	for begin, at := 0, 0; at < len(stream); {
		n, done, err := f.Feed(stream[at : at+1])
		if err != nil {
			t.Fatal(err)
		}
		if at += n; done {
			ends = append(ends, strings.ReplaceAll(string(stream[begin:at]), "\r\n", " "))
			begin = at
		}
		if len(ends) == 2 {
			f.OpenArrays(false)
		}
	}
	want := []string{">1 *1 :0 ", "*3 ", ">2 +subscribe +a ", "*1 :1 ", "*-1 ", "%1 +k *2 +a +b "}
	if !slices.Equal(ends, want) {
		t.Errorf("%q, want %q", ends, want)
	}
}

// badReplies are not replies, whatever comes behind them.
var badReplies = []string{
	"x\r\n", "\r\n", "\x00", "+a\n", "+\n", ":1\n", "$1\r\nab\r\n", "$1\r\na\rx", "$a\r\n", "$\r\n", "$-2\r\n", "$+1\r\n",
	"$01\r\n", "$ 1\r\n", "$1 \r\n", "$1\n", "$9223372036854775808\r\n", "$1099511627777\r\n", "*1099511627777\r\n",
	"*-2\r\n", "*a\r\n", "|-1\r\n", "=?\r\n", ">?\r\n", "|?\r\n", "!?\r\n", ".\r\n", ";1\r\na\r\n", "*1\r\n.\r\n",
	"*?\r\n.x\r\n", "%?\r\n+k\r\n.\r\n", "*?\r\n|1\r\n+a\r\n+b\r\n.\r\n", "*?\r\n|0\r\n.\r\n", "$?\r\n+a\r\n", "$?\r\n;-1\r\n",
	"$?\r\n;1\r\nab\r\n",
	strings.Repeat("*1\r\n", maxDepth+1) + ":1\r\n",
	"+" + strings.Repeat("x", maxStatus) + "\r\n",
	":" + strings.Repeat("1", maxTextLine+1),
	"$" + strings.Repeat("1", maxHeader),
}

func TestFramerRefusesWhatIsNotRESP(t *testing.T) {
	for _, bad := range badReplies {
		for _, cuts := range [][]int{nil, {1}, {2, 3}} {
			if n, done, _, err := frameInPieces([]byte(bad), cuts...); err == nil {
				t.Errorf("%.60q cut by %v: n=%d done=%v and no error", bad, cuts, n, done)
			}
		}
		if v, n, err := Parse([]byte(bad)); err == nil || err == ErrIncomplete {
			t.Errorf("Parse(%.60q) = %+v, %d, %v", bad, v, n, err)
		}
	}
}

// Nothing of a line may be left for the next one, however the two are cut.
func TestFramerForgetsALineWithItsEnd(t *testing.T) {
	many := "*30000\r\n" + strings.Repeat(",1.5\r\n", 30000)
	if n, done, _, err := frameInPieces([]byte(many), 1); n != len(many) || !done || err != nil {
		t.Errorf("many short lines: %d of %d bytes, %v, %v", n, len(many), done, err)
	}
	if n, done, _, err := frameInPieces([]byte("*2\r\n,1\r\n,\n"), 1); err == nil {
		t.Errorf("a line without CR behind one with it: %d, %v and no error", n, done)
	}
}

func TestFramerResetForgets(t *testing.T) {
	var f Framer
	if _, done, err := f.Feed([]byte("*2\r\n|1\r\n+a\r\n+b\r\n$10\r\nabc")); done || err != nil {
		t.Fatal(done, err)
	}
	f.Reset()
	if n, done, err := f.Feed([]byte(":1\r\n")); n != 4 || !done || err != nil || f.Kind() != ':' {
		t.Fatal(n, done, err, f.Kind())
	}
}

// BenchmarkFramer finds the end of one reply.
func BenchmarkFramer(b *testing.B) {
	bulk := func(size int) string { return fmt.Sprintf("$%d\r\n%s\r\n", size, strings.Repeat("x", size)) }
	for _, x := range []struct{ name, reply string }{
		{"status", "+OK\r\n"},
		{"integer", ":123\r\n"},
		{"null", "$-1\r\n"},
		{"bulk/bytes=5", bulk(5)},
		{"bulk/bytes=64", bulk(64)},
		{"bulk/bytes=4096", bulk(4096)},
		{"bulk/bytes=1048576", bulk(1 << 20)},
		{"array/elements=10", "*10\r\n" + strings.Repeat(bulk(7), 10)},
		{"array/elements=1000", "*1000\r\n" + strings.Repeat(bulk(7), 1000)},
		{"resp3-null", "_\r\n"},
		{"resp3-double", ",1.5\r\n"},
		{"resp3-map/elements=2", "%2\r\n+a\r\n:1\r\n+b\r\n,1.5\r\n"},
		{"resp3-push/elements=3", ">3\r\n+message\r\n+channel\r\n" + bulk(64)},
	} {
		stream := bytes.Repeat([]byte(x.reply), 16)
		b.Run("reply="+x.name, func(b *testing.B) {
			var f Framer
			b.ReportAllocs()
			at := 0
			for b.Loop() {
				if at == len(stream) {
					at = 0
				}
				n, done, err := f.Feed(stream[at:])
				if !done || err != nil {
					b.Fatal(done, err)
				}
				at += n
			}
		})
	}
}
