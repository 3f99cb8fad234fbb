// Package redisdtest gives tests real servers, and names the versions that this machine has.
package redisdtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"testing"

	"tandem/internal/redisd"
)

// Start starts a server that is stopped when the test ends. A missing server fails the test, never skips
// it: a suite that silently tests nothing is worse than none. The server's log is shown if the test fails.
func Start(t testing.TB, o redisd.Options) *redisd.Server {
	t.Helper()
	s, err := redisd.Start(o)
	if err != nil {
		t.Fatalf("start a server: %v", err)
	}
	t.Cleanup(func() {
		s.Stop()
		if t.Failed() {
			t.Logf("log of %s on %s:\n%s", s.Name, s.Addr, lastBytes(s.Log(), 4096))
		}
	})
	return s
}

// Binary is one version of a server on this machine.
type Binary struct {
	// Name is the product and version to two places: "redis-7.0", "valkey-8.1".
	Name string
	// Path is the program, for redisd.Options.Binary.
	Path string
}

// Binaries lists the installed redis-server and what scripts/servers.sh has put under .servers/bin of the
// repository's root, by name. The installed one wins where both are the same version.
func Binaries(t testing.TB) []Binary {
	t.Helper()
	installed, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatalf("redis-server: %v", redisd.ErrNotInstalled)
	}
	fetched, err := filepath.Glob(filepath.Join(root(t), ".servers", "bin", "*"))
	if err != nil {
		t.Fatalf("list fetched servers: %v", err)
	}
	byName := map[string]string{}
	for _, path := range append(fetched, installed) {
		name, err := redisd.Version(path)
		if err != nil {
			t.Fatalf("version of a server: %v (scripts/servers.sh --clean fetches them again)", err)
		}
		byName[name] = path
	}
	var all []Binary
	for name, path := range byName {
		all = append(all, Binary{name, path})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all
}

// Find returns the server of that name, and whether this machine has it.
func Find(t testing.TB, name string) (Binary, bool) {
	t.Helper()
	for _, b := range Binaries(t) {
		if b.Name == name {
			return b, true
		}
	}
	return Binary{Name: name}, false
}

// root is the directory of go.mod, looked for upwards from the test's directory.
func root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatalf("working directory: %v", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the test's directory")
		}
		dir = up
	}
}

func lastBytes(s string, n int) string {
	if len(s) > n {
		return "..." + s[len(s)-n:]
	}
	return s
}
