package docs

import (
	"fmt"

	"github.com/tidwall/redcon"
)

// example is a request with what the primary answered it, and the reads behind it.
type example struct {
	request string
	reply   string
	follow  []string
}

// now is the primary's clock in the examples, Unix ms, and until is a minute later.
const (
	now   = 1767225600000
	until = now + 60000
)

// Replies, as servers send them.
const (
	ok    = "+OK\r\n"
	null  = "$-1\r\n"
	nulls = "*-1\r\n"
)

func number(n int64) string { return string(redcon.AppendInt(nil, n)) }

func text(s string) string { return string(redcon.AppendBulkString(nil, s)) }

func array(elements ...string) string {
	s := fmt.Sprintf("*%d\r\n", len(elements))
	for _, e := range elements {
		s += e
	}
	return s
}

// reads are the replies to follow-ups.
func reads(replies ...string) []string { return replies }

// examples has at least one of each command that writes.
var examples = []example{
	// strings
	{"SET k v", ok, nil},
	{"SET k v NX", null, nil},
	{"SET k v NX GET", null, nil},
	{"SET k v EX 60", ok, reads(number(until))},
	{"SET k v PXAT 1767225660000", ok, nil},
	{"SET k v KEEPTTL", ok, nil},
	{"SETEX k 60 v", ok, reads(number(until))},
	{"PSETEX k 60000 v", ok, reads(number(until))},
	{"SETNX k v", number(1), nil},
	{"GETSET k v", text("old"), nil},
	{"GETDEL k", text("v"), nil},
	{"GETEX k EX 60", text("v"), reads(number(until))},
	{"GETEX k PERSIST", text("v"), nil},
	{"DELEX k IFEQ v", number(1), nil},
	{"DELIFEQ k v", number(1), nil},
	{"MSET k v l w", ok, nil},
	{"MSETNX k v l w", number(1), nil},
	{"MSETEX 2 k v l w EX 60", number(1), reads(number(until))},
	{"APPEND k v", number(4), nil},
	{"SETRANGE k 2 v", number(4), nil},
	{"INCR n", number(7), nil},
	{"INCRBY n 5", number(12), nil},
	{"DECR n", number(11), nil},
	{"DECRBY n 5", number(6), nil},
	{"INCRBYFLOAT n 0.1", text("6.1"), nil},
	{"INCREX n EX 60", array(number(7), number(1)), reads(text("7"), number(until))},
	{"SETBIT b 7 1", number(0), nil},
	{"BITFIELD b INCRBY u8 0 1", array(number(2)), nil},
	{"BITOP AND dst b c", number(1), nil},
	{"BITOP NOT dst b", number(0), nil},
	{"PFADD h a", number(1), nil},
	{"PFADD h a", number(0), nil},
	{"PFMERGE dst h i", ok, nil},
	{"PFCOUNT h", number(3), nil},

	// hashes
	{"HSET h f v", number(1), nil},
	{"HMSET h f v", ok, nil},
	{"HSETNX h f v", number(0), nil},
	{"HDEL h f", number(1), nil},
	{"HINCRBY h f 1", number(7), nil},
	{"HINCRBYFLOAT h f 0.1", text("7.1"), reads(array(number(-1)))},
	{"HEXPIRE h 60 FIELDS 2 f g", array(number(1), number(-2)), reads(array(number(until), number(-2)))},
	{"HPEXPIRE h 60000 FIELDS 1 f", array(number(1)), reads(array(number(until)))},
	{"HEXPIREAT h 1767225660 FIELDS 1 f", array(number(1)), nil},
	{"HPEXPIREAT h 1767225660000 FIELDS 1 f", array(number(1)), nil},
	{"HPERSIST h FIELDS 1 f", array(number(1)), nil},
	{"HGETDEL h FIELDS 2 f g", array(text("v"), null), nil},
	{"HGETEX h EX 60 FIELDS 1 f", array(text("v")), reads(array(number(until)))},
	{"HSETEX h EX 60 FIELDS 1 f v", number(1), reads(array(number(until)))},

	// lists
	{"LPUSH l a", number(1), nil},
	{"RPUSH l a", number(2), nil},
	{"LPUSHX l a", number(0), nil},
	{"RPUSHX l a", number(3), nil},
	{"LINSERT l BEFORE a b", number(4), nil},
	{"LSET l 0 a", ok, nil},
	{"LREM l 1 a", number(1), nil},
	{"LTRIM l 0 9", ok, nil},
	{"LPOP l", text("a"), nil},
	{"LPOP l", null, nil},
	{"RPOP l 2", array(text("a"), text("b")), nil},
	{"LMPOP 2 l m LEFT COUNT 2", array(text("m"), array(text("a"), text("b"))), nil},
	{"RPOPLPUSH l m", text("a"), nil},
	{"LMOVE l m LEFT RIGHT", text("a"), nil},

	{"BLPOP l m 0", array(text("m"), text("a")), nil},
	{"BLPOP l 1", nulls, nil},
	{"BRPOP l 0", array(text("l"), text("a")), nil},
	{"BLMOVE l m LEFT RIGHT 0", text("a"), nil},
	{"BRPOPLPUSH l m 0", text("a"), nil},
	{"BLMPOP 0 2 l m LEFT COUNT 2", array(text("m"), array(text("a"), text("b"))), nil},

	// sets
	{"SADD s a", number(1), nil},
	{"SREM s a", number(1), nil},
	{"SPOP s 2", array(text("a"), text("b")), nil},
	{"SMOVE s t a", number(1), nil},
	{"SINTERSTORE dst s t", number(0), nil},
	{"SUNIONSTORE dst s t", number(3), nil},
	{"SDIFFSTORE dst s t", number(1), nil},

	// sorted sets
	{"ZADD z 1 a", number(1), nil},
	{"ZINCRBY z 1 a", text("2"), nil},
	{"ZREM z a", number(1), nil},
	{"ZREMRANGEBYRANK z 0 1", number(2), nil},
	{"ZREMRANGEBYSCORE z 0 1", number(0), nil},
	{"ZREMRANGEBYLEX z - +", number(3), nil},
	{"ZPOPMIN z", array(text("a"), text("1")), nil},
	{"ZPOPMAX z", array(text("b"), text("2")), nil},
	{"ZMPOP 2 z y MIN", array(text("y"), array(array(text("a"), text("1")))), nil},
	{"BZPOPMIN z y 0", array(text("y"), text("a"), text("1")), nil},
	{"BZPOPMAX z 0", array(text("z"), text("b"), text("2")), nil},
	{"BZMPOP 0 2 z y MIN", array(text("y"), array(array(text("a"), text("1")))), nil},
	{"ZRANGESTORE dst z 0 9", number(3), nil},
	{"ZDIFFSTORE dst 2 z y", number(1), nil},
	{"ZINTERSTORE dst 2 z y", number(1), nil},
	{"ZUNIONSTORE dst 3 z y x", number(3), nil},
	{"GEOADD g 13.36 38.11 Palermo", number(1), nil},
	{"GEOSEARCHSTORE dst g FROMMEMBER Palermo BYRADIUS 9 km", number(1), nil},
	{"GEORADIUS g 15 37 200 km STORE dst", number(1), nil},
	{"GEORADIUSBYMEMBER g Palermo 9 km STOREDIST dst", number(1), nil},

	// streams
	{"XADD x * f v", text("1767225600000-0"), nil},
	{"XADD x MAXLEN ~ 1000 * f v", text("1767225600000-0"), reads(number(1024))},
	{"XTRIM x MAXLEN 1000", number(24), nil},
	{"XTRIM x MAXLEN ~ 1000", number(100), reads(number(1050))},
	{"XDEL x 1-0", number(1), nil},
	{"XDELEX x DELREF IDS 1 1-0", array(number(1)), nil},
	{"XSETID x 9-0", ok, nil},
	{"XGROUP CREATE x g $", ok, nil},
	{"XGROUP SETID x g 0", ok, nil},
	{"XGROUP DESTROY x g", number(1), nil},
	{"XGROUP CREATECONSUMER x g c", number(1), nil},
	{"XGROUP DELCONSUMER x g c", number(0), nil},
	{"XREADGROUP GROUP g c STREAMS x >", array(array(text("x"), array(array(text("1-0"), array(text("f"), text("v")))))),
		reads(array(array(text("name"), text("g"), text("last-delivered-id"), text("1-0"), text("entries-read"), number(1))))},
	{"XACK x g 1-0", number(1), nil},
	{"XACKDEL x g IDS 1 1-0", array(number(1)), nil},
	{"XCLAIM x g c 60000 1-0", array(array(text("1-0"), array(text("f"), text("v")))), nil},
	{"XAUTOCLAIM x g c 60000 0", array(text("0-0"), array(array(text("1-0"), array(text("f"), text("v")))), array()), nil},
	{"XNACK x g FAIL IDS 1 1-0", number(1), nil},
	{"XCFGSET x IDMP-DURATION 60", ok, nil},
	{"XIDMPRECORD x p i 1-0", ok, nil},

	// keys
	{"DEL k l", number(1), nil},
	{"UNLINK k", number(0), nil},
	{"EXPIRE k 60", number(1), reads(number(until))},
	{"PEXPIRE k 60000", number(1), reads(number(until))},
	{"EXPIREAT k 1767225660", number(1), nil},
	{"PEXPIREAT k 1767225660000", number(1), nil},
	{"PERSIST k", number(1), nil},
	{"RENAME k l", ok, nil},
	{"RENAMENX k l", number(0), nil},
	{"COPY k l", number(1), nil},
	{"MOVE k 1", number(1), nil},
	{"RESTORE k 60000 dump", ok, reads(number(until))},
	{"SORT l STORE dst", number(3), nil},
	{"SORT l BY w_* STORE dst", number(3), nil},
	{"FLUSHDB", ok, nil},
	{"FLUSHALL", ok, nil},
	{"SWAPDB 0 1", ok, nil},

	// scripts and functions
	{"EVAL return(redis.call('INCR',KEYS[1])) 1 n", number(8), nil},
	{"EVALSHA 6a935716be7afd629d740d55c8ec5faf2298e9d5 1 n", number(9), nil},
	{"EVALSHA ffffffffffffffffffffffffffffffffffffffff 1 n", "-NOSCRIPT No matching script. Please use EVAL.\r\n", nil},
	{"FCALL f 1 n", number(10), nil},

	// what administers a server and changes keys
	{"MIGRATE 10.0.0.9 6379 k 0 1000", ok, nil},
	{"MIGRATE 10.0.0.9 6379 k 0 1000", "+NOKEY\r\n", nil},
	{"RESTORE-ASKING k 60000 dump", ok, reads(number(until))},
	{"PFDEBUG TODENSE h", number(1), nil},
	{"DEBUG SLEEP 1", ok, nil},
	{"DEBUG RELOAD", ok, nil},
	{"REPLICAOF NO ONE", ok, nil},
	{"SLAVEOF NO ONE", ok, nil},
	{"SFLUSH 0 16383", array(), nil},
	{"TRIMSLOTS RANGES 1 0 100", ok, nil},
	{"CLUSTER FLUSHSLOT 7", ok, nil},
	{"CLUSTER MIGRATESLOTS SLOTSRANGE 0 100 NODE id", ok, nil},
	{"CLUSTER MIGRATION IMPORT 0 100", text("id"), nil},
	{"CLUSTER REPLICATE id", ok, nil},
	{"CLUSTER RESET HARD", ok, nil},

	// arrays and vector sets
	{"ARSET a 0 v", number(1), nil},
	{"ARMSET a 0 v 1 w", number(2), nil},
	{"ARINSERT a v", number(0), nil},
	{"ARRING a 10 v", number(0), nil},
	{"ARSEEK a 5", number(1), nil},
	{"ARDEL a 0", number(1), nil},
	{"ARDELRANGE a 0 9", number(0), nil},
	{"VADD v VALUES 2 1.0 0.5 a", number(1), nil},
	{"VREM v a", number(1), nil},
	{"VSETATTR v a {}", number(1), nil},
}

// everywhereExamples has at least one of each command that is executed on both servers.
var everywhereExamples = []example{
	{"SCRIPT LOAD return(1)", text("930269f31393d0be681588b6ab08dccee7d6bb67"), nil},
	{"SCRIPT FLUSH", ok, nil},
	{"FUNCTION LOAD code", text("lib"), nil},
	{"FUNCTION DELETE lib", ok, nil},
	{"FUNCTION FLUSH", ok, nil},
	{"FUNCTION RESTORE payload", ok, nil},
}
