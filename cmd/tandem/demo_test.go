package main

import (
	"strings"
	"testing"
)

func TestDemoRefusesSizesThatShowNothing(t *testing.T) {
	for args, want := range map[string]string{
		"demo --keys 10":       "at least 1000 keys",
		"demo --clients 0":     "between 1 and 200 clients",
		"demo --clients 1000":  "between 1 and 200 clients",
		"demo --rate 1":        "at least 100 commands a second",
		"demo --keys a-lot":    "invalid argument",
		"demo somewhere":       "takes no argument",
		"demo --rate 50000000": "at most",
	} {
		code, stdout, stderr := tandem(t, nil, strings.Fields(args)...)
		if code != exitUsage || stdout != "" {
			t.Errorf("%s: %d, stdout %q", args, code, stdout)
		}
		expectParts(t, args, stderr, "tandem: ", want, "\nSee: tandem demo --help\n")
	}
}

func TestDemoSaysHowToInstallAServer(t *testing.T) {
	code, stdout, stderr := tandem(t, []string{"PATH=" + t.TempDir(), "LC_ALL=C"}, "demo")
	if code != exitFailed || stderr != "" {
		t.Errorf("%d, stderr %q", code, stderr)
	}
	expectParts(t, "the demo's output", stdout, "!! servers", "redis-server is not installed", "apt-get install redis-server")
}
