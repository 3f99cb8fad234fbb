package admin

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestReferenceNamesEveryPath keeps docs/reference/admin-api.md and routes together.
func TestReferenceNamesEveryPath(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/admin-api.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("server.go")
	if err != nil {
		t.Fatal(err)
	}
	paths := regexp.MustCompile(`mux\.Handle\("([^"]+)"`).FindAllStringSubmatch(string(source), -1)
	if len(paths) < 10 {
		t.Fatalf("only %d paths found in server.go", len(paths))
	}
	for _, p := range paths {
		path := strings.TrimSuffix(p[1], "{$}")
		last := path[strings.LastIndexByte(path, '/'):] // pages name steps that belong together once
		if !strings.Contains(string(page), path+"`") && !strings.Contains(string(page), "`"+last+"`") {
			t.Errorf("%s is not in the reference", path)
		}
	}
	for _, status := range []string{"400", "401", "403", "404", "405", "409", "413", "503", "504"} {
		if !strings.Contains(string(page), status) {
			t.Errorf("status %s is not in the reference", status)
		}
	}
}
