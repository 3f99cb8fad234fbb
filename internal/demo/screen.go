package demo

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// liveWidth is the least width of a terminal that the picture and the progress are redrawn on: no line of
// theirs is longer, so none wraps and the number of rows to go back over is known.
const liveWidth = 80

// Look says what the output may use. The zero value is plain ASCII, line by line: right for a file or a pipe.
type Look struct {
	// Live redraws the picture and the progress in place.
	Live bool
	// Color uses a few of the terminal's own colours.
	Color bool
	// Unicode draws with box characters instead of ASCII.
	Unicode bool
}

// LookOf is what suits the file: a terminal wide enough is live, NO_COLOR and TERM=dumb are honoured, and
// characters follow the locale.
func LookOf(file *os.File) Look {
	var look Look
	if size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ); err == nil {
		dumb := os.Getenv("TERM") == "dumb"
		look.Live = size.Col >= liveWidth && !dumb
		look.Color = os.Getenv("NO_COLOR") == "" && !dumb
	}
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := os.Getenv(name); locale != "" {
			locale = strings.ToLower(locale)
			look.Unicode = strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
			break
		}
	}
	return look
}

// The few styles; what is not emphasised has none.
type ink string

const (
	bold  ink = "1"
	faint ink = "2"
	green ink = "32"
	red   ink = "31"
	cyan  ink = "1;36" // what answers the clients
)

// paint colours text, or leaves it.
func (l Look) paint(i ink, text string) string {
	if !l.Color || text == "" {
		return text
	}
	return "\x1b[" + string(i) + "m" + text + "\x1b[0m"
}

// glyph chooses between a character and its ASCII form.
func (l Look) glyph(unicode, ascii string) string {
	if l.Unicode {
		return unicode
	}
	return ascii
}

// screen is the output: what has happened, line after line, and below it, on a live terminal, a region that
// is drawn again and again. It may be used by several goroutines.
type screen struct {
	Look
	mu    sync.Mutex
	out   io.Writer
	drawn int // rows of the region, above the cursor
}

func newScreen(out io.Writer, look Look) *screen {
	s := &screen{Look: look, out: out}
	if look.Live {
		fmt.Fprint(out, "\x1b[?25l") // no cursor jumping about
	}
	return s
}

// close leaves the terminal as it was; the region goes.
func (s *screen) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	if s.Live {
		fmt.Fprint(s.out, "\x1b[?25h")
	}
}

// line adds lines to what has happened. The region is erased; the next draw brings it back.
func (s *screen) line(lines ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	for _, line := range lines {
		fmt.Fprintln(s.out, line)
	}
}

// draw replaces the region, in one write and row by row over the old one, so that it does not flicker. On a
// screen that is not live it does nothing.
func (s *screen) draw(lines []string) {
	if !s.Live {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var picture strings.Builder
	if s.drawn > 0 {
		fmt.Fprintf(&picture, "\x1b[%dA", s.drawn)
	}
	for _, line := range lines {
		picture.WriteString(line + "\x1b[K\n")
	}
	picture.WriteString("\x1b[J")
	io.WriteString(s.out, picture.String())
	s.drawn = len(lines)
}

// erase takes the region away. s.mu is held.
func (s *screen) erase() {
	if s.drawn > 0 {
		fmt.Fprintf(s.out, "\x1b[%dA\x1b[J", s.drawn)
		s.drawn = 0
	}
}

// nameWidth is the width of the column of names in the list of what has happened.
const nameWidth = 12

// done adds a step that succeeded.
func (s *screen) done(name, format string, args ...any) {
	s.step(s.paint(green, s.glyph("✓ ", "ok")), name, fmt.Sprintf(format, args...))
}

// fail adds the step that did not, and why.
func (s *screen) fail(name string, err error) {
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	s.step(s.paint(red, s.glyph("✗ ", "!!")), name, lines[0])
	for _, line := range lines[1:] {
		s.line("      " + s.paint(faint, line))
	}
}

func (s *screen) step(mark, name, text string) {
	s.line(fmt.Sprintf("  %s %s %s", mark, s.paint(bold, fmt.Sprintf("%-*s", nameWidth, name)), text))
}
