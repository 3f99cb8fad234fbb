package demo

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

// twins starts two servers and fills the first; the second gets the same data by DUMP and RESTORE.
func twins(t *testing.T) (source, target *redisd.Server) {
	t.Helper()
	source, target = redisdtest.Start(t, redisd.Options{}), redisdtest.Start(t, redisd.Options{})
	if err := fillSource(t.Context(), source.Addr, MinKeys, func(int) {}); err != nil {
		t.Fatal(err)
	}
	for db := range spareDB + 1 {
		from, to := connect(t, source.Addr, db), connect(t, target.Addr, db)
		keys, err := do(t, from, "KEYS", "*").AsStrSlice()
		if err != nil || len(keys) == 0 {
			t.Fatalf("db %d: %d keys, %v", db, len(keys), err)
		}
		for _, key := range keys {
			expiry, _ := do(t, from, "PEXPIRETIME", key).AsInt64()
			dump, _ := do(t, from, "DUMP", key).ToString()
			do(t, to, "RESTORE", key, strconv.FormatInt(max(expiry, 0), 10), dump, "ABSTTL")
		}
	}
	return source, target
}

func TestDataHasEveryTypeAndIsEqualToItsCopy(t *testing.T) {
	source, target := twins(t)
	found, err := compare(t.Context(), source.Addr, target.Addr)
	if err != nil {
		t.Fatal(err)
	}
	if found.Different != 0 {
		t.Errorf("%d differences: %v", found.Different, found.Named)
	}
	// 94 % of the shares of 1000 are whole keys.
	if found.Keys < MinKeys*9/10 || found.Bytes < 8<<20 {
		t.Errorf("%d keys, %d bytes", found.Keys, found.Bytes)
	}
	want := []string{"hash", "list", "set", "stream", "string", "zset"}
	if got := slices.Sorted(slices.Values(found.types())); !slices.Equal(got, want) {
		t.Errorf("types %v, want %v", got, want)
	}
	if first := found.types()[0]; first != "string" {
		t.Errorf("the most frequent type comes first, and that is not %s", first)
	}
}

func TestEqualValuesInAnotherFormAreEqual(t *testing.T) {
	source, target := twins(t)
	from, to := connect(t, source.Addr, 0), connect(t, target.Addr, 0)
	// The same members in another order and another encoding; a stream whose consumer was seen again.
	do(t, from, "SADD", "words", "a", "b", "c")
	do(t, to, "SADD", "words", "c", "b", "a")
	do(t, from, "HSET", "form", "a", "1", "b", "2")
	do(t, to, "CONFIG", "SET", "hash-max-listpack-entries", "1")
	do(t, to, "HSET", "form", "b", "2", "a", "1")
	do(t, to, "XGROUP", "CREATECONSUMER", "orders:0", "shipping", "packer")
	found, err := compare(t.Context(), source.Addr, target.Addr)
	if err != nil {
		t.Fatal(err)
	}
	if found.Different != 0 {
		t.Errorf("%d differences: %v", found.Different, found.Named)
	}
}

func TestCompareNamesWhatDiffers(t *testing.T) {
	source, target := twins(t)
	later := strconv.FormatInt(time.Now().Add(time.Hour).UnixMilli(), 10)
	planted := []struct {
		name   string
		onto   *redisd.Server
		db     int
		key    string
		tamper []string
		says   string
	}{
		{"a value", target, 0, "session:0", []string{"APPEND", "session:0", "x"}, "another string"},
		{"a bit of a large value", target, 0, "large:image", []string{"SETBIT", "large:image", "7777", "1"}, "another string"},
		{"a field", target, 0, "user:1", []string{"HSET", "user:1", "name", "x"}, "another hash"},
		{"an element's place", target, 0, "large:queue", []string{"LMOVE", "large:queue", "large:queue", "LEFT", "RIGHT"}, "another list"},
		{"a member", target, 0, "tags:1", []string{"SADD", "tags:1", "one more"}, "another set"},
		{"a score", target, 0, "board:1", []string{"ZINCRBY", "board:1", "1", "player 0"}, "another zset"},
		{"an entry", target, 0, "orders:1", []string{"XADD", "orders:1", "*", "a", "b"}, "another stream"},
		{"a pending entry", target, 0, "orders:2", []string{"XREADGROUP", "GROUP", "shipping", "packer", "COUNT", "1", "STREAMS", "orders:2", ">"}, "another stream"},
		{"a consumer", target, 0, "orders:4", []string{"XGROUP", "CREATECONSUMER", "orders:4", "shipping", "second"}, "another stream"},
		{"a type", target, 0, "basket:3", []string{"SETEX", "basket:3", "1000", "x"}, "a list and a string"},
		{"an expiry where there was none", target, 0, "user:2", []string{"PEXPIREAT", "user:2", later}, "expires on one server only"},
		{"another expiry", target, 0, "user:10", []string{"PEXPIREAT", "user:10", later}, "expiry times"},
		{"a key gone from the target", target, 1, "user:49", []string{"DEL", "user:49"}, "on one server only"},
		{"a key gone from the source", source, 0, "user:5", []string{"DEL", "user:5"}, "on one server only"},
		{"a database of its own", target, 3, "alone", []string{"SET", "alone", "x"}, "on one server only"},
	}
	// Few enough at a time to be named all.
	for batch := range slices.Chunk(planted, maxNamed) {
		for _, c := range batch {
			do(t, connect(t, c.onto.Addr, c.db), c.tamper...)
		}
		found, err := compare(t.Context(), source.Addr, target.Addr)
		if err != nil {
			t.Fatal(err)
		}
		if found.Different != int64(len(batch)) {
			t.Errorf("%d differences, %d were planted: %q", found.Different, len(batch), found.Named)
		}
		for _, c := range batch {
			is := fmt.Sprintf("db %d, %q: %s", c.db, c.key, c.says)
			if !slices.ContainsFunc(found.Named, func(named string) bool { return strings.HasPrefix(named, is) }) {
				t.Errorf("%s: none of %q begins with %q", c.name, found.Named, is)
			}
			do(t, connect(t, source.Addr, c.db), "DEL", c.key)
			do(t, connect(t, target.Addr, c.db), "DEL", c.key)
		}
	}
}
