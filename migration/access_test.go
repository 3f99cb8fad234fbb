package migration

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"

	"tandem/config"
)

// A client's password is what its file says now; while that cannot be read, what it said last: one that was taken back
// does not come to life.
func TestAPasswordFileIsReadAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := reread(config.User{Name: "app", PasswordFile: file}, sha256.Sum256([]byte("first")))
	for _, step := range []struct{ file, want string }{{"first\n", "first"}, {"second\n", "second"}, {"", "second"}, {"third", "third"}} {
		write(step.file)
		if read() != sha256.Sum256([]byte(step.want)) {
			t.Errorf("with %q in the file the password is not %q", step.file, step.want)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if read() != sha256.Sum256([]byte("third")) {
		t.Error("without the file the password is another one")
	}
}
