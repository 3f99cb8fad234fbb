package backfill

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tandem/internal/instance"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/test/keyspace"
	"tandem/test/program"
)

// pairs are all pairs of versions of this machine, in both directions; unless all are wanted, those in which every
// version is once on each side, next to what it has most trouble with.
func pairs(t *testing.T, all bool) (out [][2]redisdtest.Binary) {
	t.Helper()
	binaries := redisdtest.Binaries(t)
	for i, a := range binaries {
		for j, b := range binaries {
			if all || (i+3)%len(binaries) == j {
				out = append(out, [2]redisdtest.Binary{a, b})
			}
		}
	}
	return out
}

// Every type in every form is copied between all versions: by DUMP, by GET where that goes, and by type.
func TestEveryFormIsCopiedBetweenVersions(t *testing.T) {
	for _, name := range []string{"dump", "get", "typed"} {
		onlyTyped := name == "typed"
		for _, p := range pairs(t, program.Full) {
			t.Run(name+" "+p[0].Name+" to "+p[1].Name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, redisd.Options{Binary: p[0].Path}, redisd.Options{Binary: p[1].Path}, CopierOptions{},
					func(c *Copier) { c.onlyTyped, c.reader.strings.always = onlyTyped, name == "get" })
				if err := keyspace.FillEncodings(w.first.Addr, ""); err != nil {
					t.Fatal(err)
				}
				w.sweep()
				w.settle()
				w.equal()
				s := w.copier.Stats()
				if s.Failed > 0 || onlyTyped != (s.Typed >= 60) || s.Copied < 60 || s.Races > 0 {
					t.Errorf("%+v", s)
				}
			})
		}
	}
}

// fillLarge makes a value of each type that DUMP would carry in some MiB, of so many elements, and a string of so many MiB.
func fillLarge(t *testing.T, addr string, elements, mib int) {
	t.Helper()
	noise(t, addr, "large:string", mib)
	c := dial(t, addr)
	defer c.Close()
	var commands [][]string
	flush := func() {
		replies, err := c.DoMany(commands)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range replies {
			if r.IsErr() {
				t.Fatal(r)
			}
		}
		commands = commands[:0]
	}
	const atOnce = 500
	r := rand.New(rand.NewPCG(3, 4))
	for from := 0; from < elements; from += atOnce {
		list, set, zset, hash := []string{"RPUSH", "large:list"}, []string{"SADD", "large:set"}, []string{"ZADD", "large:zset"}, []string{"HSET", "large:hash"}
		for i := from; i < from+atOnce; i++ {
			e := fmt.Sprintf("%d: %x %x", i, r.Uint64(), r.Uint64()) // that no DUMP makes much smaller
			list, set = append(list, e), append(set, e)
			zset, hash = append(zset, strconv.Itoa(i%1000), e), append(hash, e, e)
			commands = append(commands, []string{"XADD", "large:stream", fmt.Sprintf("%d-1", i+1), "field", e})
		}
		commands = append(commands, list, set, zset, hash)
		flush()
	}
	commands = append(commands, []string{"XGROUP", "CREATE", "large:stream", "g", "0"},
		[]string{"XREADGROUP", "GROUP", "g", "c", "COUNT", strconv.Itoa(elements / 2), "STREAMS", "large:stream", ">"},
		[]string{"XTRIM", "large:stream", "MAXLEN", strconv.Itoa(elements - elements/10)}, // pending, and not there any more
		[]string{"XDEL", "large:stream", fmt.Sprintf("%d-1", elements/3)},
		[]string{"PEXPIRE", "large:list", "3600000"})
	flush()
}

// Large values of each type are copied in pieces, with bounded memory, while clients write to others; nothing is left
// behind on the secondary.
func TestLargeValuesAreCopiedInPieces(t *testing.T) {
	elements, mib := 30_000, 12
	if program.Full {
		elements, mib = 100_000, 200
	}
	w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{BigKeyBytes: 128 << 10, DumpBytes: 128 << 10}, nil)
	fillLarge(t, w.first.Addr, elements, mib)
	if program.Full {
		c := dial(t, w.first.Addr)
		defer c.Close()
		for from := range 1000 {
			hash := []string{"HSET", "large:million"}
			for i := range 1000 {
				hash = append(hash, fmt.Sprintf("field:%d", from*1000+i), strconv.Itoa(i))
			}
			if _, err := c.Do(hash...); err != nil {
				t.Fatal(err)
			}
		}
	}
	tr := startTraffic(w, 4, 500)
	end := heapPeak()
	began := time.Now()
	w.sweep()
	tr.halt()
	w.settle()
	took, peak := time.Since(began), end()
	w.equal()
	s := w.copier.Stats()
	t.Logf("%d elements of each type and a string of %d MiB in %v; peak of the heap: %d MiB; %+v", elements, mib,
		took.Round(time.Millisecond), peak>>20, s)
	if s.Typed < 5 || s.Failed > 0 { // one may be read before anybody knows that there are large values

		t.Errorf("%+v", s)
	}
	if peak > 100<<20 {
		t.Errorf("the heap was %d MiB", peak>>20)
	}
	w.noTemporaryKeys()
}

// noTemporaryKeys fails the test if there are some on the secondary.
func (w *world) noTemporaryKeys() {
	w.t.Helper()
	for _, key := range do(w.t, w.second.Addr, "KEYS", "*").Elems {
		if instance.IsTemporaryKey(key.Str) {
			w.t.Errorf("%s was left behind", key.Str)
		}
	}
}

// What a process has left behind that died in the middle of a copy by type is removed by a sweep; it is no key of anybody's
// for verify, and what the copier itself is about to rename is left alone.
func TestTemporaryKeysOfOthersAreRemoved(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{}, nil)
	fill(t, w.first.Addr, 100)
	w.sweep()
	theirs, ours := instance.NewTemporaryKeys().Next([]byte("k")), w.copier.temporary.Next([]byte("k"))
	do(t, w.second.Addr, "RPUSH", theirs, "a")
	do(t, w.second.Addr, "RPUSH", ours, "a")
	if found, _ := w.verify(VerifyOptions{}); len(found) > 0 {
		t.Errorf("temporary keys are taken for others: %v", found)
	}
	w.l.Lock()
	w.l.OweSweep("again", 0)
	w.l.Unlock()
	w.sweep()
	if n := do(t, w.second.Addr, "EXISTS", theirs).Int; n != 0 {
		t.Error("what another has left behind is still there")
	}
	if n := do(t, w.second.Addr, "EXISTS", ours).Int; n != 1 {
		t.Error("what is still needed was removed")
	}
	do(t, w.second.Addr, "DEL", ours)
	w.equal()
}

// A key that is written all the time, and takes longer to copy than its writers may be held back for, ends as one that is
// named; it is copied once it is left alone. Its temporary keys are removed.
func TestHotKeyThatTakesTooLongIsNamed(t *testing.T) {
	var hot atomic.Bool
	hot.Store(true)
	w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{OrderedTimeout: time.Millisecond}, func(c *Copier) { c.onlyTyped = true })
	noise(t, w.first.Addr, "hot", 20)
	tr := startTraffic(w, 0, 1)
	w.l.Lock()
	w.copier.hooks = func(p point, _ int, _ []string) {
		if p == afterRead && hot.Load() {
			write(w.l, tr.lanes[0], command{"APPEND", "hot", "x"})()
		}
	}
	w.l.Unlock()
	wait := w.sweeping(w.newSweep(SweepOptions{}))
	if why := w.failing(2); !strings.Contains(why, "all the time") {
		t.Errorf("it failed because: %s", why)
	}
	hot.Store(false)
	wait()
	tr.halt()
	w.settle()
	w.equal()
	w.noTemporaryKeys()
}

// A secondary that has no expiry of fields loses a field when it has expired on the primary, however the key was copied,
// and a field that expires is no difference for verify.
func TestFieldsThatExpireOnThePrimaryAlone(t *testing.T) {
	servers, ok := redisdtest.Find(t, "redis-8.0", "redis-7.0")
	if !ok {
		return
	}
	for _, typed := range []bool{false, true} {
		w := newWorld(t, redisd.Options{Binary: servers[0].Path}, redisd.Options{Binary: servers[1].Path}, CopierOptions{},
			func(c *Copier) { c.onlyTyped = typed })
		c := dial(t, w.first.Addr)
		defer c.Close()
		for i := range 3 {
			key := "h" + strconv.Itoa(i)
			do(t, w.first.Addr, "HSET", key, "soon", "1", "late", "2", "never", "3")
			do(t, w.first.Addr, "HPEXPIRE", key, "3600000", "FIELDS", "1", "late")
			do(t, w.first.Addr, "HPEXPIRE", key, "1500", "FIELDS", "1", "soon")
		}
		do(t, w.first.Addr, "HSET", "all", "a", "1")
		do(t, w.first.Addr, "HPEXPIRE", "all", "1500", "FIELDS", "1", "a")
		w.sweep()
		if keys, _, _ := w.copier.FieldExpiryLost(); keys != 4 {
			t.Errorf("%d keys are known whose fields do not expire", keys)
		}
		eventually(t, "the fields to expire on both", func() bool {
			return do(t, w.first.Addr, "EXISTS", "all").Int == 0 && do(t, w.second.Addr, "EXISTS", "all").Int == 0 && do(t, w.second.Addr, "HLEN", "h0").Int == 2 &&
				do(t, w.second.Addr, "HLEN", "h2").Int == 2
		})
		w.settle()
		w.equal()
		if keys, example, more := w.copier.FieldExpiryLost(); keys != 3 || !strings.HasPrefix(string(example.Name), "h") || more {
			t.Errorf("%d keys are known whose fields do not expire, %q among them", keys, example.Name)
		}
		if found, _ := w.verify(VerifyOptions{}); len(found) > 0 {
			t.Errorf("differences: %v", found)
		}
	}
}

// Of more such keys than are remembered some fields stay on the secondary; when there is room again all keys are compared.
func TestMoreKeysThanAreRememberedWhoseFieldsExpire(t *testing.T) {
	servers, ok := redisdtest.Find(t, "redis-8.0", "redis-7.0")
	if !ok {
		return
	}
	w := newWorld(t, redisd.Options{Binary: servers[0].Path}, redisd.Options{Binary: servers[1].Path}, CopierOptions{Fading: 4}, nil)
	for i := range 6 {
		key := "h" + strconv.Itoa(i)
		do(t, w.first.Addr, "HSET", key, "soon", "1", "never", "3")
		do(t, w.first.Addr, "HPEXPIRE", key, "3000", "FIELDS", "1", "soon")
	}
	w.sweep()
	if keys, _, more := w.copier.FieldExpiryLost(); keys != 4 || !more {
		t.Errorf("%d are known, more: %v", keys, more)
	}
	eventually(t, "a sweep that is owed", func() bool {
		w.l.Lock()
		defer w.l.Unlock()
		_, why, owed := w.l.SweepOwed()
		return owed && strings.Contains(why, "than are remembered")
	})
	w.sweep()
	w.settle()
	for i := range 6 {
		if n := do(t, w.second.Addr, "HLEN", "h"+strconv.Itoa(i)).Int; n != 1 {
			t.Errorf("h%d has %d fields", i, n)
		}
	}
	if keys, _, more := w.copier.FieldExpiryLost(); keys != 0 || more {
		t.Errorf("then %d are known, more: %v", keys, more)
	}
}
