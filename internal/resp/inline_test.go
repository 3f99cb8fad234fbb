package resp

import (
	"bytes"
	"errors"
	"testing"
)

var inlineCases = []struct {
	line  string
	words []string // nil: unbalanced quotes
}{
	{"", []string{}},
	{" \t\v\f\r\n", []string{}},
	{"PING", []string{"PING"}},
	{"  SET  key\tvalue \r\n", []string{"SET", "key", "value"}},
	{"a\vb\fc d", []string{"a\vb\fc", "d"}},
	{`"a b" 'c d'`, []string{"a b", "c d"}},
	{`"" ''`, []string{"", ""}},
	{`"\n\r\t\b\a\\\"\q"`, []string{"\n\r\t\b\a\\\"q"}},
	{`"\x41\x0A\xfF\x00"`, []string{"A\n\xff\x00"}},
	{`"\x4" "\xg1" "\x"`, []string{"x4", "xg1", "x"}},
	{`'\n \x41 \' "'`, []string{`\n \x41 ' "`}},
	{`a"b c"`, []string{"ab c"}},
	{`a\n \x41`, []string{`a\n`, `\x41`}},
	{"\"a\"\vb", []string{"a", "b"}},
	{"a b\x00c \"", []string{"a", "b"}},
	{"\"a\"\x00b", []string{"a"}},
	{`"a`, nil},
	{`'a`, nil},
	{`a"`, nil},
	{`"a\"`, nil},
	{`"a\`, nil},
	{`'a\'`, nil},
	{`"a"b`, nil},
	{`'a'b`, nil},
	{`"a""b"`, nil},
	{"\"a\x00\"", nil},
}

func TestSplitInline(t *testing.T) {
	for _, c := range inlineCases {
		kept := []byte("kept")
		args, err := SplitInline([]byte(c.line), [][]byte{kept})
		if c.words == nil {
			if !errors.Is(err, ErrUnbalancedQuotes) {
				t.Errorf("%q: %q, %v, want unbalanced quotes", c.line, args, err)
			}
			continue
		}
		if err != nil || len(args) != 1+len(c.words) || !bytes.Equal(args[0], kept) {
			t.Errorf("%q: %q, %v, want %q behind what was there", c.line, args, err, c.words)
			continue
		}
		for i, word := range c.words {
			if string(args[1+i]) != word {
				t.Errorf("%q: word %d is %q, want %q", c.line, i, args[1+i], word)
			}
		}
	}
}
