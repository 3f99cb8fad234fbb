package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A report that was saved is put into a page in place of the one before, with charts that are XML.
func TestReportIsRenderedIntoAPage(t *testing.T) {
	r, o := measured(t, map[string]float64{"direct": 1, "passthrough": 0.9, toBoth: 0.5}, 900)
	saved := t.TempDir()
	if _, err := (&report{Options: o, results: *r, Verdicts: judge(r, o)}).save(saved); err != nil {
		t.Fatal(err)
	}
	again, err := readReport(filepath.Join(saved, "latest.json"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	page := filepath.Join(dir, "performance.md")
	before := "# Performance\n\n" + figuresBegin + "\nold figures\n" + figuresEnd + "\n\n## After\n"
	if err := os.WriteFile(page, []byte(before), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time changes nothing
		if err := again.renderInto(page); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for part, times := range map[string]int{
			"\n## Tandem benchmark": 1, "\n### Goals\n": 1, "old figures": 0, "\n## After\n": 1, "(images/performance-requests-16.svg)": 1, figuresBegin: 1,
		} {
			if n := strings.Count(string(text), part); n != times {
				t.Errorf("%d of %q in\n%s", n, part, text)
			}
		}
	}
	picture, err := os.ReadFile(filepath.Join(dir, "images", "performance-requests-16.svg"))
	if err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(strings.NewReader(string(picture))); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, picture)
		}
	}
	if !strings.Contains(string(picture), "SET application, both") || !strings.Contains(string(picture), "1,350") {
		t.Errorf("not what was measured:\n%s", picture)
	}
	if err := os.WriteFile(page, []byte("# A page without room\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := again.renderInto(page); err == nil {
		t.Error("rendered into a page without room")
	}
	if _, err := readReport(page); err == nil {
		t.Error("a page was read as results")
	}
}
