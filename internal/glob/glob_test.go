package glob

import (
	"strings"
	"testing"
	"time"

	"tandem/internal/instance"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

var patterns = []string{"*", "", "a", "a*", "*a", "*a*", "**a**b", "a?c", "?", "??", "[abc]", "[^abc]", "[a-c]x", "[c-a]x", "[^a-c]*",
	`\*`, `a\?`, `[\]]`, `[a\-c]`, "[a", "[a-", "[", `\`, `a\`, "user:*:name", "user:[0-9]*", "*:*:*", "a*b*c*d", "[]a]", "[^]", "-[a-]"}

var names = []string{"a", "b", "ab", "abc", "aXc", "ax", "dx", "cx", "*", "a?", "a*", "]", "-", "a-", "-a", "--", `\`, `a\`, "user:1:name",
	"user:x:name", "user:12", "a:b:c", ":::", "abcd", "axbxcxdx", "\x00\xff", "[", "[a", "^", "]a]", "a]"}

// Names match as they do on a server.
func TestMatchesAsServersDo(t *testing.T) {
	s := redisdtest.Start(t, redisd.Options{})
	i, err := instance.New(instance.Source, "redis://"+s.Addr, instance.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := i.Conn(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, n := range names {
		if _, err := c.Do(t.Context(), "SET", n, "1"); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range patterns {
		v, err := c.Do(t.Context(), "KEYS", p)
		if err != nil {
			t.Fatal(err)
		}
		matching := map[string]bool{}
		for _, k := range v.Elems {
			matching[string(k.Str)] = true
		}
		for _, n := range names {
			if got := Match(p, n); got != matching[n] {
				t.Errorf("%q matches %q: %v, on the server %v", p, n, got, matching[n])
			}
		}
	}
}

// A pattern of many stars takes no time that anybody could wait for.
func TestManyStarsAreQuick(t *testing.T) {
	began := time.Now()
	if Match(strings.Repeat("a*", 30)+"b", strings.Repeat("a", 10_000)) {
		t.Error("it matches")
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("it took %v", d)
	}
}
