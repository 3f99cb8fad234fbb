package keyspace_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/test/keyspace"
	"tandem/test/wire"
)

// twins are two servers with the same content, the second's made by the servers' own replication.
func twins(t *testing.T, first, second string, l keyspace.Layout) (a, b *redisd.Server) {
	t.Helper()
	a = redisdtest.Start(t, redisd.Options{Binary: first, Args: []string{"--repl-diskless-sync", "no"}})
	b = redisdtest.Start(t, redisd.Options{Binary: second})
	if err := l.Fill(a.Addr); err != nil {
		t.Fatal(err)
	}
	do(t, b, 0, "REPLICAOF", "127.0.0.1", fmt.Sprint(a.Port))
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(do(t, b, 0, "INFO", "replication").Str, "master_link_status:up"); {
		if time.Now().After(deadline) {
			t.Fatal("no replica after 30 s")
		}
		do(t, a, 0, "WAIT", "1", "100")
	}
	// WAIT returns when the replica has everything, or says that it has not.
	for deadline := time.Now().Add(30 * time.Second); do(t, a, 0, "WAIT", "1", "1000").Int != 1; {
		if time.Now().After(deadline) {
			t.Fatal("replica not up to date after 30 s")
		}
	}
	do(t, b, 0, "REPLICAOF", "NO", "ONE")
	return a, b
}

func do(t *testing.T, s *redisd.Server, db int, args ...string) wire.Reply {
	t.Helper()
	c, err := wire.Dial(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Do("SELECT", fmt.Sprint(db)); err != nil {
		t.Fatal(err)
	}
	reply, err := c.Do(args...)
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return reply
}

func TestFillMakesEveryKindInEveryDatabase(t *testing.T) {
	s := redisdtest.Start(t, redisd.Options{})
	l := keyspace.Layout{Keys: 2000, Seed: 1, LargeBytes: 300 << 10, NoExpiry: true}
	if err := l.Fill(s.Addr); err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[keyspace.Kind]string{
		keyspace.Text: "string", keyspace.Long: "string", keyspace.Binary: "string", keyspace.Counter: "string",
		keyspace.Hash: "hash", keyspace.BigHash: "hash", keyspace.FieldTTL: "hash", keyspace.List: "list",
		keyspace.BigList: "list", keyspace.IntSet: "set", keyspace.Set: "set", keyspace.BigSet: "set",
		keyspace.ZSet: "zset", keyspace.BigZSet: "zset", keyspace.Stream: "stream", keyspace.BigStream: "stream",
		keyspace.HLL: "string", keyspace.Bitmap: "string", keyspace.Geo: "zset",
	} {
		for i, db := range map[int]int{0: 0, 7: 1, 8: 1, 9: 5, l.Count(kind) - 1: 5} {
			if got := do(t, s, db, "TYPE", keyspace.Name(kind, i)).Str; got != want {
				t.Errorf("%s in db %d is %q, want %s", keyspace.Name(kind, i), db, got, want)
			}
		}
	}
	for _, key := range []string{"large:noise", "large:text", "large:hash", "large:list", "large:set", "large:zset", "large:stream"} {
		if n := do(t, s, 0, "MEMORY", "USAGE", key, "SAMPLES", "0").Int; n < 200<<10 {
			t.Errorf("%s takes %d bytes, want some 300 KiB", key, n)
		}
	}
}

func TestCompareFindsTwinsEqual(t *testing.T) {
	for _, pair := range [][2]string{{"redis-7.0", "redis-7.0"}, {"redis-6.0", "redis-7.0"}, {"redis-6.0", "redis-8.0"},
		{"redis-7.0", "valkey-8.1"}, {"redis-8.0", "redis-8.0"}, {"valkey-9.1", "valkey-9.1"}} {
		servers, ok := redisdtest.Find(t, pair[:]...)
		if !ok {
			continue
		}
		t.Run(pair[0]+" to "+pair[1], func(t *testing.T) {
			a, b := twins(t, servers[0].Path, servers[1].Path, keyspace.Layout{Keys: 20_000, Seed: 2, LargeBytes: 1 << 20})
			result, err := keyspace.Compare(a.Addr, b.Addr, keyspace.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if len(result.Differences) != 0 {
				t.Errorf("twins differ: %s", result)
			}
			if result.First < 15_000 || result.Second < 15_000 {
				t.Errorf("too few keys compared: %s", result)
			}
			t.Log(result)
		})
	}
}

func TestCompareFindsEachPlantedDifference(t *testing.T) {
	a, b := twins(t, "", "", keyspace.Layout{Keys: 5000, Seed: 3, LargeBytes: 2 << 20, NoExpiry: true})
	planted := []struct {
		name string
		cmd  string // run on the second server, in db 0 unless it says otherwise
		db   int
		key  string
		what string
		said string // part of the detail
	}{
		{"value", "SET text:1 other", 0, "text:1", "value", "string of"},
		{"one bit of a large value", "SETRANGE large:text 1500000 \x01", 0, "large:text", "value", "from byte 1500000"},
		{"bytes appended", "APPEND long:0 x", 0, "long:0", "value", "string of"},
		{"counter", "INCR counter:7", 1, "counter:7", "value", "string of"},
		{"type", "SET,hash:9,x", 5, "hash:9", "type", "hash, string"},
		{"expiry added", "PEXPIRE text:2 9000000", 0, "text:2", "ttl", "never, "},
		{"field value", "HSET hash:1 f1 other", 0, "hash:1", "value", `field "f1"`},
		{"field too many", "HSET hash:2 zzz x", 0, "hash:2", "value", "nothing more | field"},
		{"list order", "LMOVE list:1 list:1 LEFT RIGHT", 0, "list:1", "value", "element 0"},
		{"set member", "SADD set:1 other", 0, "set:1", "value", "other"},
		{"integer in a set", "SREM intset:1 *", 0, "intset:1", "value", "member"},
		{"score", "ZINCRBY zset:1 0.25 m0*", 0, "zset:1", "value", "score"},
		{"stream entry", "XDEL stream:1 1003-3", 0, "stream:1", "value", "entry"},
		{"pending entry", "XACK stream:2 g 1001-1 1002-2", 0, "stream:2", "value", "pending"},
		{"delivery count", "XCLAIM stream:3 g alice 0 1002-2 1001-1 FORCE RETRYCOUNT 9 JUSTID", 0, "stream:3", "value", "9 times"},
		{"consumer", "XGROUP CREATECONSUMER stream:4 g carol", 0, "stream:4", "value", "carol"},
		{"group", "XGROUP CREATE stream:5 more 0", 0, "stream:5", "value", `group "more"`},
		{"last id", "XSETID stream:6 9999-1", 0, "stream:6", "value", "last-generated-id"},
		{"register", "PFADD hll:1 something", 0, "hll:1", "value", "string of"},
		{"bit", "SETBIT bitmap:1 1 1", 0, "bitmap:1", "value", "string of"},
		{"missing", "DEL geo:1", 0, "geo:1", "missing on the second", "DUMP of"},
		{"too many", "SET extra x", 0, "extra", "missing on the first", "only on"},
		{"too many, database of its own", "SET extra x", 3, "extra", "missing on the first", "only on"},
	}
	want := map[string]int{}
	for i, p := range planted {
		args := strings.Split(p.cmd, " ")
		if strings.Contains(p.cmd, ",") {
			args = strings.Split(p.cmd, ",")
		}
		for j, arg := range args { // "*": any member; "m0*": the member that begins so
			if prefix, ok := strings.CutSuffix(arg, "*"); ok {
				args[j] = member(t, b, p.db, p.key, prefix)
			}
		}
		do(t, b, p.db, args...)
		want[fmt.Sprintf("%d %s", p.db, p.key)] = i
	}
	result, err := keyspace.Compare(a.Addr, b.Addr, keyspace.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range result.Differences {
		id := fmt.Sprintf("%d %s", d.DB, d.Key)
		i, ok := want[id]
		if !ok {
			t.Errorf("reported, but not planted: %s", d)
			continue
		}
		delete(want, id)
		if p := planted[i]; d.What != p.what || !strings.Contains(d.Detail, p.said) || d.Transient {
			t.Errorf("%s: reported as %s; want %s saying %q", p.name, d, p.what, p.said)
		}
	}
	for id, i := range want {
		t.Errorf("%s: planted on %s and not found", planted[i].name, id)
	}
}

func member(t *testing.T, s *redisd.Server, db int, key, prefix string) string {
	t.Helper()
	cmd := []string{"SMEMBERS", key}
	if do(t, s, db, "TYPE", key).Str == "zset" {
		cmd = []string{"ZRANGE", key, "0", "-1"}
	}
	for _, m := range do(t, s, db, cmd...).Strings() {
		if strings.HasPrefix(m, prefix) {
			return m
		}
	}
	t.Fatalf("no member %q* in %s", prefix, key)
	return ""
}

func TestCompareFindsFieldExpiry(t *testing.T) {
	for _, name := range []string{"redis-8.0", "valkey-9.1"} {
		servers, ok := redisdtest.Find(t, name)
		if !ok {
			continue
		}
		t.Run(name, func(t *testing.T) {
			a, b := twins(t, servers[0].Path, servers[0].Path, keyspace.Layout{Keys: 1000, Seed: 4, NoExpiry: true})
			do(t, b, 0, "HPEXPIRE", "fieldttl:1", "60000", "FIELDS", "1", "f3")
			do(t, b, 0, "HPERSIST", "fieldttl:2", "FIELDS", "1", "f0")
			result, err := keyspace.Compare(a.Addr, b.Addr, keyspace.Options{})
			if err != nil {
				t.Fatal(err)
			}
			found := map[string]bool{}
			for _, d := range result.Differences {
				found[d.Key] = true
			}
			if len(found) != 2 || !found["fieldttl:1"] || !found["fieldttl:2"] {
				t.Errorf("want fieldttl:1 and fieldttl:2: %s", result)
			}
		})
	}
}

func TestCompareForgivesAnExpiryBetweenItsTwoLooks(t *testing.T) {
	a := redisdtest.Start(t, redisd.Options{})
	b := redisdtest.Start(t, redisd.Options{})
	do(t, a, 0, "SET", "same", "v")
	do(t, b, 0, "SET", "same", "v")
	do(t, a, 0, "SET", "late", "v", "PX", "400") // on one side only, until it expires
	seen := 0
	hook := func(_ int, key string) bool {
		if seen++; seen == 3 { // late and same on the first side, now same on the second
			for do(t, a, 0, "EXISTS", "late").Int == 1 {
			}
		}
		return false
	}
	result, err := keyspace.Compare(a.Addr, b.Addr, keyspace.Options{Ignore: hook})
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Differences) != 0 || result.First != 2 || result.Second != 1 {
		t.Errorf("want 2 and 1 keys and no difference: %s", result)
	}
}
