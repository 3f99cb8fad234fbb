package chaos

import (
	"fmt"
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

// mixed is one command.
func mixed(r *rand.Rand) []string {
	key := func(kind string) string { return "mix:" + kind + ":" + strconv.Itoa(r.IntN(6)) }
	word := func() string { return "w" + strconv.Itoa(r.IntN(30)) }
	number := func(n int) string { return strconv.Itoa(r.IntN(n)) }
	life := func() string {
		if r.IntN(3) == 0 {
			return strconv.Itoa(3_600_000 + r.IntN(1000))
		}
		return strconv.Itoa(1 + r.IntN(int(shortLife.Milliseconds())))
	}
	kinds := []string{"string", "hash", "list", "set", "zset", "stream"}
	kind := kinds[r.IntN(len(kinds))]
	if r.IntN(8) == 0 { // of keys of any type
		return [][]string{
			{"DEL", key(kind)}, {"UNLINK", key(kind), key(kind)}, {"PEXPIRE", key(kind), life()}, {"PERSIST", key(kind)},
			{"RENAME", key(kind), key(kind)}, {"COPY", key(kind), key(kind), "REPLACE"}, {"EXPIRE", key(kind), "4000", "NX"},
			{"PEXPIREAT", key(kind), strconv.FormatInt(time.Now().UnixMilli()+int64(r.IntN(2000)), 10)}, {"RENAMENX", key(kind), key(kind)},
		}[r.IntN(9)]
	}
	switch kind {
	case "string":
		k := key("string")
		return [][]string{
			{"SET", k, word()}, {"SET", k, number(100), "PX", life()}, {"SET", k, word(), "NX", "PX", life()}, {"APPEND", k, word()},
			{"SETRANGE", k, number(50), word()}, {"GETDEL", k}, {"GETEX", k, "PX", life()}, {"GETSET", k, number(100)}, {"INCRBYFLOAT", k, "0.25"},
			{"SETBIT", k, number(200), "1"}, {"BITOP", "OR", k, key("string"), key("string")}, {"MSET", k, word(), key("string"), word()},
			{"PSETEX", k, life(), word()}, {"SET", k, word(), "KEEPTTL"}, {"INCR", k}, {"MSETNX", k, word(), key("string"), word()},
		}[r.IntN(16)]
	case "hash":
		k := key("hash")
		return [][]string{{"HSET", k, word(), word(), word(), word()}, {"HDEL", k, word(), word()}, {"HINCRBY", k, "n", number(9)},
			{"HINCRBYFLOAT", k, "f", "1.5"}, {"HSETNX", k, word(), word()}}[r.IntN(5)]
	case "list":
		k := key("list")
		return [][]string{{"RPUSH", k, word(), word()}, {"LPUSH", k, word()}, {"LPOP", k}, {"RPOP", k, "2"}, {"LTRIM", k, "0", "40"},
			{"LINSERT", k, "BEFORE", word(), word()}, {"LREM", k, "1", word()}, {"LSET", k, "0", word()}, {"LMOVE", k, key("list"), "LEFT", "RIGHT"},
			{"RPUSHX", k, word()}, {"SORT", k, "ALPHA", "STORE", key("list")}}[r.IntN(11)]
	case "set":
		k := key("set")
		return [][]string{{"SADD", k, word(), word(), word()}, {"SREM", k, word()}, {"SPOP", k}, {"SPOP", k, "3"}, {"SMOVE", k, key("set"), word()},
			{"SUNIONSTORE", k, key("set"), key("set")}, {"SDIFFSTORE", k, key("set"), key("set")}, {"SINTERSTORE", k, key("set"), key("set")}}[r.IntN(8)]
	case "zset":
		k := key("zset")
		return [][]string{{"ZADD", k, number(100), word(), number(100), word()}, {"ZINCRBY", k, "0.1", word()}, {"ZREM", k, word()}, {"ZPOPMIN", k},
			{"ZADD", k, "GT", "CH", number(100), word()}, {"ZREMRANGEBYRANK", k, "20", "-1"}, {"ZUNIONSTORE", k, "2", key("zset"), key("zset")},
			{"ZRANGESTORE", k, key("zset"), "0", "10"}}[r.IntN(8)]
	default:
		k := key("stream")
		return [][]string{{"XADD", k, "*", "f", word()}, {"XADD", k, "MAXLEN", "~", "50", "*", "f", word()}, {"XTRIM", k, "MAXLEN", "60"},
			{"XGROUP", "CREATE", k, "g", "0", "MKSTREAM"}, {"XREADGROUP", "GROUP", "g", "c" + number(2), "COUNT", "2", "STREAMS", k, ">"},
			{"XAUTOCLAIM", k, "g", "c" + number(2), "10", "0", "COUNT", "2"}, {"XGROUP", "DELCONSUMER", k, "g", "c" + number(2)},
			{"XACK", k, "g", fmt.Sprintf("%d-0", time.Now().UnixMilli())}}[r.IntN(8)]
	}
}

func (m *mixture) check(server *wire.Conn) (wrong []string, err error) { return nil, nil }

func (m *mixture) summary() string { return m.tally.String() }
