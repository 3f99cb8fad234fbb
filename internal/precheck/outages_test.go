package precheck

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tandem/internal/instance"
	"tandem/internal/moves"
	"tandem/internal/redisd"
)

// Both servers end under way: every check that asks one of them says so, and none takes the silence for an answer.
func TestServersThatEndMeanwhile(t *testing.T) {
	source, target := start(t), start(t)
	o := Options{Moves: moves.New(moves.Rules{Exclude: []string{"none:*"}})}
	o.Tell = before("source_info", func() { source.Kill(); target.Kill() })
	first := precheck(t, source.URL(), target.URL(), o)
	for _, s := range []*redisd.Server{source, target} {
		if err := s.Restart(false); err != nil {
			t.Fatal(err)
		}
	}
	do(t, connect(t, target), "SET k v")
	o.Tell = before("distinct", func() { source.Kill(); target.Kill() })
	r := precheck(t, source.URL(), target.URL(), o)
	for _, s := range []*redisd.Server{source, target} {
		if err := s.Restart(false); err != nil {
			t.Fatal(err)
		}
	}
	o.Tell = nil
	after := precheck(t, source.URL(), target.URL(), o)
	after.otherwise(t)
	for _, name := range []string{"source_info", "target_info"} {
		first.expect(t, name, Failed, "cannot be reached", "run the precheck again")
		after.cured(t, first, name)
	}
	behind := false
	for _, name := range Names() {
		behind = behind || name == "distinct"
		switch name {
		case "field_expiry", "target_databases", "source_eviction", "target_eviction", "state_directory":
			continue // what was found out before is enough
		}
		if behind {
			r.expect(t, name, Failed, "run the precheck again")
			after.cured(t, r, name)
		}
	}
}

// A server that a script keeps busy answers nobody; which state that is, and what ends it, is said.
func TestServersThatAreBusy(t *testing.T) {
	busy, good := start(t, "--lua-time-limit", "10"), start(t)
	ended := make(chan error, 1)
	looping := connect(t, busy)
	go func() {
		_, err := looping.Do(context.Background(), "EVAL", "while true do end", "0")
		ended <- err
	}()
	admin := connect(t, busy)
	until(t, "the server is busy", func() bool {
		_, err := admin.Do(t.Context(), "DBSIZE")
		return err != nil && strings.Contains(err.Error(), "BUSY")
	})
	r, other := precheck(t, busy.URL(), good.URL(), Options{}), precheck(t, good.URL(), busy.URL(), Options{})
	r.expect(t, "source_reachable", Failed, "BUSY", "end it (SCRIPT KILL)")
	other.expect(t, "target_reachable", Failed, "BUSY", "end it (SCRIPT KILL)")
	do(t, admin, "SCRIPT KILL")
	if err := <-ended; err == nil {
		t.Error("the script has come to an end")
	}
	precheck(t, busy.URL(), good.URL(), Options{}).cured(t, r, "source_reachable")
	precheck(t, good.URL(), busy.URL(), Options{}).cured(t, other, "target_reachable")
}

// A server that loads its data tells what it is, and not what it holds.
func TestServersThatLoad(t *testing.T) {
	loading, good := start(t, "--enable-debug-command", "yes", "--loading-process-events-interval-bytes", "1024"), start(t)
	admin, reloading := connect(t, loading), connect(t, loading)
	do(t, admin, "DEBUG POPULATE 50000 key 100")
	do(t, admin, "CONFIG SET key-load-delay 300")
	ended := make(chan error, 1)
	go func() {
		_, err := reloading.Do(context.Background(), "DEBUG", "RELOAD")
		ended <- err
	}()
	until(t, "the server loads", func() bool {
		_, err := admin.Do(t.Context(), "DBSIZE")
		return err != nil && strings.Contains(err.Error(), "LOADING")
	})
	r, other := precheck(t, loading.URL(), good.URL(), Options{}), precheck(t, good.URL(), loading.URL(), Options{})
	r.expect(t, "source_info", Failed, "it is loading", "wait until the server has loaded")
	other.expect(t, "target_info", Failed, "it is loading", "wait until the server has loaded")
	do(t, admin, "CONFIG SET key-load-delay 0")
	<-ended // the remedy; whether the reply came over a connection that was served meanwhile is no matter
	precheck(t, loading.URL(), good.URL(), Options{}).cured(t, r, "source_info")
	precheck(t, good.URL(), loading.URL(), Options{}).cured(t, other, "target_info")
}

// A sentinel is no server that holds keys, and is told by what it says of itself.
func TestSentinel(t *testing.T) {
	good, first := start(t), start(t)
	port := first.Port
	first.Kill()
	dir := t.TempDir()
	file := filepath.Join(dir, "sentinel.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, "port %d\nbind 127.0.0.1\ndir %s\n", port, dir), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel := exec.Command("redis-server", file, "--sentinel")
	sentinel.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := sentinel.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = sentinel.Process.Kill()
		_ = sentinel.Wait()
	})
	at, err := instance.New(instance.Source, first.URL(), instance.Options{})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the sentinel answers", func() bool {
		c, err := at.Conn(t.Context(), "", 0)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	r := precheck(t, first.URL(), good.URL(), Options{})
	r.expect(t, "source_info", Failed, "a sentinel, which holds no keys", "the Redis server itself")
	precheck(t, start(t).URL(), good.URL(), Options{}).cured(t, r, "source_info")
	precheck(t, good.URL(), first.URL(), Options{}).expect(t, "target_info", Failed, "a sentinel")
}

// Rights, or room, that are taken away between the trials of commands and those of values: what is refused is said, and
// the remedy that is printed cures it.
func TestValuesThatMayNotBeMadeOrRestored(t *testing.T) {
	p := newLimitedPair(t, "")
	const write = " -set -rpush -sadd -hset -zadd -xadd"
	for name, x := range map[string]struct{ item, role, without, status, says string }{
		"made at the source":     {"dump_exchange", "source", write, Failed, "no DUMP could be tried"},
		"restored on the target": {"dump_exchange", "target", " -restore", Failed, "every type refused"},
		"made on the target":     {"dump_return", "target", write, Warning, "no DUMP could be tried"},
		"restored at the source": {"dump_return", "source", " -restore", Warning, "every type refused"},
	} {
		t.Run(name, func(t *testing.T) {
			p.allow(t, "source", "")
			p.allow(t, "target", "")
			r := precheck(t, "redis://app:"+secret+"@"+p.source.Addr, "redis://app:"+secret+"@"+p.target.Addr, Options{
				Tell: before(x.item, func() { do(t, p.admin[x.role], "ACL SETUSER app"+x.without) })})
			r.expect(t, x.item, x.status, x.says, "no permission")
			if x.without == " -restore" {
				r.expect(t, "field_expiry", Success, "not known: RESTORE is refused")
			}
			p.cure(t, x.role, r.item(t, x.item))
			p.precheck(t).cured(t, r, x.item)
		})
	}
	full := connect(t, p.source)
	r := precheck(t, p.source.URL(), p.target.URL(), Options{Tell: before("dump_exchange", func() { do(t, full, "CONFIG SET maxmemory 1mb") })})
	r.expect(t, "dump_exchange", Failed, "OOM", "raise its maxmemory")
	do(t, full, "CONFIG SET maxmemory 0")
	precheck(t, p.source.URL(), p.target.URL(), Options{}).cured(t, r, "dump_exchange")
}

// What is decided about the keys of a target that has some.
func TestKeysThatTheTargetHas(t *testing.T) {
	source, target := start(t), start(t)
	d := connect(t, target)
	do(t, d, "MSET a 1 b 2")
	do(t, d, "ACL SETUSER app on nopass ~* &* +@all -object")
	limited, err := instance.New(instance.Target, "redis://app:x@"+target.Addr, instance.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := limited.Conn(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	decide := func(duplicates Duplicates, newest bool) Options {
		return Options{Duplicates: func(ctx context.Context) (*Duplicates, error) {
			if newest {
				if _, err := c.Do(ctx, "OBJECT", "IDLETIME", "a"); err != nil {
					return nil, err
				}
			}
			return &duplicates, nil
		}}
	}
	skipped := Duplicates{Found: 2, Skipped: 2}
	untold := precheck(t, source.URL(), target.URL(), decide(skipped, true))
	untold.expect(t, "target_empty", Failed, "which of them were used last is not told")
	refused := precheck(t, source.URL(), target.URL(), decide(Duplicates{Found: 2, Refused: 2, RefusedOnly: 1, Sample: []string{"a", "b"}}, false))
	refused.expect(t, "target_empty", Failed, "1 that the source has too", "1 that the source has not", "duplicates_by_pattern")
	after := precheck(t, source.URL(), target.URL(), decide(skipped, false))
	after.expect(t, "target_empty", Success, "2 keys (db0: 2): 2 stay as they are")
	twice := precheck(t, source.URL(), target.URL(), decide(Duplicates{Found: 3, Skipped: 3}, false))
	twice.expect(t, "target_empty", Success, "2 keys (db0: 2), or about so many", "3 stay as they are")
	after.cured(t, untold, "target_empty")
	after.cured(t, refused, "target_empty")
	do(t, d, "ACL SETUSER app +object")
	precheck(t, source.URL(), target.URL(), decide(skipped, true)).cured(t, untold, "target_empty")

	broken := Options{Duplicates: func(ctx context.Context) (*Duplicates, error) {
		_, err := c.Do(ctx, "OBJECT", "IDLETIME")
		return nil, fmt.Errorf("compare keys: %w", err)
	}}
	r := precheck(t, source.URL(), target.URL(), broken)
	r.expect(t, "target_empty", Failed, "compare keys", "the server's log")
	do(t, d, "FLUSHALL")
	precheck(t, source.URL(), target.URL(), broken).cured(t, r, "target_empty")
}

// A server that cannot save refuses writes, and says so.
func TestATargetThatCannotSave(t *testing.T) {
	source, target := start(t), start(t)
	d := connect(t, target)
	if err := os.RemoveAll(target.Dir); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Do(t.Context(), "CONFIG", "SET", "save", "3600 1"); err != nil {
		t.Fatal(err)
	}
	do(t, d, "BGSAVE")
	until(t, "the save has failed", func() bool {
		return strings.Contains(string(do(t, d, "INFO persistence").Str), "rdb_last_bgsave_status:err")
	})
	r := precheck(t, source.URL(), target.URL(), Options{})
	r.expect(t, "target_commands", Failed, "MISCONF", "CONFIG SET stop-writes-on-bgsave-error no")
	apply(t, d, r.item(t, "target_commands"))
	precheck(t, source.URL(), target.URL(), Options{}).cured(t, r, "target_commands")
}
