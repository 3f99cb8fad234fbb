package config

import (
	"strings"
	"testing"

	"tandem/internal/instance"
)

func TestBytes(t *testing.T) {
	for text, want := range map[string]Bytes{
		"0": 0, "1": 1, "67108864": 64 << 20, "64MiB": 64 << 20, "64mib": 64 << 20, "64 MiB": 64 << 20,
		"1KiB": 1024, "2GiB": 2 << 30, "1KB": 1000, "3MB": 3e6, "4GB": 4e9, "5B": 5, "-1": -1,
	} {
		got, err := ParseBytes(text)
		if err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", text, got, err, want)
		}
		again, err := ParseBytes(want.String())
		if err != nil || again != want {
			t.Errorf("%d is written as %q, which reads %d, %v", want, want.String(), again, err)
		}
	}
	for _, text := range []string{"", "MiB", "1.5MiB", "one", "1 TiB", "9223372036854775808", "8589934592GiB", "1MiBMiB", "0x10"} {
		if got, err := ParseBytes(text); err == nil {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
}

func TestURLHidesThePassword(t *testing.T) {
	for raw, want := range map[URL]string{
		"":                          "",
		"redis://a:6379/1":          "redis://a:6379/1",
		"redis://secret@a":          "redis://:***@a",
		"redis://user:secret@a:1/2": "redis://user:***@a:1/2",
		"redis://[::1]:6379/0":      "redis://[::1]:6379/0",
		"redis://a:secret":          "***",
		"redis://u:sec/r#e?t@a:1":   "redis://u:***@a:1",
		"redis://:se:cr@et@a":       "redis://:***@a",
		"user:secret@a":             "***",
		"redis://a/?x=secret":       "***",
	} {
		if raw.String() != want {
			t.Errorf("got %q, want %q", raw.String(), want)
		}
	}
}

// The parts of the URL are read back by package instance; this looks at how the password is put in.
func TestDialURLTakesThePasswordFromItsFile(t *testing.T) {
	file := writeFile(t, "password", "p@ss/w+o r:d#?%\r\n")
	for raw, want := range map[URL]string{
		"redis://a:1/2":     "redis://:p@ss%2Fw+o%20r:d%23%3F%25@a:1/2",
		"redis://me@a:1/2":  "redis://me:p@ss%2Fw+o%20r:d%23%3F%25@a:1/2",
		"redis://m%40e@a:1": "redis://m%40e:p@ss%2Fw+o%20r:d%23%3F%25@a:1",
	} {
		got, err := Instance{URL: raw, PasswordFile: file}.DialURL()
		if err != nil || got != want {
			t.Errorf("%s became %s, %v", raw, got, err)
		}
		if _, err := (Instance{URL: raw, PasswordFile: file}).parse(instance.Source); err != nil {
			t.Errorf("%s: %v", got, err)
		}
	}
	got, err := Instance{URL: "redis://me:x@a"}.DialURL()
	if err != nil || got != "redis://me:x@a" {
		t.Errorf("without a file: %q, %v", got, err)
	}
	for _, raw := range []URL{"a:1", "redis://me:x@a"} {
		if got, err := (Instance{URL: raw, PasswordFile: file}).DialURL(); err == nil {
			t.Errorf("%s with a file gives %q, want an error", raw, got)
		}
	}
	for _, content := range []string{"", "\n", "two\nlines\n", strings.Repeat("x", maxPasswordBytes+1)} {
		if got, err := (Instance{URL: "redis://a", PasswordFile: writeFile(t, "password", content)}).DialURL(); err == nil {
			t.Errorf("a file with %.9q gives %.99q, want an error", content, got)
		}
	}
}
