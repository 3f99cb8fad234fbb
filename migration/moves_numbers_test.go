package migration

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/intent"
	"tandem/internal/ledger"
	"tandem/internal/redisd"
	"tandem/internal/status"
)

// exchanged moves everything, with databases 0 and 1 exchanged on the target.
func exchanged(t *testing.T, change func(*config.Config)) *world {
	return newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) {
		c.DatabaseMap = []config.DatabaseNumber{{From: 0, To: 1}, {From: 1, To: 0}}
		if change != nil {
			change(c)
		}
	})
}

// exchangedSame fails the test unless both servers hold the same.
func (w *world) exchangedSame(what string) {
	w.t.Helper()
	for db, number := range map[int]int{0: 1, 1: 0, 2: 2} {
		w.equal(fmt.Sprintf("%s, database %d", what, db), w.contents(w.target.Addr, number, true), w.contents(w.source.Addr, db, true))
	}
}

// cutOver makes the target the primary.
func (w *world) cutOver() {
	w.t.Helper()
	if _, err := w.Cutover(w.t.Context(), admin.StepOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

// commandOf splits a command into its words; what is in braces, a script, is one.
func commandOf(line string) (args []string) {
	for i, piece := range strings.FieldsFunc(line, func(r rune) bool { return r == '{' || r == '}' }) {
		if i%2 == 1 {
			args = append(args, piece)
		} else {
			args = append(args, strings.Fields(piece)...)
		}
	}
	return args
}

// Databases that have each other's numbers on the target: what names databases, or empties or exchanges them, does so in the
// right ones, on either side. Scripts are repeated as far as can be; one that leads to another database cannot.
func TestExchangedDatabases(t *testing.T) {
	w := exchanged(t, func(c *config.Config) { c.Scripts = "replay" })
	for db := range 2 {
		w.do(w.conn(w.source.Addr, db), "MSET", "k0", fmt.Sprint(db), "k1", fmt.Sprint(db), "k2", fmt.Sprint(db))
	}
	w.run()
	w.synced()
	for _, phase := range []struct {
		name  string
		lines []string
	}{
		{"synced", []string{
			"MOVE k0 1", "COPY k1 k9 DB 1", "SET a 1", "SWAPDB 0 1", "INCR a",
			"EVAL {redis.call('SELECT',1) redis.call('SET',KEYS[1],'x')} 1 b",
			"EVAL {redis.call('SET',KEYS[1],'x') redis.call('COPY',KEYS[1],KEYS[2],'DB',1)} 2 c d",
			"EVAL {redis.call('SET','e','x')} 0", "FLUSHDB", "SET f 1",
		}},
		{"reversed", []string{
			"SET a 1", "MOVE a 1", "SET a 2", "COPY a k9 DB 1 REPLACE", "SWAPDB 0 1", "FLUSHDB", "SET b 1", "FLUSHALL", "SET c 1",
		}},
	} {
		if phase.name == "reversed" {
			w.cutOver()
		}
		for _, line := range phase.lines {
			for _, db := range []int{1, 0} {
				_, _ = w.conn("", db).Do(t.Context(), commandOf(line)...) // some have no other database to go to
				w.settledNow()
				w.exchangedSame(fmt.Sprintf("%s: %s in %d", phase.name, line, db))
			}
			if t.Failed() {
				t.FailNow()
			}
		}
		w.compared(t)
	}
	if m := w.Status().Effects.Mismatched; m != 0 {
		t.Errorf("%d effects were not answered as expected", m)
	}
}

// Who waits for entries of a stream waits in the database that is his, by whatever number.
func TestStreamsAreWaitedForInTheirDatabase(t *testing.T) {
	w := exchanged(t, nil)
	w.do(w.conn(w.source.Addr, 0), "XGROUP", "CREATE", "x", "g", "$", "MKSTREAM")
	w.run()
	w.synced()
	w.cutOver()
	reader, target := w.conn("", 0), w.conn(w.target.Addr, 0)
	got := make(chan error, 1)
	go func() {
		_, err := reader.Do(t.Context(), strings.Fields("XREADGROUP GROUP g c BLOCK 20000 STREAMS x >")...)
		got <- err
	}()
	where := ""
	w.until("watched", func(status.Status) bool {
		for line := range strings.Lines(w.do(target, "CLIENT", "LIST")) {
			if strings.Contains(line, "signal") && strings.Contains(line, "cmd=xread") {
				_, where, _ = strings.Cut(line, " db=")
				where, _, _ = strings.Cut(where, " ")
				return true
			}
		}
		return false
	})
	if where != "1" {
		t.Errorf("readers of database 0 wait in %s of the target", where)
	}
	w.do(w.conn("", 0), "XADD", "x", "*", "f", "v")
	if err := <-got; err != nil {
		t.Error(err)
	}
}

// A script that reads a key which does not move cannot be repeated where that key is not.
func TestScriptsThatReadWhatStays(t *testing.T) {
	for _, scripts := range []string{"auto", "replay"} {
		w := movesWorld(t, func(c *config.Config) { c.Scripts = scripts })
		w.run()
		w.synced()
		c := w.conn("", 0)
		w.do(c, "SET", "s:x", "1")
		w.do(c, "SET", "m:x", "0")
		w.do(c, "EVAL", "redis.call('SET',KEYS[1],redis.call('EXISTS','s:x')) return 1", "1", "m:x")
		w.settledNow()
		w.movedSame(scripts)
	}
}

// A script that names another database is refused where that has another number, and nothing of it is done.
func TestScriptsThatNameDatabases(t *testing.T) {
	w := movesWorld(t, nil)
	w.run()
	w.synced()
	w.cutOver()
	c := w.conn("", 0)
	w.do(c, "SET", "m:x", "1")
	for _, line := range []string{
		"EVAL {return redis.call('COPY',KEYS[1],KEYS[2],'DB',1)} 2 m:x m:x",
		"EVAL {return redis.call('COPY',KEYS[1],KEYS[2],ARGV[1],1)} 2 m:x m:x db",
		"EVAL_RO {redis.call('SELECT',1) return redis.call('GET',KEYS[1])} 1 m:x",
		"EVAL {redis.call([[SELECT]],1) return redis.call('SET',KEYS[1],1)} 1 m:x",
	} {
		if v, err := c.Do(t.Context(), commandOf(line)...); err == nil || !strings.Contains(err.Error(), "database_map") {
			t.Errorf("%s: %v, %v", line, v, err)
		}
	}
	w.do(c, commandOf("EVAL {return redis.call('COPY',KEYS[1],KEYS[2])} 2 m:x m:y")...)
	if got := w.do(w.conn(w.target.Addr, 1), "DBSIZE"); got != "0" {
		t.Errorf("a database that is not meant has %s keys", got)
	}
}

// That the secondary lacks what does not move is no reason to compare everything once more.
func TestWhatStaysIsNotMissed(t *testing.T) {
	for name, change := range map[string]func(*config.Config){"by name": nil, "databases": noPatterns} {
		w := movesWorld(t, change)
		w.lookEvery = time.Hour
		w.do(w.conn(w.source.Addr, 0), "SET", "m:1", "1")
		for i := range 50 {
			w.do(w.conn(w.source.Addr, 2), "SET", fmt.Sprint("m:", i), "1")
			if change == nil {
				w.do(w.conn(w.source.Addr, 0), "SET", fmt.Sprint("s:", i), "1")
			}
		}
		w.run()
		w.synced()
		for range 3 {
			w.look(w.Migration.source)
			w.look(w.Migration.target)
		}
		if n := w.sweeps(); n != 1 || strings.Contains(w.log.String(), "far fewer") {
			t.Errorf("%s: %d sweeps", name, n)
		}
		w.do(w.conn(w.target.Addr, 0), "FLUSHALL")
		w.do(w.conn(w.source.Addr, 0), "MSET", "m:2", "2", "m:3", "3", "m:4", "4")
		for range 2 {
			w.look(w.Migration.source)
			w.look(w.Migration.target)
		}
		w.logged("far fewer")
	}
}

// A crash leaves marks for keys of databases by the source's numbers, whichever server answers: they are found again by them.
func TestMarkedKeysOfExchangedDatabases(t *testing.T) {
	w := exchanged(t, nil)
	for db := range 2 {
		w.do(w.conn(w.source.Addr, db), "MSET", "k", "v", "other", "v")
	}
	for _, reversed := range []bool{false, true} {
		w.run()
		w.settledNow()
		if reversed {
			w.cutOver()
			w.settledNow()
		}
		w.stopped()
		h := hasherOf(w.onDisk().Secret)
		m, err := intent.Open(filepath.Join(w.cfg.StateDir, intentsFile), intent.Options{
			ID: w.onDisk().ID, Check: h.Sum(0, []byte("intents")).Hi, Stripes: ledger.Stripes})
		if err != nil {
			t.Fatal(err)
		}
		primary, number := w.source.Addr, 1
		if reversed {
			primary, number = w.target.Addr, 0
		}
		w.do(w.conn(primary, number), "SET", "k", fmt.Sprint("changed ", reversed))
		m.Mark(h.Sum(1, []byte("k")).Stripe())
		w.run()
		w.until("swept", func(s status.Status) bool { return s.Backfill.State == status.Done })
		w.settledNow()
		w.exchangedSame(fmt.Sprint("reversed: ", reversed))
		w.logged("marked_stripes=1 only_those=true")
		w.stopped()
	}
}
