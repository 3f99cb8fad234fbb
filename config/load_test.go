package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// other is, for each key, a valid value that is not the default. A key that has only one value in this
// version has its own way of being seen to arrive: the error that it causes.
var other = map[string]string{
	"listen":                     "127.0.0.1:7001",
	"listen_target":              "127.0.0.1:7002",
	"admin.listen":               "127.0.0.1:7003",
	"admin.token":                "0123456789abcdef",
	"source.url":                 "redis://127.0.0.1:7004/2",
	"source.password_file":       "testdata/password",
	"target.url":                 "redis://127.0.0.1:7005/3",
	"target.password_file":       "testdata/password",
	"state_dir":                  "elsewhere",
	"start":                      "manual",
	"duplicates":                 "skip",
	"ack":                        "both",
	"ack_timeout":                "7s",
	"tracking":                   "off",
	"clock_correction":           "off",
	"lanes":                      "3",
	"max_lag_bytes":              "3MiB",
	"big_key_bytes":              "5MiB",
	"max_dirty_keys":             "1234",
	"exact_keys":                 "2345",
	"primary.wait":               "11s",
	"secondary.settle":           "12s",
	"cutover.max_pause":          "13ms",
	"cutover.wait":               "14s",
	"clients.max":                "15",
	"clients.max_bulk_bytes":     "16MiB",
	"clients.max_args":           "17",
	"clients.max_inline_bytes":   "18KiB",
	"clients.output_limit_bytes": "19MiB",
	"clients.write_timeout":      "20s",
	"clients.idle_timeout":       "21s",
	"clients.tcp_keepalive":      "22s",
	"backfill.workers":           "23",
	"backfill.scan_count":        "24",
	"backfill.window_bytes":      "25MiB",
	"backfill.max_keys_per_s":    "26",
	"verify.workers":             "27",
	"verify.ttl_tolerance":       "28ms",
	"memory_limit_bytes":         "0",
	"log.level":                  "debug",
	"log.format":                 "json",
	"shutdown.timeout":           "29s",
	"takeover":                   "true",
}

// notAvailable are the keys whose other value is refused in this version.
var notAvailable = map[string]bool{"listen_target": true, "duplicates": true}

// withURLs sets what every configuration needs. The password files need a URL too.
func withURLs(t *testing.T) {
	t.Setenv("TANDEM_SOURCE", "redis://10.0.0.1:6379")
	t.Setenv("TANDEM_TARGET", "redis://10.0.0.2:6379")
}

// expectArrived checks that key, and no other, has its other value.
func expectArrived(t *testing.T, key string, c *Config, err error) {
	t.Helper()
	if notAvailable[key] {
		var e *Error
		if !errors.As(err, &e) || len(e.Problems) != 1 || e.Problems[0].Key != key {
			t.Fatalf("want one problem, of %s, got %v", key, err)
		}
	} else if err != nil {
		t.Fatal(err)
	}
	want := settings(Default())
	for i, s := range settings(c) {
		text := want[i].text()
		if s.key == key {
			if text == other[key] {
				t.Fatalf("the other value of %s is its default", key)
			}
			if err := want[i].set(other[key]); err != nil {
				t.Fatal(err)
			}
		} else if strings.HasSuffix(s.key, ".url") {
			continue
		}
		if !reflect.DeepEqual(s.field.Interface(), want[i].field.Interface()) {
			t.Errorf("%s is %v, want %v", s.key, s.field.Interface(), want[i].field.Interface())
		}
	}
}

func TestEveryKeyHasAnotherValueHere(t *testing.T) {
	all := settings(Default())
	if len(other) != len(all) {
		t.Errorf("%d other values for %d keys", len(other), len(all))
	}
	for _, s := range all {
		if other[s.key] == "" {
			t.Errorf("no other value of %s", s.key)
		}
	}
}

func TestEachKeyByEnvironment(t *testing.T) {
	for _, s := range settings(Default()) {
		for _, name := range s.variables() {
			t.Run(name, func(t *testing.T) {
				withURLs(t)
				if strings.HasSuffix(s.key, ".url") {
					t.Setenv(shortVariables[s.key], "")
				}
				t.Setenv(name, other[s.key])
				c, err := Load(Input{})
				expectArrived(t, s.key, c, err)
			})
		}
	}
}

func TestEachKeyByFile(t *testing.T) {
	for _, format := range []string{"yaml", "toml"} {
		for _, s := range settings(Default()) {
			t.Run(format+"/"+s.key, func(t *testing.T) {
				withURLs(t)
				if strings.HasSuffix(s.key, ".url") {
					t.Setenv(shortVariables[s.key], "")
				}
				c, err := Load(Input{File: writeFile(t, "c."+format, fileWith(format, s))})
				expectArrived(t, s.key, c, err)
			})
		}
	}
}

// fileWith is a file that sets one key to its other value: bare where the format allows it.
func fileWith(format string, s setting) string {
	value := other[s.key]
	if s.field.Kind() == reflect.String || format == "toml" && strings.Trim(value, "0123456789") != "" && value != "true" {
		value = fmt.Sprintf("%q", value)
	}
	group, name, ok := strings.Cut(s.key, ".")
	switch {
	case format == "toml" && ok:
		return fmt.Sprintf("[%s]\n%s = %s\n", group, name, value)
	case format == "toml":
		return fmt.Sprintf("%s = %s\n", s.key, value)
	case ok:
		return fmt.Sprintf("%s:\n  %s: %s\n", group, name, value)
	}
	return fmt.Sprintf("%s: %s\n", s.key, value)
}

func TestEachKeyByFlag(t *testing.T) {
	for _, s := range settings(Default()) {
		t.Run(s.key, func(t *testing.T) {
			withURLs(t)
			fs := pflag.NewFlagSet("", pflag.ContinueOnError)
			if s.field.Kind() == reflect.Bool {
				fs.Bool("flag", false, "")
			} else {
				fs.String("flag", "", "")
			}
			c, err := Load(Input{Flags: map[string]*pflag.Flag{s.key: fs.Lookup("flag")}})
			if err != nil {
				t.Fatalf("a flag that is not given counts: %v", err)
			}
			if err := fs.Parse([]string{"--flag=" + other[s.key]}); err != nil {
				t.Fatal(err)
			}
			c, err = Load(Input{Flags: map[string]*pflag.Flag{s.key: fs.Lookup("flag")}})
			expectArrived(t, s.key, c, err)
		})
	}
}

func TestFlagBeforeEnvironmentBeforeFileBeforeDefault(t *testing.T) {
	withURLs(t)
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	fs.String("wait", "", "")
	in := Input{Flags: map[string]*pflag.Flag{"primary.wait": fs.Lookup("wait")}}
	expect := func(want time.Duration) {
		t.Helper()
		c, err := Load(in)
		if err != nil {
			t.Fatal(err)
		}
		if c.Primary.Wait != want {
			t.Errorf("primary.wait is %v, want %v", c.Primary.Wait, want)
		}
	}
	expect(10 * time.Second)
	in.File = writeFile(t, "c.yaml", "primary: {wait: 3s}")
	expect(3 * time.Second)
	t.Setenv("TANDEM_PRIMARY_WAIT", "2s")
	expect(2 * time.Second)
	if err := fs.Parse([]string{"--wait=1s"}); err != nil {
		t.Fatal(err)
	}
	expect(time.Second)
}

func TestDefaultsFileIsTheDefaults(t *testing.T) {
	withURLs(t)
	c, err := Load(Input{File: writeFile(t, "c.yaml", Defaults())})
	if err != nil {
		t.Fatal(err)
	}
	c.Source, c.Target = Instance{}, Instance{}
	if !reflect.DeepEqual(c, Default()) {
		t.Errorf("got %+v\nwant %+v", c, Default())
	}
}

func TestBoundsCanBeRead(t *testing.T) {
	for _, s := range settings(Default()) {
		for _, bound := range []string{s.lo, s.hi} {
			if bound != "" {
				s.bound(bound)
			}
		}
		if s.lo != "" && s.hi != "" && s.bound(s.lo) >= s.bound(s.hi) {
			t.Errorf("%s: least %s, greatest %s", s.key, s.lo, s.hi)
		}
	}
}

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
