package workload

import (
	"fmt"
	"strings"
)

// Counted counts in KEYS[1], keeps a list in KEYS[2] and a hash in KEYS[3], and answers what it found there.
const Counted = `
local n = redis.call('INCR', KEYS[1])
local len = redis.call('RPUSH', KEYS[2], n)
if len > 20 then redis.call('LPOP', KEYS[2]) end
redis.call('HSET', KEYS[3], 'n', n, 'arg', ARGV[1])
return {n, redis.call('LINDEX', KEYS[2], -1), redis.call('HGET', KEYS[3], 'arg')}`

// CountedReply is the reply of the n-th run of Counted.
func CountedReply(n int64, arg string) string { return fmt.Sprintf("%d %d %s", n, n, arg) }

// Loaded adds ARGV[1] to KEYS[1]; it is only ever called by its hash, once loaded.
const Loaded = `return redis.call('INCRBY', KEYS[1], ARGV[1])`

// Library has a function of that name, which adds to a counter, and a read-only one that reads it.
func Library(name string) string {
	return strings.ReplaceAll(`#!lua name=NAME
redis.register_function('NAME', function(keys, args) return redis.call('INCRBY', keys[1], args[1]) end)
redis.register_function{function_name='NAME_ro', callback=function(keys) return redis.call('GET', keys[1]) end, flags={'no-writes'}}
`, "NAME", name)
}

// Word makes a prefix into a name that a library may have.
func Word(prefix string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, prefix)
}
