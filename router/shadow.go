package router

import "tandem/internal/resp"

// shadows are the reads whose replies say the same on two servers that hold the same, and in which form. The others
// depend on time (TTL, OBJECT), on chance (RANDOMKEY, SPOP's kin), on cursors, or on how a server keeps a key.
var shadows = map[string]resp.Form{
	"GET": resp.Exact, "MGET": resp.Exact, "STRLEN": resp.Exact, "GETRANGE": resp.Exact, "SUBSTR": resp.Exact, "GETBIT": resp.Exact,
	"BITCOUNT": resp.Exact, "BITPOS": resp.Exact, "BITFIELD_RO": resp.Exact, "EXISTS": resp.Exact, "TYPE": resp.Exact,
	"HGET": resp.Exact, "HMGET": resp.Exact, "HLEN": resp.Exact, "HEXISTS": resp.Exact, "HSTRLEN": resp.Exact,
	"HGETALL": resp.Pairs, "HKEYS": resp.Set, "HVALS": resp.Set,
	"LLEN": resp.Exact, "LINDEX": resp.Exact, "LRANGE": resp.Exact, "LPOS": resp.Exact,
	"SCARD": resp.Exact, "SISMEMBER": resp.Exact, "SMISMEMBER": resp.Exact, "SINTERCARD": resp.Exact,
	"SMEMBERS": resp.Set, "SINTER": resp.Set, "SUNION": resp.Set, "SDIFF": resp.Set,
	"ZCARD": resp.Exact, "ZCOUNT": resp.Exact, "ZLEXCOUNT": resp.Exact, "ZRANK": resp.Numbers, "ZREVRANK": resp.Numbers,
	"ZINTERCARD": resp.Exact, "ZSCORE": resp.Numbers, "ZMSCORE": resp.Numbers, "ZRANGE": resp.Numbers, "ZREVRANGE": resp.Numbers,
	"ZRANGEBYSCORE": resp.Numbers, "ZREVRANGEBYSCORE": resp.Numbers, "ZRANGEBYLEX": resp.Exact, "ZREVRANGEBYLEX": resp.Exact,
	"XLEN": resp.Exact, "XRANGE": resp.Exact, "XREVRANGE": resp.Exact,
	"GEODIST": resp.Numbers, "GEOHASH": resp.Exact, "GEOPOS": resp.Numbers,
}

// Shadow says in which form the replies of two equal servers to this read are the same. ok is false for one whose replies
// may differ, and for what is no read.
func (c *Command) Shadow() (form resp.Form, ok bool) {
	if c.Class != Read {
		return 0, false
	}
	form, ok = shadows[c.Name]
	return form, ok
}
