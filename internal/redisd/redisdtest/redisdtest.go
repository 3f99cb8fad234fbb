// Package redisdtest gives tests real servers, and names the versions that this machine has.
package redisdtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"tandem/internal/redisd"
)

// Start starts a server that is killed when the test ends. A missing server fails the test, never skips
// it: a suite that silently tests nothing is worse than none. The server's log is shown if the test fails.
//
// It looks for what has timed out a hundred times a second, where servers do so ten times: a test of a command that
// blocks for a hundredth of a second takes no longer. Options.Args may say otherwise.
func Start(t testing.TB, o redisd.Options) *redisd.Server {
	t.Helper()
	o.Args = append([]string{"--hz", "100"}, o.Args...)
	s, err := redisd.Start(o)
	if err != nil {
		t.Fatalf("start a server: %v", err)
	}
	t.Cleanup(func() {
		s.Kill() // it would take its time to end, and nobody reads what it leaves behind
		s.Stop()
		if t.Failed() {
			t.Logf("log of %s on %s:\n%s", s.Name, s.Addr, lastBytes(s.Log(), 1500))
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

// Find returns the servers of those names. When this machine lacks one, ok is false and it says so loudly on
// stderr, for a test that leaves out what needs it: which versions can be fetched is not the program's fault.
func Find(t testing.TB, names ...string) (found []Binary, ok bool) {
	t.Helper()
	all := Binaries(t)
	for _, name := range names {
		i := slices.IndexFunc(all, func(b Binary) bool { return b.Name == name })
		if i < 0 {
			fmt.Fprintf(os.Stderr, "*** %s: NOT TESTED with %s, which is not here; scripts/servers.sh fetches it ***\n",
				t.Name(), name)
			return nil, false
		}
		found = append(found, all[i])
	}
	return found, true
}

// root is the directory of the program's go.mod, looked for upwards from the test's directory, which may be in a module of
// its own.
func root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatalf("working directory: %v", err)
	}
	for {
		if mod, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil && strings.HasPrefix(string(mod), "module tandem\n") {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod of the program above the test's directory")
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
