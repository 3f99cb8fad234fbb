package config

import (
	"net/url"
	"testing"
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
		"redis://user@a":            "redis://user@a",
		"redis://user:secret@a:1/2": "redis://user:***@a:1/2",
		"redis://:se:cr@et@a":       "redis://:***@a",
		"user:secret@a":             "***",
		"redis://a/?x=secret":       "***",
	} {
		if raw.String() != want {
			t.Errorf("got %q, want %q", raw.String(), want)
		}
	}
}

func TestDialURLTakesThePasswordFromItsFile(t *testing.T) {
	file := writeFile(t, "password", "p@ss/word:#?%\n")
	for raw, user := range map[URL]string{"redis://a:1/2": "", "redis://me@a:1/2": "me"} {
		got, err := Instance{URL: raw, PasswordFile: file}.DialURL()
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(got)
		if err != nil {
			t.Fatal(err)
		}
		password, _ := u.User.Password()
		if password != "p@ss/word:#?%" || u.User.Username() != user || u.Host != "a:1" || u.Path != "/2" {
			t.Errorf("%s became %s", raw, got)
		}
	}
	got, err := Instance{URL: "redis://me:x@a"}.DialURL()
	if err != nil || got != "redis://me:x@a" {
		t.Errorf("without a file: %q, %v", got, err)
	}
	for _, content := range []string{"", "\n", "two\nlines\n"} {
		if got, err := (Instance{URL: "redis://a", PasswordFile: writeFile(t, "password", content)}).DialURL(); err == nil {
			t.Errorf("a file with %q gives %q, want an error", content, got)
		}
	}
}
