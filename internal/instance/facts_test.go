package instance

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

func TestFacts(t *testing.T) {
	eachServer(t, []string{"--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru", "--databases", "20"}, func(t *testing.T, s *redisd.Server) {
		i := at(t, s, "")
		c := connect(t, i, "", 0)
		do(t, c, "MSET", "a", "1", "b", "2")
		do(t, c, "SELECT", "19")
		do(t, c, "SET", "a", "1")
		f, err := i.Facts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(f.Version, strings.ReplaceAll(s.Name, "-", " ")) || f.Version != f.Server.String() {
			t.Errorf("version %q of %s", f.Version, s.Name)
		}
		if len(f.RunID) != 40 || len(f.ReplicationID) != 40 || f.Mode != "standalone" || f.ReplicationRole != "master" || f.MasterAddr != "" {
			t.Errorf("%+v", f)
		}
		if f.Databases != 20 || f.MaxMemory != 64<<20 || f.MaxMemoryPolicy != "allkeys-lru" || f.UsedMemory < 100_000 {
			t.Errorf("%+v", f)
		}
		if !maps.Equal(f.Keys, map[int]int64{0: 2, 19: 1}) || f.KeysTotal() != 3 || f.HighestDB() != 19 {
			t.Errorf("keys %v, %d, highest db %d", f.Keys, f.KeysTotal(), f.HighestDB())
		}
		// One machine, one clock.
		if off := f.ClockOffset.Abs(); f.ClockError <= 0 || off > f.ClockError+time.Millisecond {
			t.Errorf("clock %v give or take %v", f.ClockOffset, f.ClockError)
		}
		again := i
		if err := s.Restart(true); err != nil {
			t.Fatal(err)
		}
		if g, err := again.Facts(t.Context()); err != nil || g.RunID == f.RunID {
			t.Errorf("run id %s after a restart, %v", g.RunID, err)
		}
	})
}

func TestFactsOfAReplicaAndAClusterNode(t *testing.T) {
	master := redisdtest.Start(t, redisd.Options{})
	replica := redisdtest.Start(t, redisd.Options{Args: []string{"--replicaof", "127.0.0.1", fmt.Sprint(master.Port)}})
	var f Facts
	eventually(t, "the replica follows", func() bool {
		m, err1 := at(t, master, "").Facts(t.Context())
		var err2 error
		f, err2 = at(t, replica, "").Facts(t.Context())
		return err1 == nil && err2 == nil && f.ReplicationID == m.ReplicationID
	})
	if f.ReplicationRole != "slave" || f.MasterAddr != master.Addr {
		t.Errorf("role %q of %q", f.ReplicationRole, f.MasterAddr)
	}
	node := redisdtest.Start(t, redisd.Options{Args: []string{"--cluster-enabled", "yes"}})
	if f, err := at(t, node, "").Facts(t.Context()); err != nil || f.Mode != "cluster" || f.Databases != 1 {
		t.Errorf("cluster node: %+v, %v", f, err)
	}
}

func TestDatabasesWhereConfigIsRefused(t *testing.T) {
	for _, n := range []int{1, 2, 3, 16, 17, 1000, 16384, 20000} {
		s := redisdtest.Start(t, redisd.Options{Args: []string{"--databases", fmt.Sprint(n), "--rename-command", "CONFIG", ""}})
		c := connect(t, at(t, s, ""), "", 0)
		got, err := c.databases(t.Context(), "standalone")
		if want := min(n, maxDatabases); got != want || err != nil {
			t.Errorf("%d databases, want %d, %v", got, want, err)
		}
		if v := do(t, c, "SET", "k", "v"); string(v.Str) != "OK" {
			t.Fatal(v)
		}
		if keys, err := c.countKeys(t.Context(), min(n, 50)); err != nil || !maps.Equal(keys, map[int]int64{0: 1}) {
			t.Errorf("keys %v, %v: not back in database 0?", keys, err)
		}
	}
	s := redisdtest.Start(t, redisd.Options{})
	do(t, connect(t, at(t, s, ""), "", 0), "ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-select", "-config")
	if n, err := connect(t, at(t, s, "app:pw@"), "", 0).databases(t.Context(), "standalone"); n != 1 || err != nil {
		t.Errorf("without SELECT %d, %v", n, err)
	}
}

func TestFactsWhereInfoIsRefusedOrThin(t *testing.T) {
	s := redisdtest.Start(t, redisd.Options{})
	do(t, connect(t, at(t, s, ""), "", 0), "ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-info")
	if _, err := at(t, s, "app:pw@").Facts(t.Context()); !errors.Is(err, ErrCommandRefused) || !strings.Contains(err.Error(), "INFO") {
		t.Errorf("got %v", err)
	}

	f, hasKeyspace, err := parseInfo("redis_version:6.2.7\r\nused_memory:many\r\ndbsize:5\r\ndb3:expires=1\r\n")
	if err != nil || hasKeyspace || f.UsedMemory != 0 || len(f.Keys) != 0 || f.Mode != "standalone" || f.Server.Version != 60207 {
		t.Errorf("%+v, %v, %v", f, hasKeyspace, err)
	}
	f, hasKeyspace, err = parseInfo("redis_version:7.2.4\nserver_name:valkey\nvalkey_version:9.0.1\ncluster_enabled:1\n# Keyspace\ndb0:keys=5,expires=1,avg_ttl=0\n")
	if err != nil || !hasKeyspace || f.Keys[0] != 5 || f.Mode != "cluster" || f.Version != "valkey 9.0.1" {
		t.Errorf("%+v, %v, %v", f, hasKeyspace, err)
	}
	if _, _, err := parseInfo("nothing here"); err == nil {
		t.Error("an INFO without a version is taken")
	}
}

func TestClockOffset(t *testing.T) {
	for _, offset := range []time.Duration{5 * time.Second, -3 * time.Hour} {
		i := fakeServer(t, func(_ int, args []string) string {
			if args[0] != "TIME" {
				return "+OK\r\n"
			}
			now := time.Now().Add(offset)
			s, us := fmt.Sprint(now.Unix()), fmt.Sprint(now.Nanosecond()/1000)
			return fmt.Sprintf("*2\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(s), s, len(us), us)
		})
		got, margin, err := i.Clock(t.Context())
		if err != nil || (got-offset).Abs() > margin || margin > time.Second {
			t.Errorf("offset %v give or take %v, want %v, %v", got, margin, offset, err)
		}
	}
	for _, reply := range []string{"+OK\r\n", "*2\r\n$1\r\nx\r\n$1\r\n1\r\n"} {
		i := fakeServer(t, func(int, []string) string { return reply })
		if _, _, err := i.Clock(t.Context()); !errors.Is(err, ErrNotRedis) {
			t.Errorf("%q: %v", reply, err)
		}
	}
}
