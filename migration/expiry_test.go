package migration

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/redisd"
	"tandem/internal/status"
)

// Keys live longer on the target by what is configured, however their expiry has come about; nothing is made there of a key
// that has expired at the source; and verify, a cutover, a rollback and a restart take it for what it is.
func TestKeysLiveLongerOnTheTarget(t *testing.T) {
	const extend = 500 * time.Second
	w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) { c.Expiry.ExtendBy = extend })
	source, target := w.conn(w.source.Addr, 0), w.conn(w.target.Addr, 0)
	w.do(source, "SET", "old", "1", "PX", "1000000")
	w.do(source, "SET", "stays", "1")
	w.run()
	w.synced()
	c := w.conn("", 0)
	soon := strconv.FormatInt(time.Now().Add(1000*time.Second).UnixMilli(), 10)
	for _, line := range []string{
		"SET a 1 EX 1000", "SET b 1 PX 1000000", "SET c 1 PXAT " + soon, "SETEX d 1000 1",
		"SET e 1", "EXPIRE e 1000", "SET f 1", "PEXPIREAT f " + soon, "SET g 1", "GETEX g EX 1000",
		"SET h 1 EX 1000", "INCR h", "INCR h", "SET i 1 EX 1000", "RENAME i j", "SET k 1 EX 1000", "COPY k l",
		"SET m 1 EX 1000", "SET m 2 KEEPTTL", "SET n 1 EX 1000", "PERSIST n", "SET o 1 EX 1000", "SET o 2",
		"EVAL return(redis.call('SET',KEYS[1],1,'EX',1000)) 1 p", "MULTI", "SET q 1 EX 1000", "INCR q", "EXEC",
		"RPUSH r 1", "EXPIRE r 1000", "RPUSH r 2",
	} {
		w.do(c, strings.Fields(line)...)
	}
	w.settledNow()
	names := strings.Fields("old stays a b c d e f g h i j k l m n o p q r")
	sameBut := func(by time.Duration) {
		t.Helper()
		for _, name := range names {
			here, _ := strconv.ParseInt(w.do(source, "PEXPIRETIME", name), 10, 64)
			there, _ := strconv.ParseInt(w.do(target, "PEXPIRETIME", name), 10, 64)
			want := here
			if here > 0 {
				want += by.Milliseconds()
			}
			if there != want {
				t.Errorf("%s expires at %d on the source and at %d on the target: %d ms later", name, here, there, there-here)
			}
			if x, y := w.content(source, name), w.content(target, name); x != y {
				t.Errorf("%s is %q on the source, %q on the target", name, x, y)
			}
		}
	}
	sameBut(extend)
	w.compared(t)

	// What has expired at the source lives on, until a client writes to it.
	for _, name := range []string{"x:counter", "x:deleted", "x:multi", "x:left", "x:list"} {
		if name == "x:list" {
			w.do(c, "RPUSH", name, "1")
			w.do(c, "PEXPIRE", name, "30")
			continue
		}
		w.do(c, "SET", name, "100", "PX", "30")
	}
	w.settledNow()
	w.until("expired", func(status.Status) bool {
		return w.do(source, "EXISTS", "x:counter", "x:deleted", "x:multi", "x:left", "x:list") == "0"
	})
	if got := w.do(target, "EXISTS", "x:counter", "x:deleted", "x:multi", "x:left", "x:list"); got != "5" {
		t.Errorf("%s of 5 keys live on", got)
	}
	w.compared(t)
	w.do(c, "INCR", "x:counter")
	w.do(c, "DEL", "x:deleted")
	w.do(c, "MULTI")
	w.do(c, "UNLINK", "x:multi")
	w.do(c, "SET", "y", "1")
	w.do(c, "EXEC")
	w.do(c, "RPUSH", "x:list", "2")
	w.settledNow()
	for name, want := range map[string]string{"x:counter": "string 1", "x:deleted": "", "x:multi": "", "x:left": "string 100", "x:list": "list 2"} {
		if got := w.content(target, name); got != want {
			t.Errorf("%s is %q on the target, want %q", name, got, want)
		}
	}

	_ = w.stop()
	w.run()
	w.settledNow()
	sameBut(extend)
	if _, err := w.Cutover(t.Context(), admin.StepOptions{}); err != nil {
		t.Fatal(err)
	}
	c = w.conn("", 0)
	if got := w.do(c, "GET", "x:left"); got != "100" {
		t.Errorf("what had expired at the source is %q after the cutover", got)
	}
	w.compared(t)
	w.do(c, "INCR", "x:left") // which the source has not
	w.do(c, "INCR", "h")
	w.do(c, "SET", "a", "2", "EX", "1000")
	w.settledNow()
	for _, name := range []string{"x:left", "h", "a"} {
		if x, y := w.content(source, name), w.content(target, name); x != y {
			t.Errorf("reversed, %s is %q on the source, %q on the target", name, x, y)
		}
		if x, y := w.do(source, "PEXPIRETIME", name), w.do(target, "PEXPIRETIME", name); x != y {
			t.Errorf("reversed, %s expires at %s on the source, at %s on the target", name, x, y)
		}
	}
	w.compared(t)
	if _, err := w.Rollback(t.Context(), admin.StepOptions{}); err != nil {
		t.Fatal(err)
	}
	w.compared(t)
	w.do(w.conn("", 0), "SET", "a", "3", "EX", "1000")
	w.settledNow()
	here, _ := strconv.ParseInt(w.do(source, "PEXPIRETIME", "a"), 10, 64)
	if there := w.do(target, "PEXPIRETIME", "a"); there != fmt.Sprint(here+extend.Milliseconds()) {
		t.Errorf("after the rollback a expires at %s on the target, at %d on the source", there, here)
	}
	if s := w.Status(); s.Effects.Mismatched > 0 {
		t.Errorf("%d effects were not answered as expected", s.Effects.Mismatched)
	}
}
