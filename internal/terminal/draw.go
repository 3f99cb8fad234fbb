package terminal

import (
	"math"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bar draws percent of 100 as so many cells. It is full only at the end.
func (l Look) Bar(percent float64, cells int) string {
	full := int(min(max(percent, 0), 100) / 100 * float64(cells))
	return l.Paint(Cyan, strings.Repeat(l.Glyph("█", "#"), full)) +
		l.Paint(Faint, strings.Repeat(l.Glyph("░", "-"), cells-full))
}

// levels are the heights of a curve's cells, from nothing to the greatest value.
var (
	levels      = []rune("▁▂▃▄▅▆▇█")
	asciiLevels = []rune("_.:-=+*#")
)

// Spark draws the last values as a curve of so many cells, one for each, the greatest of them in full height. What is
// not known (NaN) is a blank; so is what is missing at the beginning.
func (l Look) Spark(values []float64, cells int) string {
	if over := len(values) - cells; over > 0 {
		values = values[over:]
	}
	greatest := 0.0
	for _, v := range values {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			greatest = max(greatest, v)
		}
	}
	heights := asciiLevels
	if l.Unicode {
		heights = levels
	}
	curve := []rune(strings.Repeat(" ", max(0, cells-len(values))))
	for _, v := range values {
		switch {
		case math.IsNaN(v) || math.IsInf(v, 0):
			curve = append(curve, ' ')
		case v <= 0:
			curve = append(curve, heights[0])
		default:
			// What is more than nothing is seen to be so.
			top := float64(len(heights) - 1)
			curve = append(curve, heights[int(max(1, math.Round(v/greatest*top)))])
		}
	}
	return string(curve)
}

// Clean takes from a text what a terminal would obey: a key, a client's name or a server's words may hold anything. Lines
// stay lines.
func Clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\t':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == utf8.RuneError:
			return '?'
		}
		return r
	}, text)
}

// OneLine is a text that is clean and has no line breaks.
func OneLine(text string) string { return strings.Join(strings.Fields(Clean(text)), " ") }
