package backfill

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"tandem/internal/instance"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

// taken makes a reader believe that all keys are strings.
func taken(r *reader) *reader {
	r.strings.bits.Store(math.Float64bits(1))
	return r
}

// What GET has read is, for RESTORE, what DUMP would have been: of every length whose form differs, of numbers, and of
// bytes of all values; and what is no string is read all the same.
func TestStringsAreReadByGet(t *testing.T) {
	s := redisdtest.Start(t, redisd.Options{})
	r := rand.New(rand.NewPCG(1, 2))
	bytesOfLength := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return string(b)
	}
	want := map[string]string{"none": "", "number": "123456789012", "negative": "-7", "text": strings.Repeat("much the same ", 500)}
	for _, n := range []int{0, 1, 63, 64, 16383, 16384, 70_000} {
		want["random"+string(rune('a'+len(want)))] = bytesOfLength(n)
	}
	var names []string
	for name, value := range want {
		names = append(names, name)
		if name != "none" {
			do(t, s.Addr, "SET", name, value)
		}
	}
	do(t, s.Addr, "PEXPIREAT", "number", "4102444800000")
	do(t, s.Addr, "SADD", "set", "a")
	do(t, s.Addr, "PEXPIREAT", "set", "4102444800001")
	do(t, s.Addr, "PFADD", "count", "a", "b")
	names = append(names, "set", "count")

	reader := taken(newReader(testInstance(t, instance.Source, s.URL()), "test", time.Second))
	defer reader.close()
	for _, version := range redisdtest.Binaries(t) {
		target := redisdtest.Start(t, redisd.Options{Binary: version.Path})
		out := make([]reading, len(names))
		if err := taken(reader).readValues(context.Background(), 0, names, noLimits, out); err != nil {
			t.Fatal(err)
		}
		for i, name := range names {
			o := out[i]
			if (o.found == missing) != (name == "none") {
				t.Errorf("%s was found as %d: %v", name, o.found, o.err)
			}
			if name == "none" {
				continue
			}
			if want := map[string]int64{"number": 4102444800000, "set": 4102444800001}[name]; o.expireAt != want {
				t.Errorf("%s expires at %d, not at %d", name, o.expireAt, want)
			}
			if o.isString() != (name != "set") {
				t.Errorf("%s: taken for a string is %t", name, o.isString())
			}
			if name == "set" {
				continue
			}
			do(t, target.Addr, "RESTORE", name, "0", o.payload)
			if got, want := do(t, target.Addr, "GET", name).Str, do(t, s.Addr, "GET", name).Str; got != want {
				t.Errorf("%s has %d bytes, not the %d that it should have", name, len(got), len(want))
			}
			if got := do(t, target.Addr, "OBJECT", "ENCODING", name).Str; (got == "int") != (name == "number" || name == "negative") {
				t.Errorf("%s is encoded as %s", name, got)
			}
		}
	}
	if calls := do(t, s.Addr, "INFO", "commandstats").Str; strings.Count(calls, "cmdstat_dump:calls=") != 1 || !strings.Contains(calls, "cmdstat_get:calls=") {
		t.Errorf("not all was read by GET, or the set was not read by DUMP: %s", calls)
	}
}

// Where few keys are strings, or GET is refused, all is read by DUMP, but for values that are read alone.
func TestStringsAreReadByDumpAsWell(t *testing.T) {
	s := redisdtest.Start(t, redisd.Options{})
	do(t, s.Addr, "SET", "string", "v")
	do(t, s.Addr, "SADD", "set", "a")
	do(t, s.Addr, "ACL", "SETUSER", "default", "-get")
	reader := taken(newReader(testInstance(t, instance.Source, s.URL()), "test", time.Second))
	defer reader.close()
	out := make([]reading, 2)
	for range 2 {
		if err := reader.readValues(context.Background(), 0, []string{"string", "set"}, noLimits, out); err != nil {
			t.Fatal(err)
		}
		if out[0].found != present || out[1].found != present || !out[0].isString() || out[1].isString() {
			t.Errorf("found %+v", out)
		}
	}
	do(t, s.Addr, "ACL", "SETUSER", "default", "+get")
	do(t, s.Addr, "CONFIG", "RESETSTAT")

	other := newReader(testInstance(t, instance.Source, s.URL()), "test", time.Second)
	defer other.close()
	small := limits{value: 1 << 20, total: 1 << 20}
	reads := func(name string, times int) {
		t.Helper()
		for range times {
			if err := other.readValues(context.Background(), 0, []string{name}, small, out[:1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	// What is read alone, without limits, is tried first.
	if err := other.readValues(context.Background(), 0, []string{"set"}, noLimits, out[:1]); err != nil || out[0].found != present {
		t.Fatal(err, out[0].found)
	}
	if calls := do(t, s.Addr, "INFO", "commandstats").Str; !strings.Contains(calls, "cmdstat_get:") {
		t.Errorf("a large value was not asked for by GET: %s", calls)
	}
	do(t, s.Addr, "CONFIG", "RESETSTAT")
	reads("string", 500)
	if !other.strings.likely() {
		t.Error("500 strings, and the next is not taken for one")
	}
	reads("set", 20)
	if other.strings.likely() {
		t.Error("20 sets, and the next key is taken for a string")
	}
	calls := do(t, s.Addr, "INFO", "commandstats").Str
	if !strings.Contains(calls, "cmdstat_get:") || !strings.Contains(calls, "cmdstat_dump:") {
		t.Errorf("not both commands were used: %s", calls)
	}
}

// A user that may run GET for some keys only has the others read by DUMP; what DUMP does not read either is the key's trouble.
func TestStringsThatOnlyDumpMayRead(t *testing.T) {
	s := redisdtest.Start(t, redisd.Options{})
	for _, name := range []string{"open", "closed", "hidden"} {
		do(t, s.Addr, "SET", name, "v")
	}
	do(t, s.Addr, "ACL", "SETUSER", "copier", "on", ">secret", "+@all", "-get", "~open", "~closed", "(+get +select ~open)")
	reader := taken(newReader(testInstance(t, instance.Source, strings.Replace(s.URL(), "://", "://copier:secret@", 1)), "test", time.Second))
	defer reader.close()
	out := make([]reading, 3)
	if err := reader.readValues(context.Background(), 0, []string{"closed", "open", "hidden"}, noLimits, out); err != nil {
		t.Fatal(err)
	}
	if out[0].found != present || out[1].found != present || out[2].found != unreadable {
		t.Errorf("found %d, %d and %d: %v", out[0].found, out[1].found, out[2].found, out[0].err)
	}
	if !reader.strings.refused.Load() {
		t.Error("GET is tried again: it is refused and noted by the server each time")
	}
}
