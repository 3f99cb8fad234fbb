package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTheHouseHasEveryPackage checks the list of packages in docs/architecture.md against the tree, both ways, and that the
// files exist that the page names by their path.
func TestTheHouseHasEveryPackage(t *testing.T) {
	const path = "docs/architecture.md"
	_, house, _ := strings.Cut(read(t, path), "\n## The house\n")
	house, _, found := strings.Cut(house, "\nArrows go down:")
	if !found {
		t.Fatalf("%s has no house", path)
	}
	named := map[string]bool{}
	for _, dir := range regexp.MustCompile(`(?m)^    ([a-z]+(?:/[a-z]+)*)|\b((?:internal|test)/[a-z/]+|bench)\b`).FindAllString(house, -1) {
		dir = strings.TrimSpace(dir)
		named[dir] = true
		if _, err := os.Stat(filepath.Join(root, dir)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	for dir := range packages(t) {
		if parent := filepath.Dir(dir); !named[dir] && !named[parent] {
			t.Errorf("%s: the house has no %s", path, dir)
		}
	}
	files := regexp.MustCompile("`([a-z_]+(?:/[a-z_]+)*/[a-z_]+\\.go)`").FindAllStringSubmatch(read(t, path), -1)
	for _, m := range files {
		if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if len(named) < 25 || len(files) < 5 {
		t.Errorf("only %d packages and %d files found", len(named), len(files))
	}
}

// packages are the directories with Go files in them, from the root.
func packages(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules") {
			return fs.SkipDir
		}
		if filepath.Ext(path) == ".go" {
			dir, err := filepath.Rel(root, filepath.Dir(path))
			all[dir] = true
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
