package rdb_test

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"tandem/internal/rdb"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/test/keyspace"
	"tandem/test/wire"
)

// server is one version with every form of value in it.
type server struct {
	name    string
	addr    string
	conn    *wire.Conn
	dialect *rdb.Dialect
	expires bool
}

func startServers(t *testing.T) []*server {
	t.Helper()
	var all []*server
	for _, b := range redisdtest.Binaries(t) {
		d := redisdtest.Start(t, redisd.Options{Binary: b.Path})
		conn, err := wire.Dial(d.Addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		s := &server{name: b.Name, addr: d.Addr, conn: conn}
		version, err := conn.Server()
		if err != nil {
			t.Fatal(err)
		}
		s.expires = version.HasFieldTTL()
		s.dialect = ask(t, conn)
		all = append(all, s)
	}
	return all
}

// ask asks a server what it reads.
func ask(t *testing.T, conn *wire.Conn) *rdb.Dialect {
	t.Helper()
	var ok []bool
	for _, q := range rdb.Questions() {
		reply, err := conn.Do("RESTORE", "a key that does not exist", "1", q, "ABSTTL")
		var refused wire.ServerError
		if err != nil && !errors.As(err, &refused) {
			t.Fatal(err)
		}
		ok = append(ok, err == nil && reply.Str == "OK")
	}
	d := rdb.NewDialect(ok)
	if d == nil {
		t.Fatal("the server reads nothing")
	}
	return d
}

func must(t *testing.T, conn *wire.Conn, words ...string) wire.Reply {
	t.Helper()
	reply, err := conn.Do(words...)
	if err != nil {
		t.Fatalf("%q: %v", words[:min(2, len(words))], err)
	}
	return reply
}

// Whatever a server dumps, rewritten, is the same value on every other: all types in all their forms.
func TestEveryFormBetweenAllVersions(t *testing.T) {
	servers := startServers(t)
	for _, s := range servers {
		if n := must(t, s.conn, "DBSIZE").Int; n != 0 {
			t.Errorf("%s: asking has left %d keys", s.name, n)
		}
		if s.dialect.ExpiringFields() != s.expires {
			t.Errorf("%s: expiry of fields is %v by what it reads", s.name, s.dialect.ExpiringFields())
		}
	}
	for _, from := range servers {
		must(t, from.conn, "FLUSHALL")
		if err := keyspace.FillEncodings(from.addr, ""); err != nil {
			t.Fatal(err)
		}
		for _, to := range servers {
			if to == from {
				continue
			}
			t.Run(from.name+" to "+to.name, func(t *testing.T) { rewriteAll(t, from, to) })
		}
		must(t, from.conn, "FLUSHALL")
	}
}

func rewriteAll(t *testing.T, from, to *server) {
	lost := 0
	now := time.Now().UnixMilli()
	must(t, to.conn, "FLUSHALL")
	for db := range 2 {
		must(t, from.conn, "SELECT", strconv.Itoa(db))
		must(t, to.conn, "SELECT", strconv.Itoa(db))
		for _, key := range must(t, from.conn, "KEYS", "*").Elems {
			at := max(0, now+must(t, from.conn, "PTTL", key.Str).Int)
			if at < now {
				at = 0
			}
			dump := must(t, from.conn, "DUMP", key.Str).Str
			r, err := to.dialect.Rewrite([]byte(dump), now, 64<<20)
			if err != nil {
				t.Errorf("%q: %v", key.Str, err)
				continue
			}
			lost += r.LostExpiry
			if (r.LostExpiry > 0) != (r.NextExpiry > now) {
				t.Errorf("%q: %d fields lost their expiry, the next at %d", key.Str, r.LostExpiry, r.NextExpiry)
			}
			if _, err := to.conn.Do("RESTORE", key.Str, strconv.FormatInt(at, 10), string(r.Payload), "ABSTTL"); err != nil {
				t.Errorf("RESTORE %q: %v", key.Str, err)
			}
			tooSmall, err := to.dialect.Rewrite([]byte(dump), now, int64(len(r.Payload))-20)
			if err == nil && len(tooSmall.Payload) < len(r.Payload) || err != nil && !errors.Is(err, rdb.ErrTooLarge) {
				t.Errorf("%q with too small a limit: %v", key.Str, err)
			}
		}
	}
	must(t, from.conn, "SELECT", "0")
	must(t, to.conn, "SELECT", "0")
	result, err := keyspace.Compare(from.addr, to.addr, keyspace.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Differences) > 0 || result.First < 60 {
		t.Error(result)
	}
	if want := 2 * 203; from.expires && !to.expires && lost != want || !(from.expires && !to.expires) && lost != 0 {
		t.Errorf("%d fields lost their expiry", lost)
	}
}
