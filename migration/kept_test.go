package migration

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tandem/config"
	"tandem/internal/instance"
	"tandem/internal/kept"
	"tandem/internal/redisd"
	"tandem/internal/status"
)

// Live writes of all kinds to kept keys: each becomes what the client made of it.
func TestLiveWritesWinOverKeptKeys(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) { c.Duplicates = "skip" })
	source, target := w.conn(w.source.Addr, 0), w.conn(w.target.Addr, 0)
	for i := range 20 {
		w.do(source, "RPUSH", fmt.Sprint("k", i), "s")
		w.do(target, "RPUSH", fmt.Sprint("k", i), "t")
		w.do(target, "RPUSH", fmt.Sprint("t", i), "t")
	}
	w.do(w.conn(w.source.Addr, 5), "SET", "other", "s")
	w.do(w.conn(w.target.Addr, 5), "SET", "other", "t")
	w.do(w.conn(w.target.Addr, 6), "SET", "sixth", "t")
	w.run()
	w.synced()
	c := w.conn("", 0)
	for _, command := range []string{
		"RENAME k0 new0", // from a kept key
		"RENAME k1 k2",   // onto one
		"COPY k3 new3",   // it stays kept, and what is made of it is the source's
		"DEL t0",         // the target's own goes
		"RPUSH t1 live",  // and becomes the source's
		"EXPIRE k4 1000", // its time to live only
		"LPOP k5",        // gone on the source, so on the target
		"EVAL return(redis.call('RPUSH',KEYS[1],'live')) 1 k6",
		"EVAL return(redis.call('RPUSH','k15','live')) 0", // a key that it does not name
		"EVAL_RO return(redis.call('LLEN',KEYS[1])) 1 k16",
		"BLPOP k7 0",
		"SORT k8 ALPHA STORE k9",
		"LMOVE k10 k11 LEFT RIGHT",
		"LPUSHX t2 live", // changes nothing on the source: the key is given up all the same
	} {
		args := strings.Fields(command)
		if _, err := c.Do(t.Context(), args...); err != nil {
			t.Fatalf("%s: %v", command, err)
		}
	}
	if v, err := c.Do(t.Context(), "MULTI"); err != nil {
		t.Fatal(v, err)
	}
	w.do(c, "RPUSH", "k12", "live")
	w.do(c, "RPUSH", "k13", "live")
	w.do(c, "EXEC")
	w.synced()
	for _, k := range []string{"k0", "new0", "k1", "k2", "new3", "t0", "t1", "k4", "k5", "k6", "k7", "k9", "k10", "k11", "k12", "k13", "k15", "t2"} {
		if x, y := w.content(source, k), w.content(target, k); x != y {
			t.Errorf("%s is %q on the source, %q on the target", k, x, y)
		}
	}
	for _, k := range []string{"k3", "k8", "k14", "k16", "t3"} {
		if got := w.content(target, k); !strings.Contains(got, "t") || strings.Contains(got, " s") {
			t.Errorf("%s is %q on the target", k, got)
		}
	}
	if d := w.do(target, "PTTL", "k4"); d == "-1" {
		t.Error("k4 has no time to live on the target")
	}
	if len(w.differences()) > 0 {
		t.Errorf("verify reports %v", w.differences())
	}
	before := w.Status().Duplicates.Kept

	// A flush takes kept keys with it, those of its database.
	w.do(c, "FLUSHDB")
	w.synced()
	if n := w.do(target, "DBSIZE"); n != "0" {
		t.Errorf("%s keys are left of the flushed database", n)
	}
	if got := w.do(w.conn(w.target.Addr, 5), "GET", "other"); got != "t" {
		t.Errorf("another database's kept key is %q", got)
	}
	if after := w.Status().Duplicates.Kept; after != 2 || before <= 2 {
		t.Errorf("%d were kept before the flush, %d after it", before, after)
	}
	// So does an exchange of databases: what clients see from then on is what the source has.
	w.do(c, "SWAPDB", "5", "7")
	w.synced()
	if a, b := w.do(w.conn(w.target.Addr, 5), "GET", "other"), w.do(w.conn(w.target.Addr, 7), "GET", "other"); a != "" || b != "s" {
		t.Errorf("after the exchange %q and %q", a, b)
	}
	if got := w.do(w.conn(w.target.Addr, 6), "GET", "sixth"); got != "t" {
		t.Errorf("the sixth database's kept key is %q", got)
	}
	w.do(c, "FLUSHALL")
	w.synced()
	if s := w.Status().Duplicates; s.Kept != 0 {
		t.Errorf("%d are still kept", s.Kept)
	}
}

// A list that cannot be believed ends the start: nobody knows which keys to keep.
func TestALostListRefusesToGuess(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) { c.Duplicates = "skip" })
	w.do(w.conn(w.target.Addr, 0), "SET", "a", "t")
	w.run()
	w.synced()
	w.stopped()
	path := filepath.Join(w.cfg.StateDir, keptFile)
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	source, err := instance.New(instance.Source, "redis://"+w.source.Addr, instance.Options{})
	if err != nil {
		t.Fatal(err)
	}
	target, err := instance.New(instance.Target, "redis://"+w.target.Addr, instance.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(w.cfg, source, target, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), path) ||
		!strings.Contains(err.Error(), "another state directory") {
		t.Fatalf("%v, want %v", err, kept.ErrDamaged)
	}
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	w.run()
	w.synced()
	if got := w.do(w.conn(w.target.Addr, 0), "GET", "a"); got != "t" {
		t.Errorf("%q", got)
	}
}

// A disk that fails, or that does not answer, does not hold back the clients: it is said, and over when it is over.
func TestClientsDoNotWaitForADiskInTrouble(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) { c.Duplicates = "skip" })
	source, target := w.conn(w.source.Addr, 0), w.conn(w.target.Addr, 0)
	for _, k := range []string{"a", "b", "c", "d", "e", "f"} {
		w.do(source, "SET", k, "s")
		w.do(target, "SET", k, "t")
	}
	w.do(w.conn(w.target.Addr, 5), "SET", "fifth", "t")
	w.prepare()
	var disk atomic.Pointer[func() error]
	is := func(f func() error) { disk.Store(&f) }
	fine := func() error { return nil }
	is(func() error { return errors.New("input/output error") })
	w.hooks.syncKept = func() error { return (*disk.Load())() }
	w.hooks.lookEvery = 50 * time.Millisecond
	w.begin()
	w.synced()
	c := w.conn("", 0)
	troubled := func(want bool) func(status.Status) bool {
		return func(s status.Status) bool {
			return want == slices.ContainsFunc(s.Blockers, func(b status.Blocker) bool {
				return b.Code == "state_unwritable" && strings.Contains(b.Message, "kept keys")
			})
		}
	}
	w.do(c, "APPEND", "a", "live")
	w.until("it is said", troubled(true))
	is(fine)
	w.until("it is over", troubled(false)) // it is tried again by itself
	w.do(c, "APPEND", "b", "live")
	answers := make(chan struct{})
	is(func() error { <-answers; return nil })
	w.do(c, "APPEND", "c", "live")
	w.logged(errSlowDisk.Error())
	w.until("it is said", troubled(true))
	// Nor do others that come while it does not answer, nor does a flush, behind which everybody would wait.
	w.do(c, "APPEND", "e", "live")
	w.do(w.conn("", 5), "FLUSHDB")
	w.do(c, "APPEND", "f", "live")
	again := make(chan struct{}, 1)
	is(func() error {
		select {
		case again <- struct{}{}:
		default:
		}
		return nil
	})
	close(answers)
	<-again // what has left the list meanwhile is brought to disk
	w.until("it is over", troubled(false))
	w.synced()
	for k, want := range map[string]string{"a": "slive", "b": "slive", "c": "slive", "d": "t", "e": "slive", "f": "slive"} {
		if got := w.do(target, "GET", k); got != want {
			t.Errorf("%s is %q on the target, want %q", k, got, want)
		}
	}
}
