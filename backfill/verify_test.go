package backfill

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/instance"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/status"
	"tandem/test/keyspace"
)

// verify runs a verify and returns what it reports, by "db key".
func (w *world) verify(o VerifyOptions) (map[string]status.Difference, *Verify) {
	w.t.Helper()
	found := map[string]status.Difference{}
	o.Name = instance.ConnName("test", "verify", "1")
	o.Log = w.copier.opt.Log
	o.Report = func(d status.Difference) {
		id := fmt.Sprintf("%d %s", d.DB, d.Key)
		if _, twice := found[id]; twice {
			w.t.Errorf("%s is reported twice", id)
		}
		found[id] = d
	}
	v := NewVerify(w.l, w.primary, w.secondary, o)
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	if err := v.Run(ctx); err != nil {
		w.t.Fatalf("verify: %v", err)
	}
	if p := v.Progress(); p.State != status.Done || p.Percent != 100 || int(p.Different) != len(found) {
		w.t.Fatalf("after the verify: %+v, %d reported", p, len(found))
	}
	return found, v
}

func TestVerifyFindsTwinsEqual(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{}, nil)
	if err := (keyspace.Layout{Keys: 20_000, Seed: 1, LargeBytes: 12 << 20}).Fill(w.first.Addr); err != nil {
		t.Fatal(err)
	}
	w.sweep()
	start := time.Now()
	found, v := w.verify(VerifyOptions{})
	if len(found) > 0 {
		t.Errorf("differences between equals: %v", found)
	}
	if p := v.Progress(); p.Compared < 19_000 {
		t.Errorf("compared %d keys", p.Compared)
	}
	t.Logf("%v", time.Since(start))
}

// plant is a difference: how the key is made on the source, and what is done to it on the target alone.
type plant struct {
	name   string
	make   []string
	damage []string
	kind   string
	detail string // a part of it
}

func rangeOf(n int, f string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, " "+f, i)
	}
	return b.String()
}

func withGroup(key string) []string {
	return []string{"XADD " + key + " 1-1 a b", "XADD " + key + " 2-1 a c", "XGROUP CREATE " + key + " g 0",
		"XREADGROUP GROUP g c STREAMS " + key + " >"}
}

var plants = []plant{
	{"s:value", []string{"SET s:value one"}, []string{"SET s:value two"}, kindValue, `"one" on the source, "two" on the target`},
	{"s:length", []string{"SET s:length one"}, []string{"APPEND s:length s"}, kindValue, "3 bytes"},
	{"s:large", []string{"SETRANGE s:large 3000000 x"}, []string{"SETBIT s:large 16000007 1"}, kindValue, "byte 2000000"},
	{"type", []string{"SET type 1"}, []string{"DEL type", "SADD type 1"}, kindType, "string on the source, set on"},
	{"ttl:added", []string{"SET ttl:added v"}, []string{"EXPIRE ttl:added 5000"}, kindTTL, "no expiry on the source"},
	{"ttl:gone", []string{"SET ttl:gone v EX 5000"}, []string{"PERSIST ttl:gone"}, kindTTL, "no expiry on the target"},
	{"ttl:moved", []string{"SET ttl:moved v EX 5000"}, []string{"EXPIRE ttl:moved 4000"}, kindTTL, "expires at"},
	{"l:order", []string{"RPUSH l:order a b c"}, []string{"LMOVE l:order l:order LEFT RIGHT"}, kindValue, "element 0"},
	{"l:more", []string{"RPUSH l:more a b"}, []string{"RPUSH l:more c"}, kindValue, "2 elements on the source, 3"},
	{"l:large", []string{"RPUSH l:large" + rangeOf(5000, "v%d")}, []string{"LSET l:large 4321 x"}, kindValue, "element 4321"},
	{"set:member", []string{"SADD set:member a b c"}, []string{"SREM set:member b", "SADD set:member d"}, kindValue, `"b" is not on the target`},
	{"set:large", []string{"SADD set:large" + rangeOf(5000, "v%d")}, []string{"SREM set:large v4321", "SADD set:large w"}, kindValue, `"v4321" is not on the target`},
	{"h:field", []string{"HSET h:field a 1 b 2"}, []string{"HSET h:field b 3"}, kindValue, `field "b": "2" on the source, "3"`},
	{"h:less", []string{"HSET h:less a 1 b 2"}, []string{"HDEL h:less b"}, kindValue, `"b" is not on the target`},
	{"h:more", []string{"HSET h:more a 1"}, []string{"HSET h:more b 3"}, kindValue, `"b" is not on the source`},
	{"h:large", []string{"HSET h:large" + rangeOf(5000, "f%[1]d v%[1]d")}, []string{"HSET h:large f4321 x"}, kindValue, `field "f4321"`},
	{"h:largemore", []string{"HSET h:largemore" + rangeOf(5000, "f%[1]d v%[1]d")}, []string{"HSET h:largemore x x"}, kindValue, `"x" is not on the source`},
	{"z:score", []string{"ZADD z:score 1 a 2 b"}, []string{"ZADD z:score 2.0000001 b"}, kindValue, `"b": 2 on the source, 2.0000001`},
	{"z:large", []string{"ZADD z:large" + rangeOf(5000, "%[1]d m%[1]d")}, []string{"ZADD z:large 1.5 m4321"}, kindValue, `"m4321": 4321 on the source, 1.5`},
	{"z:zero", []string{"ZADD z:zero" + rangeOf(500, "%[1]d m%[1]d")}, []string{"ZREM z:zero m0", "ZADD z:zero -0 m0"}, kindValue, `"m0": 0 on the source, -0`},
	{"z:largezero", []string{"ZADD z:largezero" + rangeOf(5000, "%[1]d m%[1]d")}, []string{"ZREM z:largezero m0", "ZADD z:largezero -0 m0"}, kindValue, `"m0": 0 on the source, -0`},
	{"z:infinite", []string{"ZADD z:infinite inf a"}, []string{"ZADD z:infinite -inf a"}, kindValue, `"a": +Inf on the source, -Inf`},
	{"h:empty", []string{"HSET h:empty a "}, []string{"HSET h:empty a 0"}, kindValue, `field "a": "" on the source, "0"`},
	{"hll", []string{"PFADD hll a b"}, []string{"PFADD hll c"}, kindValue, "24 bytes on the source"},
	{"geo", []string{"GEOADD geo 13.361389 38.115556 Palermo"}, []string{"GEOADD geo 13.361399 38.115556 Palermo"}, kindValue, "Palermo"},
	{"x:empty", []string{"XADD x:empty 1-1 a b", "XDEL x:empty 1-1"}, []string{"DEL x:empty"}, kindMissing, "a stream on the source"},
	{"x:entry", []string{"XADD x:entry 1-1 a b", "XADD x:entry 2-1 a b"}, []string{"XDEL x:entry 1-1"}, kindValue, "2 elements on the source, 1 element on"},
	{"x:fields", []string{"XADD x:fields 1-1 a b c d"}, []string{"DEL x:fields", "XADD x:fields 1-1 c d a b"}, kindValue, `"a b c d"`},
	{"x:lastid", []string{"XADD x:lastid 1-1 a b"}, []string{"XSETID x:lastid 5-5"}, kindStream, "last-generated-id is 1-1"},
	{"x:group", withGroup("x:group"), []string{"XGROUP DESTROY x:group g"}, kindGroup, `"g" is not on the target`},
	{"x:groupid", withGroup("x:groupid"), []string{"XGROUP SETID x:groupid g 1-1"}, kindGroup, "last delivered"},
	{"x:consumer", withGroup("x:consumer"), []string{"XGROUP CREATECONSUMER x:consumer g d"}, kindGroup, `"d" of group "g" is not on the source`},
	{"x:ack", withGroup("x:ack"), []string{"XACK x:ack g 1-1"}, kindPending, "2 pending on the source, 1 pending"},
	{"x:count", withGroup("x:count"), []string{"XCLAIM x:count g c 0 1-1 RETRYCOUNT 7 JUSTID"}, kindPending, "deliveries of entry 1-1"},
	{"x:time", withGroup("x:time"), []string{"XCLAIM x:time g c 0 2-1 IDLE 100000 JUSTID"}, kindPending, "delivery time of entry 2-1"},
	{"missing", []string{"SET missing v"}, []string{"DEL missing"}, kindMissing, "a string on the source"},
	{"many", nil, []string{"SADD many v"}, kindExtra, "a set on the target"},
	{"\xff\x00odd", nil, []string{"SET \xff\x00odd v"}, kindExtra, ""},
}

// run sends commands, split at blanks, to a database of a server.
func run(t testing.TB, addr string, db int, commands ...string) {
	t.Helper()
	c := dial(t, addr)
	defer c.Close()
	for _, cmd := range append([]string{fmt.Sprintf("SELECT %d", db)}, commands...) {
		if _, err := c.Do(strings.Split(cmd, " ")...); err != nil {
			t.Fatalf("%s: %v", quote(cmd), err)
		}
	}
}

func TestVerifyFindsEachPlantedDifference(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{}, nil)
	if err := (keyspace.Layout{Keys: 2000, Seed: 1, NoExpiry: true}).Fill(w.first.Addr); err != nil {
		t.Fatal(err)
	}
	const db = 3
	for _, p := range plants {
		run(t, w.first.Addr, db, p.make...)
	}
	w.sweep()
	if found, _ := w.verify(VerifyOptions{}); len(found) > 0 {
		t.Fatalf("before anything was planted: %v", found)
	}
	for _, p := range plants {
		run(t, w.second.Addr, db, p.damage...)
	}
	found, _ := w.verify(VerifyOptions{BigKeyBytes: 1 << 20})
	for _, p := range plants {
		id := fmt.Sprintf("%d %s", db, p.name)
		d, ok := found[id]
		switch {
		case !ok:
			t.Errorf("%q was not found", id)
		case d.Kind != p.kind || !strings.Contains(d.Detail, p.detail):
			t.Errorf("%q: %s: %s; want %s: ...%s", id, d.Kind, d.Detail, p.kind, p.detail)
		}
		delete(found, id)
	}
	if len(found) > 0 {
		t.Errorf("found and not planted: %v", found)
	}

	keys, _ := w.verify(VerifyOptions{Mode: KeysOnly})
	var names []string
	for id, d := range keys {
		names = append(names, id+" "+d.Kind)
	}
	slices.Sort(names)
	if want := []string{"3 many extra", "3 missing missing", "3 x:empty missing", "3 \xff\x00odd extra"}; !slices.Equal(names, want) {
		t.Errorf("keys only: %q, want %q", names, want)
	}

	w.verify(VerifyOptions{Repair: true})
	w.settle()
	if found, _ := w.verify(VerifyOptions{}); len(found) > 0 {
		t.Errorf("after the repair: %v", found)
	}
	w.equal()
}

// The expiry of a field is compared on the servers that have it, in small hashes and in large ones.
func TestVerifyComparesTheExpiryOfFields(t *testing.T) {
	for _, name := range []string{"redis-8.0", "valkey-9.1"} {
		t.Run(name, func(t *testing.T) {
			found, ok := redisdtest.Find(t, name, name)
			if !ok {
				return
			}
			w := newWorld(t, redisd.Options{Binary: found[0].Path}, redisd.Options{Binary: found[1].Path}, CopierOptions{}, nil)
			run(t, w.first.Addr, 0, "HSET small a 1 b 2", "HPEXPIRE small 600000 FIELDS 1 a", "HSET gone a 1", "HPEXPIRE gone 600000 FIELDS 1 a",
				"HSET large"+rangeOf(5000, "f%[1]d v%[1]d"), "HPEXPIRE large 600000 FIELDS 1 f7", "HSET equal a 1", "HPEXPIRE equal 600000 FIELDS 1 a")
			w.sweep()
			if found, _ := w.verify(VerifyOptions{}); len(found) > 0 {
				t.Fatalf("between equals: %v", found)
			}
			run(t, w.second.Addr, 0, "HPEXPIRE small 500000 FIELDS 1 a", "HPERSIST gone FIELDS 1 a", "HPEXPIRE large 500000 FIELDS 1 f4321")
			differences, _ := w.verify(VerifyOptions{})
			for key, field := range map[string]string{"0 small": `"a"`, "0 gone": `"a"`, "0 large": `"f4321"`} {
				if d := differences[key]; d.Kind != kindField || !strings.Contains(d.Detail, field) {
					t.Errorf("%s: %+v", key, d)
				}
				delete(differences, key)
			}
			if len(differences) > 0 {
				t.Errorf("found and not planted: %v", differences)
			}
		})
	}
}
