package script

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/test/keyspace"
	"tandem/test/wire"
)

// comments returns what is behind each "-- name: " in a source.
func comments(source, name string) (all []string) {
	for line := range strings.Lines(source) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "-- "+name+": "); ok {
			all = append(all, rest)
		}
	}
	return all
}

// withPrefix puts names of the script's own in front of the keys k1, k2, ... of a command.
func withPrefix(prefix string, words []string) []string {
	for i, w := range words {
		if len(w) == 2 && w[0] == 'k' && w[1] >= '1' && w[1] <= '9' {
			words[i] = prefix + ":" + w
		}
	}
	return words
}

// TestScriptsThatRepeatDoTheSameOnEveryServer runs the scripts of testdata on all versions, and compares what
// they leave behind wherever that is said to be the same.
func TestScriptsThatRepeatDoTheSameOnEveryServer(t *testing.T) {
	binaries := redisdtest.Binaries(t)
	binaries = append(binaries, binaries...) // two of each: what a version does once is no proof
	type side struct {
		name   string
		server Server
		addr   string
		conn   *wire.Conn
	}
	var sides []side
	for _, b := range binaries {
		s := redisdtest.Start(t, redisd.Options{Binary: b.Path})
		c, err := wire.Dial(s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		product, version, _ := strings.Cut(b.Name, "-")
		major, minor, _ := strings.Cut(version, ".")
		ma, _ := strconv.Atoi(major)
		mi, _ := strconv.Atoi(minor)
		sides = append(sides, side{b.Name, Server{product == "valkey", ma*10000 + mi*100}, s.Addr, c})
	}
	ran := 0
	for name, source := range corpus(t) {
		facts := Look([]byte(source))
		if !facts.Repeats || !facts.Writes {
			continue
		}
		runs := comments(source, "run")
		if len(runs) == 0 {
			t.Errorf("%s says no run", name)
		}
		ran += len(runs)
		lacks := map[string]bool{}
		for _, s := range sides {
			for _, seed := range comments(source, "seed") {
				if _, err := s.conn.Do(withPrefix(name, strings.Fields(seed))...); err != nil {
					t.Fatalf("%s on %s: %s: %v", name, s.name, seed, err)
				}
			}
			for _, run := range runs {
				count, args, _ := strings.Cut(run, " | ")
				n, _ := strconv.Atoi(count)
				command := []string{"EVAL", source, count}
				for k := range n {
					command = append(command, fmt.Sprintf("%s:k%d", name, k+1))
				}
				reply, err := s.conn.Do(append(command, strings.Fields(args)...)...)
				if strings.Contains(fmt.Sprint(reply, err), "nonexistent global variable") {
					lacks[s.name] = true // a server built without a library
				} else if err != nil {
					t.Errorf("%s on %s: %s: %v", name, s.name, run, err)
				}
			}
		}
		for i, b := range sides {
			for _, a := range sides[:i] {
				if !facts.RepeatsOn(a.server, b.server) || lacks[a.name] || lacks[b.name] {
					continue
				}
				r, err := keyspace.Compare(a.addr, b.addr, keyspace.Options{
					Ignore: func(_ int, key string) bool { return !strings.HasPrefix(key, name+":") },
				})
				if err != nil {
					t.Fatal(err)
				}
				if len(r.Differences) > 0 || r.First == 0 && !strings.HasSuffix(name, "unlock") {
					t.Errorf("%s on %s and %s: %v", name, a.name, b.name, r)
				}
				break // what a equals is compared with a
			}
		}
	}
	if ran < 50 {
		t.Errorf("only %d runs", ran)
	}
}

// TestWhatDependsOnTheVersionIsSaidToDependOnIt: the reasons for the flags are true of the servers here.
func TestWhatDependsOnTheVersionIsSaidToDependOnIt(t *testing.T) {
	servers, ok := redisdtest.Find(t, "redis-7.0", "redis-8.0", "valkey-8.1")
	if !ok {
		return
	}
	answers := map[string]map[string]string{}
	sources := map[string]string{
		"numbers": `redis.call('SET', KEYS[1], 0.1) return redis.call('GET', KEYS[1])`,
		"tables":  `redis.call('SET', KEYS[1], cjson.encode(cjson.decode(ARGV[1]))) return redis.call('GET', KEYS[1])`,
		"concat":  `redis.call('SET', KEYS[1], 0.1 .. '|' .. 1/3 .. '|' .. tostring(2/3) .. 1e15) return redis.call('GET', KEYS[1])`,
	}
	object := `{"a":1,"bb":2,"ccc":3,"dddd":4,"eeeee":5,"ffffff":6,"ggggggg":7}`
	for _, b := range servers {
		s := redisdtest.Start(t, redisd.Options{Binary: b.Path})
		answers[b.Name] = map[string]string{}
		for what, source := range sources {
			reply, err := wire.Once(s.Addr, "EVAL", source, "1", "k", object)
			if err != nil {
				t.Fatal(err)
			}
			answers[b.Name][what] = reply.String()
		}
	}
	old, redis, valkey := answers["redis-7.0"], answers["redis-8.0"], answers["valkey-8.1"]
	switch {
	case old["numbers"] == redis["numbers"] || redis["numbers"] != valkey["numbers"]:
		t.Errorf("the text of numbers: %v", answers)
	case redis["tables"] == valkey["tables"]:
		t.Errorf("the order of tables: %v", answers)
	case old["concat"] != redis["concat"] || redis["concat"] != valkey["concat"]:
		t.Errorf("concatenation: %v", answers)
	}
	numbers, tables := Look([]byte(sources["numbers"])), Look([]byte(sources["tables"]))
	r7, r8, v8 := Server{Version: 70015}, Server{Version: 80002}, Server{true, 80101}
	if numbers.RepeatsOn(r7, r8) || numbers.RepeatsOn(v8, r7) || !numbers.RepeatsOn(r8, v8) || !numbers.RepeatsOn(r7, r7) {
		t.Errorf("numbers: %+v", numbers)
	}
	if tables.RepeatsOn(r8, v8) || !tables.RepeatsOn(r8, Server{Version: 80007}) {
		t.Errorf("tables: %+v", tables)
	}
	if concat := Look([]byte(sources["concat"])); !concat.RepeatsOn(r7, v8) {
		t.Errorf("concatenation: %+v", concat)
	}
}

func TestTheNameOfAScriptIsTheServers(t *testing.T) {
	s := redisdtest.Start(t, redisd.Options{})
	for _, source := range []string{"return 1", "#!lua\nreturn 1", "return '\x00\xff'"} {
		reply, err := wire.Once(s.Addr, "SCRIPT", "LOAD", source)
		if err != nil || !strings.Contains(reply.String(), SHA1([]byte(source))) {
			t.Errorf("SCRIPT LOAD %q: %v %v, SHA1 %s", source, reply, err, SHA1([]byte(source)))
		}
	}
}
