package generated

import (
	"os"
	"path/filepath"
	"testing"
)

// judge is a test that notes that it has failed.
type judge struct {
	testing.TB
	failed bool
}

func (j *judge) Helper()               {}
func (j *judge) Errorf(string, ...any) { j.failed = true }

func TestAStaleFileIsFoundAndRenewed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	stale := func() bool {
		j := &judge{TB: t}
		File(j, path, "new", "go generate")
		return j.failed
	}
	if !stale() {
		t.Error("a stale file passes")
	}
	*Update = true
	defer func() { *Update = false }()
	if stale() {
		t.Error("it is not renewed")
	}
	*Update = false
	if stale() {
		t.Error("what was renewed is stale")
	}
}
