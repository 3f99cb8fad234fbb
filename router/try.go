package router

import (
	"bytes"
	"strconv"
)

// The forms that take what is there and do not block, and how their replies become those of the blocking
// commands, byte for byte in either protocol.

// named is a command of the table.
func named(name string) *Command { return Lookup([][]byte{[]byte(name)}) }

// appendRequest appends a request of a name, perhaps a number, and arguments.
func appendRequest(dst []byte, name string, args ...[]byte) []byte {
	dst = appendBulkString(appendHeader(dst, 1+len(args)), name)
	for _, a := range args {
		dst = appendBulk(dst, a)
	}
	return dst
}

// tryPop is for BLPOP and BZPOPMIN and their opposites, key ... timeout: with one key the single pop, with
// several that of the first which has something (7.0).
func tryPop(single, several, where string, reshapeSingle func(key []byte) Reshape, reshapeSeveral Reshape) tryFunc {
	return func(dst []byte, args [][]byte, primary Server) ([]byte, *Command, Reshape, bool) {
		keys := args[1 : len(args)-1]
		if len(keys) == 1 {
			return appendRequest(dst, single, keys[0]), named(single), reshapeSingle(bytes.Clone(keys[0])), true
		}
		if !redis70.in(primary) {
			return dst, nil, nil, false
		}
		dst = appendHeader(dst, 3+len(keys))
		dst = appendBulkString(dst, several)
		dst = appendInt(dst, len(keys))
		for _, k := range keys {
			dst = appendBulk(dst, k)
		}
		return appendBulkString(dst, where), named(several), reshapeSeveral, true
	}
}

// tryMove: BLMOVE source destination from to timeout, and BRPOPLPUSH source destination timeout, without the
// timeout.
func tryMove(name string) tryFunc {
	return func(dst []byte, args [][]byte, _ Server) ([]byte, *Command, Reshape, bool) {
		return appendRequest(dst, name, args[1:len(args)-1]...), named(name), reshapeSame, true
	}
}

// tryMpop: BLMPOP and BZMPOP timeout n key ... without the timeout.
func tryMpop(name string) tryFunc {
	return func(dst []byte, args [][]byte, _ Server) ([]byte, *Command, Reshape, bool) {
		return appendRequest(dst, name, args[2:]...), named(name), reshapeSame, true
	}
}

// tryRead: XREAD and XREADGROUP without BLOCK. There is nothing to try if only what is added from now on is
// asked for.
func tryRead(name string, options int) tryFunc {
	return func(dst []byte, args [][]byte, _ Server) ([]byte, *Command, Reshape, bool) {
		o, ok := parseXRead(args, options)
		some := false
		for _, id := range args[o.first+o.count:] {
			some = some || string(id) != "$"
		}
		if !ok || !some {
			return dst, nil, nil, false
		}
		n := 1 + 2*o.count
		o.unblocked(args, options, func([]byte) { n++ })
		dst = appendBulkString(appendHeader(dst, n), name)
		o.unblocked(args, options, func(a []byte) { dst = appendBulk(dst, a) })
		for _, a := range args[o.first:] {
			dst = appendBulk(dst, a)
		}
		return dst, named(name), reshapeSame, true
	}
}

// unblocked calls do with each argument between the name and the keys but those of BLOCK.
func (o *xreadOptions) unblocked(args [][]byte, options int, do func(arg []byte)) {
	for i := 1; i < o.first; i++ {
		switch {
		case i >= options && equalFold(args[i], "BLOCK"):
			i++
			continue
		case i >= options && (equalFold(args[i], "COUNT") || equalFold(args[i], "CLAIM")):
			do(args[i])
			i++
		}
		do(args[i])
	}
}

// nothingTaken reports whether a reply says that there was nothing, or is an error.
func nothingTaken(reply []byte) bool { return isError(reply) || isEmpty(reply) }

// reshapeSame: the reply is that of the blocking command. (What says that there was nothing may differ.)
func reshapeSame(dst, reply []byte) ([]byte, bool) {
	if nothingTaken(reply) {
		return dst, false
	}
	return append(dst, reply...), true
}

// reshapePop: LPOP's element, of BLPOP's [key, element].
func reshapePop(key []byte) Reshape {
	return func(dst, reply []byte) ([]byte, bool) {
		if nothingTaken(reply) {
			return dst, false
		}
		dst = appendBulk(appendHeader(dst, 2), key)
		return append(dst, reply...), true
	}
}

// reshapeZpop: ZPOPMIN's [member, score], of BZPOPMIN's [key, member, score].
func reshapeZpop(key []byte) Reshape {
	return func(dst, reply []byte) ([]byte, bool) {
		if nothingTaken(reply) {
			return dst, false
		}
		c := walk(reply)
		c.next()
		dst = appendBulk(appendHeader(dst, 3), key)
		return append(dst, c.b...), true
	}
}

// reshapeMpop: LMPOP's [key, [element]] is BLPOP's [key, element].
func reshapeMpop(dst, reply []byte) ([]byte, bool) {
	if nothingTaken(reply) {
		return dst, false
	}
	c := walk(reply)
	c.next()
	dst = append(appendHeader(dst, 2), c.raw()...)
	c.next()
	return append(dst, c.b...), true
}

// reshapeZmpop: ZMPOP's [key, [[member, score]]] is BZPOPMIN's [key, member, score].
func reshapeZmpop(dst, reply []byte) ([]byte, bool) {
	if nothingTaken(reply) {
		return dst, false
	}
	c := walk(reply)
	c.next()
	dst = append(appendHeader(dst, 3), c.raw()...)
	c.next()
	c.next()
	return append(dst, c.b...), true
}

// raw passes over one value and returns its bytes.
func (c *cursor) raw() []byte {
	before := c.b
	c.skip()
	return before[:len(before)-len(c.b)]
}

// appendInt appends a number as a bulk string.
func appendInt(dst []byte, n int) []byte {
	var room [20]byte
	return appendBulk(dst, strconv.AppendInt(room[:0], int64(n), 10))
}
