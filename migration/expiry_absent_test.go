package migration

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/status"
)

// A command that finds nothing to remove or change, because the key has expired at the source, leaves nothing at the target,
// where the key lives longer.
func TestWhatHasExpiredIsRemovedToo(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) { c.Expiry.ExtendBy = time.Hour })
	w.run()
	w.synced()
	cases := []struct{ before, command string }{
		{"SADD K a", "SREM K a"}, {"HSET K f v", "HDEL K f"}, {"ZADD K 1 a", "ZREM K a"}, {"RPUSH K a", "LREM K 0 a"},
		{"RPUSH K a", "LTRIM K 1 0"}, {"SET K a", "EXPIRE K 0"}, {"SET K a", "PEXPIREAT K 1"}, {"SET K a", "SET K b XX"},
		{"XADD K 1-1 f v", "XDEL K 1-1"}, {"XADD K 1-1 f v", "XTRIM K MAXLEN 0"}, {"ZADD K 1 a", "ZREMRANGEBYSCORE K 0 1"},
		{"SADD K a", "SMOVE K other a"}, {"RPUSH K a", "LPOP K"}, {"RPUSH K a", "BLPOP K 0.01"},
		{"SET K a", "EVAL {return redis.call('DEL',KEYS[1])} 1 K"}, {"SADD K a", "SINTERSTORE K K nobody"},
		{"HSET K f v", "MULTI;HDEL K f;SET z 1;EXEC"},
	}
	c, source, target := w.conn("", 0), w.conn(w.source.Addr, 0), w.conn(w.target.Addr, 0)
	named := func(i int, line string) []string {
		args := commandOf(line)
		for j := range args {
			if args[j] == "K" {
				args[j] = fmt.Sprint("key:", i)
			}
		}
		return args
	}
	for i, x := range cases {
		w.do(c, named(i, x.before)...)
		w.do(c, named(i, "PEXPIRE K 20")...)
	}
	w.settledNow()
	w.until("expired", func(status.Status) bool { return w.do(source, "DBSIZE") == "0" })
	if n := w.do(target, "DBSIZE"); n != fmt.Sprint(len(cases)) {
		t.Errorf("%s keys live on, of %d", n, len(cases))
	}
	for i, x := range cases {
		for line := range strings.SplitSeq(x.command, ";") {
			if _, err := c.Do(t.Context(), named(i, line)...); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
	}
	w.settledNow()
	for i, x := range cases {
		if got := w.content(target, fmt.Sprint("key:", i)); got != "" {
			t.Errorf("after %s the target has %q", x.command, got)
		}
	}
}

// With `ack: both` a command that finds nothing, for the key has expired at the source, is answered when the key is gone at the
// target as well.
func TestWhatHasExpiredIsAnsweredWhenItIsGone(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) {
		c.Expiry.ExtendBy, c.Ack, c.AckTimeout = time.Hour, "both", time.Minute
	})
	w.run()
	w.synced()
	c, source, target := w.conn("", 0), w.conn(w.source.Addr, 0), w.conn(w.target.Addr, 0)
	const each = 5
	commands := []string{"DEL K", "HDEL K f", "EXPIRE K 0", "EVAL {return redis.call('DEL',KEYS[1])} 1 K", "MULTI;HDEL K f;EXEC"}
	for i := range each * len(commands) {
		w.do(c, "HSET", fmt.Sprint("key:", i), "f", "v")
		w.do(c, "PEXPIRE", fmt.Sprint("key:", i), "20")
	}
	w.until("expired", func(status.Status) bool { return w.do(source, "DBSIZE") == "0" })
	for i := range each * len(commands) {
		key := fmt.Sprint("key:", i)
		if w.content(target, key) == "" {
			t.Errorf("%s does not live on", key)
		}
		for line := range strings.SplitSeq(commands[i%len(commands)], ";") {
			args := commandOf(line)
			for j := range args {
				if args[j] == "K" {
					args[j] = key
				}
			}
			if _, err := c.Do(t.Context(), args...); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
		if got := w.content(target, key); got != "" {
			t.Errorf("when %s was answered, the target had %q", commands[i%len(commands)], got)
		}
	}
	if n := w.Status().DirtyKeys; n != 0 {
		t.Errorf("%d dirty keys", n)
	}
}

// Verify takes what lives longer on the target for equal, and what does so at the source for what it is: a key that is
// missing, an expiry that is too early.
func TestWhatLivesLongerOnTheSourceIsDifferent(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) { c.Expiry.ExtendBy = time.Hour })
	w.run()
	w.synced()
	c, source, target := w.conn("", 0), w.conn(w.source.Addr, 0), w.conn(w.target.Addr, 0)
	w.do(c, "SET", "missing", "1", "EX", "100")
	w.do(c, "SET", "early", "1", "EX", "100")
	w.do(c, "SET", "expired", "1", "EX", "100")
	w.settledNow()
	w.do(target, "DEL", "missing")
	w.do(target, "EXPIRE", "early", "10")
	w.do(target, "EXPIRE", "expired", "3000")
	w.do(source, "DEL", "expired")
	id, err := w.Verify(t.Context(), admin.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, found := w.endOf(id)
	slices.Sort(found)
	if want := []string{"0 early ttl", "0 missing missing"}; !slices.Equal(found, want) {
		t.Errorf("found %q, want %q", found, want)
	}
}

// Fields expire when they do at the source, however their expiry was given.
func TestFieldsDoNotLiveLonger(t *testing.T) {
	servers, ok := redisdtest.Find(t, "redis-8.0")
	if !ok {
		return
	}
	w := newWorld(t, redisd.Options{Binary: servers[0].Path}, redisd.Options{Binary: servers[0].Path}, func(c *config.Config) { c.Expiry.ExtendBy = time.Hour })
	w.run()
	w.synced()
	c, source, target := w.conn("", 0), w.conn(w.source.Addr, 0), w.conn(w.target.Addr, 0)
	commands := []string{
		"HSETEX H EX 1000 FIELDS 1 f 1", "HSETEX H EXAT 9999999999 FIELDS 1 f 1", "HSETEX H PXAT 9999999999999 FIELDS 1 f 1",
		"HGETEX H EXAT 9999999999 FIELDS 1 f", "HGETEX H PX 1000000 FIELDS 1 f", "HEXPIRE H 1000 FIELDS 1 f", "HPEXPIREAT H 9999999999999 FIELDS 1 f",
	}
	for i, line := range commands {
		key := fmt.Sprint("h", i)
		w.do(c, "HSET", key, "f", "1")
		w.do(c, strings.Fields(strings.Replace(line, " H ", " "+key+" ", 1))...)
	}
	w.settledNow()
	for i, line := range commands {
		key := fmt.Sprint("h", i)
		here, err := source.Do(t.Context(), "HPEXPIRETIME", key, "FIELDS", "1", "f")
		there, err2 := target.Do(t.Context(), "HPEXPIRETIME", key, "FIELDS", "1", "f")
		if err != nil || err2 != nil || here.Elems[0].Int != there.Elems[0].Int {
			t.Errorf("%s: expires at %v (%v) on the source, at %v (%v) on the target", line, here.Elems, err, there.Elems, err2)
		}
	}
	if f := w.Status().Effects.Forwarded; f < int64(2*len(commands)) {
		t.Errorf("%d effects for %d commands", f, 2*len(commands))
	}
}
