package conformance

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// token is one word of a line. A quoted one is data, whatever it looks like.
type token struct {
	text   string
	quoted bool
}

// split cuts a line into words and drops its comment.
func split(line string) ([]token, error) {
	var words []token
	for rest := strings.TrimLeft(line, " \t"); rest != ""; rest = strings.TrimLeft(rest, " \t") {
		switch rest[0] {
		case '#':
			if len(rest) > 1 && rest[1] == ' ' {
				return words, nil
			}
		case '"':
			quoted, err := strconv.QuotedPrefix(rest)
			if err != nil {
				return nil, fmt.Errorf("unbalanced quotes in %s", rest)
			}
			text, err := strconv.Unquote(quoted)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", quoted, err)
			}
			words = append(words, token{text, true})
			rest = rest[len(quoted):]
			continue
		}
		end := strings.IndexAny(rest, " \t")
		if end < 0 {
			end = len(rest)
		}
		words = append(words, token{text: rest[:end]})
		rest = rest[end:]
	}
	return words, nil
}

// join writes words so that split reads them again.
func join(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = quote(w, i == 0)
	}
	return strings.Join(quoted, " ")
}

// quote writes one word. The first of a line must not look like a session, a mark or a step of another kind.
func quote(w string, first bool) string {
	plain := w != "" && w != "|" && w[0] != '"' && w[0] != '#' && w != "="
	for _, r := range w {
		plain = plain && r > ' ' && r != unicode.ReplacementChar && r < 0x7f
	}
	if first && plain {
		plain = w == strings.ToUpper(w) && w[0] != '~' && !strings.HasSuffix(w, ">") && !strings.HasSuffix(w, "<")
	}
	if plain {
		return w
	}
	return strconv.Quote(w)
}
