package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// plainInterval is how often progress is written where it cannot replace itself: in a log file, often
// enough to see that it lives.
const plainInterval = 5 * time.Second

// progress is one line that tells how far something is. On a terminal it is replaced in place; elsewhere it
// is a new line now and then.
type progress struct {
	w        io.Writer
	terminal bool
	last     time.Time // when a plain line was written
	shown    bool      // a line stands on the terminal
}

func newProgress(w io.Writer) *progress { return &progress{w: w, terminal: isTerminal(w)} }

// show shows a line.
func (p *progress) show(line string) {
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%s", line)
		p.shown = true
		return
	}
	if now := time.Now(); p.last.IsZero() || now.Sub(p.last) >= plainInterval {
		p.last = now
		fmt.Fprintln(p.w, line)
	}
}

// clear removes the line, for other output to take its place.
func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}

// isTerminal tells whether somebody may be looking. It takes /dev/null for a terminal too, where nobody
// sees the difference.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// bar draws a share between 0 and 100 as so many characters.
func bar(percent float64, width int) string {
	full := int(percent / 100 * float64(width))
	full = max(0, min(width, full))
	return "[" + strings.Repeat("#", full) + strings.Repeat("-", width-full) + "]"
}
