package test

import (
	"strings"
	"testing"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/test/wire"
)

// conversation is what a client may say with the same answer from any server in the same state: commands of
// every group, with their errors, wrong types and odd arguments.
const conversation = `
PING | PING hello | ECHO hello | PING a b | ECHO
SET s v | GET s | GET none | SET s v2 XX | SET s v3 NX | SET s | SET s v EX | SET s v EX 0 | SET s v EX abc | SET s v PX 90000 EX 5
GETSET s v4 | APPEND s xyz | STRLEN s | SETRANGE s 1 ZZ | GETRANGE s 0 -1 | GETRANGE s 5 2 | SUBSTR s 0 1 | SETNX s no | SETNX fresh yes
MSET a 1 b 2 c | MSET a 1 b 2 | MGET a b none s | MSETNX a 1 z 2 | MSETNX y 1 z 2 | INCR a | INCRBY a 10 | DECR a | DECRBY a 3 | INCR s | INCRBY a abc
INCRBY a 9223372036854775807 | INCRBYFLOAT f 1.5 | INCRBYFLOAT f 1e400 | INCRBYFLOAT s 1 | SETEX e 100 v | SETEX e 0 v | PSETEX e 100000 v | GETDEL e | GETDEL none
GETEX a PERSIST | SETBIT bits 7 1 | SETBIT bits 7 2 | GETBIT bits 7 | BITCOUNT bits | BITPOS bits 1 | BITOP NOT nbits bits | BITFIELD bits GET u4 0 INCRBY u2 100 1
DEL a b none | UNLINK c z | EXISTS s s none | TYPE s | TYPE none | RENAME none x | RENAME s s2 | RENAMENX s2 f | RENAME s2 s | COPY s s3 | COPY s s3 | COPY s s
EXPIRE s 1000 | EXPIRE none 1000 | EXPIRE s abc | EXPIRE s 500 GT | EXPIRE s 500 LT | PERSIST s | PERSIST s | TTL s | TTL none | PTTL s | EXPIREAT s 99999999999 | PERSIST s
TOUCH s none | RANDOMKEY x | OBJECT ENCODING s | OBJECT ENCODING none | OBJECT HELP x y
HSET h a 1 b 2 | HSET h a | HSET s a 1 | HGET h a | HGET h none | HGET s a | HMGET h a none b | HGETALL h | HGETALL none | HINCRBY h a 5 | HINCRBY h a x | HINCRBYFLOAT h a 0.5
HSETNX h a 9 | HSETNX h c 3 | HDEL h c none | HLEN h | HEXISTS h a | HKEYS h | HVALS h | HSTRLEN h a | HRANDFIELD none | HSCAN h 0
RPUSH l a b c | LPUSH l z | LPUSHX none x | RPUSHX l d | LRANGE l 0 -1 | LRANGE l 2 1 | LINDEX l 0 | LINDEX l 99 | LSET l 0 y | LSET l 99 y | LSET none 0 y | LINSERT l BEFORE b bb
LREM l 1 c | LTRIM l 0 10 | LLEN l | LLEN s | LPOP l | LPOP l 2 | LPOP l 0 | LPOP none | LPOP none 2 | RPOP l | RPOPLPUSH l l2 | LMOVE l2 l LEFT RIGHT | LMOVE l2 l UP DOWN | LPOS l bb | RPUSH s x
SADD t a b c | SADD t a | SREM t c none | SISMEMBER t a | SMISMEMBER t a z | SCARD t | SADD u b | SINTER t u | SINTERCARD 2 t u | SDIFF t u | SUNIONSTORE w t u | SMOVE t u a | SMOVE t u none | SPOP none | SPOP u 0 | SADD s x | SMEMBERS none
ZADD z 1 a 2 b 3 c | ZADD z 1 | ZADD z x a | ZADD z NX XX 1 a | ZADD z GT CH 5 a | ZADD z INCR 1 a | ZADD z XX INCR 1 none | ZINCRBY z 0.5 b | ZSCORE z b | ZSCORE z none | ZMSCORE z a none | ZRANGE z 0 -1 | ZRANGE z 0 -1 WITHSCORES
ZRANGEBYSCORE z -inf (5 LIMIT 0 2 | ZREVRANGE z 0 0 | ZRANK z a | ZRANK z none | ZCARD z | ZCOUNT z 1 5 | ZPOPMIN z | ZPOPMAX z 2 | ZPOPMIN none | ZADD lex 0 a 0 b 0 c | ZRANGEBYLEX lex [a (c | ZREMRANGEBYLEX lex [a [a | ZREMRANGEBYSCORE lex 5 9 | ZUNIONSTORE zz 2 z lex | ZUNIONSTORE zz 0 z | ZRANGESTORE zs lex 0 -1 | ZADD z inf x | ZINCRBY z -inf x
GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania | GEOADD g 999 0 x | GEODIST g Palermo Catania km | GEOHASH g Palermo | GEOPOS g Palermo none | GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km ASC | GEOSEARCHSTORE gs g FROMLONLAT 15 37 BYRADIUS 200 km
PFADD p a b c | PFADD p a | PFCOUNT p | PFADD q d | PFMERGE r p q | PFCOUNT r | PFCOUNT s
XADD x 1-1 f v | XADD x 1-1 f v | XADD x 2-* f v | XADD x 3-1 f | XADD x NOMKSTREAM 4-1 f v | XADD none NOMKSTREAM 4-1 f v | XLEN x | XRANGE x - + | XRANGE x - + COUNT 1 | XREVRANGE x + - | XDEL x 1-1 9-9 | XTRIM x MAXLEN 1 | XREAD COUNT 1 STREAMS x 0 | XREAD STREAMS x $
XGROUP CREATE x g 0 | XGROUP CREATE x g 0 | XGROUP CREATE none g 0 | XREADGROUP GROUP g c STREAMS x > | XREADGROUP GROUP g c STREAMS x > | XREADGROUP GROUP nog c STREAMS x > | XPENDING x nog | XACK x g 4-1 | XACK x g 4-1 | XGROUP DELCONSUMER x g c | XGROUP DESTROY x g | XGROUP DESTROY x g | XSETID x 9-9 | XADD x 5-1 f v
MULTI | SET m 1 | INCR m | GET m | EXEC | MULTI | INCR s | SET m 5 | EXEC | MULTI | NOSUCHARGS | SET m | EXEC | GET m | MULTI | SET m 7 | DISCARD | GET m | EXEC | DISCARD | MULTI | MULTI | EXEC
SELECT 3 | SET three 3 | DBSIZE | SELECT abc | SELECT 99999 | GET three | MOVE three 4 | SELECT 4 | GET three | FLUSHDB | DBSIZE | SELECT 0 | DBSIZE | SWAPDB 0 99999
SORT l ALPHA | SORT s | SORT l STORE sorted ALPHA | LRANGE sorted 0 -1 | SORT l BY nosort GET # | DUMP none | RESTORE bad 0 notadump | KEYS nomatch* | LCS s s3 | SETRANGE s -1 x | SETBIT bits -1 1
CLIENT GETNAME | CLIENT SETNAME bob | CLIENT GETNAME | CLIENT SETNAME a~b | GET | get s | Get s extra | ZADD | LRANGE l a b | EXPIRE s
FLUSHALL | DBSIZE`

// A client cannot tell the proxy from the server by any reply, whatever the phase: the same conversation, as
// single commands and as one pipeline, has the same replies as with a bare server, byte for byte as far as a
// client can see.
func TestRepliesAreTheServersOwn(t *testing.T) {
	var cmds [][]string
	for _, line := range strings.Split(strings.TrimSpace(conversation), "\n") {
		for _, cmd := range strings.Split(line, "|") {
			cmds = append(cmds, strings.Fields(cmd))
		}
	}
	w := newWorld(t, worldOptions{})
	bare := redisdtest.Start(t, redisd.Options{})
	for _, phase := range []string{"passthrough", "synced", "reversed"} {
		switch phase {
		case "synced":
			w.td.Step("start")
			w.td.WaitSynced()
		case "reversed":
			w.td.SwitchOver("cutover")
		}
		for _, pipelined := range []bool{false, true} {
			name := map[bool]string{false: "one by one", true: "in a pipeline"}[pipelined]
			want, got := converse(t, bare.Addr, cmds, pipelined), converse(t, w.td.Addr, cmds, pipelined)
			for i := range cmds {
				if unsupported(cmds[i]) {
					continue
				}
				if want[i].Kind != got[i].Kind || want[i].String() != got[i].String() {
					t.Errorf("in %s, %s: %q\nthe server answers %c %s\nthe proxy  answers %c %s", phase, name, cmds[i],
						want[i].Kind, want[i], got[i].Kind, got[i])
				}
			}
		}
	}
	in(t, w.td.Addr, 0, "SET last word") // so that there is something to compare
	w.mustBeEqual()
}

// unsupported are commands that no server has: the proxy refuses them in its own words, but must refuse them.
func unsupported(cmd []string) bool { return cmd[0] == "NOSUCHARGS" }

func converse(t *testing.T, addr string, cmds [][]string, pipelined bool) []wire.Reply {
	t.Helper()
	c := dial(t, addr)
	if pipelined {
		replies, err := c.DoMany(cmds)
		if err != nil {
			t.Fatal(err)
		}
		return replies
	}
	replies := make([]wire.Reply, len(cmds))
	for i, cmd := range cmds {
		c.Send(cmd...)
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		var err error
		if replies[i], err = c.Receive(); err != nil {
			t.Fatalf("%q: %v", cmd, err)
		}
	}
	return replies
}

// What the proxy does not support yet is refused with an error that names it, and never reaches the server.
func TestDeniedCommandsAreRefusedByName(t *testing.T) {
	w := newWorld(t, worldOptions{keys: 100})
	c := dial(t, w.td.Addr)
	for _, cmd := range []string{"NOSUCHCOMMAND x", "SHUTDOWN NOSAVE", "REPLICAOF localhost 1", "SLAVEOF localhost 1", "MIGRATE h 1 k 0 1",
		"FAILOVER", "SYNC", "PSYNC ? -1", "REPLCONF listening-port 1"} {
		args := strings.Fields(cmd)
		c.Send(args...)
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		reply, err := c.Receive()
		if err != nil {
			t.Fatalf("%s: %v", cmd, err)
		}
		if !reply.IsErr() || !strings.Contains(strings.ToUpper(reply.Str), args[0]) {
			t.Errorf("%s: %s, want an error that names it", cmd, reply)
		}
	}
	if role := do(t, w.source.Addr, "ROLE"); !strings.HasPrefix(role.String(), "[master") && !strings.Contains(role.String(), "master") {
		t.Errorf("the source is %s now", role)
	}
}
