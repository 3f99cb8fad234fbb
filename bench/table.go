package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// table is a Markdown table whose columns are padded, so that it reads as well in a terminal as rendered.
type table struct {
	header []string
	rows   [][]string
	// words is how many columns, from the left, hold words; the others hold numbers and are set flush right.
	words int
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// write prints the table and an empty line.
func (t *table) write(w io.Writer) {
	width := make([]int, len(t.header))
	for _, row := range append([][]string{t.header}, t.rows...) {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	t.writeRow(w, width, t.header)
	rule := make([]string, len(width))
	for i, n := range width {
		rule[i] = strings.Repeat("-", n)
		if i >= t.words {
			rule[i] = strings.Repeat("-", max(n-1, 1)) + ":"
		}
	}
	t.writeRow(w, width, rule)
	for _, row := range t.rows {
		t.writeRow(w, width, row)
	}
	fmt.Fprintln(w)
}

func (t *table) writeRow(w io.Writer, width []int, cells []string) {
	var line strings.Builder
	for i, cell := range cells {
		pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
		if i < t.words {
			line.WriteString("| " + cell + pad + " ")
		} else {
			line.WriteString("| " + pad + cell + " ")
		}
	}
	fmt.Fprintln(w, line.String()+"|")
}
