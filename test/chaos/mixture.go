package chaos

import (
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"tandem/test/wire"
)

// mixture are clients that do a little of everything, on few keys, so that effects of many kinds meet on each. What
// they are answered is not judged: their keys count in the comparison of both servers.
type mixture struct {
	mu    sync.Mutex
	tally tally
}

const (
	mixtureLoad = 4
	// shortest times to live end in the run, and all that are not long ones have ended at its comparison.
	shortLife = 3 * time.Second
)

func newMixture() *mixture { return &mixture{} }

func (m *mixture) name() string { return "mixture" }

func (m *mixture) prepare(string) error { return nil }

func (m *mixture) clients() (all []func(*client)) {
	for i := range mixtureLoad {
		all = append(all, func(c *client) { m.play(c, i) })
	}
	return all
}

func (m *mixture) play(c *client, who int) {
	c.careless = true
	database := 0
	for c.going() {
		if c.conn == nil {
			database = 0
		}
		if who%2 == 1 && c.r.IntN(40) == 0 || who%2 == 1 && c.conn == nil {
			database = 1 - database
			if _, o := c.do("SELECT", strconv.Itoa(database)); o != done {
				c.drop()
				continue
			}
		}
		n := 1
		if c.r.IntN(4) == 0 {
			n = 2 + c.r.IntN(20)
		}
		commands := make([][]string, n)
		for i := range commands {
			commands[i] = mixed(c.r)
		}
		_, o := c.batch(commands)
		m.mu.Lock()
		m.tally.add(o)
		m.mu.Unlock()
		c.rest(time.Duration(c.r.IntN(50)) * time.Millisecond)
	}
}

// mixed is one command. Servers that do not know it refuse it.
func mixed(r *rand.Rand) []string {
	key := func(kind string) string { return "mix:" + kind + ":" + strconv.Itoa(r.IntN(6)) }
	word := func() string { return "w" + strconv.Itoa(r.IntN(30)) }
	number := func(n int) string { return strconv.Itoa(r.IntN(n)) }
	ago := func(n int) string { return strconv.FormatInt(time.Now().UnixMilli()-int64(r.IntN(n)), 10) }
	pick := func(all ...[]string) []string { return all[r.IntN(len(all))] }
	life := func() string {
		if r.IntN(3) == 0 {
			return strconv.Itoa(3_600_000 + r.IntN(1000))
		}
		return strconv.Itoa(1 + r.IntN(int(shortLife.Milliseconds())))
	}
	kinds := []string{"string", "hash", "list", "set", "zset", "stream", "hll"}
	kind := kinds[r.IntN(len(kinds))]
	if r.IntN(8) == 0 { // of keys of any type
		k := key(kind)
		return pick([]string{"DEL", k}, []string{"UNLINK", k, key(kind)}, []string{"PEXPIRE", k, life()}, []string{"PERSIST", k},
			[]string{"RENAME", k, key(kind)}, []string{"COPY", k, key(kind), "REPLACE"}, []string{"EXPIRE", k, "4000", "NX"},
			[]string{"PEXPIREAT", k, strconv.FormatInt(time.Now().UnixMilli()+int64(r.IntN(2000)), 10)}, []string{"RENAMENX", k, key(kind)},
			[]string{"PEXPIRE", k, life(), "GT"}, []string{"MOVE", k, number(2)}, []string{"COPY", k, key(kind), "DB", number(2)})
	}
	k := key(kind)
	switch kind {
	case "string":
		return pick([]string{"SET", k, word()}, []string{"SET", k, number(100), "PX", life()}, []string{"SET", k, word(), "NX", "PX", life()},
			[]string{"APPEND", k, word()}, []string{"SETRANGE", k, number(50), word()}, []string{"GETDEL", k}, []string{"GETEX", k, "PX", life()},
			[]string{"GETSET", k, number(100)}, []string{"INCRBYFLOAT", k, "0.25"}, []string{"SETBIT", k, number(200), "1"},
			[]string{"BITOP", "OR", k, key("string"), key("string")}, []string{"MSET", k, word(), key("string"), word()},
			[]string{"PSETEX", k, life(), word()}, []string{"SET", k, word(), "KEEPTTL"}, []string{"INCR", k},
			[]string{"MSETNX", k, word(), key("string"), word()}, []string{"BITFIELD", k, "INCRBY", "u8", "#" + number(9), "7"},
			[]string{"SET", k, word(), "XX", "GET"})
	case "hll":
		return pick([]string{"PFADD", k, word(), word()}, []string{"PFMERGE", k, key("hll"), key("hll")}, []string{"PFCOUNT", k, key("hll")}, []string{"PFCOUNT", k})
	case "hash":
		return pick([]string{"HSET", k, word(), word(), word(), word()}, []string{"HDEL", k, word(), word()}, []string{"HINCRBY", k, "n", number(9)},
			[]string{"HINCRBYFLOAT", k, "f", "1.5"}, []string{"HSETNX", k, word(), word()},
			[]string{"HPEXPIRE", k, life(), "FIELDS", "2", word(), word()}, []string{"HPERSIST", k, "FIELDS", "1", word()},
			[]string{"HGETDEL", k, "FIELDS", "1", word()}, []string{"HSETEX", k, "PX", life(), "FIELDS", "1", word(), word()})
	case "list":
		return pick([]string{"RPUSH", k, word(), word()}, []string{"LPUSH", k, word()}, []string{"LPOP", k}, []string{"RPOP", k, "2"},
			[]string{"LTRIM", k, "0", "40"}, []string{"LINSERT", k, "BEFORE", word(), word()}, []string{"LREM", k, "1", word()},
			[]string{"LSET", k, "0", word()}, []string{"LMOVE", k, key("list"), "LEFT", "RIGHT"}, []string{"RPUSHX", k, word()},
			[]string{"SORT", k, "ALPHA", "STORE", key("list")}, []string{"LMPOP", "2", k, key("list"), "LEFT", "COUNT", "2"})
	case "set":
		return pick([]string{"SADD", k, word(), word(), word()}, []string{"SREM", k, word()}, []string{"SPOP", k}, []string{"SPOP", k, "3"},
			[]string{"SMOVE", k, key("set"), word()}, []string{"SUNIONSTORE", k, key("set"), key("set")},
			[]string{"SDIFFSTORE", k, key("set"), key("set")}, []string{"SINTERSTORE", k, key("set"), key("set")}, []string{"SADD", k, number(50), number(50)})
	case "zset":
		return pick([]string{"ZADD", k, number(100), word(), number(100), word()}, []string{"ZINCRBY", k, "0.1", word()}, []string{"ZREM", k, word()},
			[]string{"ZPOPMIN", k}, []string{"ZADD", k, "GT", "CH", number(100), word()}, []string{"ZREMRANGEBYRANK", k, "20", "-1"},
			[]string{"ZUNIONSTORE", k, "2", key("zset"), key("zset")}, []string{"ZRANGESTORE", k, key("zset"), "0", "10"},
			[]string{"GEOADD", k, "13." + number(90), "38." + number(90), word()}, []string{"ZADD", k, "NX", "INCR", "2", word()},
			[]string{"ZMPOP", "2", k, key("zset"), "MAX", "COUNT", "2"}, []string{"ZDIFFSTORE", k, "2", key("zset"), key("zset")})
	default:
		return pick([]string{"XADD", k, "*", "f", word()}, []string{"XADD", k, "MAXLEN", "~", "50", "*", "f", word()}, []string{"XTRIM", k, "MAXLEN", "60"},
			[]string{"XGROUP", "CREATE", k, "g", "0", "MKSTREAM"}, []string{"XREADGROUP", "GROUP", "g", "c" + number(2), "COUNT", "2", "STREAMS", k, ">"},
			[]string{"XAUTOCLAIM", k, "g", "c" + number(2), "10", "0", "COUNT", "2"}, []string{"XGROUP", "DELCONSUMER", k, "g", "c" + number(2)},
			[]string{"XACK", k, "g", ago(1) + "-0"}, []string{"XDEL", k, ago(30) + "-0", ago(30) + "-0"}, []string{"XGROUP", "SETID", k, "g", "$"},
			[]string{"XCLAIM", k, "g", "c" + number(2), "0", ago(30) + "-0", ago(30) + "-0"}, []string{"XTRIM", k, "MINID", ago(5000)},
			[]string{"XGROUP", "DESTROY", k, "g"})
	}
}

func (m *mixture) check(server *wire.Conn) (wrong []string, err error) { return nil, nil }

func (m *mixture) summary() string { return m.tally.String() }
