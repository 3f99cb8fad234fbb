package precheck

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"tandem/internal/instance"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

// configSet is a command of a remedy.
var configSet = regexp.MustCompile(`CONFIG SET ([a-z-]+) ("[^"]*"|[^\s;,]+)`)

// apply does what a remedy says with CONFIG SET.
func apply(t *testing.T, c *instance.Conn, item Item) {
	t.Helper()
	found := configSet.FindAllStringSubmatch(item.Remedy, -1)
	if len(found) == 0 {
		t.Fatalf("no CONFIG SET in the remedy of %+v", item)
	}
	for _, m := range found {
		if _, err := c.Do(t.Context(), "CONFIG", "SET", m[1], strings.Trim(m[2], `"`)); err != nil {
			t.Fatal(err)
		}
	}
}

// until waits for what a server does by itself.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(20 * time.Second); !ok(); <-look.C {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// Each setting that matters, made as it should not be, is found on either side; and the remedy that is printed cures it.
func TestSettingsOfAServer(t *testing.T) {
	type wrong struct{ item, setting, value, says string }
	rounds := [][]wrong{
		{{"maxclients", "maxclients", "20", "of 20 connections"},
			{"idle_timeout", "timeout", "300", "idle for 300 s"},
			{"output_buffers", "client-output-buffer-limit", "normal 1mb 0 0", "1.0 MiB of class normal"}},
		{{"output_buffers", "client-output-buffer-limit", "normal 0 1mb 10", "1.0 MiB of class normal"}},
		{{"output_buffers", "client-output-buffer-limit", "pubsub 1mb 0 0", "1.0 MiB of class pubsub"}},
	}
	for i, b := range redisdtest.Binaries(t) {
		if i > 0 {
			rounds = rounds[:1] // what differs between versions is how settings are asked for
		}
		t.Run(b.Name, func(t *testing.T) {
			source := redisdtest.Start(t, redisd.Options{Binary: b.Path})
			target := redisdtest.Start(t, redisd.Options{Binary: b.Path})
			sides := map[string]*instance.Conn{"source": connect(t, source), "target": connect(t, target)}
			for _, round := range rounds {
				var items []string
				for role, c := range sides {
					for _, x := range round {
						if _, err := c.Do(t.Context(), "CONFIG", "SET", x.setting, x.value); err != nil {
							t.Fatal(err)
						}
						items = append(items, role+"_"+x.item)
					}
				}
				r := precheck(t, source.URL(), target.URL(), Options{})
				r.otherwise(t, items...)
				for role, c := range sides {
					for _, x := range round {
						r.expect(t, role+"_"+x.item, Warning, x.says)
						apply(t, c, r.item(t, role+"_"+x.item))
					}
				}
				after := precheck(t, source.URL(), target.URL(), Options{})
				after.otherwise(t)
				after.cured(t, r, items...)
			}
		})
	}
}

// A target that must take over all clients of the source has room for them.
func TestTheTargetHasRoomForTheClientsOfTheSource(t *testing.T) {
	source, target := start(t), start(t)
	for range 40 {
		connect(t, source)
	}
	d := connect(t, target)
	do(t, d, "CONFIG SET maxclients 60")
	r := precheck(t, source.URL(), target.URL(), Options{})
	r.expect(t, "target_maxclients", Warning, "of 60 connections", "for the clients that the source has now")
	r.otherwise(t, "target_maxclients")
	apply(t, d, r.item(t, "target_maxclients"))
	precheck(t, source.URL(), target.URL(), Options{}).cured(t, r, "target_maxclients")
}

func TestSettingsThatClientsNotice(t *testing.T) {
	source, target := start(t), start(t)
	s, d := connect(t, source), connect(t, target)
	check := func() *Report { return precheck(t, source.URL(), target.URL(), Options{}) }

	do(t, s, "CONFIG SET notify-keyspace-events Exg")
	r := check()
	r.expect(t, "target_settings", Warning, "notify-keyspace-events")
	r.otherwise(t, "target_settings")
	apply(t, d, r.item(t, "target_settings"))
	check().cured(t, r, "target_settings")

	do(t, s, "CONFIG SET notify-keyspace-events x") // nobody is told
	do(t, d, "CONFIG SET proto-max-bulk-len 1048576")
	r = check()
	r.expect(t, "target_settings", Warning, "512.0 MiB", "1.0 MiB")
	apply(t, d, r.item(t, "target_settings"))
	check().cured(t, r, "target_settings")

	for _, c := range []struct{ source, target, missing string }{
		{"", "KEA", ""}, {"g", "", ""}, {"Kg", "Kg", ""}, {"KEA", "AKE", ""}, {"AK", "gK", "$lshzxetd"}, {"Kgx", "A", "K"}, {"g$lshzxetdKE", "AKE", ""},
	} {
		if missing := missingEvents(c.source, c.target); missing != c.missing {
			t.Errorf("%q and %q: missing %q, want %q", c.source, c.target, missing, c.missing)
		}
	}
}

// What a server keeps to itself is said, and is no reason to stop.
func TestSettingsThatNobodyTells(t *testing.T) {
	source, target := start(t), start(t)
	do(t, connect(t, source), "ACL SETUSER app on >pw ~* &* +@all -config -memory -module")
	r := precheck(t, "redis://app:pw@"+source.Addr, target.URL(), Options{})
	for _, item := range []string{"source_idle_timeout", "source_output_buffers", "target_settings", "target_modules"} {
		r.expect(t, item, Success, "is refused")
	}
	r.expect(t, "source_maxclients", Success, "connections are taken")
	r.otherwise(t)
}

func TestPersistenceOfTheTarget(t *testing.T) {
	source, target := start(t), start(t)
	s, d := connect(t, source), connect(t, target)
	check := func() *Report { return precheck(t, source.URL(), target.URL(), Options{}) }
	check().expect(t, "target_persistence", Success, "keeps nothing on disk")
	for setting, says := range map[string]string{"save": "saves snapshots", "appendonly": "keeps an append-only file"} {
		value := map[string]string{"save": "3600 1 300 100", "appendonly": "yes"}[setting]
		if _, err := s.Do(t.Context(), "CONFIG", "SET", setting, value); err != nil {
			t.Fatal(err)
		}
		r := check()
		r.expect(t, "target_persistence", Warning, "the source "+says+", the target keeps nothing")
		r.otherwise(t, "target_persistence")
		apply(t, d, r.item(t, "target_persistence"))
		after := check()
		after.expect(t, "target_persistence", Success, "the target "+says)
		after.cured(t, r, "target_persistence")
		for _, c := range []*instance.Conn{s, d} {
			if _, err := c.Do(t.Context(), "CONFIG", "SET", setting, map[string]string{"save": "", "appendonly": "no"}[setting]); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestReplicasOfTheTarget(t *testing.T) {
	source, target := start(t, "--repl-diskless-sync-delay", "0"), start(t, "--repl-diskless-sync-delay", "0")
	c := connect(t, start(t, "--replicaof", "127.0.0.1", source.Addr[strings.LastIndex(source.Addr, ":")+1:]))
	until(t, "the replica follows", func() bool {
		return strings.Contains(string(do(t, c, "INFO replication").Str), "master_link_status:up")
	})
	r := precheck(t, source.URL(), target.URL(), Options{})
	r.expect(t, "target_replicas", Warning, "1 replica, the target none")
	r.otherwise(t, "target_replicas")
	// The remedy: the target gets one.
	do(t, c, "REPLICAOF 127.0.0.1 "+target.Addr[strings.LastIndex(target.Addr, ":")+1:])
	d := connect(t, target)
	until(t, "the target has a replica", func() bool {
		return strings.Contains(string(do(t, d, "INFO replication").Str), "connected_slaves:1") &&
			strings.Contains(string(do(t, c, "INFO replication").Str), "master_link_status:up")
	})
	precheck(t, source.URL(), target.URL(), Options{}).cured(t, r, "target_replicas")
}

// A target that refuses writes for a state that it is in says which, and what ends it.
func TestTargetsThatRefuseWrites(t *testing.T) {
	source, target := start(t), start(t)
	d := connect(t, target)
	for _, x := range [][2]string{{"CONFIG SET maxmemory 1mb", "OOM"}, {"CONFIG SET min-replicas-to-write 1", "NOREPLICAS"}} {
		do(t, d, x[0])
		r := precheck(t, source.URL(), target.URL(), Options{})
		r.expect(t, "target_commands", Failed, x[1])
		item := r.item(t, "target_commands")
		if x[1] == "OOM" {
			do(t, d, "CONFIG SET maxmemory 100mb") // how much is the user's to say
		} else {
			apply(t, d, item)
		}
		precheck(t, source.URL(), target.URL(), Options{}).cured(t, r, "target_commands")
	}
}
