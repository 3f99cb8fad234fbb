package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// TestLinksLead checks every link to a file of the repository, and to a heading of a page.
func TestLinksLead(t *testing.T) {
	all := pages(t)
	anchors := map[string]map[string]bool{}
	for _, p := range all {
		anchors[p.path] = p.anchors()
	}
	checked := 0
	for _, p := range all {
		for i, l := range p.lines {
			if l.code != "" {
				continue
			}
			for _, m := range link.FindAllStringSubmatch(inlineCode.ReplaceAllString(l.text, ""), -1) {
				if strings.Contains(m[1], "://") {
					continue
				}
				file, anchor, _ := strings.Cut(m[1], "#")
				path := p.path
				if file != "" {
					path = filepath.Join(filepath.Dir(p.path), file)
				}
				checked++
				if _, err := os.Stat(filepath.Join(root, path)); err != nil {
					t.Errorf("%s: %s is not there", p.at(i), m[1])
				} else if anchor != "" && !anchors[path][anchor] {
					t.Errorf("%s: %s has no heading #%s", p.at(i), path, anchor)
				}
			}
		}
	}
	if checked < 30 {
		t.Errorf("only %d links found", checked)
	}
}

// TestHeadingsAreUnique: two of one name in a guide are a mistake of editing, and links lead to one of them.
func TestHeadingsAreUnique(t *testing.T) {
	for _, p := range pages(t) {
		seen := map[string]bool{}
		for i, l := range p.lines {
			if l.code != "" || !strings.HasPrefix(l.text, "#") || p.path == "CHANGELOG.md" {
				continue
			}
			if seen[l.text] {
				t.Errorf("%s: %s stands there twice", p.at(i), l.text)
			}
			seen[l.text] = true
		}
	}
}

// anchors are the names that a page's headings have in links.
func (p page) anchors() map[string]bool {
	names := map[string]bool{}
	for _, l := range p.lines {
		if l.code != "" || !strings.HasPrefix(l.text, "#") {
			continue
		}
		name := anchorOf(strings.TrimSpace(strings.TrimLeft(l.text, "#")))
		for n := 0; names[name]; {
			n++
			if again := name + "-" + strconv.Itoa(n); !names[again] {
				name = again
			}
		}
		names[name] = true
	}
	return names
}

// anchorOf makes a name of a heading: lower case, spaces as hyphens, no other punctuation.
func anchorOf(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}
