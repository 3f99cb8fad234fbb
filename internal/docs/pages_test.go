package docs

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// root is the repository's, seen from this package.
const root = "../.."

// binary is the program whose command lines and settings the pages are checked with, built once.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(buildAndTest(m))
}

func buildAndTest(m *testing.M) int {
	dir, err := os.MkdirTemp("", "tandem-docs")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "tandem")
	if out, err := exec.Command("go", "build", "-o", binary, "tandem/cmd/tandem").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// page is one document.
type page struct {
	path  string // from the root
	lines []line
}

// line is one line of a page, with what it is part of.
type line struct {
	text string
	// code is the language of the block it stands in, "indented" for one without fences, "" for prose.
	code string
	// info is what the block's fence says besides: what is to become of its commands (run_test.go).
	info string
	// first tells a block's first line.
	first bool
}

// pages reads all documents for users.
func pages(t *testing.T) []page {
	t.Helper()
	paths := []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md"}
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, _ fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".md" {
			path, err = filepath.Rel(root, path)
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) < 10 {
		t.Fatalf("only %d documents found", len(paths))
	}
	var all []page
	for _, path := range paths {
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page{path, split(string(text))})
	}
	return all
}

// split tells code from prose.
func split(text string) []line {
	var lines []line
	fence, info, first := "", "", false
	for _, s := range strings.Split(text, "\n") {
		l := line{text: s, code: fence, info: info, first: first}
		first = false
		switch lang, isFence := strings.CutPrefix(strings.TrimSpace(s), "```"); {
		case isFence && fence == "":
			if fence, info, _ = strings.Cut(lang, " "); fence == "" {
				fence = "plain"
			}
			first = true
		case isFence:
			l.code, l.info, fence, info = "", "", "", ""
		case fence == "" && strings.HasPrefix(s, "    "):
			l.code = "indented"
		}
		lines = append(lines, l)
	}
	return lines
}

var inlineCode = regexp.MustCompile("`([^`]+)`")

// spans are the pieces of code within a line of prose.
func (l line) spans() (all []string) {
	if l.code != "" {
		return nil
	}
	for _, m := range inlineCode.FindAllStringSubmatch(l.text, -1) {
		all = append(all, m[1])
	}
	return all
}

// at names a line, counted from 0, as editors do.
func (p page) at(i int) string { return fmt.Sprintf("%s:%d", p.path, i+1) }

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
