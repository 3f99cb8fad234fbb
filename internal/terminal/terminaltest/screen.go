package terminaltest

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// screen is what a terminal shows after what was written to it, as an xterm would: text, where the cursor is, the second
// screen. Colours are passed over. What it does not know is kept, for the test to fail: a screen that guesses shows nothing.
type screen struct {
	columns, rows int
	parser        *ansi.Parser

	cells [][]string // rows of columns; "" is the second half of a wide letter
	first [][]string // the cells of the first screen while the second one is shown
	x, y  int
	kept  [2]int // where the cursor was on the first one
	// last is the last letter, for its repetition; wrap says that the next one begins a line.
	last         string
	wrap         bool
	top, bottom  int // the rows that scroll
	noWrap       bool
	cursorHidden bool

	unknown []string
}

func newScreen(columns, rows int) *screen {
	s := &screen{parser: ansi.NewParser()}
	s.parser.SetHandler(ansi.Handler{
		Print: s.print, Execute: s.control, HandleCsi: s.sequence,
		HandleEsc: s.escape,
	})
	s.resize(columns, rows)
	return s
}

func (s *screen) write(b []byte) {
	for _, c := range b {
		s.parser.Advance(c)
	}
}

// resize keeps what there is room for.
func (s *screen) resize(columns, rows int) {
	s.columns, s.rows, s.top, s.bottom = columns, rows, 0, rows-1
	fit := func(old [][]string) [][]string {
		cells := make([][]string, rows)
		for y := range cells {
			cells[y] = blanks(columns)
			if y < len(old) {
				copy(cells[y], old[y])
			}
		}
		return cells
	}
	s.cells = fit(s.cells)
	if s.first != nil {
		s.first = fit(s.first)
	}
	s.move(s.x, s.y)
}

func blanks(n int) []string {
	row := make([]string, n)
	for i := range row {
		row[i] = " "
	}
	return row
}

// String is the text, without blanks at the ends of lines.
func (s *screen) String() string {
	lines := make([]string, s.rows)
	for y, row := range s.cells {
		lines[y] = strings.TrimRight(strings.Join(row, ""), " ")
	}
	return strings.Join(lines, "\n")
}

func (s *screen) move(x, y int) {
	s.x, s.y, s.wrap = max(0, min(x, s.columns-1)), max(0, min(y, s.rows-1)), false
}

func (s *screen) print(r rune) {
	letter := string(r)
	width := ansi.StringWidth(letter)
	if width == 0 { // it belongs to the letter before it
		if s.x > 0 {
			s.cells[s.y][s.x-1] += letter
		}
		return
	}
	if s.wrap && !s.noWrap {
		s.x = 0
		s.lineFeed()
	}
	s.wrap = false
	s.last = letter
	s.cells[s.y][s.x] = letter
	if width == 2 && s.x+1 < s.columns {
		s.cells[s.y][s.x+1] = ""
	}
	if s.x += width; s.x >= s.columns {
		s.x, s.wrap = s.columns-1, true
	}
}

func (s *screen) lineFeed() {
	if s.y == s.bottom {
		s.scroll(s.top, 1)
		return
	}
	s.move(s.x, s.y+1)
}

// scroll moves the lines from a row to the last one that scrolls up, or down for a negative number.
func (s *screen) scroll(from, n int) {
	for ; n > 0; n-- {
		copy(s.cells[from:s.bottom], s.cells[from+1:s.bottom+1])
		s.cells[s.bottom] = blanks(s.columns)
	}
	for ; n < 0; n++ {
		copy(s.cells[from+1:s.bottom+1], s.cells[from:s.bottom])
		s.cells[from] = blanks(s.columns)
	}
}

func (s *screen) control(b byte) {
	switch b {
	case '\r':
		s.move(0, s.y)
	case '\n':
		s.lineFeed()
	case '\b':
		s.move(s.x-1, s.y)
	case '\t':
		s.move((s.x/8+1)*8, s.y)
	case '\a', 0:
	default:
		s.unknown = append(s.unknown, fmt.Sprintf("control %#x", b))
	}
}

func (s *screen) escape(c ansi.Cmd) {
	switch c.Final() {
	case 'M': // up, scrolling
		if s.y == s.top {
			s.scroll(s.top, -1)
		} else {
			s.move(s.x, s.y-1)
		}
	case '=', '>', '\\':
	default:
		s.unknown = append(s.unknown, fmt.Sprintf("escape %q", rune(c.Final())))
	}
}

func (s *screen) sequence(c ansi.Cmd, params ansi.Params) {
	n, _, _ := params.Param(0, 1)
	n = max(1, n)
	second, _, _ := params.Param(1, 1)
	raw, _, _ := params.Param(0, 0)
	if c.Prefix() != 0 || c.Intermediate() != 0 {
		s.private(c, raw)
		return
	}
	row := s.cells[s.y]
	switch c.Final() {
	case 'A':
		s.move(s.x, s.y-n)
	case 'B', 'e':
		s.move(s.x, s.y+n)
	case 'C', 'a':
		s.move(s.x+n, s.y)
	case 'D':
		s.move(s.x-n, s.y)
	case 'G', '`':
		s.move(n-1, s.y)
	case 'd':
		s.move(s.x, n-1)
	case 'H', 'f':
		s.move(second-1, n-1)
	case 'I':
		s.move((s.x/8+n)*8, s.y)
	case 'Z':
		s.move(((s.x+7)/8-n)*8, s.y)
	case 'J':
		s.eraseScreen(raw)
	case 'K':
		from, to := map[int]int{0: s.x}[raw], s.columns
		if raw == 1 {
			to = s.x + 1
		}
		copy(row[from:to], blanks(to-from))
	case 'X':
		n = min(n, s.columns-s.x)
		copy(row[s.x:], blanks(n))
	case 'P':
		n = min(n, s.columns-s.x)
		copy(row[s.x:], row[s.x+n:])
		copy(row[s.columns-n:], blanks(n))
	case '@':
		n = min(n, s.columns-s.x)
		copy(row[s.x+n:], append([]string(nil), row[s.x:]...))
		copy(row[s.x:], blanks(n))
	case 'L':
		s.scroll(s.y, -n)
	case 'M':
		s.scroll(s.y, n)
	case 'S':
		s.scroll(s.top, n)
	case 'T':
		s.scroll(s.top, -n)
	case 'b':
		for range n {
			for _, r := range s.last {
				s.print(r)
			}
		}
	case 'r':
		s.top, s.bottom = 0, s.rows-1
		if bottom, _, given := params.Param(1, 0); given && bottom > 0 {
			s.top, s.bottom = n-1, min(bottom, s.rows)-1
		}
		s.move(0, 0)
	case 'm', 'l', 'h', 'n', 't':
	default:
		s.unknown = append(s.unknown, fmt.Sprintf("sequence %q %v", rune(c.Final()), params))
	}
}

func (s *screen) eraseScreen(what int) {
	from, to := 0, s.rows
	switch what {
	case 0:
		copy(s.cells[s.y][s.x:], blanks(s.columns))
		from = s.y + 1
	case 1:
		copy(s.cells[s.y][:s.x+1], blanks(s.x+1))
		to = s.y
	}
	for y := from; y < to; y++ {
		s.cells[y] = blanks(s.columns)
	}
}

// private are modes, and questions about them, which are not answered.
func (s *screen) private(c ansi.Cmd, mode int) {
	on := c.Final() == 'h'
	switch {
	case c.Prefix() != '?' || c.Final() != 'h' && c.Final() != 'l':
	case mode == 25:
		s.cursorHidden = !on
	case mode == 7:
		s.noWrap = !on
	case mode == 1049 && on:
		s.first, s.kept = s.cells, [2]int{s.x, s.y}
		s.cells = nil
		s.resize(s.columns, s.rows)
	case mode == 1049:
		if s.first != nil {
			s.cells, s.first = s.first, nil
			s.move(s.kept[0], s.kept[1])
		}
	}
}
