package router

import (
	"strings"
	"testing"
)

// scripts are sequences that random requests hit too rarely: each a case in which an effect that looks right
// is not. What a version does not know it refuses, and nothing happens.
var scripts = []struct{ name, commands string }{
	{"claims of which some entries are no more", `
		XADD s 1-1 f v; XADD s 2-1 f v; XADD s 3-1 f v; XADD s 4-1 f v; XGROUP CREATE s g 0
		XREADGROUP GROUP g c1 STREAMS s >; XDEL s 2-1; XDEL s 4-1
		XCLAIM s g c2 0 1-1 2-1 3; XCLAIM s g c2 0 3-1 4-1 JUSTID; XCLAIM s g c3 0 9-9; XPENDING s g`},
	{"a claim of nothing but what is no more", `
		XADD s 1-1 f v; XADD s 2-1 f v; XGROUP CREATE s g 0; XREADGROUP GROUP g c1 STREAMS s >; XDEL s 1-1
		XCLAIM s g c2 0 1-1; XCLAIM s g c1 0 1-1; XCLAIM s g c1 99999999 2-1`},
	{"an automatic claim that drops entries", `
		XADD s 1-1 f v; XADD s 2-1 f v; XADD s 3-1 f v; XGROUP CREATE s g 0; XREADGROUP GROUP g c1 STREAMS s >
		XDEL s 2-1; XAUTOCLAIM s g c2 0 0 COUNT 2; XAUTOCLAIM s g c3 0 2-2 JUSTID; XAUTOCLAIM s g c4 9999999 0`},
	{"claims that set the last id, the time and the count", `
		XADD s 1-1 f v; XADD s 2-1 f v; XADD s 3-1 f v; XGROUP CREATE s g 0
		XCLAIM s g c 0 1-1 FORCE LASTID 2-1; XCLAIM s g c 0 8-8 LASTID 3-1; XCLAIM s g c 0 1-1 IDLE 5000 RETRYCOUNT 9
		XCLAIM s g d 0 1-1 2-1 TIME 1600000000000 FORCE JUSTID; XREADGROUP GROUP g c STREAMS s >`},
	{"a group on a trimmed stream", `
		XADD s 1-1 f v; XADD s 2-1 f v; XADD s 3-1 f v; XADD s 4-1 f v; XGROUP CREATE s g 0; XTRIM s MAXLEN 2
		XREADGROUP GROUP g c COUNT 1 STREAMS s >; XDEL s 4-1; XADD s 5-1 f v; XREADGROUP GROUP g c STREAMS s >
		XGROUP SETID s g 3-1; XREADGROUP GROUP g c NOACK STREAMS s >`},
	{"a consumer's own entries, read again", `
		XADD s 1-1 f v; XADD s 2-1 f v; XGROUP CREATE s g 0; XREADGROUP GROUP g c STREAMS s >; XDEL s 1-1
		XREADGROUP GROUP g c STREAMS s 0; XREADGROUP GROUP g c COUNT 1 STREAMS s 1-1; XREADGROUP GROUP g other STREAMS s 0`},
	{"several streams of which some have nothing", `
		XGROUP CREATE s g 0 MKSTREAM; XGROUP CREATE t g 0 MKSTREAM; XADD s 1-1 f v
		XREADGROUP GROUP g c STREAMS t s > >; XREADGROUP GROUP g d STREAMS t s > 0; XREADGROUP GROUP g e STREAMS s t > >`},
	{"a stream with nothing in it", `
		XGROUP CREATE s g $ MKSTREAM; XADD s MAXLEN 0 * f v; XTRIM s MAXLEN 0; XADD s NOMKSTREAM * f v; DEL s; XADD s NOMKSTREAM * f v`},
	{"a list that is rotated keeps its expiry", `
		RPUSH l only; EXPIRE l 500; LMOVE l l LEFT RIGHT; RPOPLPUSH l l; LMOVE l l RIGHT RIGHT; LMPOP 1 l LEFT`},
	{"a list that ends and begins anew loses it", "RPUSH l a; EXPIRE l 500; LPOP l; RPUSH l b; PERSIST l"},
	{"KEEPTTL on a key with and without an expiry", `
		SET k a EX 500; SET k b KEEPTTL; SET k c XX KEEPTTL; SET k d XX KEEPTTL GET; SET k e NX KEEPTTL; SET k f
		SET k g KEEPTTL; DEL k; SET k h NX KEEPTTL; GETSET k i; INCRBYFLOAT k 1; SET n 5 EX 500; INCRBYFLOAT n 1.5; INCR n`},
	{"conditions answered with the old value", `
		SET k a GET; SET k b NX GET; SET k b XX GET EX 500; DEL k; SET k c XX GET; SET k c NX GET PX 500000; SET k d GET KEEPTTL`},
	{"conditions on the value", "SET k a; SET k b IFEQ x; SET k b IFEQ a EX 500; SET k c IFEQ b GET; SET k d IFEQ x GET; DELIFEQ k x; DELIFEQ k c"},
	{"conditions on the expiry", `
		SET k v; EXPIRE k 500 XX; EXPIRE k 500 NX; EXPIRE k 100 GT; EXPIRE k 900 GT; PEXPIRE k 5000 LT; EXPIREAT k 9999999999 GT
		PEXPIREAT k 1 LT; SET k v; GETEX k PXAT 1; SET k v; EXPIRE k -1; SET k v PXAT 1; SET k v EXAT 9999999999; GETEX k PERSIST`},
	{"scores that change and members that do not", "ZADD z 1 a 2 b; ZADD z 3 a; ZADD z CH 3 a; ZADD z NX 9 a; ZADD z XX 4 a; ZADD z GT CH 1 a; ZADD z LT 1 a; ZADD z XX INCR 2 a; ZADD z NX INCR 2 a; ZINCRBY z inf b"},
	{"a store from nothing deletes", "SADD s a; SADD d x; SINTERSTORE d s none; SDIFFSTORE d none s; ZADD z 1 a; SORT none STORE z; ZADD z 1 a; ZINTERSTORE z 2 none s; BITOP AND s none none; PFMERGE p"},
	{"a store into one of its sources", "SADD a 1 2 3; SADD b 2 3; SDIFFSTORE a a b; ZADD x 1 m 2 n; ZADD y 5 m; ZUNIONSTORE x 2 x y; ZRANGESTORE x x 0 0; SUNIONSTORE a a a; BITOP NOT a a"},
	{"a string that grows though the operation is refused", "BITFIELD k OVERFLOW FAIL INCRBY u2 400 9; BITFIELD k OVERFLOW FAIL SET u8 0 300 GET u8 0; SETRANGE k 60 x; SETRANGE none 5 |; SETBIT k 999 0; APPEND e |"},
	{"fields that expire", `
		HSET h a 1 b 2 c 3 d 4; HEXPIRE h 500 FIELDS 2 a b; HEXPIRE h 0 FIELDS 1 c; HEXPIRE h 900 GT FIELDS 3 a b none; HINCRBYFLOAT h a 1.5
		HINCRBY h b 1; HPERSIST h FIELDS 2 a b; HPEXPIREAT h 1 FIELDS 2 a d; HSETEX h EX 500 FIELDS 2 x 1 y 2; HSETEX h KEEPTTL FIELDS 3 x 3 z 4 x 5
		HSETEX h FNX FIELDS 1 x 9; HSETEX h FXX PXAT 1 FIELDS 1 x 9; HGETEX h PERSIST FIELDS 2 y none; HGETEX h EX 0 FIELDS 1 z; HSET h y 1; HGETDEL h FIELDS 3 y z b`},
	{"a field that has expired, set anew", "HSET h a 1 b 2; HPEXPIRE h 1 FIELDS 1 a; HSETEX h KEEPTTL FIELDS 1 a 5; HPEXPIRE h 1 FIELDS 1 a; HINCRBYFLOAT h a 1; HPEXPIRE h 1 FIELDS 1 a; HSETNX h a 7"},
	{"keys moved and copied with their expiries", "SET k v EX 500; RENAME k l; COPY l m; COPY l m REPLACE; MOVE l 1; MOVE l 1; RENAMENX m n; RENAME n n; HSET h f v; HEXPIRE h 500 FIELDS 1 f; RENAME h i; COPY i j"},
	{"a member moved to where it is", "SADD a x y; SADD b x; SMOVE a b x; SMOVE a a y; SMOVE a b none; SPOP a 9; SPOP a 1"},
	{"several keys of which one is in the way", "MSETNX a 1 b 2; MSETNX b 3 c 4; MSET a 1 a 2; DEL a none b; UNLINK none; MSETEX 2 a 1 b 2 EX 500; MSETEX 2 b 1 c 2 NX; MSETEX 1 a 9 KEEPTTL; MSETEX 1 a 9 XX PXAT 1"},
	{"a HyperLogLog whose count is stored in it", "PFADD p a b c; PFCOUNT p; PFADD p a; PFADD p d; PFMERGE q p; PFCOUNT q; PFCOUNT p q; PFADD e; PFCOUNT e; PFCOUNT none"},
}

// TestScripts runs each script on every pair, comparing after each command.
func TestScripts(t *testing.T) {
	for _, pair := range pairs {
		t.Run(pair.from+" to "+pair.to, func(t *testing.T) {
			from, to, ok := pairOf(t, pair.from, pair.to)
			if !ok {
				return
			}
			p := newReplay(t, 1, from, to)
			for _, s := range scripts {
				for _, line := range strings.FieldsFunc(s.commands, func(r rune) bool { return r == ';' || r == '\n' }) {
					words := strings.Fields(strings.ReplaceAll(line, "|", `""`))
					if len(words) == 0 {
						continue
					}
					args := request(words...)
					if string(args[len(args)-1]) == `""` {
						args[len(args)-1] = nil
					}
					p.step(args)
				}
				for _, k := range []*conn{p.a, p.b, p.c} {
					k.must("FLUSHALL")
				}
				p.mayExpire = map[string]bool{}
			}
		})
	}
}
