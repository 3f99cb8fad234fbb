package resp

// SplitInline splits an inline command into arguments by the rules of Redis (its sdssplitargs), and appends
// them to args. Words are separated by white space. Double quotes allow white space and \n \r \t \b \a, \xHH
// and a backslash before any other byte; single quotes allow white space and \'. A quoted part may follow
// plain text in one word, but ends it (Valkey 9 lets text follow there, too). A NUL byte ends the line. line
// may carry its line break.
//
// Words without quotes point into line; the others have memory of their own. The error is
// ErrUnbalancedQuotes.
func SplitInline(line []byte, args [][]byte) ([][]byte, error) {
	for i := 0; ; {
		word, next, ok := inlineWord(line, i)
		if !ok {
			return args, ErrUnbalancedQuotes
		}
		if next < 0 {
			return args, nil
		}
		args = append(args, word)
		i = next
	}
}

// countInline returns how many words SplitInline would return.
func countInline(line []byte) (count int, err error) {
	for i := 0; ; count++ {
		_, next, ok := inlineWord(line, i)
		if !ok {
			return 0, ErrUnbalancedQuotes
		}
		if next < 0 {
			return count, nil
		}
		i = next
	}
}

// inlineWord returns the first word at or after line[i], and the index after it, or -1 when there is none.
func inlineWord(line []byte, i int) (word []byte, next int, ok bool) {
	for i < len(line) && isSpace(line[i]) {
		i++
	}
	if i == len(line) || line[i] == 0 {
		return nil, -1, true
	}
	start := i
	for i < len(line) && !endsWord(line[i]) {
		if line[i] == '"' || line[i] == '\'' {
			word = append(make([]byte, 0, len(line)-start), line[start:i]...)
			return quotedPart(line, i, word)
		}
		i++
	}
	return line[start:i:i], i, true
}

// quotedPart appends what stands between the quote at line[i] and its partner to word, which ends there.
func quotedPart(line []byte, i int, word []byte) (_ []byte, next int, ok bool) {
	quote := line[i]
	for i++; i < len(line) && line[i] != 0; i++ {
		c := line[i]
		switch {
		case c == quote:
			i++
			return word, i, i == len(line) || line[i] == 0 || isSpace(line[i])
		case c != '\\' || i+1 == len(line) || line[i+1] == 0:
			word = append(word, c)
		case quote == '\'':
			// Only \' is an escape here.
			if line[i+1] == '\'' {
				i++
				c = '\''
			}
			word = append(word, c)
		case line[i+1] == 'x' && i+3 < len(line) && isHex(line[i+2]) && isHex(line[i+3]):
			word = append(word, hexDigit(line[i+2])<<4|hexDigit(line[i+3]))
			i += 3
		default:
			i++
			word = append(word, unescape(line[i]))
		}
	}
	return word, i, false
}

// unescape is what a backslash and c stand for within double quotes.
func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	case 'a':
		return '\a'
	}
	return c
}

// isSpace is C's isspace: what separates words.
func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// endsWord is what ends a word without quotes: vertical tab and form feed do not.
func endsWord(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == 0 }

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func hexDigit(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}
