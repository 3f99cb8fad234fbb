package main

import (
	"bytes"
	"io"
)

// frame collects one picture of something that is shown again and again. On a terminal a picture takes the
// place of the one before, in one write, so that it does not flicker.
type frame struct {
	w      io.Writer
	redraw bool // take the place of the picture before
	clear  bool // this is the first: clear the screen
	buf    bytes.Buffer
}

func (f *frame) Write(p []byte) (int, error) { return f.buf.Write(p) }

// flush shows the picture.
func (f *frame) flush() error {
	out := f.buf.Bytes()
	if f.redraw {
		start := "\x1b[H"
		if f.clear {
			start = "\x1b[2J" + start
		}
		// Each line clears what the picture before had behind it, the last one all below.
		out = append([]byte(start), bytes.ReplaceAll(out, []byte("\n"), []byte("\x1b[K\n"))...)
		out = append(out, "\x1b[J"...)
	} else if !f.clear && bytes.Count(out, []byte("\n")) > 1 {
		out = append([]byte("\n"), out...)
	}
	_, err := f.w.Write(out)
	return err
}
