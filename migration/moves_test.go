package migration

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/instance"
	"tandem/internal/redisd"
	"tandem/internal/status"
)

// movesWorld moves keys that do not begin with "s:" of databases 0 and 1; 1 is 4 on the target. Both servers hold keys that
// must stay as they are.
func movesWorld(t *testing.T, change func(*config.Config)) *world {
	return newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) {
		c.Databases = []int{0, 1}
		c.DatabaseMap = []config.DatabaseNumber{{From: 1, To: 4}}
		c.Keys.Exclude = []string{"s:*"}
		c.Duplicates = "error"
		if change != nil {
			change(c)
		}
	})
}

// contents are all keys of a database of a server: what DUMP says, and the expiry to the second, of those that move or not.
func (w *world) contents(addr string, db int, moving bool) map[string]string {
	w.t.Helper()
	c := w.conn(addr, db)
	v, err := c.Do(w.t.Context(), "KEYS", "*")
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]string{}
	for _, k := range v.Elems {
		name := string(k.Str)
		if strings.HasPrefix(name, "s:") == moving {
			continue
		}
		at, err := strconv.ParseInt(w.do(c, "PEXPIRETIME", name), 10, 64)
		if err != nil {
			w.t.Fatal(err)
		}
		if at > 0 {
			at = (at + 1000) / 2000
		}
		value := w.do(c, "DUMP", name)
		if w.do(c, "TYPE", name) == "set" { // in whatever order
			members, err := c.Do(w.t.Context(), "SORT", name, "ALPHA")
			if err != nil {
				w.t.Fatal(err)
			}
			value = strings.Join(words(members), " ")
		}
		out[name] = fmt.Sprintf("%q at %d", value, at)
	}
	_ = c.Close()
	return out
}

// equal fails the test unless two sets of keys are the same.
func (w *world) equal(what string, got, want map[string]string) {
	w.t.Helper()
	if maps.Equal(got, want) {
		return
	}
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if got[k] != want[k] {
			w.t.Errorf("%s: %s is %.200s, want %.200s", what, k, got[k], want[k])
		}
	}
	for _, k := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[k]; !ok {
			w.t.Errorf("%s: %s is there", what, k)
		}
	}
}

// movedSame fails the test unless what moves is the same on both servers.
func (w *world) movedSame(what string) {
	w.t.Helper()
	for db, number := range map[int]int{0: 0, 1: 4} {
		w.equal(fmt.Sprintf("%s, database %d on the target", what, db), w.contents(w.target.Addr, number, true), w.contents(w.source.Addr, db, true))
	}
}

// settledNow waits until nothing is owed, in whatever phase.
func (w *world) settledNow() {
	w.t.Helper()
	w.until("settled", func(s status.Status) bool {
		return s.DirtyKeys == 0 && s.UnsettledWrites == 0 && (s.Phase == status.Synced || s.Phase == status.Reversed)
	})
}

// mixed are commands that name keys that move (M, N) and keys that stay (S, T), and what is there before.
var mixed = []struct{ before, command string }{
	{"", "SET S 1"},
	{"SET S 1", "INCR S"},
	{"", "MSET M 1 S 2 N 3"},
	{"", "MSETNX M 1 S 2"},
	{"SET M 1;SET S 2", "DEL M S"},
	{"SET M 1;SET S 2", "UNLINK S M"},
	{"SET M 1", "RENAME M S"},
	{"SET S 1;SET M 7", "RENAME S M"},
	{"SET M 1;EXPIRE M 1000", "RENAMENX M S"},
	{"SET S 1;EXPIRE S 1000", "RENAMENX S M"},
	{"SET S 1", "COPY S M"},
	{"SET S 1;SET M 2", "COPY S M REPLACE"},
	{"SET M 1;SET S 5", "COPY M S REPLACE"},
	{"SET M 1", "COPY M N DB 1"},
	{"SET M 1", "COPY M N DB 2"},
	{"SET M 1", "MOVE M 1"},
	{"SET M 1", "MOVE M 2"},
	{"SET S 1", "MOVE S 1"},
	{"RPUSH M a b;RPUSH S c", "LMOVE M S LEFT RIGHT"},
	{"RPUSH M a b;RPUSH S c", "RPOPLPUSH S M"},
	{"RPUSH M a;RPUSH S c d", "BLMOVE S M LEFT LEFT 1"},
	{"RPUSH S c d", "BLPOP M S 1"},
	{"RPUSH M c d", "BLPOP S M 1"},
	{"RPUSH M c d;RPUSH S a", "LMPOP 2 S M LEFT"},
	{"SADD M a b;SADD S c", "SMOVE M S a"},
	{"SADD M a;SADD S c", "SMOVE S M c"},
	{"SADD N a;SADD S c", "SUNIONSTORE M N S"},
	{"SADD N a;SADD S c", "SUNIONSTORE T N S"},
	{"SADD M a;SADD S c", "SDIFFSTORE M M S"},
	{"SADD N a;SADD S c", "SINTERSTORE M N S"},
	{"ZADD N 1 a;ZADD S 2 b", "ZUNIONSTORE M 2 N S"},
	{"ZADD S 2 b 3 c", "ZRANGESTORE M S 0 0"},
	{"ZADD M 2 b;ZADD S 1 x", "ZRANGESTORE S M 0 -1"},
	{"RPUSH S 3 1 2", "SORT S STORE M"},
	{"RPUSH M 3 1 2", "SORT M STORE S"},
	{"RPUSH M 2 1;SET s:w1 9;SET s:w2 3", "SORT M BY s:w* STORE N"},
	{"GEOADD S 1 1 a", "GEORADIUS S 1 1 10 km STORE M"},
	{"GEOADD M 1 1 a", "GEORADIUS M 1 1 10 km STORE S"},
	{"GEOADD S 1 1 a", "GEOSEARCHSTORE M S FROMLONLAT 1 1 BYRADIUS 5 km"},
	{"SET N abc;SET S xyz", "BITOP AND M N S"},
	{"SET N abc;SET M xyz", "BITOP OR S N M"},
	{"PFADD M a;PFADD S b", "PFMERGE M S"},
	{"PFADD M a;PFADD S b", "PFMERGE S M"},
	{"XADD S 1-1 f v;XGROUP CREATE S g 0", "XREADGROUP GROUP g c COUNT 1 STREAMS S >"},
	{"XADD S 1-1 f v;XGROUP CREATE S g 0", "XREADGROUP GROUP g c BLOCK 1000 STREAMS S >"},
	{"SET M 1;SET S 2", "EVAL return{redis.call('INCR',KEYS[1]),redis.call('INCR',KEYS[2])} 2 M S"},
	{"SET M 1;SET S 2", "EVAL return(redis.call('SET',KEYS[1],redis.call('GET',KEYS[2]))) 2 M S"},
	{"SET S 2", "EVAL return(redis.call('SET',KEYS[1],'x')) 1 S"},
	{"SET M 1", "EVAL return(redis.call('SET',ARGV[1],'x')) 1 S M"},
	{"SET M 1;SET S 2", "MULTI;INCR M;INCR S;EXEC"},
	{"SET M 1;SET S 2", "MULTI;INCR S;EXEC"},
	{"SET M 1;SET S 2", "MULTI;INCR M;DEL N;EXEC"},
	{"SET M 1;SET S 2", "MULTI;RENAME S M;INCR M;COPY M S REPLACE;EXEC"},
	{"SET M 1", "MULTI;SET M 5;EXPIRE M 2000;SET S 5;EXEC"},
	{"SET M 1 PX 100000;SET S 1", "GETSET M 5"},
	{"HSET M f 1;HSET S f 1", "MULTI;HINCRBY M f 2;HINCRBY S f 2;HSET N a b;EXEC"},
}

// play runs the table through the migration, with names of its own.
func (w *world) play(round string) {
	w.t.Helper()
	c := w.conn("", 0)
	for i, x := range mixed {
		names := strings.NewReplacer(" M", fmt.Sprintf(" m:%s:%d", round, i), " N", fmt.Sprintf(" n:%s:%d", round, i),
			" S", fmt.Sprintf(" s:%s:%d", round, i), " T", fmt.Sprintf(" s:t:%s:%d", round, i))
		for _, text := range []string{x.before, x.command} {
			for line := range strings.SplitSeq(text, ";") {
				if line == "" {
					continue
				}
				// Words that begin like names are none.
				line = strings.NewReplacer(" STORE", "\x00", " STREAMS", "\x01", " M STREAMS", " M\x01").Replace(line)
				line = strings.NewReplacer("\x00", " STORE", "\x01", " STREAMS").Replace(replaceNames(names, line))
				if _, err := c.Do(w.t.Context(), strings.Fields(line)...); err != nil {
					w.t.Fatalf("%s (case %d): %v", line, i, err)
				}
			}
		}
	}
	_ = c.Close()
}

// replaceNames replaces words of one letter.
func replaceNames(names *strings.Replacer, line string) string {
	words := strings.Split(line, " ")
	for i, word := range words {
		if len(word) == 1 && strings.Contains("MNST", word) {
			words[i] = strings.TrimPrefix(names.Replace(" "+word), " ")
		}
	}
	return strings.Join(words, " ")
}

// Commands of every class on keys that move and keys that stay, in every phase: what moves is the same on both servers, what
// stays is on the primary alone, and what the other server holds under such names is untouched.
func TestWhatMovesAndWhatStays(t *testing.T) {
	w := movesWorld(t, nil)
	source, target := w.conn(w.source.Addr, 0), w.conn(w.target.Addr, 0)
	for i := range 50 {
		w.do(source, "SET", fmt.Sprint("m:old:", i), "v")
		w.do(source, "SET", fmt.Sprint("s:old:", i), "v", "EX", "5000")
	}
	w.do(source, "SELECT", "1")
	w.do(source, "SET", "m:one", "1")
	w.do(source, "SELECT", "2")
	w.do(source, "SET", "m:two", "2")
	// The target has keys of its own where nothing moves to.
	for _, db := range []string{"0", "1", "2", "4"} {
		w.do(target, "SELECT", db)
		for _, round := range []string{"a", "b", "c"} {
			for i := range mixed {
				w.do(target, "SET", fmt.Sprintf("s:%s:%d", round, i), "the target's")
			}
		}
	}
	for _, db := range []string{"1", "2"} {
		w.do(target, "SELECT", db)
		w.do(target, "SET", "m:mine", "the target's") // these databases do not move, by their number there
	}
	stays := func(addr string) (all map[string]string) {
		all = map[string]string{}
		for _, db := range []int{0, 1, 2, 4} {
			for k, v := range w.contents(addr, db, false) {
				all[fmt.Sprint(db, " ", k)] = v
			}
		}
		other := []int{1, 2}
		if addr == w.source.Addr {
			other = []int{2}
		}
		for _, db := range other {
			for k, v := range w.contents(addr, db, true) {
				all[fmt.Sprint(db, " ", k)] = v
			}
		}
		return all
	}
	there := stays(w.target.Addr)
	w.run()
	w.play("a") // while the backfill runs, or just after
	w.settledNow()
	w.movedSame("synced")
	w.equal("what stays on the target", stays(w.target.Addr), there)
	w.until("counted", func(s status.Status) bool { return s.Backfill.State == status.Done })
	w.sweepNow()
	// What stays is no part of what the target must hold, or it would seem to have lost it.
	stay := int64(0)
	for db := range 3 {
		stay += int64(len(w.contents(w.source.Addr, db, false)))
		if db == 2 {
			stay += int64(len(w.contents(w.source.Addr, db, true)))
		}
	}
	if n, known := w.stayingMet(); n != stay || !known || w.Status().Backfill.KeysStaying != stay {
		t.Errorf("%d keys are said to stay, %d do", n, stay)
	}

	_ = w.stop()
	w.run()
	w.settledNow()
	if r := w.Status(); r.DirtyKeys != 0 {
		t.Errorf("%d dirty keys after a restart", r.DirtyKeys)
	}
	if _, err := w.Cutover(t.Context(), admin.StepOptions{}); err != nil {
		t.Fatal(err)
	}
	here := stays(w.source.Addr)
	c := w.conn("", 0)
	if got := w.do(c, "GET", "s:old:1"); got != "" {
		t.Errorf("a key that stayed at the source is %q at the target", got)
	}
	if got := w.do(c, "GET", "s:a:0"); got != "the target's" {
		t.Errorf("the target's own key is %q", got)
	}
	w.do(c, "SELECT", "1") // 4 there
	if got := w.do(c, "GET", "m:one"); got != "1" {
		t.Errorf("database 1 after the cutover has %q", got)
	}
	w.do(c, "SET", "m:one", "changed")
	w.do(c, "SELECT", "2")
	if got := w.do(c, "GET", "m:two"); got != "" {
		t.Errorf("a database that does not move has %q at the target", got)
	}
	w.play("d")
	w.settledNow()
	w.movedSame("reversed")
	w.equal("what stays on the source", stays(w.source.Addr), here)

	w.compared(t)
	if _, err := w.Rollback(t.Context(), admin.StepOptions{}); err != nil {
		t.Fatal(err)
	}
	there = stays(w.target.Addr)
	w.play("e")
	w.settledNow()
	w.movedSame("rolled back")
	w.equal("what stays on the target after a rollback", stays(w.target.Addr), there)
	if got := w.do(w.conn("", 0), "GET", "s:old:1"); got != "v" {
		t.Errorf("a key that stayed at the source is %q after a rollback", got)
	}
	if m := w.Status().Effects.Mismatched; m != 0 {
		t.Errorf("%d effects were not answered as expected", m)
	}
}

// sweepNow has all keys compared.
func (w *world) sweepNow() {
	w.t.Helper()
	before := w.sweeps()
	w.ledger.Lock()
	w.ledger.OweSweep("for the test", 0)
	w.ledger.Unlock()
	w.until("swept", func(s status.Status) bool { return w.sweeps() > before && s.Backfill.State == status.Done })
}

// compared runs a full verify, which must find nothing.
func (w *world) compared(t *testing.T) {
	t.Helper()
	id, err := w.Verify(t.Context(), admin.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, found := w.endOf(id); len(found) > 0 {
		t.Errorf("verify has found %q", found)
	}
}

// A flush or an exchange of databases removes and exchanges, on the secondary, what moves and nothing else.
func TestFlushesOfWhatStays(t *testing.T) {
	for name, x := range map[string]struct {
		change func(*config.Config)
		line   string
		db     int
		left   []string // of the target's own keys
		owes   bool
	}{
		"database with keys that stay":     {nil, "FLUSHDB", 0, []string{"0 s:x", "2 m:x", "2 s:x", "4 s:x"}, true},
		"database that does not move":      {nil, "FLUSHDB", 2, []string{"0 s:x", "2 m:x", "2 s:x", "4 s:x"}, false},
		"all, of which some stay":          {nil, "FLUSHALL", 0, []string{"0 s:x", "2 m:x", "2 s:x", "4 s:x"}, true},
		"all, whole databases":             {noPatterns, "FLUSHALL ASYNC", 0, []string{"2 m:x", "2 s:x"}, false},
		"a whole database":                 {noPatterns, "FLUSHDB", 1, []string{"0 s:x", "2 m:x", "2 s:x"}, false},
		"exchange":                         {nil, "SWAPDB 0 1", 0, []string{"0 s:x", "2 m:x", "2 s:x", "4 s:x"}, true},
		"exchange with what does not move": {nil, "SWAPDB 0 2", 0, []string{"0 s:x", "2 m:x", "2 s:x", "4 s:x"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := movesWorld(t, func(c *config.Config) {
				if x.change != nil {
					x.change(c)
				}
				c.Duplicates, c.TargetOnly = "skip", "keep"
			})
			for i := range 3 {
				c := w.conn(w.source.Addr, i)
				w.do(c, "SET", fmt.Sprint("m:", i), "v")
				w.do(c, "SET", fmt.Sprint("s:", i), "v")
			}
			w.run()
			w.synced()
			for _, db := range []int{0, 2, 4} {
				w.do(w.conn(w.target.Addr, db), "SET", "s:x", "t")
			}
			w.do(w.conn(w.target.Addr, 2), "SET", "m:x", "t")
			swept := w.sweeps()
			c := w.conn("", x.db)
			w.do(c, strings.Fields(x.line)...)
			w.do(c, "SET", "m:after", "1")
			w.settledNow()
			w.movedSame(x.line)
			for _, k := range x.left {
				db, key, _ := strings.Cut(k, " ")
				n, _ := strconv.Atoi(db)
				if got := w.do(w.conn(w.target.Addr, n), "GET", key); got != "t" {
					t.Errorf("the target's %s is %q", k, got)
				}
			}
			if owed := w.sweeps() > swept; owed != x.owes {
				t.Errorf("a sweep was owed: %v", owed)
			}
		})
	}
}

// noPatterns makes whole databases move.
func noPatterns(c *config.Config) { c.Keys.Exclude = nil }

// sweeps is how many have ended.
func (w *world) sweeps() uint64 {
	w.ledger.Lock()
	defer w.ledger.Unlock()
	return w.ledger.Stats().Swept
}

// What moves cannot be chosen anew in the middle.
func TestWhatMovesCannotChange(t *testing.T) {
	w := movesWorld(t, nil)
	w.run()
	w.synced()
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	w.cfg.Keys.Exclude = []string{"other:*"}
	source, _ := instance.New(instance.Source, "redis://"+w.source.Addr, instance.Options{})
	target, _ := instance.New(instance.Target, "redis://"+w.target.Addr, instance.Options{})
	if _, err := New(w.cfg, source, target, slog.New(slog.DiscardHandler)); !errors.Is(err, ErrMoves) {
		t.Fatalf("%v, want %v", err, ErrMoves)
	}
	w.cfg.Keys.Exclude = []string{"s:*"}
	w.run()
	w.synced()
}

// With other numbers on the target, what cannot be translated is refused, and nothing of it is done.
func TestNumbersThatCannotBeTranslated(t *testing.T) {
	w := movesWorld(t, nil)
	w.run()
	w.synced()
	says := func(want string, lines ...string) {
		t.Helper()
		c := w.conn("", 0)
		var err error
		for _, line := range lines {
			var failed error
			if _, failed = c.Do(t.Context(), strings.Fields(line)...); failed != nil && err == nil {
				err = failed
			}
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want an error with %q", lines, err, want)
		}
	}
	says("database_map", "MULTI", "SET m:x 1", "MOVE m:x 1", "EXEC")
	says("database_map", "MULTI", "SELECT 1", "SET m:x 1", "EXEC")
	if got := w.do(w.conn("", 0), "EXISTS", "m:x"); got != "0" {
		t.Error("a transaction that was refused has been executed")
	}
	if _, err := w.Cutover(t.Context(), admin.StepOptions{}); err != nil {
		t.Fatal(err)
	}
	says("database_map", "EVAL redis.call('SELECT',1) 0")
	c := w.conn("", 0)
	w.do(c, "SET", "m:1", "a")
	w.do(c, "MOVE", "m:1", "1")
	w.do(c, "SELECT", "1")
	if got := w.do(c, "GET", "m:1"); got != "a" {
		t.Errorf("moved, it is %q", got)
	}
	w.do(c, "WATCH", "m:1") // on a lane of its own from now on
	w.do(c, "SELECT", "0")
	w.do(c, "SET", "m:2", "b")
	w.do(c, "SELECT", "1")
	if got := w.do(c, "GET", "m:1"); got != "a" {
		t.Errorf("on a lane of its own, it is %q", got)
	}
	w.until("settled", func(s status.Status) bool { return s.DirtyKeys == 0 && s.UnsettledWrites == 0 })
	w.movedSame("reversed")
	if got := w.do(w.conn(w.target.Addr, 4), "GET", "m:1"); got != "a" {
		t.Errorf("in the target's database 4 it is %q", got)
	}
}

// A copy waits for nothing that stays: while clients write to both kinds, what moves is equal once they pause, and a cutover
// comes about in between.
func TestMovesUnderLoad(t *testing.T) {
	w := movesWorld(t, nil)
	source := w.conn(w.source.Addr, 0)
	for i := range 2000 {
		w.do(source, "RPUSH", fmt.Sprint("m:l:", i), "a", "b")
		w.do(source, "RPUSH", fmt.Sprint("s:l:", i), "a", "b")
	}
	w.run()
	stop := make(chan struct{})
	ended := make(chan error, 4)
	for g := range 4 {
		c := w.conn("", g%2)
		go func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					ended <- nil
					return
				default:
				}
				n := strconv.Itoa((i*7 + g) % 2000)
				for _, line := range [][]string{
					{"LMOVE", "m:l:" + n, "s:l:" + n, "LEFT", "RIGHT"},
					{"LMOVE", "s:l:" + n, "m:l:" + n, "LEFT", "RIGHT"},
					{"RPUSH", "m:l:" + n, "c"},
					{"LTRIM", "m:l:" + n, "0", "5"},
					{"INCR", "s:n"},
					{"INCR", "m:n"},
				} {
					if _, err := c.Do(w.t.Context(), line...); err != nil {
						ended <- fmt.Errorf("%v: %w", line, err)
						return
					}
				}
			}
		}()
	}
	w.until("synced", func(s status.Status) bool { return s.Phase == status.Synced })
	for try := 0; ; try++ {
		_, err := w.Cutover(t.Context(), admin.StepOptions{})
		if err == nil {
			break
		}
		if try == 20 {
			t.Fatal(err)
		}
	}
	limit := time.Now().Add(20 * time.Second)
	before := w.Status().Effects.Forwarded
	w.until("written after the cutover", func(s status.Status) bool { return s.Effects.Forwarded > before+200 || time.Now().After(limit) })
	close(stop)
	for range 4 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	w.settledNow()
	w.movedSame("under load")
}

// What clients of Tandem write to keys that stay is nobody else's doing, though their namesakes in other databases move, and
// though the server reports it.
func TestReportsOfWhatStays(t *testing.T) {
	w := movesWorld(t, func(c *config.Config) { c.Tracking = "on" })
	w.run()
	w.synced()
	w.until("reports", func(s status.Status) bool { return s.Tracking.State == status.Running })
	moving, other, staying := w.conn("", 0), w.conn("", 1), w.conn("", 2)
	for i := range 200 {
		name := fmt.Sprint("m:", i)
		w.do(moving, "SET", name, "1")
		w.do(staying, "SET", name, "2")
		w.do(other, "SET", "s:"+name, "3")
		w.do(staying, "INCR", name)
		w.do(moving, "APPEND", name, "1")
		w.do(staying, "DEL", name)
	}
	w.do(staying, "FLUSHDB")
	w.settledNow()
	if err := w.shard.ReadReports(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.ledger.Lock()
	stats := w.ledger.Stats()
	w.ledger.Unlock()
	if stats.Others > 0 {
		t.Errorf("%d writes are taken for somebody else's", stats.Others)
	}
	if n := w.Status().Tracking.ForeignFlushes; n > 0 {
		t.Errorf("%d flushes are taken for somebody else's", n)
	}
	w.movedSame("with reports")
	// What somebody else writes to keys that move is copied, and to those that stay is not.
	w.do(w.conn(w.source.Addr, 0), "SET", "m:1", "past")
	w.do(w.conn(w.source.Addr, 0), "SET", "s:1", "past")
	w.until("copied", func(s status.Status) bool { return w.do(w.conn(w.target.Addr, 0), "GET", "m:1") == "past" })
	if got := w.do(w.conn(w.target.Addr, 0), "EXISTS", "s:1"); got != "0" {
		t.Error("what somebody else has written to a key that stays was copied")
	}
}
