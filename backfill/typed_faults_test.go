package backfill

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tandem/internal/instance"
	"tandem/internal/ledger"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

// fillHash makes a hash of so many fields, of which the first expires in an hour.
func fillHash(t *testing.T, addr, key string, fields int) {
	t.Helper()
	c := command{"HSET", key}
	for i := range fields {
		c = append(c, fmt.Sprint("field:", i), strconv.Itoa(i))
	}
	do(t, addr, c...)
	do(t, addr, "HPEXPIRE", key, "3600000", "FIELDS", "1", "field:0")
}

// A temporary key that vanishes between two pieces, as one with an expiry may be evicted, makes the copy begin anew, also
// where the number of elements says nothing.
func TestTemporaryKeyThatVanishesIsNotCompleted(t *testing.T) {
	servers, ok := redisdtest.Find(t, "redis-8.0", "redis-8.0")
	if !ok {
		return
	}
	vanish := new(sync.Once)
	w := newWorld(t, redisd.Options{Binary: servers[0].Path}, redisd.Options{Binary: servers[1].Path}, CopierOptions{}, func(c *Copier) {
		c.onlyTyped = true
		c.hooks = func(p point, _ int, names []string) {
			if p == pieceWritten {
				vanish.Do(func() {
					if n := do(t, c.forms.to.in.Addr, "UNLINK", names[1]).Int; n != 1 {
						t.Error("there was no temporary key")
					}
				})
			}
		}
	})
	fillHash(t, w.first.Addr, "h", 5000)
	w.sweep()
	w.settle()
	w.equal()
	if s := w.copier.Stats(); s.Races != 1 || s.Typed != 1 {
		t.Errorf("%+v", s)
	}
	w.noTemporaryKeys()
}

// What the secondary reads is asked before a copy by type, whatever was known: the times of fields and the counters of
// streams are not lost between servers that have them.
func TestCopyByTypeAsksWhatTheSecondaryHolds(t *testing.T) {
	servers, ok := redisdtest.Find(t, "redis-8.0", "redis-8.0")
	if !ok {
		return
	}
	w := newWorld(t, redisd.Options{Binary: servers[0].Path}, redisd.Options{Binary: servers[1].Path}, CopierOptions{}, func(c *Copier) {
		c.onlyTyped = true
		c.hooks = func(p point, _ int, _ []string) {
			if p == beforeRead {
				c.forms.known.Store(nil)
			}
		}
	})
	fillHash(t, w.first.Addr, "h", 3)
	for _, id := range []string{"1-1", "2-1"} {
		do(t, w.first.Addr, "XADD", "s", id, "a", "b")
	}
	do(t, w.first.Addr, "XDEL", "s", "2-1")
	w.sweep()
	w.settle()
	w.equal()
	for _, c := range []command{{"HPEXPIRETIME", "h", "FIELDS", "1", "field:0"}, {"XINFO", "STREAM", "s", "FULL"}} {
		if a, b := do(t, w.first.Addr, c...), do(t, w.second.Addr, c...); fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("%s: %v, then %v", c[0], a, b)
		}
	}
	if keys, _, _ := w.copier.FieldExpiryLost(); keys != 0 {
		t.Errorf("%d keys are known whose fields do not expire", keys)
	}
}

// What is forgotten is asked again, and still known as long as there is no answer.
func TestForgottenFormsAreKnownUntilTheNextAnswer(t *testing.T) {
	w := newServers(t, redisd.Options{}, redisd.Options{})
	f := &forms{to: newReader(w.secondary, "test", time.Second)}
	defer f.to.close()
	first := f.ask(t.Context())
	if first.dialect == nil {
		t.Fatal("no answer")
	}
	old := &formsKnown{dialect: first.dialect, at: time.Now().Add(-2 * time.Second)}
	f.known.Store(old)
	f.forget()
	if k := f.known.Load(); k == nil || k.dialect != first.dialect {
		t.Errorf("%+v is known", k)
	}
	if k := f.ask(t.Context()); k.dialect == nil || k.dialect == first.dialect {
		t.Error("it was not asked again")
	}
}

// failing waits until a key's copy has failed so often in a row, and returns why.
func (w *world) failing(failures int) (why string) {
	w.t.Helper()
	eventually(w.t, "a copy fails", func() bool {
		w.l.Lock()
		defer w.l.Unlock()
		w.l.Failing(failures, func(d *ledger.Dirty) bool {
			why = d.Why
			return false
		})
		return why != ""
	})
	return why
}

// Entries that are pending come whole when they are looked for in the stream: not all at once.
func TestPendingEntriesAreLookedForInPieces(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{}, func(c *Copier) { c.onlyTyped = true })
	const entries = 100
	value := strings.Repeat("v", 100<<10)
	for i := range entries {
		do(t, w.first.Addr, "XADD", "s", fmt.Sprintf("%d-1", i+1), "f", value)
	}
	do(t, w.first.Addr, "XGROUP", "CREATE", "s", "g", "0")
	do(t, w.first.Addr, "XREADGROUP", "GROUP", "g", "c", "COUNT", strconv.Itoa(entries), "STREAMS", "s", ">")
	do(t, w.first.Addr, "XDEL", "s", "50-1")
	// A reader to whom more than some pieces are to be said at once is cut off.
	do(t, w.first.Addr, "CONFIG", "SET", "client-output-buffer-limit", fmt.Sprintf("normal %d 0 0", 4*pieceBytes))
	w.sweep()
	do(t, w.first.Addr, "CONFIG", "SET", "client-output-buffer-limit", "normal 0 0 0")
	w.settle()
	w.equal()
	if s := w.copier.Stats(); s.Typed != 1 {
		t.Errorf("%+v", s)
	}
	w.noTemporaryKeys()
}

// A count that the primary does not tell is not taken for none: the key is named, and no part of it is copied.
func TestRefusedCountIsNamed(t *testing.T) {
	for _, kind := range []string{"string", "hash"} {
		w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{}, func(c *Copier) { c.onlyTyped = true })
		if kind == "string" {
			do(t, w.first.Addr, "SET", "k", "value")
		} else {
			do(t, w.first.Addr, "HSET", "k", "field", "value")
		}
		do(t, w.first.Addr, "ACL", "SETUSER", "default", "-"+countCommands[kind])
		wait := w.sweeping(w.newSweep(SweepOptions{}))
		if why := w.failing(1); !strings.Contains(why, "NOPERM") || !strings.Contains(why, countCommands[kind]) {
			t.Errorf("%s: it failed because: %s", kind, why)
		}
		if n := do(t, w.second.Addr, "DBSIZE").Int; n != 0 {
			t.Errorf("%s: %d keys were written", kind, n)
		}
		do(t, w.first.Addr, "ACL", "SETUSER", "default", "+@all")
		wait()
		w.settle()
		w.equal()
	}
}

// That a user may not ask when fields expire does not say that they do not: the key is named, and verify ends.
func TestRefusedFieldTimesAreNamed(t *testing.T) {
	servers, ok := redisdtest.Find(t, "redis-8.0", "redis-8.0")
	if !ok {
		return
	}
	w := newWorld(t, redisd.Options{Binary: servers[0].Path}, redisd.Options{Binary: servers[1].Path}, CopierOptions{},
		func(c *Copier) { c.onlyTyped = true })
	fillHash(t, w.first.Addr, "h", 3)
	do(t, w.first.Addr, "ACL", "SETUSER", "default", "-hpexpiretime")
	wait := w.sweeping(w.newSweep(SweepOptions{}))
	if why := w.failing(1); !strings.Contains(why, "NOPERM") || !strings.Contains(why, "HPEXPIRETIME") {
		t.Errorf("it failed because: %s", why)
	}
	do(t, w.first.Addr, "ACL", "SETUSER", "default", "+@all")
	wait()
	w.settle()
	w.equal()

	do(t, w.second.Addr, "HPERSIST", "h", "FIELDS", "1", "field:0")
	do(t, w.second.Addr, "ACL", "SETUSER", "default", "-hpexpiretime")
	v := NewVerify(w.l, w.primary, w.secondary, VerifyOptions{Name: instance.ConnName("test", "verify", "1"), Log: w.copier.opt.Log})
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	if err := v.Run(ctx); err == nil || !strings.Contains(err.Error(), "HPEXPIRETIME") {
		t.Errorf("verify ended with %v", err)
	}
}

// A key that somebody past the proxy writes during each copy, the one that owns its stripe too, is named, and others are
// copied in the meantime.
func TestKeyWrittenPastTheProxyDuringEachCopyIsNamed(t *testing.T) {
	var hot atomic.Bool
	hot.Store(true)
	w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{BigKeyBytes: 1 << 10, DumpBytes: 1 << 10}, func(c *Copier) {
		c.onlyTyped = true
		c.hooks = func(p point, _ int, names []string) {
			if p == pieceWritten && names[0] == "hot" && hot.Load() {
				do(t, c.reader.in.Addr, "RPUSH", "hot", "x")
			}
		}
	})
	do(t, w.first.Addr, "RPUSH", "hot", strings.Repeat("x", 1<<16))
	do(t, w.first.Addr, "RPUSH", "other", strings.Repeat("x", 1<<16))
	wait := w.sweeping(w.newSweep(SweepOptions{}))
	if why := w.failing(1); !strings.Contains(why, "past Tandem") {
		t.Errorf("it failed because: %s", why)
	}
	eventually(t, "the other key is copied", func() bool { return do(t, w.second.Addr, "EXISTS", "other").Int == 1 })
	hot.Store(false)
	wait()
	w.settle()
	w.equal()
	w.noTemporaryKeys()
}
