package config

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// FuzzLoad reads any file beside any variables. Everything that is wrong is an *Error; what is taken can be printed
// and read again; a password is in neither.
func FuzzLoad(f *testing.F) {
	const password = "hunter2hunter2hunter2"
	defaults, err := os.ReadFile("defaults.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(false, string(defaults), "", "")
	f.Add(false, "listen: 127.0.0.1:1\nclients: {max: 3, max_bulk_bytes: 1KiB}\n", "", "")
	f.Add(false, "source: {url: \"redis://u:"+password+"@h\"}\nlisten: ["+password+"]\n", "", "")
	f.Add(false, "a: &a [*a, *a]\n", "", "")
	f.Add(false, "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nlisten: *c\n", "", "")
	f.Add(false, strings.Repeat("{a: ", 2000), "", "")
	f.Add(false, "auth: {mode: users, users: [{name: a, password: "+password+"}]}", "", "")
	f.Add(false, "? {a: b}\n: c\n", "", "")
	f.Add(false, "1: 2\ntrue: false\n~: null\n", "", "")
	f.Add(false, "clients.max: 3\n", "redis://:"+password+"@h:1/x", `[{name: a, password: 1}]`)
	f.Add(true, "[source]\nurl = \"redis://u:"+password+"@h\"\n", "", "")
	f.Add(true, strings.Repeat("[a]\n", 100), "", "")
	f.Add(true, "listen = "+strings.Repeat("[", 3000), "", "")
	f.Add(true, "[[auth.users]]\nname = 1979-05-27T07:32:00Z\npassword = \"\\u0000\"\n", "", "")
	f.Add(true, "lanes = 99999999999999999999\nack_timeout = \"-1s\"\nmax_lag_bytes = \"9EiB\"", "", "")
	dir := f.TempDir()
	f.Setenv("TANDEM_TARGET", "redis://:"+password+"@127.0.0.1:2")
	f.Fuzz(func(t *testing.T, isTOML bool, text, source, users string) {
		if strings.ContainsRune(source+users, 0) || len(text) > maxFileBytes {
			return // no variable can hold it
		}
		name := filepath.Join(dir, "c.yaml")
		if isTOML {
			name = filepath.Join(dir, "c.toml")
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("TANDEM_SOURCE", source)
		t.Setenv("TANDEM_AUTH_USERS", users)
		began := time.Now()
		c, err := Load(Input{File: name})
		if took := time.Since(began); took > 5*time.Second {
			t.Fatalf("%d bytes took %v", len(text), took)
		}
		var wrong *Error
		if err != nil && (!errors.As(err, &wrong) || len(wrong.Problems) == 0) {
			t.Fatalf("%v", err)
		}
		// A password that stands where none belongs may be shown; the target's does not.
		hides := !strings.Contains(text+source+users, password)
		if err != nil && hides && strings.Contains(err.Error(), password) {
			t.Fatalf("the password is in %q", err)
		}
		var printed strings.Builder
		if err := c.WriteYAML(&printed); err != nil {
			t.Fatal(err)
		}
		if hides && strings.Contains(printed.String(), password) {
			t.Fatalf("the password is in %q", printed.String())
		}
		_ = c.WriteYAML(io.Discard)
	})
}
