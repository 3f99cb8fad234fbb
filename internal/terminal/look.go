// Package terminal writes for somebody who looks at a terminal: it knows what one can show, draws bars and curves of
// characters, and shows how far something long is, in one form for all commands. Where nobody looks, in a file or a
// pipe, the same is written as plain lines now and then.
//
// Colours are the terminal's own sixteen and only foregrounds, so that they can be read on dark and on light; nothing
// is said by colour alone. It owns no screen: see internal/watch for one.
package terminal

import (
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Look says what the output may use. The zero value is plain ASCII, line by line: right for a file or a pipe.
type Look struct {
	// Live: what was written can be replaced in place.
	Live bool
	// Color uses a few of the terminal's own colours.
	Color bool
	// Unicode draws with box characters instead of ASCII.
	Unicode bool
}

// LookOf is what suits an output: a terminal is live, NO_COLOR and TERM=dumb are honoured, and characters follow the
// locale.
func LookOf(w io.Writer) Look {
	look := Look{Unicode: unicodeLocale()}
	if _, _, is := Size(w); is && os.Getenv("TERM") != "dumb" {
		look.Live = true
		look.Color = os.Getenv("NO_COLOR") == ""
	}
	return look
}

// unicodeLocale follows the first variable that says which characters there are.
func unicodeLocale() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := strings.ToLower(os.Getenv(name)); locale != "" {
			return strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
		}
	}
	return false
}

// Size returns the columns and rows of a terminal, and whether w is one. A terminal that does not know its size, as some
// serial lines do not, has 80 by 24.
func Size(w io.Writer) (columns, rows int, is bool) {
	f, ok := w.(*os.File)
	if !ok {
		return 0, 0, false
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0, false
	}
	if size.Col == 0 || size.Row == 0 {
		return 80, 24, true
	}
	return int(size.Col), int(size.Row), true
}

// Is tells whether somebody may be looking.
func Is(w io.Writer) bool {
	_, _, is := Size(w)
	return is
}

// Ink is how text is emphasised; what is not has none.
type Ink string

// The few inks.
const (
	Plain  Ink = ""
	Bold   Ink = "1"
	Faint  Ink = "2"
	Red    Ink = "31"
	Green  Ink = "32"
	Yellow Ink = "33"
	Cyan   Ink = "36"
	Strong Ink = "1;36"
)

// Paint colours text, or leaves it.
func (l Look) Paint(i Ink, text string) string {
	if !l.Color || text == "" || i == Plain {
		return text
	}
	return "\x1b[" + string(i) + "m" + text + "\x1b[0m"
}

// Glyph chooses between a character and its ASCII form.
func (l Look) Glyph(unicode, ascii string) string {
	if l.Unicode {
		return unicode
	}
	return ascii
}
