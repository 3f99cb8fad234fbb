package script

import (
	"fmt"
	"strconv"
	"strings"
)

// token is one word of Lua 5.1.
type token struct {
	kind tokenKind
	text string // of a name, keyword or operator as it stands; of a string its value
	num  float64
	line int
}

type tokenKind uint8

const (
	tokenEnd tokenKind = iota
	tokenName
	tokenKeyword
	tokenString
	tokenNumber
	tokenOperator
)

var keywords = map[string]bool{
	"and": true, "break": true, "do": true, "else": true, "elseif": true, "end": true, "false": true,
	"for": true, "function": true, "if": true, "in": true, "local": true, "nil": true, "not": true, "or": true,
	"repeat": true, "return": true, "then": true, "true": true, "until": true, "while": true,
}

// operators, the longer before those they begin with.
var operators = []string{
	"...", "..", "==", "~=", "<=", ">=",
	"+", "-", "*", "/", "%", "^", "#", "<", ">", "=", "(", ")", "{", "}", "[", "]", ";", ":", ",", ".",
}

// scanner splits a source into tokens.
type scanner struct {
	src  string
	i    int
	line int
}

func (s *scanner) errorf(format string, args ...any) error {
	return fmt.Errorf("line %d: %s", s.line, fmt.Sprintf(format, args...))
}

// next returns the token at the scanner's place and moves behind it.
func (s *scanner) next() (token, error) {
	if err := s.skip(); err != nil {
		return token{}, err
	}
	t := token{line: s.line}
	if s.i == len(s.src) {
		return t, nil
	}
	c := s.src[s.i]
	switch {
	case isLetter(c):
		t.text = s.word()
		t.kind = tokenName
		if keywords[t.text] {
			t.kind = tokenKeyword
		}
		return t, nil
	case isDigit(c) || c == '.' && s.i+1 < len(s.src) && isDigit(s.src[s.i+1]):
		return s.number(t)
	case c == '"' || c == '\'':
		return s.quoted(t, c)
	}
	if level := s.bracket(); level >= 0 {
		text, err := s.long(level)
		t.kind, t.text = tokenString, text
		return t, err
	}
	for _, op := range operators {
		if strings.HasPrefix(s.src[s.i:], op) {
			s.i += len(op)
			t.kind, t.text = tokenOperator, op
			return t, nil
		}
	}
	return t, s.errorf("%q is not Lua", c)
}

// skip passes white space and comments.
func (s *scanner) skip() error {
	for s.i < len(s.src) {
		switch c := s.src[s.i]; {
		case c == '\n':
			s.line++
			s.i++
		case c == ' ' || c >= '\t' && c <= '\r':
			s.i++
		case strings.HasPrefix(s.src[s.i:], "--"):
			s.i += 2
			if level := s.bracket(); level >= 0 {
				if _, err := s.long(level); err != nil {
					return err
				}
				continue
			}
			// A lone carriage return ends a line for Lua too: what is behind it is no comment.
			for s.i < len(s.src) && s.src[s.i] != '\n' && s.src[s.i] != '\r' {
				s.i++
			}
		default:
			return nil
		}
	}
	return nil
}

func (s *scanner) word() string {
	start := s.i
	for s.i < len(s.src) && (isLetter(s.src[s.i]) || isDigit(s.src[s.i])) {
		s.i++
	}
	return s.src[start:s.i]
}

// number reads a numeral with the rule of Lua's lexer: digits and dots, an exponent with its sign, and all
// letters and digits that follow; then it must be a number.
func (s *scanner) number(t token) (token, error) {
	start := s.i
	for s.i < len(s.src) && (isDigit(s.src[s.i]) || s.src[s.i] == '.') {
		s.i++
	}
	if s.i < len(s.src) && (s.src[s.i] == 'e' || s.src[s.i] == 'E') {
		s.i++
		if s.i < len(s.src) && (s.src[s.i] == '+' || s.src[s.i] == '-') {
			s.i++
		}
	}
	text := s.src[start:s.i] + s.word()
	var err error
	if hex, ok := strings.CutPrefix(strings.ToLower(text), "0x"); ok {
		var n uint64
		n, err = strconv.ParseUint(hex, 16, 64)
		t.num = float64(n)
	} else if strings.Contains(text, "_") {
		err = strconv.ErrSyntax
	} else {
		t.num, err = strconv.ParseFloat(text, 64)
	}
	if err != nil {
		return t, s.errorf("%q is not a number that is understood", text)
	}
	t.kind = tokenNumber
	return t, nil
}

// quoted reads a string in quotes.
func (s *scanner) quoted(t token, quote byte) (token, error) {
	var b strings.Builder
	t.kind = tokenString
	for s.i++; s.i < len(s.src); s.i++ {
		switch c := s.src[s.i]; c {
		case quote:
			s.i++
			t.text = b.String()
			return t, nil
		case '\n', '\r':
			return t, s.errorf("a string does not end")
		case '\\':
			if err := s.escape(&b); err != nil {
				return t, err
			}
		default:
			b.WriteByte(c)
		}
	}
	return t, s.errorf("a string does not end")
}

// escape reads one escape sequence and leaves the scanner on its last byte.
func (s *scanner) escape(b *strings.Builder) error {
	if s.i++; s.i == len(s.src) {
		return s.errorf("a string does not end")
	}
	c := s.src[s.i]
	if i := strings.IndexByte("abfnrtv", c); i >= 0 {
		b.WriteByte("\a\b\f\n\r\t\v"[i])
		return nil
	}
	switch {
	case c == '\n' || c == '\r':
		s.line++
		if s.i+1 < len(s.src) && (s.src[s.i+1] == '\n' || s.src[s.i+1] == '\r') && s.src[s.i+1] != c {
			s.i++
		}
		b.WriteByte('\n')
	case isDigit(c):
		n := 0
		for k := 0; k < 3 && s.i < len(s.src) && isDigit(s.src[s.i]); k++ {
			n = 10*n + int(s.src[s.i]-'0')
			s.i++
		}
		s.i--
		if n > 255 {
			return s.errorf("an escape is too large")
		}
		b.WriteByte(byte(n))
	default:
		b.WriteByte(c)
	}
	return nil
}

// bracket returns the level of the long bracket that opens here, "[[" or "[==[", or -1 for none.
func (s *scanner) bracket() int {
	if s.i == len(s.src) || s.src[s.i] != '[' {
		return -1
	}
	for i := s.i + 1; i < len(s.src); i++ {
		switch s.src[i] {
		case '=':
		case '[':
			return i - s.i - 1
		default:
			return -1
		}
	}
	return -1
}

// long reads a text in long brackets.
func (s *scanner) long(level int) (string, error) {
	start := s.i + level + 2
	ends := "]" + strings.Repeat("=", level) + "]"
	n := strings.Index(s.src[start:], ends)
	if n < 0 {
		return "", s.errorf("a long bracket is not closed")
	}
	text := s.src[start : start+n]
	if level == 0 && strings.Contains(text, "[[") {
		return "", s.errorf("nested long brackets") // an error for Lua 5.1 as servers build it
	}
	s.line += strings.Count(text, "\n")
	s.i = start + n + len(ends)
	for _, lineBreak := range []string{"\r\n", "\n\r", "\n", "\r"} {
		if rest, ok := strings.CutPrefix(text, lineBreak); ok {
			return rest, nil
		}
	}
	return text, nil
}

func isLetter(c byte) bool { return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
