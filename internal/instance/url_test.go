package instance

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestURL(t *testing.T) {
	for _, c := range []struct {
		url            string
		addr           string
		user, password string
		auth           bool
		db             int
	}{
		{url: "redis://10.0.0.1:6380", addr: "10.0.0.1:6380"},
		{url: "redis://Cache.Example.com", addr: "cache.example.com:6379"},
		{url: "REDIS://host:1/15", addr: "host:1", db: 15},
		{url: "redis://host:1/", addr: "host:1"},
		{url: " redis://host:1\n", addr: "host:1"},
		{url: "redis://[::1]:7000/2", addr: "[::1]:7000", db: 2},
		{url: "redis://[::1]", addr: "[::1]:6379"},
		{url: "redis://:pw@host", addr: "host:6379", password: "pw", auth: true},
		{url: "redis://app:pw@host:1", addr: "host:1", user: "app", password: "pw", auth: true},
		{url: "redis://app:@host:1", addr: "host:1", user: "app", auth: true},
		{url: "redis://:@host:1", addr: "host:1"},
		{url: "redis://app:p@ss:w/or#d?@host:1/3", addr: "host:1", user: "app", password: "p@ss:w/or#d?", auth: true, db: 3},
		{url: "redis://a%3Ab:50%25%40@host:1", addr: "host:1", user: "a:b", password: "50%@", auth: true},
	} {
		i, err := New(Source, c.url, Options{})
		if err != nil {
			t.Errorf("%s: %v", c.url, err)
			continue
		}
		if i.Addr != c.addr || i.User != c.user || i.password() != c.password || i.auth != c.auth || i.DB != c.db {
			t.Errorf("%s: addr %q user %q password %q auth %v db %d", c.url, i.Addr, i.User, i.password(), i.auth, i.DB)
		}
	}
}

func TestURLErrorsSayWhatToWriteAndNeverThePassword(t *testing.T) {
	const secret = "s3cr3t"
	for url, want := range map[string]string{
		"":                                   "redis://[user:password@]host:port",
		"host:6379":                          "no scheme",
		"http://:s3cr3t@host":                "unknown scheme",
		"redisss://u:s3cr3t@host:1":          "rediss:// for TLS",
		"redis://u:s3cr3t@":                  "no host",
		"redis://u:s3cr3t@:6379":             "no host",
		"redis://u:s3cr3t@host:port":         "port",
		"redis://u:s3cr3t@host:0":            "port",
		"redis://u:s3cr3t@host:65536":        "port",
		"redis://u:s3cr3t@::1:6379":          "[address]:port",
		"redis://u:s3cr3t@host:1/db0":        "database number",
		"redis://u:s3cr3t@host:1/-1":         "database number",
		"redis://u:s3cr3t@host:1/1/2":        "database number",
		"redis://u:s3cr3t@host:1?timeout=1s": "options",
		"redis://u:s3cr3t%zz@host:1":         "%25",
		"redis://u:50%s3cr3t@host:1":         "%25",
		"redis://s3cr3t/0@host/s3cr3t@x":     "no password",
		"redis://s3cr3t@host:1":              "redis://:password@",
	} {
		i, err := New(Target, url, Options{})
		if err == nil {
			t.Errorf("%s is taken: %v", url, i)
			continue
		}
		if !strings.HasPrefix(err.Error(), "target URL") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q does not say %q", url, err, want)
		}
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the error repeats the password: %v", err)
		}
	}
}

func TestPasswordFromOptions(t *testing.T) {
	i, err := New(Source, "redis://app@host:1", Options{Password: "pw"})
	if err != nil || !i.auth || i.password() != "pw" || i.User != "app" {
		t.Fatalf("%v %v", i, err)
	}
	i, err = New(Source, "redis://app:url@host:1", Options{Password: "pw"})
	if err != nil || i.password() != "url" {
		t.Fatalf("the URL's password goes before: %v %v", i, err)
	}
}

func TestAnInstancePrintsWithoutItsPassword(t *testing.T) {
	i, err := New(Source, "redis://app:s3cr3t@host:1", Options{Password: "s3cr3t"})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "instance", i)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "instance", i)
	for _, s := range []string{
		i.String(), fmt.Sprint(i), fmt.Sprintf("%+v", i), fmt.Sprintf("%#v", i), fmt.Sprintf("%q", i), log.String(),
		fmt.Sprintf("%+v", struct{ I *Instance }{i}), fmt.Sprintf("%+v", []any{&i.opts, i.password}),
	} {
		if strings.Contains(s, "s3cr3t") {
			t.Errorf("%s", s)
		}
	}
	if i.String() != "source host:1" {
		t.Errorf("%s", i)
	}
}

func TestConnNames(t *testing.T) {
	for _, c := range []struct {
		name, id, what, generation string
		ok                         bool
	}{
		{ConnName("0011", "lane", "7"), "0011", "lane", "7", true},
		{ConnName("0011", "effect:db3", "7.1"), "0011", "effect:db3", "7.1", true},
		{ConnName("0011", "big key\n", "7"), "0011", "big_key_", "7", true},
		{ConnName("0011", "", ""), "0011", "", "", true},
		{name: controlName},
		{name: ""},
		{name: "tandem:"},
		{name: "tandem:0011"},
		{name: "tandem:0011:lane"},
		{name: "tandem::lane:7"},
		{name: "app:0011:lane:7"},
	} {
		id, what, generation, ok := ParseConnName(c.name)
		if id != c.id || what != c.what || generation != c.generation || ok != c.ok {
			t.Errorf("%q: %q %q %q %v", c.name, id, what, generation, ok)
		}
	}
}

func FuzzURL(f *testing.F) {
	f.Add("app", "p@ss", "host:1/3")
	f.Add("", "%zz", "[::1]")
	f.Add("a", "b:c/d", "x@y:z")
	const mark = "S3cr3t~"
	f.Fuzz(func(t *testing.T, user, password, rest string) {
		i, err := New(Source, "redis://"+user+":"+mark+password+"@"+rest, Options{})
		if err != nil && strings.Contains(err.Error(), mark) {
			t.Fatalf("the password is in %v", err)
		}
		if err == nil && (strings.ContainsAny(i.Addr, "@/") || strings.Contains(i.Addr+i.String(), mark)) {
			t.Fatalf("address %q", i.Addr)
		}
	})
}
