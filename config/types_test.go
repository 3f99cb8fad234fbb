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

func TestShare(t *testing.T) {
	for text, want := range map[string]Share{"0": 0, "1": 1, "0.01": 0.01, "1%": 0.01, " 12.5 % ": 0.125, "1e-3": 0.001} {
		got, err := ParseShare(text)
		if err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
		if again, err := ParseShare(want.String()); err != nil || again != want {
			t.Errorf("%v is written as %q, which reads %v, %v", float64(want), want, again, err)
		}
	}
	for _, text := range []string{"", "%", "half", "-0.1", "1.01", "101%", "NaN", "Inf"} {
		if got, err := ParseShare(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
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

// The password of the file is that of the URL's user, whatever is in it.
func TestThePasswordOfAFile(t *testing.T) {
	const password = "p@ss/w+o r:d#?%"
	file := writeFile(t, "password", password+"\r\n")
	for raw, user := range map[URL]string{"redis://a:1/2": "default", "redis://me@a:1/2": "me", "redis://m%40e@a:1": "m@e"} {
		i, err := Instance{URL: raw, PasswordFile: file}.parse(instance.Source)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		if u, p := i.Credentials(); u != user || p != password {
			t.Errorf("%s: user %q with password %q", raw, u, p)
		}
	}
	for _, content := range []string{"", "\n", "two\nlines\n", strings.Repeat("x", maxPasswordBytes+1)} {
		if _, err := (Instance{URL: "redis://a", PasswordFile: writeFile(t, "password", content)}).parse(instance.Source); err == nil {
			t.Errorf("a file with %.9q is no error", content)
		}
	}
}
