package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tandem/test/wire"
)

// A part of a server moves, by names and to another number, over a kill in the middle: all of it arrives, and nothing else, there
// or under the source's number.
func TestMigrateOnceMovesAPartOverAKill(t *testing.T) {
	o := newOnce(t, 0)
	conn, err := wire.Dial(o.source.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const moving, staying, elsewhere = 3000, 500, 200
	for _, fill := range []struct {
		db   int
		name string
		n    int
	}{{0, "user:", moving}, {0, "user:tmp:", staying}, {0, "other:", staying}, {3, "user:", elsewhere}, {5, "user:", staying}} {
		if _, err := conn.Do("SELECT", fmt.Sprint(fill.db)); err != nil {
			t.Fatal(err)
		}
		for i := range fill.n {
			if _, err := conn.Do("SET", fmt.Sprint(fill.name, i), fmt.Sprint(fill.db, " ", i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	file := filepath.Join(t.TempDir(), "tandem.yaml")
	configured := "databases: [0, 3]\ndatabase_map: [{from: 3, to: 1}]\nkeys: {include: [\"user:*\"], exclude: [\"user:tmp:*\"]}\n" +
		"precheck: {accept: [staying_keys]}\nbackfill: {max_keys_per_s: 2000}\n"
	if err := os.WriteFile(file, []byte(configured), 0o600); err != nil {
		t.Fatal(err)
	}
	o.td.Args = append(o.td.Args, "-c", file)
	o.td.Launch()
	o.td.Until("keys on the target", time.Minute, func() bool {
		n, err := wire.Once(o.target.Addr, "DBSIZE")
		return err == nil && n.Int > 100
	})
	o.td.Signal(syscall.SIGKILL)
	if n := do(t, o.target.Addr, "DBSIZE"); n.Int >= moving {
		t.Fatalf("it was killed too late: %d keys", n.Int)
	}
	do(t, o.source.Addr, "SET", "user:0", "changed while it was away")
	do(t, o.source.Addr, "DEL", "user:1")
	code, stdout, stderr := o.run()
	if code != 0 || !strings.Contains(stdout, "0 different") || !strings.Contains(stderr, "keys of the source do not move") {
		t.Errorf("%d\n%s\n%s", code, stdout, stderr)
	}
	there, err := wire.Dial(o.target.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	for db, want := range map[int]int64{0: moving - 1, 1: elsewhere, 3: 0, 5: 0} {
		if _, err := there.Do("SELECT", fmt.Sprint(db)); err != nil {
			t.Fatal(err)
		}
		if n, err := there.Do("DBSIZE"); err != nil || n.Int != want {
			t.Errorf("database %d of the target has %d keys, want %d (%v)", db, n.Int, want, err)
		}
		if db > 1 {
			continue
		}
		from := map[int]int{0: 0, 1: 3}[db]
		for _, i := range []int{0, 7, 199} {
			want := fmt.Sprint(from, " ", i)
			if db == 0 && i == 0 {
				want = "changed while it was away"
			}
			if v, err := there.Do("GET", fmt.Sprint("user:", i)); err != nil || string(v.Str) != want {
				t.Errorf("user:%d of database %d is %q, want %q (%v)", i, db, v.Str, want, err)
			}
		}
	}
}
