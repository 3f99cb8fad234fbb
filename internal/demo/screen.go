package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"

	"tandem/internal/terminal"
)

// liveWidth is the least width of a terminal that the picture and the progress are redrawn on: no line of
// theirs is longer, so none wraps and the number of rows to go back over is known.
const liveWidth = 80

// LookOf is what suits an output: on a terminal that is too narrow nothing is redrawn.
func LookOf(w io.Writer) terminal.Look {
	look := terminal.LookOf(w)
	if columns, _, _ := terminal.Size(w); columns < liveWidth {
		look.Live = false
	}
	return look
}

// screen is the output: what has happened, line after line, and below it, on a live terminal, a region that
// is drawn again and again. It may be used by several goroutines.
type screen struct {
	terminal.Look
	mu    sync.Mutex
	out   io.Writer
	json  bool // one object per step, and nothing else
	drawn int  // rows of the region, above the cursor
}

func newScreen(o Options) *screen {
	s := &screen{Look: o.Look, out: o.Out, json: o.JSON}
	if o.JSON {
		s.Look = terminal.Look{}
	}
	if s.Live {
		fmt.Fprint(s.out, "\x1b[?25l") // no cursor jumping about
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
	if s.json {
		return
	}
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
	words := fmt.Sprintf(format, args...)
	s.object(name, true, words)
	s.step(s.Paint(terminal.Green, s.Glyph("✓ ", "ok")), name, words)
}

// fail adds the step that did not, and why.
func (s *screen) fail(name string, err error) {
	s.object(name, false, err.Error())
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	s.step(s.Paint(terminal.Red, s.Glyph("✗ ", "!!")), name, lines[0])
	for _, line := range lines[1:] {
		s.line("      " + s.Paint(terminal.Faint, line))
	}
}

// object adds a step for programs, if that is wanted.
func (s *screen) object(name string, ok bool, words string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.json {
		_ = json.NewEncoder(s.out).Encode(struct {
			Step string `json:"step"`
			OK   bool   `json:"ok"`
			Text string `json:"text"`
		}{name, ok, words}) // if nobody reads it, nobody would read an error
	}
}

func (s *screen) step(mark, name, text string) {
	s.line(fmt.Sprintf("  %s %s %s", mark, s.Paint(terminal.Bold, fmt.Sprintf("%-*s", nameWidth, name)), text))
}
