package terminal

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/charmbracelet/x/ansi"

	"tandem/internal/demo/text"
	"tandem/internal/status"
)

// Stage is a moment of something that takes long.
type Stage struct {
	// Name is what it is, in a word.
	Name string
	// Percent is how much of it is done, between 0 and 100; it may be unknown.
	Percent status.Optional[float64]
	// LeftS is the time that is left, in seconds; it may be unknown.
	LeftS status.Optional[int64]
	// Text is what else there is to say.
	Text string
}

// barCells is the length of the bar in a line.
const barCells = 20

// Line writes a stage as one line: name, bar, percent, the time that is left, the text. Where nothing is replaced in
// place there is no bar.
func (l Look) Line(s Stage) string {
	line := s.Name
	add := func(part string) {
		if line != "" && part != "" {
			line += "  "
		}
		line += part
	}
	if percent, known := s.Percent.Get(); known {
		if l.Live {
			add(l.Bar(percent, barCells))
		}
		add(fmt.Sprintf("%5.1f %%", percent))
	}
	if left, known := s.LeftS.Get(); known {
		add(text.Duration(time.Duration(left)*time.Second) + " left")
	}
	add(s.Text)
	return line
}

// plainInterval is how often progress is written where it cannot replace itself: often enough for who reads a log to see
// that it lives.
const plainInterval = 5 * time.Second

// Progress is one line that tells how far something is. On a terminal it is replaced in place; elsewhere it is a new
// line now and then. It may be used by several goroutines.
type Progress struct {
	w    io.Writer
	look Look
	now  func() time.Time

	mu    sync.Mutex
	last  time.Time // when a plain line was written
	name  string    // the stage that it was of
	shown bool      // a line stands on the terminal
	pace  pace
}

// NewProgress shows progress on w.
func NewProgress(w io.Writer) *Progress { return &Progress{w: w, look: LookOf(w), now: time.Now} }

// Live tells whether the line is replaced in place: somebody is looking.
func (p *Progress) Live() bool { return p.look.Live }

// Show shows a stage. If its percent is known and the time that is left is not, that is reckoned from how it went so far.
func (p *Progress) Show(s Stage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if percent, known := s.Percent.Get(); known {
		left := p.pace.left(s.Name, percent, now)
		if _, known := s.LeftS.Get(); !known {
			s.LeftS = left
		}
	}
	if p.look.Live {
		line := p.look.Line(s)
		if columns, _, is := Size(p.w); is { // each time: it may have been resized
			line = ansi.Truncate(line, columns-1, p.look.Glyph("…", "~"))
		}
		fmt.Fprintf(p.w, "\r\x1b[K%s", line)
		p.shown = true
		return
	}
	if p.last.IsZero() || s.Name != p.name || now.Sub(p.last) >= plainInterval {
		p.last, p.name = now, s.Name
		fmt.Fprintln(p.w, p.look.Line(s))
	}
}

// Clear removes the line, for other output to take its place.
func (p *Progress) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}

func (p *Progress) clear() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}

// Write writes other lines to the same output, such as a log's: they take the place of the line of progress, which comes
// back below them with the next Show.
func (p *Progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	return p.w.Write(b)
}

// pace reckons how long a stage will go on.
type pace struct {
	name  string
	from  float64 // percent when it was first seen
	since time.Time
	last  float64
}

const (
	// paceAfter and paceShare are what must have been seen before anything is said.
	paceAfter = 2 * time.Second
	paceShare = 0.5
)

// left is the time until 100 percent at the pace so far, in seconds.
func (p *pace) left(name string, percent float64, now time.Time) status.Optional[int64] {
	if p.since.IsZero() || name != p.name || percent < p.last {
		*p = pace{name: name, from: percent, since: now}
	}
	p.last = percent
	done, took := percent-p.from, now.Sub(p.since)
	if took < paceAfter || done < paceShare {
		return status.Optional[int64]{}
	}
	return status.Known(int64(took.Seconds() * (100 - percent) / done))
}
