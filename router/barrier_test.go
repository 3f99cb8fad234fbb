package router

import (
	"fmt"
	"testing"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/resp"
)

// TestBarriersEmptyAndSwapDatabases runs FLUSHALL, FLUSHDB and SWAPDB from every database, with more databases
// on the secondary than are migrated.
func TestBarriersEmptyAndSwapDatabases(t *testing.T) {
	const migrated, all = 3, 5
	a := dial(t, redisdtest.Start(t, redisd.Options{}).Addr)
	b := dial(t, redisdtest.Start(t, redisd.Options{}).Addr)
	for _, words := range [][]string{
		{"FLUSHALL"}, {"flushall", "async"}, {"FLUSHALL", "SYNC"}, {"FLUSHDB"}, {"FLUSHDB", "ASYNC"}, {"FLUSHDB", "SYNC"},
		{"SWAPDB", "0", "2"}, {"SWAPDB", "1", "1"}, {"SWAPDB", "0", "99"}, {"FLUSHALL", "NONSENSE"},
	} {
		for db := range migrated {
			t.Run(fmt.Sprintf("%q in db %d", words, db), func(t *testing.T) {
				for _, k := range []*conn{a, b} {
					for i := range all {
						k.must("SELECT", fmt.Sprint(i))
						if k == a && i >= migrated {
							continue
						}
						k.must("SET", fmt.Sprintf("key of %d", i), "x")
					}
					k.must("SELECT", fmt.Sprint(db))
				}
				args := request(words...)
				cmd := Lookup(args)
				env := &Env{DB: db, DBs: migrated, Primary: a.server, Secondary: b.server}
				var e Effect
				reply := a.raw(words...)
				cmd.Effect(&e, env, args, reply, nil)
				frames, n := e.Frames, e.N
				if e.Kind == Verbatim {
					frames, n = resp.AppendArgs(nil, args), 1
				}
				for i, got := range b.exchange(frames, n) {
					if !e.Expects[i].Match(got) {
						t.Errorf("command %d of %q was answered %q", i, frames, got)
					}
				}
				b.must("SET", "where", "here") // shows whether the session's database is still selected
				a.must("SET", "where", "here")
				for i := range migrated {
					a.must("SELECT", fmt.Sprint(i))
					b.must("SELECT", fmt.Sprint(i))
					if x, y := a.must("KEYS", "*"), b.must("KEYS", "*"); join(x.Elems, 1, true) != join(y.Elems, 1, true) {
						t.Errorf("db %d: primary %s, secondary %s", i, join(x.Elems, 1, true), join(y.Elems, 1, true))
					}
				}
				for i := migrated; i < all; i++ {
					b.must("SELECT", fmt.Sprint(i))
					if b.must("DBSIZE").Int != 1 {
						t.Errorf("db %d of the secondary is not migrated, but was emptied", i)
					}
				}
			})
			a.must("FLUSHALL")
			b.must("FLUSHALL")
		}
	}
}

// TestBarriersTellWhichDatabases covers what the ledger asks before it lets them pass.
func TestBarriersTellWhichDatabases(t *testing.T) {
	env := &Env{DB: 4, DBs: 16}
	first, last, ok := byName("FLUSHALL").FlushedDBs(env)
	if !ok || first != 0 || last != 15 {
		t.Errorf("FLUSHALL empties %d to %d, %v", first, last, ok)
	}
	first, last, ok = byName("FLUSHDB").FlushedDBs(env)
	if !ok || first != 4 || last != 4 {
		t.Errorf("FLUSHDB empties %d to %d, %v", first, last, ok)
	}
	if _, _, ok = byName("SWAPDB").FlushedDBs(env); ok {
		t.Error("SWAPDB empties databases")
	}
	a, b, ok := byName("SWAPDB").SwapDBs(request("swapdb", "3", "11"))
	if !ok || a != 3 || b != 11 {
		t.Errorf("SWAPDB 3 11 swaps %d and %d, %v", a, b, ok)
	}
	for _, words := range [][]string{{"SWAPDB", "x", "1"}, {"SWAPDB", "1"}, {"FLUSHDB", "1", "2"}} {
		if _, _, ok := byName(words[0]).SwapDBs(request(words...)); ok {
			t.Errorf("%q swaps databases", words)
		}
	}
}
