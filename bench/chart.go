package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// chart is a picture of figures beside each other: a bar for each median, and a whisker from its smallest to its largest
// round.
type chart struct {
	name  string // of its file, without an ending
	title string // with the unit
	bars  []bar
}

type bar struct {
	label string
	figure
	ours bool // tandem's stand out
}

const (
	chartWidth = 760
	// A bar stands in a row; the rest of the row is space. labelWidth is what a letter of a label takes at 13 px.
	rowHeight, barHeight = 26, 16
	labelWidth           = 7.3
	valueRoom            = 90 // right of the longest whisker, for the number
	titleRoom            = 40
)

// add puts a bar into the chart, unless there is nothing to show.
func (c *chart) add(label string, f figure, ours bool) {
	if f.known() && f.Max > 0 {
		c.bars = append(c.bars, bar{label: label, figure: f, ours: ours})
	}
}

// write draws the chart as SVG. It has no background and follows the colours that the reader's system asks for, so that
// it is legible in the light and in the dark.
func (c *chart) write(w io.Writer) {
	left, most := 0.0, 0.0
	for _, b := range c.bars {
		left = max(left, labelWidth*float64(utf8.RuneCountInString(b.label)))
		most = max(most, b.Max)
	}
	left += 16
	height := titleRoom + rowHeight*len(c.bars) + 8
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img">
<title>%s</title>
<style>
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 }
.ours { fill: #0969da }
.other { fill: #8c959f }
.spread { stroke: #24292f; stroke-width: 1.5; fill: none }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .ours { fill: #2f81f7 }
  .other { fill: #6e7681 }
  .spread { stroke: #e6edf3 }
}
</style>
<text class="title" x="0" y="18">%s</text>
`, chartWidth, height, escaped(c.title), escaped(c.title))
	scale := (chartWidth - left - valueRoom) / most
	for i, b := range c.bars {
		top := titleRoom + rowHeight*i
		middle := float64(top) + barHeight/2
		class := "other"
		if b.ours {
			class = "ours"
		}
		low, high := left+scale*max(b.Min, 0), left+scale*b.Max
		fmt.Fprintf(w, `<text x="%.1f" y="%.1f" text-anchor="end">%s</text>
<rect class="%s" x="%.1f" y="%d" width="%.1f" height="%d" rx="2"/>
<path class="spread" d="M%.1f %.1fH%.1fM%.1f %.1fv8M%.1f %.1fv8"/>
<text x="%.1f" y="%.1f">%s</text>
`, left-8, middle+4.5, escaped(b.label),
			class, left, top, scale*max(b.Median, 0), barHeight,
			low, middle, high, low, middle-4, high, middle-4,
			high+8, middle+4.5, escaped(number(b.Median)))
	}
	fmt.Fprintln(w, "</svg>")
}

func escaped(s string) string {
	var out strings.Builder
	xml.EscapeText(&out, []byte(s)) // a Builder never fails
	return out.String()
}

// charts are the pictures of a report: those that have something to show.
func (r *report) charts() []*chart {
	var all []*chart
	keep := func(c *chart) {
		if len(c.bars) > 1 {
			all = append(all, c)
		}
	}
	depths := make(map[int]*chart)
	var order []*chart
	for _, w := range r.Options.workloads() {
		if !w.usual() {
			continue
		}
		c, ok := depths[w.Pipeline]
		if !ok {
			c = &chart{name: fmt.Sprintf("requests-%d", w.Pipeline), title: fmt.Sprintf("Requests per second, -P %d", w.Pipeline)}
			depths[w.Pipeline] = c
			order = append(order, c)
		}
		for _, arrangement := range arrangementNames {
			c.add(w.Command+" "+arrangement, inOrder(r.series(arrangement, w, rateOf)), ours(arrangement))
		}
	}
	for _, c := range order {
		keep(c)
	}
	for _, kind := range r.backfills() {
		c := &chart{name: "backfill-" + strings.ReplaceAll(size(kind.value), " ", ""), title: fmt.Sprintf("Backfill of %s values, %s", size(kind.value), kind.unit)}
		for _, how := range waysOfBackfill {
			c.add(how, inOrder(r.backfillSeries(how, kind.value, kind.pick)), how == byTandem)
		}
		keep(c)
	}
	for _, s := range sections {
		if s.part == "sizes" {
			continue // its bars would be from microseconds to seconds
		}
		c := &chart{name: s.part, title: s.title + ", " + s.spread}
		for _, of := range r.rows(s.part) {
			c.add(of, inOrder(r.figures(s.part, of, s.spread)), ours(of))
		}
		keep(c)
	}
	return all
}

// others are the arrangements without a tandem.
var others = []string{"direct", "twemproxy", "haproxy", toBoth}

// ours reports whether an arrangement has a tandem in it, or a row whose name ends with the arrangement.
func ours(of string) bool {
	return !slices.ContainsFunc(others, func(other string) bool { return strings.HasSuffix(of, other) })
}
