package conformance

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

// databases is how many the servers have: one for each scenario of each run between two flushes.
const databases = "1024"

// present are those of the versions that this machine has. A missing one is said aloud by Find.
func present(t *testing.T) (names []string) {
	t.Helper()
	for _, name := range versions {
		if *alone != "" && name != *alone {
			continue
		}
		if _, ok := redisdtest.Find(t, name); ok {
			names = append(names, name)
		}
	}
	return names
}

// start starts a server of a version, with what scenarios need.
func start(t *testing.T, version string) *redisd.Server {
	t.Helper()
	found, ok := redisdtest.Find(t, version)
	if !ok {
		t.Fatalf("%s is not here", version)
	}
	args := []string{"--databases", databases, "--hz", "100"}
	if version != "redis-6.0" {
		args = append(args, "--enable-debug-command", "yes")
	}
	s, err := redisd.Start(redisd.Options{Binary: found[0].Path, Args: args})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop) // its log says nothing of a reply that differs
	return s
}

// control is a connection to a server, closed at the end of the test.
func control(t *testing.T, s *redisd.Server) *Control {
	t.Helper()
	c, err := DialControl(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// corpus is all scenarios and what is derived from them, or those that -scenario asks for.
func corpus(t *testing.T) []*Scenario {
	t.Helper()
	if loaded != nil {
		return loaded
	}
	all, err := Load(os.DirFS("scenarios"))
	if err != nil {
		t.Fatal(err)
	}
	all = append(all, Derive(all)...)
	wanted, err := regexp.Compile(*only)
	if err != nil {
		t.Fatalf("-scenario: %v", err)
	}
	loaded = slices.DeleteFunc(all, func(s *Scenario) bool { return !wanted.MatchString(s.ID()) || s.Slow && !full })
	return loaded
}

// loaded is kept by corpus: a scenario is itself in all tests.
var loaded []*Scenario
