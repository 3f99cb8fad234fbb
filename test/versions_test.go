package test

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tandem/internal/crashpoint"
	"tandem/internal/instance"
	"tandem/internal/redisd/redisdtest"
	"tandem/test/keyspace"
	"tandem/test/load"
	"tandem/test/program"
	"tandem/test/wire"
)

// versionPairs are the pairs of versions that a migration is tried with: in full all of them, otherwise those between
// which DUMP carries least.
func versionPairs(t *testing.T) (out [][2]redisdtest.Binary) {
	t.Helper()
	if program.Full {
		for _, a := range redisdtest.Binaries(t) {
			for _, b := range redisdtest.Binaries(t) {
				out = append(out, [2]redisdtest.Binary{a, b})
			}
		}
		return out
	}
	for _, pair := range [][2]string{{"redis-8.0", "redis-6.0"}, {"redis-7.0", "valkey-9.1"}} {
		if found, ok := redisdtest.Find(t, pair[:]...); ok {
			out = append(out, [2]redisdtest.Binary{found[0], found[1]})
		}
	}
	return out
}

// From any version to any other and back, under load: keys of every type in every form are equal on both sides after the
// backfill, after the cutover, with the other server as the one that is copied from, and after the rollback.
func TestAnyVersionToAnyOtherAndBack(t *testing.T) {
	t.Parallel()
	for _, pair := range versionPairs(t) {
		t.Run(pair[0].Name+" to "+pair[1].Name, func(t *testing.T) {
			w := newWorld(t, worldOptions{source: pair[0].Path, target: pair[1].Path, keys: sized(20_000), largeBytes: 1 << 20, clients: 6})
			fill := func(addr, prefix string) {
				t.Helper()
				if err := keyspace.FillEncodings(addr, prefix); err != nil {
					t.Fatal(err)
				}
			}
			fill(w.source.Addr, "before:")
			w.startLoad(nil)
			w.td.Step("start")
			w.td.WaitSynced()
			w.commands(2_000)
			w.td.MustVerify()
			w.td.Step("cutover")
			// What is copied now is read from the other version: keys that are written past the proxy, and repaired.
			fill(w.td.Addr, "after:")
			fill(w.target.Addr, "past:")
			w.commands(2_000)
			w.td.Verify("--repair")
			w.td.WaitSettled()
			w.td.MustVerify()
			w.td.Step("rollback")
			w.commands(500)
			w.stopLoad()
			w.mustBeEqual()
			w.mustBeTruthful()
			w.td.MustVerify()
		})
	}
}

// temporaryKeys are those on a server.
func temporaryKeys(t *testing.T, addr string) (names []string) {
	t.Helper()
	for _, key := range do(t, addr, "KEYS", "tandem:*").Elems {
		if instance.IsTemporaryKey(key.Str) {
			names = append(names, key.Str)
		}
	}
	return names
}

// Killed when a value is whole in a temporary key, and while one is being written: the next process copies it anew, and
// leaves nothing behind.
func TestKilledWhileCopyingByType(t *testing.T) {
	w := newWorld(t, worldOptions{keys: sized(2_000), clients: 4})
	// What the target takes in one piece is less than the DUMP of the large keys.
	do(t, w.target.Addr, "CONFIG", "SET", "proto-max-bulk-len", strconv.Itoa(1<<20))
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 3 {
		for range 20 {
			hash := []string{"HSET", "large:" + strconv.Itoa(i)}
			for range 100 {
				value := make([]byte, 1000)
				for j := range value {
					value[j] = byte(r.Uint32()) // nothing that DUMP could compress
				}
				hash = append(hash, strconv.Itoa(r.IntN(1<<30)), string(value))
			}
			do(t, w.source.Addr, hash...)
		}
	}
	w.startLoad(func(c *load.Config) { c.Reconnect = true })
	w.td.Signal(syscall.SIGKILL)
	crash := crash{crashpoint.CopyBuilt, 1}
	w.td.LaunchCrashing(string(crash.point), crash.n)
	w.td.Until("the process answers", 20*time.Second, func() bool {
		_, err := w.td.TryStatus()
		return err == nil
	})
	if code, answer, err := w.td.TryAsk("start"); err == nil && code/100 != 2 { // it may die before it answers
		t.Fatalf("start: %d %s", code, answer)
	}
	w.crashed(crash)
	left := temporaryKeys(t, w.target.Addr)
	if len(left) == 0 {
		t.Error("no copy by type was under way")
	}
	w.td.Start()
	w.td.Until("a value is being copied by type", 60*time.Second, func() bool {
		return len(temporaryKeys(t, w.target.Addr)) > len(left) || do(t, w.target.Addr, "EXISTS", "large:0", "large:1", "large:2").Int > 0
	})
	w.td.Signal(syscall.SIGKILL)
	w.td.Start()
	w.td.WaitSynced()
	w.commands(300)
	w.stopLoad()
	w.mustBeEqual()
	w.td.MustVerify()
	if left := temporaryKeys(t, w.target.Addr); len(left) > 0 {
		t.Errorf("left behind: %s", strings.Join(left, ", "))
	}
}

// What expires by itself on one server alone is seen to, also by a process that has not copied it, and after a change of
// roles, when it is the other server that would lose fields.
func TestFieldsThatExpireOnOneServerAlone(t *testing.T) {
	t.Parallel()
	servers, ok := redisdtest.Find(t, "redis-8.0", "redis-7.0")
	if !ok {
		return
	}
	w := newWorld(t, worldOptions{source: servers[0].Path, target: servers[1].Path})
	do(t, w.source.Addr, "HSET", "h", "soon", "1", "late", "2", "never", "3")
	do(t, w.source.Addr, "HPEXPIRE", "h", "3600000", "FIELDS", "1", "late")
	w.td.Step("start")
	w.td.WaitSynced()
	do(t, w.td.Addr, "HPEXPIRE", "h", "4000", "FIELDS", "1", "soon")
	w.td.WaitSettled()
	w.td.Signal(syscall.SIGKILL)
	w.td.Start()
	w.td.Until("the field is gone on the target", 60*time.Second, func() bool {
		return do(t, w.target.Addr, "HLEN", "h").Int == 2
	})
	if do(t, w.source.Addr, "HEXISTS", "h", "soon").Int != 0 {
		t.Error("it was removed before it had expired on the source")
	}
	w.td.WaitSynced()
	w.td.Step("cutover")
	w.td.Until("fields do not expire on the source either", 60*time.Second, func() bool {
		times := do(t, w.source.Addr, "HPEXPIRETIME", "h", "FIELDS", "1", "late").Elems
		return len(times) == 1 && times[0].Int == -1
	})
	w.td.WaitSettled()
	w.td.Step("rollback")
	w.mustBeEqual()
	w.td.MustVerify()
}

// A hash that gets to another name with fields that expire on the source alone loses them on the target too.
func TestFieldsThatExpireOnOneServerAloneUnderAnotherName(t *testing.T) {
	t.Parallel()
	servers, ok := redisdtest.Find(t, "redis-8.0", "redis-7.0")
	if !ok {
		return
	}
	w := newWorld(t, worldOptions{source: servers[0].Path, target: servers[1].Path})
	w.td.Step("start")
	w.td.WaitSynced()
	for _, key := range []string{"renamed", "copied", "by script"} {
		do(t, w.td.Addr, "HSET", key, "soon", "1", "never", "3")
		do(t, w.td.Addr, "HPEXPIRE", key, "4000", "FIELDS", "1", "soon")
	}
	w.td.WaitSettled()
	do(t, w.td.Addr, "RENAME", "renamed", "to:renamed")
	do(t, w.td.Addr, "COPY", "copied", "to:copied")
	do(t, w.td.Addr, "EVAL", "return redis.call('RENAME', KEYS[1], KEYS[2])", "2", "by script", "to:by script")
	w.td.WaitSettled()
	gone := func(db int, keys ...string) {
		t.Helper()
		target, err := wire.Dial(w.target.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer target.Close()
		if _, err := target.Do("SELECT", strconv.Itoa(db)); err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			w.td.Until("the field of "+key+" is gone on the target", 15*time.Second, func() bool {
				fields, err := target.Do("HKEYS", key)
				return err == nil && len(fields.Elems) == 1
			})
		}
	}
	gone(0, "to:renamed", "to:copied", "copied", "to:by script")
	// Last, for it has all keys compared.
	do(t, w.td.Addr, "HSET", "swapped", "soon", "1", "never", "3")
	do(t, w.td.Addr, "HPEXPIRE", "swapped", "3000", "FIELDS", "1", "soon")
	w.td.WaitSettled()
	do(t, w.td.Addr, "SWAPDB", "0", "3")
	gone(3, "swapped")
	w.mustBeEqual()
}
