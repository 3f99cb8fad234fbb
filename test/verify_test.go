package test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"tandem/test/program"
	"tandem/test/wire"
)

// bitBytes is the size of the value of which one bit is flipped.
func bitBytes() int {
	if program.Full {
		return 100 << 20
	}
	return 10 << 20
}

// plant is one difference: how its key is made on the source, and what is done to it on the target alone.
type plant struct {
	db     int
	key    string
	make   []string // "" where the key is made otherwise, or not at all
	damage string
	kind   string // what verify calls it; "" where more than one name is right
}

// plants are twenty differences, each of another sort.
var plants = []plant{
	{0, "plant:value", []string{"SET plant:value one"}, "SET plant:value two", "value"},
	{0, "plant:byte", []string{"SET plant:byte abcdefgh"}, "SETRANGE plant:byte 3 X", "value"},
	{0, "plant:bit", nil, "SETBIT plant:bit 41943041 1", "value"},
	{0, "plant:type", []string{"SET plant:type 1"}, "", "type"},
	{0, "plant:ttl:added", []string{"SET plant:ttl:added v"}, "EXPIRE plant:ttl:added 5000", "ttl"},
	{0, "plant:ttl:gone", []string{"SET plant:ttl:gone v EX 5000"}, "PERSIST plant:ttl:gone", "ttl"},
	{0, "plant:ttl:moved", []string{"SET plant:ttl:moved v EX 5000"}, "EXPIRE plant:ttl:moved 4000", "ttl"},
	{1, "plant:field", []string{"HSET plant:field a 1 b 2"}, "HSET plant:field b 3", ""},
	{0, "plant:field:gone", []string{"HSET plant:field:gone a 1 b 2"}, "HDEL plant:field:gone b", ""},
	{0, "plant:order", []string{"RPUSH plant:order a b c"}, "LMOVE plant:order plant:order LEFT RIGHT", ""},
	{0, "plant:element", []string{"RPUSH plant:element a b"}, "RPUSH plant:element c", ""},
	{5, "plant:member", []string{"SADD plant:member a b c"}, "SREM plant:member b", ""},
	{0, "plant:score", []string{"ZADD plant:score 1 a 2 b"}, "ZADD plant:score 2.0000001 b", ""},
	{0, "plant:entry", []string{"XADD plant:entry 1-1 a b", "XADD plant:entry 2-1 a b"}, "XDEL plant:entry 1-1", ""},
	{0, "plant:pending", streamWithGroup("plant:pending"), "XACK plant:pending g 1-1", ""},
	{0, "plant:deliveries", streamWithGroup("plant:deliveries"), "XCLAIM plant:deliveries g c 0 1-1 RETRYCOUNT 7 JUSTID", ""},
	{0, "plant:group", streamWithGroup("plant:group"), "XGROUP DESTROY plant:group g", ""},
	{0, "plant:missing", []string{"SET plant:missing v"}, "DEL plant:missing", "missing"},
	{0, "plant:many", nil, "SET plant:many v", "extra"},
	{5, "plant:many", nil, "HSET plant:many a b", "extra"},
}

func streamWithGroup(key string) []string {
	return []string{"XADD " + key + " 1-1 a b", "XGROUP CREATE " + key + " g 0", "XREADGROUP GROUP g c STREAMS " + key + " >"}
}

// in runs commands on a server, in a database, each of which must succeed.
func in(t *testing.T, addr string, db int, cmds ...string) {
	t.Helper()
	c, err := wire.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, cmd := range append([]string{fmt.Sprintf("SELECT %d", db)}, cmds...) {
		if _, err := c.Do(strings.Split(cmd, " ")...); err != nil {
			t.Fatalf("%s: %v", cmd, err)
		}
	}
}

// A verify under load finds exactly what was planted on the target behind the proxy's back: nothing less, and
// nothing of what the load is changing meanwhile. Repair mends it.
func TestVerifyFindsExactlyThePlantedDifferences(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{keys: sized(200_000), largeBytes: 1 << 20, clients: 8})
	makeNoise(t, w.source.Addr, "plant:bit", bitBytes())
	for _, p := range plants {
		in(t, w.source.Addr, p.db, p.make...)
	}
	w.startLoad(nil)
	w.td.Step("start")
	w.td.WaitSynced()
	w.td.MustVerify()
	want := map[string]plant{}
	for _, p := range plants {
		want[fmt.Sprintf("%d %s", p.db, p.key)] = p
		damage := []string{p.damage}
		if p.kind == "type" {
			damage = []string{"DEL " + p.key, "SADD " + p.key + " 1"}
		}
		in(t, w.target.Addr, p.db, damage...)
	}
	if len(want) != 20 {
		t.Fatalf("%d plants, want 20", len(want))
	}
	began := time.Now()
	code, lines := w.td.Verify()
	t.Logf("verify under load: %v, %d differences", time.Since(began).Round(time.Millisecond), len(lines))
	if code != 4 {
		t.Errorf("exit status %d with differences, want 4", code)
	}
	for _, l := range lines {
		id := fmt.Sprintf("%d %s", l.DB, l.Key)
		p, ok := want[id]
		if !ok {
			t.Errorf("reported and not planted: db%d %q %s: %s", l.DB, l.Key, l.Kind, l.Detail)
			continue
		}
		delete(want, id)
		if p.kind != "" && p.kind != l.Kind {
			t.Errorf("%s reported as %q (%s), want %q", p.key, l.Kind, l.Detail, p.kind)
		}
	}
	for id := range want {
		t.Errorf("planted and not found: %s", id)
	}
	if s := w.td.Status(); s.Verify.Different != int64(len(lines)) || s.Verify.State != "done" {
		t.Errorf("status says %d differences, %s; the command listed %d", s.Verify.Different, s.Verify.State, len(lines))
	}
	w.td.Verify("--repair")
	w.td.Until("nothing different any more", program.SyncTime(), func() bool {
		w.mustBeFine()
		code, _ := w.td.Verify()
		return code == 0
	})
	w.stopLoad()
	w.mustBeEqual()
	w.checkMemory()
}

// In reversed verify compares the other way round: the target has the truth.
func TestVerifyInReversed(t *testing.T) {
	w := newWorld(t, worldOptions{keys: 2000})
	w.td.Step("start")
	w.td.WaitSynced()
	w.td.SwitchOver("cutover")
	w.td.MustVerify()
	in(t, w.source.Addr, 0, "SET plant:many v")
	in(t, w.target.Addr, 0, "SET plant:missing v")
	code, lines := w.td.Verify()
	kinds := map[string]string{}
	for _, l := range lines {
		kinds[l.Key] = l.Kind
	}
	if code != 4 || len(kinds) != 2 || kinds["plant:many"] != "extra" || kinds["plant:missing"] != "missing" {
		t.Errorf("exit status %d, %s; want plant:many extra and plant:missing missing", code, program.ShowDifferences(lines))
	}
	w.td.Verify("--repair")
	w.mustBeEqual()
	if got := do(t, w.source.Addr, "GET", "plant:missing").Str; got != "v" {
		t.Errorf("after the repair the source has %q, want the target's value", got)
	}
}

// The keys mode sees which keys there are, and nothing of their values.
func TestVerifyOfKeysOnly(t *testing.T) {
	w := newWorld(t, worldOptions{keys: 2000})
	in(t, w.source.Addr, 0, "SET plant:value one")
	w.td.Step("start")
	w.td.WaitSynced()
	in(t, w.target.Addr, 0, "SET plant:value two", "SET plant:many v")
	code, lines := w.td.Verify("--mode", "keys")
	if code != 4 || len(lines) != 1 || lines[0].Key != "plant:many" {
		t.Errorf("exit status %d, %s; want plant:many alone", code, program.ShowDifferences(lines))
	}
}

// makeNoise makes a string of a size that nothing compresses.
func makeNoise(t *testing.T, addr, key string, size int) {
	t.Helper()
	c, err := wire.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%032d", seed))))
	part := make([]byte, 1<<20)
	for at := 0; at < size; at += len(part) {
		r.Read(part)
		part = part[:min(len(part), size-at)]
		if at == 5<<20 { // the bit that is planted must not be set already
			part[0] &^= 0x40
		}
		if _, err := c.Do("SETRANGE", key, strconv.Itoa(at), string(part)); err != nil {
			t.Fatal(err)
		}
	}
}
