package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Between these lines a page has the figures of a benchmark.
const (
	figuresBegin = "<!-- figures: begin. What is between here and the end comes from go run ./bench --render -->"
	figuresEnd   = "<!-- figures: end -->"
)

// readReport reads what a benchmark has saved as JSON.
func readReport(path string) (*report, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading results: %w", err)
	}
	r := new(report)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("reading results from %s: %w", path, err)
	}
	if r.empty() {
		return nil, fmt.Errorf("reading results from %s: nothing was measured", path)
	}
	return r, nil
}

// renderInto puts a report into a page, in place of the one that is there, its headings one level lower. Its pictures are
// put into images beside the page.
func (r *report) renderInto(page string) error {
	data, err := os.ReadFile(page)
	if err != nil {
		return fmt.Errorf("page for the report: %w", err)
	}
	before, rest, begins := bytes.Cut(data, []byte(figuresBegin+"\n"))
	_, after, ends := bytes.Cut(rest, []byte(figuresEnd))
	if !begins || !ends {
		return errors.New("page for the report: " + page + " lacks the lines that figures belong between:\n" + figuresBegin + "\n" + figuresEnd)
	}
	name := strings.TrimSuffix(filepath.Base(page), filepath.Ext(page))
	if err := r.draw(filepath.Join(filepath.Dir(page), "images"), name); err != nil {
		return err
	}
	r.pictures = "images/" + name
	var text strings.Builder
	r.markdown(&text)
	var out bytes.Buffer
	out.Write(before)
	out.WriteString(figuresBegin + "\n")
	for line := range strings.Lines(text.String()) {
		if strings.HasPrefix(line, "#") {
			line = "#" + line
		}
		out.WriteString(line)
	}
	out.WriteString(figuresEnd)
	out.Write(after)
	if err := os.WriteFile(page, out.Bytes(), 0o644); err != nil {
		return fmt.Errorf("page for the report: %w", err)
	}
	return nil
}

// draw writes the charts into a directory, each name beginning with that of the report.
func (r *report) draw(dir, name string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("directory for the charts: %w", err)
	}
	for _, c := range r.charts() {
		var picture bytes.Buffer
		c.write(&picture)
		if err := os.WriteFile(filepath.Join(dir, name+"-"+c.name+".svg"), picture.Bytes(), 0o644); err != nil {
			return fmt.Errorf("chart %s: %w", c.name, err)
		}
	}
	return nil
}
