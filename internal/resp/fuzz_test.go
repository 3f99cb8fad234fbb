package resp

import (
	"bytes"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/tidwall/redcon"
)

// cutsOf turns fuzzed bytes into lengths of pieces.
func cutsOf(b []byte) []int {
	var cuts []int
	for _, c := range b[:min(len(b), 64)] {
		cuts = append(cuts, 1+int(c))
	}
	return cuts
}

func FuzzGuard(f *testing.F) {
	for _, c := range guardCases {
		if len(c.stream) < 1000 {
			f.Add([]byte(c.stream), []byte{0, 1})
		}
	}
	// Limits that a fuzzed stream can reach.
	tight := Limits{MaxBulk: 40, MaxArgs: 6, MaxInline: 30, MaxCommand: 90}
	preAuth := DefaultLimits.PreAuth()
	f.Fuzz(func(t *testing.T, stream, cuts []byte) {
		for _, limits := range []Limits{DefaultLimits, tight, preAuth} {
			whole := guardInPieces(t, limits, stream)
			if pieces := guardInPieces(t, limits, stream, cutsOf(cuts)...); pieces != whole {
				t.Fatalf("whole %+v, in pieces %+v", whole, pieces)
			}
		}
		g := NewGuard(DefaultLimits)
		for rest := stream; ; {
			n, complete, err := g.Next(rest)
			if err != nil {
				return
			}
			if !complete {
				// The other parser must see no command either where ours waits.
				if len(rest) > 0 && rest[0] == '*' {
					if done, _, _, _, _ := redcon.ReadNextCommand(rest, nil); done {
						t.Fatalf("redcon finds a command in %q, Guard does not", rest)
					}
				}
				return
			}
			sameCommand(t, &g, rest[:n])
			rest = rest[n:]
		}
	})
}

// sameCommand checks that every way to split a complete command agrees with Guard.
func sameCommand(t *testing.T, g *Guard, command []byte) {
	if g.Inline() {
		args, err := SplitInline(command, nil)
		if err != nil || len(args) != g.Count() {
			t.Fatalf("%q: Guard counts %d, SplitInline finds %q: %v", command, g.Count(), args, err)
		}
		return
	}
	if g.Empty() {
		return
	}
	args := Args(command, nil)
	done, others, _, leftover, err := redcon.ReadNextCommand(command, nil)
	if !done || err != nil || len(leftover) != 0 || len(args) != g.Count() || !slices.EqualFunc(args, others, bytes.Equal) {
		t.Fatalf("%q: Guard counts %d, Args finds %q, redcon %v %q %q: %v",
			command, g.Count(), args, done, others, leftover, err)
	}
	if again := AppendArgs(nil, args); !bytes.Equal(again, command) {
		t.Fatalf("%q is not %q: a command has two forms", command, again)
	}
}

func FuzzArgs(f *testing.F) {
	f.Add([]byte("*2\r\n$1\r\na\r\n$0\r\n\r\n"))
	f.Add([]byte("*1\r\n$4\r\nPING\r\n*"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if args := Args(raw, nil); args != nil && !bytes.Equal(AppendArgs(nil, args), raw) {
			t.Fatalf("%q is split into %q", raw, args)
		}
	})
}

func FuzzSplitInline(f *testing.F) {
	for _, c := range inlineCases {
		f.Add([]byte(c.line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		args, err := SplitInline(line, nil)
		count, countErr := countInline(line)
		if err != nil || countErr != nil {
			if err != ErrUnbalancedQuotes || countErr != ErrUnbalancedQuotes {
				t.Fatalf("%q: %v, counting: %v", line, err, countErr)
			}
			return
		}
		if count != len(args) {
			t.Fatalf("%q: %d counted, %q", line, count, args)
		}
		// Written in quotes, with its line break, each argument must come back.
		again, err := SplitInline(quoted(args), nil)
		if err != nil || !slices.EqualFunc(again, args, bytes.Equal) {
			t.Fatalf("%q: %q became %q: %v", line, args, again, err)
		}
	})
}

// quoted is an inline command in which every byte is written as its number.
func quoted(args [][]byte) []byte {
	const hex = "0123456789abcdef"
	var line []byte
	for _, arg := range args {
		line = append(line, '"')
		for _, c := range arg {
			line = append(line, '\\', 'x', hex[c>>4], hex[c&15])
		}
		line = append(line, '"', ' ')
	}
	return append(line, '\r', '\n')
}

// addReplies are the seeds of the fuzz targets that read replies.
func addReplies(f *testing.F, add func(reply []byte)) {
	for _, reply := range slices.Concat(replies, badReplies) {
		if len(reply) < 2000 {
			add([]byte(reply))
		}
	}
	for _, group := range alike {
		add([]byte(group[len(group)-1]))
	}
}

// The content that Framer does not look at and Parse does.
func isContentError(err error) bool { return errors.Is(err, errContent) }

func FuzzFramer(f *testing.F) {
	addReplies(f, func(reply []byte) { f.Add(reply, []byte{0, 1}) })
	f.Fuzz(func(t *testing.T, stream, cuts []byte) {
		n, done, kind, err := frameInPieces(stream)
		m, doneToo, kindToo, errToo := frameInPieces(stream, cutsOf(cuts)...)
		if done != doneToo || kind != kindToo || (err == nil) != (errToo == nil) || err == nil && n != m {
			t.Fatalf("whole: %d %v %q %v, in pieces: %d %v %q %v", n, done, kind, err, m, doneToo, kindToo, errToo)
		}
		v, m, parseErr := Parse(stream)
		switch {
		case isContentError(parseErr):
		case done != (parseErr == nil), done && (n != m || v.Kind != kind):
			t.Fatalf("Framer: %d %v %q %v; Parse: %d %q %v", n, done, kind, err, m, v.Kind, parseErr)
		}
	})
}

func FuzzParse(f *testing.F) {
	addReplies(f, func(reply []byte) { f.Add(reply) })
	// Each level claims all that is behind it.
	f.Add([]byte(strings.Repeat("*33000\r\n", maxDepth) + strings.Repeat("+", 100000)))
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, n, err := Parse(b)
		runtime.ReadMemStats(&after)
		// Room for elements not seen yet is made once in each of the nested aggregates.
		bound := uint64(len(b)*8)*uint64(unsafe.Sizeof(Value{})) + maxDepth*firstElems*uint64(unsafe.Sizeof(Value{})) + 1<<20
		if used := after.TotalAlloc - before.TotalAlloc; used > bound {
			t.Fatalf("%d bytes allocated for %d", used, len(b))
		}
		if err != nil {
			return
		}
		for cut := range min(n, 300) {
			if _, _, err := Parse(b[:cut]); err != ErrIncomplete {
				t.Fatalf("%q is a value, its first %d bytes: %v", b[:n], cut, err)
			}
		}
	})
}

func FuzzDigest(f *testing.F) {
	addReplies(f, func(reply []byte) { f.Add(reply) })
	f.Fuzz(func(t *testing.T, reply []byte) {
		sum, err := Digest(reply)
		v, n, parseErr := Parse(reply)
		if parseErr != nil || n != len(reply) {
			if err == nil {
				t.Fatalf("digest of what Parse refuses: %d bytes, %v", n, parseErr)
			}
			return
		}
		if holdsError(&v) {
			if err != ErrErrorReply {
				t.Fatalf("an error has the digest %d, %v", sum, err)
			}
			return
		}
		other := appendOther(nil, &v)
		if otherSum, otherErr := Digest(other); err != nil || otherErr != nil || sum != otherSum {
			t.Fatalf("%q: %d, %v; as %q: %d, %v", reply, sum, err, other, otherSum, otherErr)
		}
	})
}

func holdsError(v *Value) bool {
	return v.IsError() || slices.ContainsFunc(v.Elems, func(e Value) bool { return holdsError(&e) })
}

// appendOther writes a value in another form of the same meaning.
func appendOther(dst []byte, v *Value) []byte {
	switch {
	case v.Null && v.Kind == '_':
		return append(dst, "*-1\r\n"...)
	case v.Null:
		return append(dst, "|1\r\n+x\r\n-y\r\n_\r\n"...)
	case v.Kind == ':' || v.Kind == '#':
		return redcon.AppendInt(dst, v.Int)
	case v.Kind == '*':
		dst = append(dst, "~?\r\n"...)
		for i := range v.Elems {
			dst = appendOther(dst, &v.Elems[i])
		}
		return append(dst, ".\r\n"...)
	case v.Kind == '%' || v.Kind == '~' || v.Kind == '>':
		dst = redcon.AppendArray(dst, len(v.Elems))
		for i := range v.Elems {
			dst = appendOther(dst, &v.Elems[i])
		}
		return dst
	case v.Kind == '=' && len(v.Str) >= 4 && v.Str[3] == ':':
		return redcon.AppendBulk(dst, v.Str[4:])
	case v.Kind == '$' && len(v.Str) > 0:
		dst = append(dst, "$?\r\n;1\r\n"...)
		dst = append(append(dst, v.Str[0]), "\r\n"...)
		if rest := v.Str[1:]; len(rest) > 0 {
			chunk := len(dst)
			dst = redcon.AppendBulk(dst, rest)
			dst[chunk] = ';'
		}
		return append(dst, ";0\r\n"...)
	}
	return redcon.AppendBulk(dst, v.Str)
}
