package migration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tandem/internal/instance"
	"tandem/internal/redisd"
	"tandem/internal/status"
)

// refusals are the ways in which a server that is there takes nothing, each with what brings it about and what ends it.
var refusals = []struct {
	name   string
	begin  func(w *world, s *redisd.Server, admin *instance.Conn)
	end    func(w *world, s *redisd.Server, admin *instance.Conn)
	says   string // in the blocker; empty: it says the one or the other
	remedy string
}{
	{"a replica", func(w *world, s *redisd.Server, admin *instance.Conn) {
		w.do(admin, "REPLICAOF", "127.0.0.1", "1")
	}, func(w *world, s *redisd.Server, admin *instance.Conn) {
		w.do(admin, "REPLICAOF", "NO", "ONE")
	}, "READONLY", "REPLICAOF NO ONE"},
	{"a replica without its master", func(w *world, s *redisd.Server, admin *instance.Conn) {
		w.do(admin, "CONFIG", "SET", "replica-serve-stale-data", "no")
		w.do(admin, "REPLICAOF", "127.0.0.1", "1")
	}, func(w *world, s *redisd.Server, admin *instance.Conn) {
		w.do(admin, "REPLICAOF", "NO", "ONE")
	}, "", "REPLICAOF NO ONE"},
	{"full", func(w *world, s *redisd.Server, admin *instance.Conn) {
		w.do(admin, "CONFIG", "SET", "maxmemory", "1")
	}, func(w *world, s *redisd.Server, admin *instance.Conn) {
		w.do(admin, "CONFIG", "SET", "maxmemory", "0")
	}, "OOM", "maxmemory"},
	{"cannot save", func(w *world, s *redisd.Server, admin *instance.Conn) {
		if err := os.Mkdir(filepath.Join(s.Dir, "dump.rdb"), 0o700); err != nil { // nothing can take its place
			w.t.Fatal(err)
		}
		w.do(admin, "CONFIG", "SET", "save", "3600 1")
		w.until("a save has failed", func(status.Status) bool {
			_, _ = admin.Do(w.t.Context(), "BGSAVE")
			return strings.Contains(w.do(admin, "INFO", "persistence"), "rdb_last_bgsave_status:err")
		})
	}, func(w *world, s *redisd.Server, admin *instance.Conn) {
		w.do(admin, "CONFIG", "SET", "save", "")
	}, "MISCONF", "log"},
	{"busy with a script", func(w *world, s *redisd.Server, admin *instance.Conn) {
		w.do(admin, "CONFIG", "SET", "lua-time-limit", "20")
		script := w.conn(s.Addr, 0)
		go func() { _, _ = script.Do(w.t.Context(), "EVAL", "while true do end", "0") }()
		w.until("it is busy", func(status.Status) bool {
			_, err := admin.Do(w.t.Context(), "PING")
			return err != nil && strings.Contains(err.Error(), "BUSY")
		})
	}, func(w *world, s *redisd.Server, admin *instance.Conn) {
		w.do(admin, "SCRIPT", "KILL")
	}, "BUSY", "SCRIPT KILL"},
	{"without replicas", func(w *world, s *redisd.Server, admin *instance.Conn) {
		w.do(admin, "CONFIG", "SET", "min-replicas-to-write", "1")
	}, func(w *world, s *redisd.Server, admin *instance.Conn) {
		w.do(admin, "CONFIG", "SET", "min-replicas-to-write", "0")
	}, "NOREPLICAS", "mend"},
	{"without the right to copy", func(w *world, s *redisd.Server, admin *instance.Conn) {
		w.do(admin, "ACL", "SETUSER", "default", "-restore")
	}, func(w *world, s *redisd.Server, admin *instance.Conn) {
		w.do(admin, "ACL", "SETUSER", "default", "+restore")
	}, "NOPERM", "right"},
}

// A primary that refuses writes is shown to clients as it is. Nothing of what it refuses is executed, so nothing of it
// reaches the secondary; what it does execute does, transactions and scripts that fail half way among them.
func TestAPrimaryThatRefusesWrites(t *testing.T) {
	for _, refusal := range refusals {
		if refusal.says == "NOPERM" {
			continue // clients do not copy
		}
		t.Run(refusal.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, redisd.Options{}, redisd.Options{}, nil)
			w.fill(w.source.Addr, 100, 0)
			w.run()
			w.synced()
			c, admin := w.conn("", 0), w.conn(w.source.Addr, 0)
			w.do(c, "SET", "text", "words")
			refusal.begin(w, w.source, admin)
			for _, commands := range [][][]string{
				{{"SET", "key:1", "never"}}, {{"INCR", "new"}}, {{"DEL", "key:2"}}, {{"RENAME", "key:3", "key:4"}},
				{{"MULTI"}, {"SET", "key:5", "never"}, {"INCR", "text"}, {"EXEC"}},
				{{"EVAL", "redis.call('SET', KEYS[1], 'written') return redis.call('INCR', KEYS[2])", "2", "key:6", "text"}},
			} {
				replies, err := c.Pipe(t.Context(), commands...)
				if err != nil {
					t.Fatalf("%v: %v", commands, err)
				}
				if name := commands[0][0]; !replies[0].IsError() && (name == "SET" || name == "INCR" || name == "EVAL") {
					t.Errorf("%v was answered %q, not refused", commands, replies[0].Str)
				}
			}
			refusal.end(w, w.source, admin)
			// The same again, of which a part is executed now.
			w.until("writes are taken again", func(status.Status) bool {
				_, err := c.Do(t.Context(), "SET", "key:7", "afterwards")
				return err == nil
			})
			if _, err := c.Do(t.Context(), "EVAL", "redis.call('SET', KEYS[1], 'written') return redis.call('INCR', KEYS[2])", "2", "key:6", "text"); err == nil {
				t.Error("a script that fails half way did not fail")
			}
			w.until("ready again", func(s status.Status) bool { return s.ReadyToCutover && s.DirtyKeys == 0 })
			w.same(0)
		})
	}
}

// Rights that are taken away from Tandem on the primary: one blocker, and no key is to blame.
func TestAPrimaryWhoseKeysMayNotBeRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redisd.Options{}, redisd.Options{}, nil)
	w.fill(w.source.Addr, 100, 0)
	w.run()
	w.synced()
	admin := w.conn(w.source.Addr, 0)
	w.do(admin, "ACL", "SETUSER", "default", "-dump")
	w.ledger.Lock()
	for _, name := range []string{"key:1", "key:2", "key:3"} {
		w.ledger.MakeDirty(w.dirtyKey([]byte(name)))
	}
	w.ledger.Unlock()
	w.until("it is named", func(s status.Status) bool {
		if w.blocked(s, "copy_failing") {
			t.Fatalf("keys are blamed: %+v", s.Blockers)
		}
		for _, b := range s.Blockers {
			if b.Code == "primary_unreadable" {
				return strings.Contains(b.Message, "NOPERM") && strings.Contains(b.Remedy, "right")
			}
		}
		return false
	})
	w.do(admin, "ACL", "SETUSER", "default", "+dump")
	w.until("ready again", func(s status.Status) bool { return s.ReadyToCutover && s.DirtyKeys == 0 })
	w.same(0)
}
