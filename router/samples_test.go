package router

import (
	"math/rand"
	"strconv"
	"strings"
	"time"
)

// samples are invocations of every command that writes, in every form. A word of alternatives ("NX|XX|")
// becomes one of them, an empty one nothing; a placeholder becomes something random of its kind, with * one
// to three of them:
//
//	{s} {n} {l} {e} {z} {h} {x} {p} {geo}  a key of that type: string, number, list, set, sorted set, hash,
//	                                       stream, HyperLogLog, geo index
//	{lex}   a sorted set whose members have one score
//	{k}     a key of any type
//	{v} {i} {f} {fin} {m} {fld} {fv}       value, integer, float, finite float (an infinite increment leaves
//	                                       an empty hash behind on 6.0), member, field, field and value
//	{sm} {gm}                              score and member, coordinates and member
//	{sec} {ms} {at} {pat}                  a time to live in seconds, in ms, and the same as Unix times
//	{id} {old} {pend}                      a stream id to come, one that may be there, one that is pending
//	{grp} {con}                            group and consumer
//	{dump}                                 a payload for RESTORE
var samples = []string{
	// strings
	"SET {s} {v}", "SET {n} {i}", "SET {k} {v}", "SET {s} {v} NX|XX|", "SET {s} {v} NX|XX| GET",
	"SET {s} {v} GET NX|XX|", "SET {s} {v} EX {sec}", "SET {s} {v} PX {ms} NX|XX|", "SET {s} {v} EXAT {at}",
	"SET {s} {v} PXAT {pat} GET", "SET {s} {v} KEEPTTL", "SET {s} {v} NX KEEPTTL", "SET {s} {v} XX KEEPTTL GET",
	"SET {s} {v} GET EX {sec} NX|XX|", "SET {s} {v} IFEQ {v}", "SET {s} {v} IFEQ {v} GET EX|KEEPTTL {sec}",
	"set {s} {v} ex {sec} nx", "SET {s} {v} BOGUS", "SETEX {s} {sec} {v}", "PSETEX {s} {ms} {v}", "SETNX {s} {v}",
	"GETSET {s} {v}", "GETDEL {s}", "GETEX {s}", "GETEX {s} EX {sec}", "GETEX {s} PX {ms}", "GETEX {s} EXAT {at}",
	"GETEX {s} PXAT {pat}", "GETEX {s} PERSIST", "DELIFEQ {s} {v}",
	"MSET {s} {v} {s} {v}", "MSET {k} {v}", "MSETNX {s} {v} {s} {v}", "MSETEX 2 {s} {v} {s} {v}",
	"MSETEX 1 {s} {v} EX {sec} NX|XX|", "MSETEX 2 {s} {v} {s} {v} NX|XX| PX {ms}", "MSETEX 1 {s} {v} KEEPTTL NX|XX|",
	"MSETEX 1 {s} {v} PXAT {pat}", "APPEND {s} {v}", "APPEND {s} |", "SETRANGE {s} 0|3|9 {v}", "SETRANGE {s} 4 |",
	"INCR {n}", "INCRBY {n} {i}", "DECR {n}", "DECRBY {n} {i}", "INCRBYFLOAT {n} {f}", "INCR {k}",
	"SETBIT {s} 3|70|400 0|1", "BITFIELD {s} SET u8 0 {i}", "BITFIELD {s} GET u8 0",
	"BITFIELD {s} OVERFLOW FAIL INCRBY u2 200 3 GET u4 0", "BITFIELD {s} OVERFLOW SAT INCRBY i5 4 {i} SET u4 9 3",
	"BITOP AND|OR|XOR {s} {s} {s}", "BITOP NOT {s} {s}", "BITOP DIFF|ONE {s} {s} {s}", "PFADD {p} {m*}", "PFADD {p}",
	"PFMERGE {p} {p} {p}", "PFMERGE {p}", "PFCOUNT {p}", "PFCOUNT {p} {p}",
	// hashes
	"HSET {h} {fv*}", "HSET {h} {fv*}", "HMSET {h} {fv*}", "HSETNX {h} {fld} {v}", "HDEL {h} {fld*}",
	"HINCRBY {h} {fld} {i}", "HINCRBYFLOAT {h} {fld} {fin}", "HEXPIRE {h} {sec} FIELDS 2 {fld} {fld}",
	"HEXPIRE {h} {sec} NX|XX|GT|LT FIELDS 1 {fld}", "HPEXPIRE {h} {ms} FIELDS 1 {fld}",
	"HPEXPIRE {h} {ms} NX|XX|GT|LT FIELDS 2 {fld} {fld}", "HEXPIREAT {h} {at} FIELDS 1 {fld}",
	"HPEXPIREAT {h} {pat} NX|XX|GT|LT| FIELDS 2 {fld} {fld}", "HPERSIST {h} FIELDS 2 {fld} {fld}",
	"HGETDEL {h} FIELDS 2 {fld} {fld}", "HGETEX {h} FIELDS 1 {fld}", "HGETEX {h} EX {sec} FIELDS 2 {fld} {fld}",
	"HGETEX {h} PX {ms} FIELDS 1 {fld}", "HGETEX {h} EXAT {at} FIELDS 1 {fld}", "HGETEX {h} PXAT {pat} FIELDS 1 {fld}",
	"HGETEX {h} PERSIST FIELDS 2 {fld} {fld}", "HSETEX {h} FIELDS 1 {fv}", "HSETEX {h} FNX|FXX| FIELDS 2 {fv} {fv}",
	"HSETEX {h} EX {sec} FIELDS 2 {fv} {fv}", "HSETEX {h} FNX|FXX| PX {ms} FIELDS 1 {fv}",
	"HSETEX {h} PXAT {pat} FIELDS 1 {fv}", "HSETEX {h} EXAT {at} FIELDS 1 {fv}", "HSETEX {h} KEEPTTL FIELDS 2 {fv} {fv}",
	// lists
	"LPUSH {l} {v*}", "RPUSH {l} {v*}", "RPUSH {l} {i} {i} {i}", "LPUSHX {l} {v}", "RPUSHX {l} {v*}",
	"LINSERT {l} BEFORE|AFTER {v} {v}", "LSET {l} 0|-1|5 {v}", "LREM {l} 0|1|-2 {v}", "LTRIM {l} 0|1 3|-2|-1",
	"LPOP {l}", "RPOP {l}", "LPOP {l} 0|2|9", "RPOP {l} 1|3", "LMPOP 1 {l} LEFT|RIGHT",
	"LMPOP 2 {l} {l} LEFT|RIGHT COUNT 2", "RPOPLPUSH {l} {l}", "LMOVE {l} {l} LEFT|RIGHT LEFT|RIGHT",
	// sets
	"SADD {e} {m*}", "SADD {e} {m*}", "SADD {e} {i} {i}", "SREM {e} {m*}", "SPOP {e}", "SPOP {e} 0|2|20",
	"SMOVE {e} {e} {m}", "SINTERSTORE {e} {e} {e}", "SUNIONSTORE {e} {e} {e}", "SDIFFSTORE {e} {e} {e}",
	// sorted sets
	"ZADD {z} {sm*}", "ZADD {z} NX|XX| CH| {sm*}", "ZADD {z} GT|LT| CH| {sm*}", "ZADD {z} XX GT {sm}",
	"ZADD {z} INCR {sm}", "ZADD {z} NX|XX|GT|LT INCR {sm}", "ZINCRBY {z} {f} {m}", "ZREM {z} {m*}",
	"ZREMRANGEBYRANK {z} 0|1|-2 1|-1", "ZREMRANGEBYSCORE {z} -inf|(1 {f}", "ZADD {lex} 0 {m} 0 {m} 0 {m}",
	"ZREMRANGEBYLEX {lex} -|[b [m|(x|+", "ZPOPMIN {z}", "ZPOPMAX {z} 0|2|9", "ZMPOP 1 {z} MIN|MAX",
	"ZMPOP 2 {z} {z} MIN|MAX COUNT 3", "ZRANGESTORE {z} {z} 0|1 2|-1", "ZRANGESTORE {z} {z} (1 +inf BYSCORE LIMIT 0 2",
	"ZRANGESTORE {z} {z} 5 0 BYSCORE REV", "ZDIFFSTORE {z} 2 {z} {z}", "ZINTERSTORE {z} 2 {z} {z} WEIGHTS 2 {f}",
	"ZUNIONSTORE {z} 1 {z}", "ZUNIONSTORE {z} 2 {z} {z} AGGREGATE MIN|MAX|SUM", "ZUNIONSTORE {z} 2 {z} {e}",
	"ZUNIONSTORE {z} 3 {z} {z} {z}", "ZUNIONSTORE {z} 3 {z} {z} {z} AGGREGATE MAX", "ZINTERSTORE {z} 3 {z} {z} {z}",
	// geo
	"GEOADD {geo} {gm*}", "GEOADD {geo} NX|XX| CH| {gm*}", "GEOSEARCHSTORE {z} {geo} FROMLONLAT 15 37 BYRADIUS 300 km ASC|DESC|",
	"GEOSEARCHSTORE {z} {geo} FROMMEMBER Palermo BYBOX 400 400 km", "GEOSEARCHSTORE {z} {geo} FROMLONLAT 15 37 BYRADIUS 300 km STOREDIST",
	"GEORADIUS {geo} 15 37 200 km", "GEORADIUS {geo} 15 37 200 km STORE {z}", "GEORADIUS {geo} 15 37 200 km COUNT 1 STORE {z}",
	"GEORADIUS {geo} 15 37 200 km STOREDIST {z}", "GEORADIUSBYMEMBER {geo} Palermo 200 km ASC|DESC| STORE {z}",
	"GEORADIUSBYMEMBER {geo} Palermo 200 km",
	// streams
	"XADD {x} * {fv*}", "XADD {x} * {fv}", "XADD {x} {id} {fv}", "XADD {x} NOMKSTREAM * {fv}", "XADD {x} MAXLEN = 5 * {fv}",
	"XADD {x} MAXLEN 4 {id} {fv}", "XADD {x} MAXLEN ~ 3 * {fv}", "XADD {x} MAXLEN ~ 3 LIMIT 0|10 * {fv}",
	"XADD {x} MINID ~ {old} * {fv}", "XADD {x} MINID = {old} * {fv}", "XADD {x} NOMKSTREAM MAXLEN ~ 2 * {fv}",
	"XTRIM {x} MAXLEN 3", "XTRIM {x} MAXLEN = 2", "XTRIM {x} MAXLEN ~ 1", "XTRIM {x} MAXLEN ~ 0 LIMIT 0|1", "XTRIM {x} MINID {old}",
	"XTRIM {x} MINID ~ {old}", "XDEL {x} {old} {old}", "XSETID {x} 99999999999999-0|1-1|{id}",
	"XSETID {x} {id} ENTRIESADDED 900 MAXDELETEDID 0-3", "XGROUP CREATE {x} {grp} $|0|{old} MKSTREAM|",
	"XGROUP CREATE {x} {grp} 0 MKSTREAM", "XGROUP CREATE {x} {grp} 0 MKSTREAM", "XGROUP CREATE {x} {grp} 0 MKSTREAM ENTRIESREAD 3", "XGROUP SETID {x} {grp} $|0|{old}", "XGROUP SETID {x} {grp} {old} ENTRIESREAD 2",
	"XGROUP DESTROY {x} {grp}", "XGROUP CREATECONSUMER {x} {grp} {con}", "XGROUP DELCONSUMER {x} {grp} {con}",
	"XREADGROUP GROUP {grp} {con} COUNT 1|2|5 STREAMS {x} >", "XREADGROUP GROUP {grp} {con} STREAMS {x} >",
	"XREADGROUP GROUP {grp} {con} NOACK STREAMS {x} >", "XREADGROUP GROUP {grp} {con} COUNT 2 STREAMS {x} 0|{old}",
	"XREADGROUP GROUP {grp} {con} COUNT 2 STREAMS {x} {x} > >|0", "XACK {x} {grp} {old} {old}",
	"XCLAIM {x} {grp} {con} 0 {old} {old} {old}", "XCLAIM {x} {grp} {con} 0 {old} {old} JUSTID",
	"XCLAIM {x} {grp} {con} 0 {old} {old} IDLE 5000 RETRYCOUNT 7", "XCLAIM {x} {grp} {con} 0 {old} FORCE TIME 1700000000000",
	"XCLAIM {x} {grp} {con} 3600000 {old} {old}", "XCLAIM {x} {grp} {con} 0 {pend} {old} {pend} {pend}",
	"XCLAIM {x} {grp} {con} 0 {pend} {pend} JUSTID", "XCLAIM {x} {grp} {con} 3600000 {pend} {pend}", "XACK {x} {grp} {pend}", "XCLAIM {x} {grp} {con} 0 {old} LASTID {old} JUSTID FORCE",
	"XAUTOCLAIM {x} {grp} {con} 0 0 COUNT 2", "XAUTOCLAIM {x} {grp} {con} 0 {old} JUSTID", "XAUTOCLAIM {x} {grp} {con} 3600000 0",
	// generic and expiry
	"DEL {k}", "DEL {k} {k}", "UNLINK {k} {k}", "EXPIRE {k} {sec}", "EXPIRE {k} {sec} NX|XX|GT|LT", "PEXPIRE {k} {ms}",
	"PEXPIRE {k} {ms} NX|XX|GT|LT", "EXPIREAT {k} {at}", "PEXPIREAT {k} {pat} NX|XX|GT|LT|", "PERSIST {k}", "RENAME {k} {k}",
	"RENAMENX {k} {k}", "COPY {k} {k}", "COPY {k} {k} REPLACE", "COPY {k} {k} DB 1|2 REPLACE|", "MOVE {k} 1|2",
	"RESTORE {k} 0 {dump}", "RESTORE {k} {ms} {dump} REPLACE", "RESTORE {k} {pat} {dump} REPLACE ABSTTL",
	"RESTORE {k} 0 {dump} REPLACE IDLETIME 100", "RESTORE-ASKING {k} {ms} {dump} REPLACE", "PFDEBUG TODENSE|ENCODING|GETREG {p}", "SORT {l} ALPHA", "SORT {l} ALPHA STORE {l}", "SORT {e} BY nosort STORE {l}",
	"SORT {l} LIMIT 0 2 ALPHA DESC STORE {l}", "SORT {z} ALPHA GET # STORE {l}", "SORT {e} BY w_* ALPHA GET {v} STORE {l}",
	"SORT {n} STORE {l}",
	// arity and form mistakes, which a server must refuse
	"SET {s}", "MSET {s} {v} {s}", "LMPOP 0 {l} LEFT", "LMPOP 3 {l} LEFT", "ZUNIONSTORE {z} 5 {z}", "XREADGROUP GROUP {grp} {con} STREAMS {x}",
	"COPY {k} {k} DB x", "MOVE {k} nowhere", "RENAME {k}",
}

// blockingSamples are invocations of commands that block, but not in a transaction.
var blockingSamples = []string{
	"BLPOP {l} 0|1", "BRPOP {l} {l} 0", "BLPOP {l} {l} {k} 1.5", "BLMPOP 0 1 {l} LEFT|RIGHT", "BLMPOP 0 2 {l} {l} LEFT|RIGHT COUNT 2",
	"BLMOVE {l} {l} LEFT|RIGHT LEFT|RIGHT 0", "blmove {l} {l} right left 0", "BRPOPLPUSH {l} {l} 0", "BZPOPMIN {z} 0", "BZPOPMAX {z} {z} 0",
	"BZMPOP 0 1 {z} MIN|MAX", "BZMPOP 0 2 {z} {z} MIN|MAX COUNT 2", "BLPOP {l} x", "BLMPOP 0 3 {l} LEFT",
	"XREADGROUP GROUP {grp} {con} BLOCK 0 STREAMS {x} >", "XREADGROUP GROUP {grp} {con} BLOCK 0 COUNT 1 BLOCK 5 STREAMS {x} {x} > >|0",
	"XREADGROUP GROUP {grp} {con} NOACK BLOCK 3 STREAMS {x} >", "XREAD BLOCK 0 STREAMS {x} 0|$",
}

// scriptSamples run scripts that write what they declare, some until an error, and some nothing.
var scriptSamples = []string{
	"EVAL redis.call('SET',KEYS[1],ARGV[1]) 1 {s} {v}", "EVAL redis.call('RPUSH',KEYS[1],'x');redis.call('INCR',KEYS[2]) 2 {l} {k}",
	"EVAL return(redis.pcall('SADD',KEYS[1],1,2)) 1 {k}", "EVAL redis.call('DEL',KEYS[1]);error('oops') 1 {k}", "EVAL return(1) 0",
	"EVAL redis.call('EXPIRE',KEYS[1],500);return(redis.pcall('INCR',KEYS[2])) 2 {k} {l}", "EVAL nonsense( 1 {k}", "EVALSHA none 1 {k}", "EVAL return(1) 3 {k}",
	"EVAL redis.call('SET',KEYS[1],'x');return{err='NOPERM'} 1 {k}", "FCALL none 1 {k}",
}

// vector samples need the vector set module; their effect is a copy.
var vectorSamples = []string{
	"VADD vec VALUES 3 0.1 {f} 2 {m}", "VREM vec {m}", "VSETATTR vec {m} {}", "VADD vec VALUES 2 1 2 {m}",
}

// sampler fills samples in. Equal seeds make equal requests, but for the times.
type sampler struct {
	*rand.Rand
	dumps []string // payloads that {dump} chooses from
	ids   int64
	slow  bool // no time to live of a moment
	wide  bool // many members and fields, so that keys outgrow their compact encodings
}

func (r *sampler) pick(of ...string) string { return of[r.Intn(len(of))] }

// request fills in one sample.
func (r *sampler) request(sample string) [][]byte {
	var words []string
	for word := range strings.FieldsSeq(sample) {
		if strings.Contains(word, "|") {
			word = r.pick(strings.Split(word, "|")...)
			if word == "" && !strings.HasSuffix(sample, " |") {
				continue
			}
		}
		if !strings.HasPrefix(word, "{") || word == "{}" {
			words = append(words, word)
			continue
		}
		name, many := strings.CutSuffix(strings.Trim(word, "{}"), "*")
		times := 1
		if many {
			times += r.Intn(3)
			if r.wide {
				times += r.Intn(150)
			}
		}
		for range times {
			words = append(words, r.fill(name)...)
		}
	}
	return request(words...)
}

// keyTypes are the placeholders of keys by type; there are three keys of each. The sets with one score are
// not among them, and so never become anything else: of others the servers say themselves that a range by
// name is unspecified.
var keyTypes = []string{"s", "n", "l", "e", "z", "h", "x", "p", "geo"}

func (r *sampler) fill(name string) []string {
	now := time.Now().UnixMilli()
	if r.wide {
		switch name {
		case "m", "fld":
			return []string{name + strconv.Itoa(r.Intn(400))}
		case "fv":
			return []string{r.fill("fld")[0], r.pick("1", "2.5", "text")}
		case "sm":
			return []string{strconv.Itoa(r.Intn(50)) + r.pick("", ".1", ".25", "e-3"), r.fill("m")[0]}
		}
	}
	switch name {
	case "k":
		return []string{r.pick(keyTypes...) + r.pick("1", "2", "3")}
	case "s", "n", "l", "e", "z", "h", "x", "p", "geo", "lex":
		if r.Intn(25) == 0 && name != "lex" {
			return r.fill("k") // a key of another type, mostly
		}
		return []string{name + r.pick("1", "2", "3")}
	case "v":
		return []string{r.pick("", "a", "b", "hello", "12", "3.5", "x\r\ny", strings.Repeat("long", 40))}
	case "i":
		return []string{r.pick("0", "1", "-1", "7", "1000", "9223372036854775807", "x")}
	case "f":
		return []string{r.pick("0", "0.1", "-2.5", "3", "1e3", "7.25", "inf", "nonsense")}
	case "fin":
		return []string{r.pick("0", "0.1", "-2.5", "3", "1e3", "7.25", "nonsense")}
	case "m":
		return []string{r.pick("a", "b", "c", "d", "m1", "10", "20", strings.Repeat("member", 20))}
	case "fld":
		return []string{r.pick("f1", "f2", "f3", "f4")}
	case "fv":
		return []string{r.pick("f1", "f2", "f3", "f4"), r.pick("1", "2.5", "text", "")}
	case "sm":
		return []string{r.pick("0", "1", "-1.5", "0.1", "2.7182818284590452", "5", "inf"), r.fill("m")[0]}
	case "gm":
		return r.pick3("13.361389 38.115556 Palermo", "15.087269 37.502669 Catania", "12.758489 38.788135 edge1", "190 99 nowhere")
	case "sec":
		return []string{r.pick("100", "1000", "5000", "100000", "0", "-5", "x")}
	case "ms":
		if r.slow {
			return []string{r.pick("100000", "1000000", "0")}
		}
		return []string{r.pick("100000", "1000000", "5000000", "1", "0", "-5")}
	case "at":
		return []string{strconv.FormatInt(now/1000+int64(r.Intn(5000))+100, 10)}
	case "pat":
		if r.Intn(4) == 0 {
			return []string{r.pick("1", "-10", "1000000", strconv.FormatInt(now-100000, 10))}
		}
		return []string{strconv.FormatInt(now+100000+int64(r.Intn(5000000)), 10)}
	case "id":
		r.ids++
		return []string{r.pick(strconv.FormatInt(now, 10)+"-"+strconv.FormatInt(r.ids, 10), "7-*", strconv.FormatInt(r.ids, 10), "0-0")}
	case "old":
		r.ids++
		return []string{r.pick("0-1", "5", strconv.FormatInt(now-int64(r.Intn(3000)), 10), "{last}", "{last}", "{first}", "{second}")}
	case "bound", "any", "pend":
		return []string{"{" + name + "}"}
	case "grp":
		return []string{r.pick("g1", "g2")}
	case "con":
		return []string{r.pick("c1", "c2", "c3")}
	case "dump":
		if len(r.dumps) == 0 || r.Intn(8) == 0 {
			return []string{"bad payload"}
		}
		return []string{r.pick(r.dumps...)}
	}
	panic("no placeholder " + name)
}

func (r *sampler) pick3(of ...string) []string { return strings.Fields(r.pick(of...)) }
