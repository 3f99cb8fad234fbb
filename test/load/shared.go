package load

import (
	"fmt"
	"strconv"

	"tandem/test/keyspace"
	"tandem/test/wire"
)

// The commands on shared keys. Any client may have changed, deleted or renamed the key in between, so only
// errors are wrong, and of those not the ones that a missing key explains.

// sharedOp makes one command for a key of a kind.
type sharedOp struct {
	kind   keyspace.Kind
	weight int
	args   func(g *gen, key string) []string
	ok     check
	since  func(wire.Server) bool // nil: every server has it
}

// gen is what the commands are made from.
type gen struct {
	c *client
}

func (g *gen) n(max int) string             { return strconv.Itoa(g.c.rand.IntN(max)) }
func (g *gen) from(min, max int) string     { return strconv.Itoa(min + g.c.rand.IntN(max)) }
func (g *gen) field() string                { return "f" + g.n(8) }
func (g *gen) value() string                { return "w" + g.n(1_000_000) }
func (g *gen) other(k keyspace.Kind) string { return g.c.load.cfg.Layout.Pick(g.c.rand, k, g.c.db) }
func cmd(args ...string) func(*gen, string) []string {
	return func(_ *gen, key string) []string {
		full := make([]string, 0, len(args)+1)
		return append(append(append(full, args[0]), key), args[1:]...)
	}
}

// Where a shared command meets a key that others deleted or a group that is gone.
var (
	noKey   = unless("ERR no such key")
	notSame = unless("ERR source and destination objects are the same")
	noGroup = unless("NOGROUP", "ERR The XGROUP subcommand requires the key to exist", "ERR no such key", "BUSYGROUP")
)

// sharedOps is the table. A deleted key comes back with the next command that makes one.
var sharedOps = []sharedOp{
	{keyspace.Counter, 12, cmd("INCR"), anything, nil},
	{keyspace.Counter, 3, cmd("DECRBY", "7"), anything, nil},
	{keyspace.Counter, 3, cmd("INCRBY", "11"), anything, nil},
	{keyspace.Counter, 2, cmd("GET"), anything, nil},
	{keyspace.Counter, 1, func(g *gen, k string) []string { return []string{"SET", k, g.n(1000), "EX", g.from(1, 100)} }, anything, nil},
	{keyspace.Counter, 1, func(g *gen, k string) []string { return []string{"GETSET", k, g.n(1000)} }, anything, nil},
	{keyspace.Text, 6, func(g *gen, k string) []string { return []string{"APPEND", k, g.value()} }, anything, nil},
	{keyspace.Text, 4, func(g *gen, k string) []string { return []string{"SET", k, g.value()} }, anything, nil},
	{keyspace.Text, 3, func(g *gen, k string) []string { return []string{"SET", k, g.value(), "NX", "PX", g.from(1, 60_000)} }, anything, nil},
	{keyspace.Text, 1, func(g *gen, k string) []string { return []string{"SET", k, g.value(), "XX", "KEEPTTL"} }, anything, nil},
	{keyspace.Text, 2, func(g *gen, k string) []string { return []string{"SET", k, g.value(), "XX", "GET"} }, anything, wire.Server.HasGetDel},
	{keyspace.Text, 2, cmd("GETDEL"), anything, wire.Server.HasGetDel},
	{keyspace.Text, 1, cmd("GETEX", "EX", "900"), anything, wire.Server.HasGetDel},
	{keyspace.Text, 1, func(g *gen, k string) []string { return []string{"SETRANGE", k, g.n(30), "xyz"} }, anything, nil},
	{keyspace.Text, 1, func(g *gen, k string) []string {
		return []string{"MSET", k, g.value(), g.other(keyspace.Text), g.value()}
	}, anything, nil},
	{keyspace.Text, 1, func(g *gen, k string) []string { return []string{"MGET", k, g.other(keyspace.Text)} }, anything, nil},
	{keyspace.Long, 2, func(g *gen, k string) []string { return []string{"SETRANGE", k, g.n(2000), g.value()} }, anything, nil},
	{keyspace.Long, 2, cmd("STRLEN"), anything, nil},
	{keyspace.Binary, 2, cmd("GETRANGE", "0", "10"), anything, nil},
	{keyspace.Binary, 1, cmd("SET", "\r\n$5\r\n\x00\xff"), anything, nil},
	{keyspace.Hash, 8, cmd("HINCRBY", "n", "5"), anything, nil},
	{keyspace.Hash, 2, cmd("HINCRBYFLOAT", "x", "0.25"), anything, nil},
	{keyspace.Hash, 3, func(g *gen, k string) []string { return []string{"HSET", k, g.field(), g.value()} }, anything, nil},
	{keyspace.Hash, 1, func(g *gen, k string) []string { return []string{"HSETNX", k, g.field(), g.value()} }, anything, nil},
	{keyspace.Hash, 2, func(g *gen, k string) []string { return []string{"HDEL", k, g.field()} }, anything, nil},
	{keyspace.Hash, 2, cmd("HGETALL"), anything, nil},
	{keyspace.BigHash, 1, cmd("HINCRBY", "n", "1"), anything, nil},
	{keyspace.FieldTTL, 2, cmd("HINCRBY", "n", "5"), anything, nil},
	{keyspace.FieldTTL, 2, func(g *gen, k string) []string { return []string{"HSET", k, g.field(), g.value()} }, anything, nil},
	{keyspace.FieldTTL, 3, func(g *gen, k string) []string {
		return []string{"HPEXPIRE", k, g.from(1, 90_000), "FIELDS", "2", g.field(), "f0"}
	}, anything, wire.Server.HasFieldTTL},
	{keyspace.FieldTTL, 1, func(g *gen, k string) []string { return []string{"HPERSIST", k, "FIELDS", "1", g.field()} }, anything, wire.Server.HasFieldTTL},
	{keyspace.FieldTTL, 1, func(g *gen, k string) []string {
		return []string{"HEXPIRE", k, g.from(1, 900), "GT", "FIELDS", "1", g.field()}
	}, anything, wire.Server.HasFieldTTL},
	{keyspace.List, 5, func(g *gen, k string) []string { return []string{"LPUSH", k, g.value()} }, anything, nil},
	{keyspace.List, 3, func(g *gen, k string) []string { return []string{"RPUSH", k, g.value(), g.value()} }, anything, nil},
	{keyspace.List, 1, func(g *gen, k string) []string { return []string{"LPUSHX", k, g.value()} }, anything, nil},
	{keyspace.List, 5, cmd("LPOP"), anything, nil},
	{keyspace.List, 4, cmd("RPOP"), anything, nil},
	{keyspace.List, 1, cmd("LTRIM", "0", "30"), anything, nil},
	{keyspace.List, 2, func(g *gen, k string) []string { return []string{"RPOPLPUSH", k, g.other(keyspace.List)} }, anything, nil},
	{keyspace.List, 1, cmd("LRANGE", "0", "-1"), anything, nil},
	{keyspace.BigList, 1, func(g *gen, k string) []string { return []string{"LPUSH", k, g.value()} }, anything, nil},
	{keyspace.BigList, 1, cmd("RPOP"), anything, nil},
	{keyspace.IntSet, 3, func(g *gen, k string) []string { return []string{"SADD", k, g.n(100_000)} }, anything, nil},
	{keyspace.IntSet, 2, cmd("SPOP"), anything, nil},
	{keyspace.Set, 4, func(g *gen, k string) []string { return []string{"SADD", k, g.value(), g.value()} }, anything, nil},
	{keyspace.Set, 4, cmd("SPOP", "2"), anything, nil},
	{keyspace.Set, 1, func(g *gen, k string) []string { return []string{"SMOVE", k, g.other(keyspace.Set), g.value()} }, anything, nil},
	{keyspace.Set, 1, func(g *gen, k string) []string {
		return []string{"SUNIONSTORE", k, g.other(keyspace.Set), g.other(keyspace.Set)}
	}, anything, nil},
	{keyspace.Set, 1, cmd("SCARD"), anything, nil},
	{keyspace.BigSet, 1, cmd("SPOP"), anything, nil},
	{keyspace.ZSet, 7, func(g *gen, k string) []string { return []string{"ZINCRBY", k, "1.5", "z" + g.n(20)} }, anything, nil},
	{keyspace.ZSet, 3, func(g *gen, k string) []string { return []string{"ZADD", k, g.n(100), g.value()} }, anything, nil},
	{keyspace.ZSet, 1, func(g *gen, k string) []string { return []string{"ZADD", k, "GT", "CH", g.n(100), "z" + g.n(20)} }, anything, wire.Server.HasGetDel},
	{keyspace.ZSet, 3, cmd("ZPOPMIN"), anything, nil},
	{keyspace.ZSet, 1, cmd("ZREMRANGEBYRANK", "30", "-1"), anything, nil},
	{keyspace.ZSet, 1, cmd("ZRANGE", "0", "-1", "WITHSCORES"), anything, nil},
	{keyspace.BigZSet, 1, func(g *gen, k string) []string { return []string{"ZINCRBY", k, "1", "z" + g.n(20)} }, anything, nil},
	{keyspace.Geo, 1, func(g *gen, k string) []string { return []string{"GEOADD", k, g.n(180), g.n(80), "place" + g.n(9)} }, anything, nil},
	{keyspace.Stream, 3, func(g *gen, k string) []string { return []string{"XADD", k, "*", "v", g.value()} }, anything, nil},
	{keyspace.Stream, 2, func(g *gen, k string) []string { return []string{"XADD", k, "MAXLEN", "~", "60", "*", "v", g.value()} }, anything, nil},
	{keyspace.Stream, 2, func(g *gen, k string) []string { return []string{"XADD", k, "MAXLEN", "20", "*", "v", g.value()} }, anything, nil},
	{keyspace.Stream, 4, func(g *gen, k string) []string {
		return []string{"XREADGROUP", "GROUP", "g", "c" + g.n(3), "COUNT", "3", "STREAMS", k, ">"}
	}, noGroup, nil},
	{keyspace.Stream, 2, func(g *gen, k string) []string {
		return []string{"XACK", k, "g", "1001-1", "100" + g.n(9) + "-" + g.n(9)}
	}, anything, nil},
	{keyspace.Stream, 1, cmd("XTRIM", "MAXLEN", "10"), anything, nil},
	{keyspace.Stream, 1, func(g *gen, k string) []string {
		return []string{"XCLAIM", k, "g", "c" + g.n(3), "0", "1001-1", "1002-2"}
	}, noGroup, nil},
	{keyspace.Stream, 1, func(g *gen, k string) []string { return []string{"XGROUP", "CREATE", k, "g" + g.n(3), "$", "MKSTREAM"} }, noGroup, nil},
	{keyspace.Stream, 1, func(g *gen, k string) []string { return []string{"XGROUP", "DELCONSUMER", k, "g", "c" + g.n(3)} }, noGroup, nil},
	{keyspace.BigStream, 1, func(g *gen, k string) []string { return []string{"XADD", k, "MAXLEN", "~", "300", "*", "v", g.value()} }, anything, nil},
	{keyspace.HLL, 2, func(g *gen, k string) []string { return []string{"PFADD", k, g.value()} }, anything, nil},
	{keyspace.HLL, 1, cmd("PFCOUNT"), anything, nil},
	{keyspace.HLL, 1, func(g *gen, k string) []string { return []string{"PFMERGE", k, g.other(keyspace.HLL)} }, anything, nil},
	{keyspace.Bitmap, 2, func(g *gen, k string) []string { return []string{"SETBIT", k, g.n(4000), g.n(2)} }, anything, nil},
	{keyspace.Bitmap, 1, func(g *gen, k string) []string {
		return []string{"BITFIELD", k, "INCRBY", "u8", "#" + g.n(20), "1", "OVERFLOW", "FAIL", "INCRBY", "u4", "3", "1"}
	}, anything, nil},
	{keyspace.Bitmap, 1, func(g *gen, k string) []string { return []string{"BITOP", "XOR", k, k, g.other(keyspace.Bitmap)} }, anything, nil},
}

// anyKind are the commands for a key of whatever kind.
var anyKind = []struct {
	weight int
	args   func(g *gen, k keyspace.Kind, key string) []string
	ok     check
	since  func(wire.Server) bool
}{
	{4, func(_ *gen, _ keyspace.Kind, key string) []string { return []string{"DEL", key} }, anything, nil},
	{2, func(g *gen, k keyspace.Kind, key string) []string { return []string{"UNLINK", key, g.other(k)} }, anything, nil},
	{6, func(g *gen, _ keyspace.Kind, key string) []string { return []string{"EXPIRE", key, g.from(1, 5000)} }, anything, nil},
	{2, func(g *gen, _ keyspace.Kind, key string) []string { return []string{"PEXPIRE", key, g.n(3000)} }, anything, nil},
	{3, func(_ *gen, _ keyspace.Kind, key string) []string { return []string{"PERSIST", key} }, anything, nil},
	{4, func(g *gen, k keyspace.Kind, key string) []string { return []string{"RENAME", key, g.other(k)} }, noKey, nil},
	{1, func(g *gen, k keyspace.Kind, key string) []string { return []string{"RENAMENX", key, g.other(k)} }, noKey, nil},
	{2, func(g *gen, k keyspace.Kind, key string) []string {
		return []string{"COPY", key, g.other(k), "REPLACE"}
	}, notSame, wire.Server.HasGetDel},
	{2, func(_ *gen, _ keyspace.Kind, key string) []string { return []string{"TTL", key} }, anything, nil},
	{2, func(_ *gen, _ keyspace.Kind, key string) []string { return []string{"TYPE", key} }, anything, nil},
	{2, func(g *gen, k keyspace.Kind, key string) []string { return []string{"EXISTS", key, g.other(k)} }, anything, nil},
}

// queueShared queues one command on a shared key of the client's database: in one case of eight one that suits
// any kind.
func (c *client) queueShared() {
	g := &gen{c}
	if c.rand.IntN(8) == 0 {
		p := anyKind[pick(c, len(anyKind), func(i int) (int, func(wire.Server) bool) { return anyKind[i].weight, anyKind[i].since })]
		k := sharedOps[c.rand.IntN(len(sharedOps))].kind
		c.send(p.ok, p.args(g, k, g.other(k))...)
		return
	}
	p := sharedOps[pick(c, len(sharedOps), func(i int) (int, func(wire.Server) bool) { return sharedOps[i].weight, sharedOps[i].since })]
	c.send(p.ok, p.args(g, g.other(p.kind))...)
}

// pick chooses a row of a table by weight, among those that the server has.
func pick(c *client, rows int, row func(int) (int, func(wire.Server) bool)) int {
	for {
		i := c.rand.IntN(rows)
		weight, since := row(i)
		if c.rand.IntN(12) < weight && (since == nil || since(c.load.cfg.Server)) {
			return i
		}
	}
}

// queueSpare works in the spare database and comes back, all in one pipeline; now and then it empties it.
func (c *client) queueSpare() {
	c.send(isOK, "SELECT", strconv.Itoa(SpareDB))
	for range 1 + c.rand.IntN(3) {
		key := fmt.Sprintf("spare:%d", c.rand.IntN(100))
		switch c.rand.IntN(3) {
		case 0:
			c.send(anything, "SET", key, "1")
		case 1:
			c.send(anything, "INCR", key)
		default:
			c.send(anything, "DEL", key)
		}
	}
	if c.rand.IntN(50) == 0 && !c.load.cfg.NoFlush {
		c.send(isOK, "FLUSHDB")
	}
	c.send(isOK, "SELECT", strconv.Itoa(c.db))
}
