// Package generated keeps files that are made from the code as the code has them: a test of each compares them, and writes
// them with -update.
package generated

import (
	"flag"
	"os"
	"testing"
)

// Update is set where the files are to be written instead of compared. It belongs to tests alone: nothing else imports this
// package.
var Update = flag.Bool("update", false, "write the generated files instead of comparing them")

// File fails the test unless the file at path says what it should; command is what renews it.
func File(t testing.TB, path, want, command string) {
	t.Helper()
	if *Update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the code says; run: %s", path, command)
	}
}
