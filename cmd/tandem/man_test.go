package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestManual: each command of the reference has a page, and a page says what the command's help says.
func TestManual(t *testing.T) {
	dir := t.TempDir()
	if code, _, stderr := tandem(t, nil, "man", dir); code != exitDone {
		t.Fatalf("man: %d %s", code, stderr)
	}
	var pages []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		pages = append(pages, e.Name())
	}
	reference, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"tandem.1"}
	for line := range strings.Lines(string(reference)) {
		if command, ok := strings.CutPrefix(strings.TrimSpace(line), "### "); ok {
			want = append(want, strings.ReplaceAll(command, " ", "-")+".1")
		}
	}
	slices.Sort(want)
	slices.Sort(pages)
	if !slices.Equal(pages, want) {
		t.Errorf("pages %v, want %v", pages, want)
	}
	page, err := os.ReadFile(filepath.Join(dir, "tandem-serve.1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		`.TH "TANDEM-SERVE" 1`, `tandem\-serve \- serve clients`, `\fB\-c\fP, \fB\-\-config\fP \fIFILE\fP`,
		".BR tandem (1)", `tandem serve \-c tandem.yaml`,
	} {
		if !strings.Contains(string(page), part) {
			t.Errorf("tandem-serve.1 lacks %q:\n%s", part, page)
		}
	}
}

func TestRoff(t *testing.T) {
	for text, want := range map[string]string{
		".SH a":  `\&.SH a`,
		"a\n'b":  "a\n\\&'b",
		`a\b--c`: `a\eb\-\-c`,
	} {
		if got := roff(text); got != want {
			t.Errorf("roff(%q) = %q, want %q", text, got, want)
		}
	}
}
