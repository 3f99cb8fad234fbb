package config

import (
	"bytes"
	"crypto/sha256"
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
	"listen":                           "127.0.0.1:7001",
	"listen_target":                    "127.0.0.1:7002",
	"admin.listen":                     "127.0.0.1:7003",
	"admin.token":                      "0123456789abcdef",
	"admin.token_file":                 "testdata/token",
	"source.url":                       "redis://127.0.0.1:7004/2",
	"source.password_file":             "testdata/password",
	"source.tls.ca_file":               "testdata/ca.pem",
	"source.tls.cert_file":             "testdata/cert.pem",
	"source.tls.key_file":              "testdata/key.pem",
	"source.tls.server_name":           "redis.example",
	"source.tls.insecure_skip_verify":  "true",
	"target.url":                       "redis://127.0.0.1:7005/3",
	"target.password_file":             "testdata/password",
	"target.tls.ca_file":               "testdata/ca.pem",
	"target.tls.cert_file":             "testdata/cert.pem",
	"target.tls.key_file":              "testdata/key.pem",
	"target.tls.server_name":           "redis.example",
	"target.tls.insecure_skip_verify":  "true",
	"tls.cert_file":                    "testdata/cert.pem",
	"tls.key_file":                     "testdata/key.pem",
	"tls.client_ca_file":               "testdata/ca.pem",
	"tls.client_auth":                  "optional",
	"tls.handshake_timeout":            "30s",
	"auth.mode":                        "none",
	"auth.users":                       `[{name: "app", password: "not a secret"}]`,
	"auth.cache":                       "31s",
	"commands.deny":                    "DEBUG, CONFIG SET",
	"precheck.accept":                  "clocks, source_eviction",
	"precheck.warnings":                "refuse",
	"commands.writes":                  `[{name: "EXHSET", first_key: 1}]`,
	"scripts":                          "copy",
	"state_dir":                        "elsewhere",
	"start":                            "manual",
	"duplicates":                       "skip",
	"duplicates_by_pattern":            `[{pattern: "session:*", policy: newest}]`,
	"databases":                        `[0, 3]`,
	"database_map":                     `[{from: 3, to: 7}, {from: 7, to: 3}]`,
	"keys.include":                     `["user:*", "cart:?"]`,
	"expiry.extend_by":                 "1h",
	"keys.exclude":                     `["user:tmp:*"]`,
	"target_only":                      "delete",
	"ack":                              "both",
	"ack_timeout":                      "7s",
	"tracking":                         "off",
	"tracking_quiet":                   "7s",
	"clock_correction":                 "off",
	"lanes":                            "3",
	"max_lag_bytes":                    "3MiB",
	"big_key_bytes":                    "5MiB",
	"dump_bytes":                       "6MiB",
	"max_dirty_keys":                   "1234",
	"exact_keys":                       "2345",
	"primary.wait":                     "11s",
	"secondary.settle":                 "12s",
	"cutover.require_verify":           "24h",
	"cutover.max_target_latency":       "20ms",
	"cutover.max_memory_percent":       "80",
	"cutover.trial.time":               "10m",
	"cutover.trial.max_error_percent":  "25",
	"cutover.trial.max_latency":        "50ms",
	"cutover.max_pause":                "13ms",
	"cutover.wait":                     "14s",
	"clients.max":                      "15",
	"clients.max_bulk_bytes":           "16MiB",
	"clients.max_args":                 "17",
	"clients.max_inline_bytes":         "18KiB",
	"clients.output_limit_bytes":       "19MiB",
	"clients.memory_bytes":             "2GiB",
	"clients.write_timeout":            "20s",
	"clients.idle_timeout":             "21s",
	"clients.tcp_keepalive":            "22s",
	"backfill.workers":                 "23",
	"backfill.scan_count":              "24",
	"backfill.window_bytes":            "25MiB",
	"backfill.max_bytes_per_s":         "20MiB",
	"backfill.windows":                 `[{days: [mon, tue], from: "22:00", to: "06:00", max_keys_per_s: 5000}]`,
	"backfill.governor":                "on",
	"backfill.governor_rise":           "0.2",
	"backfill.governor_floor":          "5000",
	"backfill.time_zone":               "Europe/Berlin",
	"backfill.max_keys_per_s":          "26",
	"two_way.conflict":                 "newest",
	"two_way.decide_after":             "35s",
	"verify.workers":                   "27",
	"verify.ttl_tolerance":             "28ms",
	"verify.max_keys_per_s":            "30",
	"verify.sample_share":              "0.5",
	"verify.every":                     "1h",
	"verify.mode":                      "keys",
	"verify.shadow_reads":              "0.25",
	"admin.tls.cert_file":              "testdata/cert.pem",
	"admin.tls.key_file":               "testdata/key.pem",
	"admin.tls.client_ca_file":         "testdata/ca.pem",
	"admin.tls.client_auth":            "optional",
	"admin.tls.handshake_timeout":      "34s",
	"admin.tokens":                     `[{name: ci, file: testdata/token, role: read}]`,
	"audit.file":                       "testdata/audit.jsonl",
	"tracing.endpoint":                 "http://collector:4318/v1/traces",
	"tracing.share":                    "0.5",
	"tracing.keys":                     "true",
	"tracing.service":                  "other",
	"tracing.headers_file":             "testdata/headers",
	"tracing.every":                    "32s",
	"tracing.timeout":                  "33s",
	"tracing.queue":                    "34",
	"tracing.tls.ca_file":              "testdata/ca.pem",
	"tracing.tls.cert_file":            "testdata/cert.pem",
	"tracing.tls.key_file":             "testdata/key.pem",
	"tracing.tls.server_name":          "collector.example",
	"tracing.tls.insecure_skip_verify": "true",
	"alarms.lag":                       "31s",
	"hooks":                            `[{command: ["notify"]}]`,
	"memory_limit_bytes":               "0",
	"log.level":                        "debug",
	"log.format":                       "json",
	"shutdown.timeout":                 "29s",
	"takeover":                         "true",
}

// refused are the keys whose other value is refused: in this version, or without what belongs to it.
var refused = map[string]bool{
	"auth.users":    true,
	"tls.cert_file": true, "tls.key_file": true, "tls.client_ca_file": true, "tls.client_auth": true,
	"source.tls.ca_file": true, "source.tls.cert_file": true, "source.tls.key_file": true,
	"source.tls.server_name": true, "source.tls.insecure_skip_verify": true,
	"target.tls.ca_file": true, "target.tls.cert_file": true, "target.tls.key_file": true,
	"target.tls.server_name": true, "target.tls.insecure_skip_verify": true,
	"admin.tls.cert_file": true, "admin.tls.key_file": true, "admin.tls.client_ca_file": true, "admin.tls.client_auth": true,
	"tracing.tls.ca_file": true, "tracing.tls.cert_file": true, "tracing.tls.key_file": true,
	"tracing.tls.server_name": true, "tracing.tls.insecure_skip_verify": true,
}

// withURLs sets what every configuration needs. The password files need a URL too.
func withURLs(t *testing.T) {
	t.Setenv("TANDEM_SOURCE", "redis://10.0.0.1:6379")
	t.Setenv("TANDEM_TARGET", "redis://10.0.0.2:6379")
}

// expectArrived checks that key, and no other, has its other value.
func expectArrived(t *testing.T, key string, c *Config, err error) {
	t.Helper()
	if refused[key] {
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
	if s.isList() && format == "yaml" && !strings.HasPrefix(value, "[") {
		value = "[" + value + "]"
	} else if s.field.Kind() == reflect.String || format == "toml" && strings.Trim(value, "0123456789") != "" && value != "true" {
		value = fmt.Sprintf("%q", value)
	}
	groups := s.groups()
	text := ""
	if format == "toml" {
		if len(groups) > 0 {
			text = fmt.Sprintf("[%s]\n", groups[len(groups)-1])
		}
		return text + fmt.Sprintf("%s = %s\n", lastName(s.key), value)
	}
	for depth, g := range groups {
		text += fmt.Sprintf("%s%s:\n", indent(depth), lastName(g))
	}
	return text + fmt.Sprintf("%s%s: %s\n", indent(len(groups)), lastName(s.key), value)
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

func TestListsAreReadFromEveryForm(t *testing.T) {
	wantUsers := []User{{Name: "app", Password: "s3cret, really"}, {Name: "ops", PasswordFile: "testdata/password"}}
	wantWrites := []WriteCommand{{Name: "TS.NEW", FirstKey: 1, Step: 1}, {Name: "X SET", FirstKey: 2, LastKey: -1, Step: 2}}
	wantDeny := []CommandName{"DEBUG", "CONFIG SET"}
	for name, c := range map[string]struct {
		file, content string
		env           map[string]string
	}{
		"yaml": {file: "c.yaml", content: `
auth:
  mode: users
  users:
    - name: app
      password: s3cret, really
    - {name: ops, password_file: testdata/password}
commands:
  deny: [debug, config  set]
  writes:
    - {name: ts.new, first_key: 1}
    - {name: x set, first_key: 2, last_key: -1, step: 2}
`},
		"toml": {file: "c.toml", content: `
[auth]
mode = "users"
[[auth.users]]
name = "app"
password = "s3cret, really"
[[auth.users]]
name = "ops"
password_file = "testdata/password"
[commands]
deny = ["debug", "config set"]
writes = [{name = "ts.new", first_key = 1}, {name = "x set", first_key = 2, last_key = -1, step = 2}]
`},
		"environment": {env: map[string]string{
			"TANDEM_AUTH_MODE":       "users",
			"TANDEM_AUTH_USERS":      `[{"name":"app","password":"s3cret, really"},{"name":"ops","password_file":"testdata/password"}]`,
			"TANDEM_COMMANDS_DENY":   "debug , Config set,",
			"TANDEM_COMMANDS_WRITES": `[{name: ts.new, first_key: 1}, {name: x set, first_key: 2, last_key: -1, step: 2}]`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			withURLs(t)
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			var in Input
			if c.file != "" {
				in.File = writeFile(t, c.file, c.content)
			}
			got, err := Load(in)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got.Auth.Users, wantUsers) {
				t.Errorf("users are %q", got.Auth.Users)
			}
			if !reflect.DeepEqual(got.Commands.Writes, wantWrites) {
				t.Errorf("writes are %+v", got.Commands.Writes)
			}
			if !reflect.DeepEqual(got.Commands.Deny, wantDeny) {
				t.Errorf("deny is %q", got.Commands.Deny)
			}
		})
	}
}

func TestHooksInEachForm(t *testing.T) {
	want := []Hook{
		{On: []string{"fault"}, URL: "https://a/b", Timeout: 10 * time.Second, RetryFor: time.Hour},
		{On: []string{"phase", "fault", "lag", "difference"}, Command: []string{"/bin/notify", "-x, y", "a b"}, Timeout: time.Second,
			RetryFor: 15 * time.Minute},
	}
	const inline = `[{on: [fault], url: "https://a/b", retry_for: 1h}, {command: [/bin/notify, "-x, y", "a b"], timeout: 1s}]`
	for name, in := range map[string]struct{ file, content, env string }{
		"yaml": {file: "c.yaml", content: "hooks: " + inline},
		"toml": {file: "c.toml", content: "[[hooks]]\non = [\"fault\"]\nurl = \"https://a/b\"\nretry_for = \"1h\"\n" +
			"[[hooks]]\ncommand = [\"/bin/notify\", \"-x, y\", \"a b\"]\ntimeout = \"1s\"\n"},
		"environment": {env: inline},
	} {
		t.Run(name, func(t *testing.T) {
			withURLs(t)
			t.Setenv("TANDEM_HOOKS", in.env)
			var file string
			if in.file != "" {
				file = writeFile(t, in.file, in.content)
			}
			got, err := Load(Input{File: file})
			if err != nil || !reflect.DeepEqual(got.Hooks, want) {
				t.Fatalf("got %+v, %v\nwant %+v", got.Hooks, err, want)
			}
			var b strings.Builder
			if err := got.WriteYAML(&b); err != nil || strings.Contains(b.String(), "https://a") {
				t.Errorf("printed with its URL, %v:\n%s", err, &b)
			}
			got.Hooks = got.Hooks[1:]
			b.Reset()
			if err := got.WriteYAML(&b); err != nil {
				t.Fatal(err)
			}
			t.Setenv("TANDEM_HOOKS", "")
			again, err := Load(Input{File: writeFile(t, "again.yaml", b.String())})
			if err != nil || !reflect.DeepEqual(again.Hooks, want[1:]) {
				t.Errorf("printed and read again: %+v, %v", again.Hooks, err)
			}
		})
	}
}

func TestDenyingNothing(t *testing.T) {
	withURLs(t)
	for _, in := range []Input{{File: writeFile(t, "c.yaml", "commands: {deny: []}")}, {}} {
		if in.File == "" {
			t.Setenv("TANDEM_COMMANDS_DENY", "[]")
		}
		c, err := Load(in)
		if err != nil || len(c.Commands.Deny) != 0 {
			t.Errorf("denied: %v, %v", c.Commands.Deny, err)
		}
	}
	if n := len(Default().Commands.Deny); n != 8 {
		t.Errorf("%d commands are denied by default", n)
	}
}

func TestPasswordsOfUsersInEachForm(t *testing.T) {
	want := sha256.Sum256([]byte("abc"))
	for _, u := range []User{
		{Password: "abc"}, {PasswordFile: writeFile(t, "password", "abc\n")},
		{PasswordSHA256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{PasswordSHA256: "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"},
	} {
		got, err := u.Digest()
		if err != nil || got != want {
			t.Errorf("%+v: %x, %v", u, got, err)
		}
	}
	for _, u := range []User{{PasswordFile: "testdata/none"}, {PasswordSHA256: "ba78"}, {PasswordSHA256: Secret(strings.Repeat("x", 64))}, {PasswordSHA256: Secret(strings.Repeat("ab", 40))}} {
		if got, err := u.Digest(); err == nil {
			t.Errorf("%+v: %x, want an error", u, got)
		}
	}
}

func TestWhatIsPrintedIsReadAsTheSame(t *testing.T) {
	withURLs(t)
	first, err := Load(Input{File: writeFile(t, "c.yaml", `
auth: {mode: users, users: [{name: "a \"b", password_file: testdata/password}]}
commands: {deny: [debug, config set], writes: [{name: x set, first_key: 2}, {name: y}]}
`)})
	var e *Error
	if !errors.As(err, &e) || !strings.Contains(err.Error(), "has a space in it") {
		t.Fatalf("a name with a space: %v", err)
	}
	first.Auth.Users[0].Name = `a"b`
	var printed bytes.Buffer
	if err := first.WriteYAML(&printed); err != nil {
		t.Fatal(err)
	}
	again, err := Load(Input{File: writeFile(t, "c.yaml", printed.String())})
	if err != nil {
		t.Fatalf("%v in\n%s", err, printed.String())
	}
	if !reflect.DeepEqual(first, again) {
		t.Errorf("got %+v\nwant %+v", again, first)
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
