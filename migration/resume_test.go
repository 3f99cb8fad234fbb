package migration

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tandem/config"
	"tandem/internal/intent"
	"tandem/internal/ledger"
	"tandem/internal/redisd"
	"tandem/internal/state"
	"tandem/internal/status"
)

// loseIntents removes the intent map between two runs.
func (w *world) loseIntents() {
	w.t.Helper()
	if err := os.Remove(filepath.Join(w.cfg.StateDir, intentsFile)); err != nil {
		w.t.Fatal(err)
	}
}

// stopped ends the migration, which must have drained.
func (w *world) stopped() {
	w.t.Helper()
	if err := w.stop(); err != nil {
		w.t.Fatal(err)
	}
}

// onDisk is what the state file says.
func (w *world) onDisk() (s state.State) {
	w.t.Helper()
	data, err := os.ReadFile(filepath.Join(w.cfg.StateDir, "state.json"))
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// After a drain there is nothing to do: the next process is synced at once, copies nothing, and finds keys by the same
// secret.
func TestACleanStopLeavesNothingToDo(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, nil)
	w.fill(w.source.Addr, 100, 0, 3)
	w.run()
	w.synced()
	c := w.conn("", 0)
	for range 50 {
		w.do(c, "INCR", "counter")
	}
	w.do(c, "EXPIREAT", "key:1", "9999999999")
	w.stopped()
	secret := w.onDisk().Secret
	w.run()
	w.logged("resuming: nothing was left unsettled")
	if s := w.Status(); s.Phase != status.Synced || s.DirtyKeys != 0 {
		t.Errorf("phase %s, %d dirty keys", s.Phase, s.DirtyKeys)
	}
	w.until("both are connected", func(s status.Status) bool { return s.Source.Connected && s.Target.Connected && s.ReadyToCutover })
	c = w.conn("", 0)
	w.do(c, "INCR", "counter")
	w.do(c, "INCR", "new")
	w.synced()
	s := w.Status()
	if s.Copies.Done != 0 || s.Backfill.KeysScanned != 0 {
		t.Errorf("%d copies, %d keys scanned", s.Copies.Done, s.Backfill.KeysScanned)
	}
	w.same(0, 3)
	if w.onDisk().Secret != secret {
		t.Error("the secret is another one")
	}
	if strings.Contains(w.log.String(), "hash_secret") {
		t.Error("the log speaks of the secret")
	}
}

// Without its map a process cannot know what had settled: it says so, and compares everything. 32 databases, one of
// which changed while nobody looked.
func TestALostMapHasEverythingCompared(t *testing.T) {
	options := redisd.Options{Args: []string{"--databases", "32"}}
	w := newWorld(t, options, options, nil)
	w.fill(w.source.Addr, 50, 0, 20, 31)
	w.run()
	w.synced()
	w.until("all databases are copied", func(s status.Status) bool { return s.Copies.Done >= 150 })
	w.same(0, 20, 31)
	w.stopped()
	w.loseIntents()
	source, target := w.conn(w.source.Addr, 20), w.conn(w.target.Addr, 31)
	w.do(source, "SET", "key:1", "changed")
	w.do(source, "DEL", "key:2")
	w.do(target, "SET", "too many", "1")
	w.run()
	w.logged("the intent map tells nothing")
	w.until("the sweep is done", func(s status.Status) bool { return s.Backfill.State == status.Done })
	w.synced()
	w.same(0, 20, 31)
}

// What is marked is copied, and nothing else.
func TestMarkedStripesAreCopied(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, nil)
	w.fill(w.source.Addr, 500, 0)
	w.run()
	w.synced()
	w.stopped()
	// As a crash with writes on the way would leave it.
	h := hasherOf(w.onDisk().Secret)
	m, err := intent.Open(filepath.Join(w.cfg.StateDir, intentsFile), intent.Options{
		ID: w.onDisk().ID, Check: h.Sum(0, []byte("intents")).Hi, Stripes: ledger.Stripes})
	if err != nil {
		t.Fatal(err)
	}
	source := w.conn(w.source.Addr, 0)
	w.do(source, "SET", "key:7", "changed")
	w.do(source, "DEL", "key:8")
	for _, name := range []string{"key:7", "key:8"} {
		m.Mark(h.Sum(0, []byte(name)).Stripe())
	}
	w.run()
	w.until("the sweep is done", func(s status.Status) bool {
		if s.Phase == status.Synced && s.Backfill.State != status.Done {
			t.Errorf("synced before the sweep is done: %+v", s)
		}
		return s.Backfill.State == status.Done
	})
	w.synced()
	w.same(0)
	s := w.Status()
	if s.Backfill.KeysCopied < 2 || s.Backfill.KeysCopied > 5 || s.Copies.Done > 5 {
		t.Errorf("%d keys were copied, %d copies", s.Backfill.KeysCopied, s.Copies.Done)
	}
	w.logged("marked_stripes=2 only_those=true")
}

// A server that was replaced while nobody looked, or emptied, is compared.
func TestServersAreLookedAtAfterARestart(t *testing.T) {
	for name, change := range map[string]func(w *world){
		"was restarted": func(w *world) {
			w.target.Kill()
			if err := w.target.Restart(false); err != nil {
				w.t.Fatal(err)
			}
		},
		"holds fewer keys": func(w *world) { w.do(w.conn(w.target.Addr, 0), "FLUSHALL") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, redisd.Options{}, redisd.Options{}, nil)
			w.fill(w.source.Addr, 100, 0)
			w.run()
			w.synced()
			w.look(w.Migration.target) // it has 100 keys
			w.stopped()
			change(w)
			w.run()
			w.logged(name)
			w.until("the sweep is done", func(s status.Status) bool { return s.Backfill.State == status.Done })
			w.synced()
			w.same(0)
		})
	}
}

// What a newer version has written is refused by name, and left alone.
func TestANewerMapIsRefused(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) { c.Start = "manual" })
	w.run()
	w.stopped()
	path := filepath.Join(w.cfg.StateDir, intentsFile)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[8] = 99
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = New(w.cfg, w.Migration.source, w.Migration.target, w.Migration.log)
	if !errors.Is(err, intent.ErrNewerFormat) || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
	if dir, _, err := state.Open(w.cfg.StateDir, w.onDisk().Pair); err != nil {
		t.Errorf("the directory stays locked: %v", err)
	} else {
		dir.Close()
	}
}

// A map that somebody cuts off ends the process before a store meets the end of the file, and the next one finds it
// damaged.
func TestATruncatedMapEndsTheProcess(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, nil)
	w.fill(w.source.Addr, 10, 0)
	w.run()
	w.synced()
	if err := os.Truncate(filepath.Join(w.cfg.StateDir, intentsFile), 100); err != nil {
		t.Fatal(err)
	}
	if err := <-w.ended; !errors.Is(err, intent.ErrChanged) {
		t.Errorf("it ended with %v", err)
	}
	w.end = nil
}
