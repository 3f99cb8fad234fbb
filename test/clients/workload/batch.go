// Package workload is what all clients do alike: batches of commands of every data type whose replies are known
// in advance, and replies of any client library as text, so that one table serves them all.
package workload

import (
	"fmt"
	"strings"

	"tandem/test/clients/stage"
)

// Step is a command and what its reply must be, as Text shows it.
type Step struct {
	Args []string
	Want string
}

// String shows the command.
func (s Step) String() string { return strings.Join(s.Args, " ") }

// Sizes that keep a part's keyspace small however long it plays.
const (
	listLen   = 64
	hashSize  = 40
	streamLen = 32
)

// Batch is the n-th batch, from 1, of one worker, whose keys begin with prefix. All that was done in the batches
// before shows in its replies: a write lost, doubled or seen too late by one side is a wrong reply. RESP2 and
// RESP3 give the same texts.
func Batch(n int64, prefix string, has stage.Features) []Step {
	b := batch{prefix: prefix}
	b.strings(n)
	b.lists(n)
	b.hashes(n)
	b.sets(n)
	b.sorted(n)
	b.streams(n)
	b.others(n)
	if has.Redis62 {
		b.since62(n)
	}
	if has.Redis7 {
		b.since7(n)
	}
	return b.steps
}

type batch struct {
	prefix string
	steps  []Step
}

// add appends a command, whose words are separated by spaces and whose keys are written @name.
func (b *batch) add(want any, command string, args ...any) {
	words := strings.Fields(fmt.Sprintf(command, args...))
	for i, w := range words {
		if name, ok := strings.CutPrefix(w, "@"); ok {
			words[i] = b.prefix + name
		}
	}
	b.steps = append(b.steps, Step{words, fmt.Sprint(want)})
}

func (b *batch) strings(n int64) {
	b.add(n, "INCR @counter")
	b.add(7*n, "INCRBY @counter7 7")
	b.add(-n, "DECR @down")
	b.add(strings.TrimSuffix(fmt.Sprintf("%.1f", float64(n)/2), ".0"), "INCRBYFLOAT @halves 0.5")
	b.add("OK", "SET @value v%d EX 1000", n)
	b.add(fmt.Sprintf("v%d", n), "GET @value")
	b.add(1000, "TTL @value")
	b.add("(nil)", "SET @value other NX")
	b.add(fmt.Sprintf("v%d", n), "GETSET @value w%d", n)
	b.add(-1, "TTL @value")
	b.add("OK", "MSET @one %d @two %d @three %d", n, n+1, n+2)
	b.add(fmt.Sprintf("%d %d (nil) %d", n, n+1, n+2), "MGET @one @two @none @three")
	b.add(0, "MSETNX @one x @four x")
	b.add("OK", "SET @text abc")
	b.add(6, "APPEND @text def")
	b.add(6, "SETRANGE @text 1 X")
	b.add("aXcdef", "GET @text")
	b.add("cde", "GETRANGE @text 2 4")
	b.add(1, "DEL @text")
	b.add(0, "EXISTS @text")
	b.add("value is not an integer or out of range", "INCR @value")
}

func (b *batch) lists(n int64) {
	before := min(n-1, listLen)
	b.add(before+1, "RPUSH @list e%d", n)
	b.add("OK", "LTRIM @list -%d -1", listLen)
	b.add(min(n, listLen), "LLEN @list")
	b.add(fmt.Sprintf("e%d", n), "LINDEX @list -1")
	b.add(2, "LPUSH @queue a b")
	b.add("b a", "LRANGE @queue 0 -1")
	b.add("a", "RPOPLPUSH @queue @queue")
	b.add("OK", "LSET @queue 0 z")
	b.add(3, "LINSERT @queue BEFORE b y")
	b.add("z y b", "LRANGE @queue 0 -1")
	b.add(1, "LREM @queue 0 y")
	b.add("z", "LPOP @queue")
	b.add("b", "RPOP @queue")
	b.add("(nil)", "LPOP @queue")
	b.add("WRONGTYPE Operation against a key holding the wrong kind of value", "LPUSH @counter x")
}

func (b *batch) hashes(n int64) {
	b.add(fresh(n, hashSize), "HSET @hash f%d %d", n%hashSize, n)
	b.add(min(n, hashSize), "HLEN @hash")
	b.add(n, "HGET @hash f%d", n%hashSize)
	b.add(3*n, "HINCRBY @sums a 3")
	b.add(strings.TrimSuffix(fmt.Sprintf("%.1f", float64(n)/2), ".0"), "HINCRBYFLOAT @sums b 0.5")
	b.add(2, "HSET @pair x %d y %d", n, n+1)
	b.add(fmt.Sprintf("x %d y %d", n, n+1), "HGETALL @pair")
	b.add(fmt.Sprintf("%d (nil)", n), "HMGET @pair x none")
	b.add(2, "HDEL @pair x y")
	b.add("", "HGETALL @pair")
}

func (b *batch) sets(n int64) {
	b.add(fresh(n, hashSize), "SADD @set m%d", n%hashSize)
	b.add(min(n, hashSize), "SCARD @set")
	b.add(1, "SISMEMBER @set m%d", n%hashSize)
	b.add(3, "SADD @left a b c")
	b.add(1, "SADD @right b")
	b.add("b", "SINTER @left @right")
	b.add(2, "SDIFFSTORE @apart @left @right")
	b.add(1, "SMOVE @left @right a")
	b.add(2, "SCARD @right")
	b.add(3, "DEL @left @right @apart")
	b.add(1, "SADD @single s%d", n)
	b.add(fmt.Sprintf("s%d", n), "SPOP @single")
}

func (b *batch) sorted(n int64) {
	b.add(fresh(n, hashSize), "ZADD @zset %d m%d", n, n%hashSize)
	b.add(min(n, hashSize), "ZCARD @zset")
	b.add(n, "ZSCORE @zset m%d", n%hashSize)
	b.add(fmt.Sprintf("m%d %d", n%hashSize, n), "ZREVRANGE @zset 0 0 WITHSCORES")
	b.add(1.5*float64(n), "ZINCRBY @zsum 1.5 a")
	b.add(2, "ZADD @zpair 1 a 2 b")
	b.add("a", "ZRANGEBYSCORE @zpair -inf (2")
	b.add("a 1", "ZPOPMIN @zpair")
	b.add(1, "ZREMRANGEBYRANK @zpair 0 -1")
	b.add(0, "EXISTS @zpair")
}

func (b *batch) streams(n int64) {
	b.add(fmt.Sprintf("%d-1", n), "XADD @stream MAXLEN = %d %d-1 n %d", streamLen, n, n)
	b.add(min(n, streamLen), "XLEN @stream")
	b.add(fmt.Sprintf("%d-1 n %d", n, n), "XRANGE @stream %d-1 +", n)
	b.add("The ID specified in XADD is equal or smaller than the target stream top item", "XADD @stream %d-1 n x", n)
}

func (b *batch) others(n int64) {
	b.add(0, "SETBIT @bits 9 1")
	b.add(1, "BITCOUNT @bits")
	b.add(1, "UNLINK @bits")
	b.add(1, "GEOADD @geo 13.361389 38.115556 Palermo")
	b.add(1, "ZREM @geo Palermo")
	b.add("OK", "SET @old%d %d", n%7, n)
	b.add("OK", "RENAME @old%d @new%d", n%7, n%7)
	b.add(n, "GET @new%d", n%7)
	b.add("string", "TYPE @new%d", n%7)
	b.add(1, "PEXPIRE @new%d 500000", n%7)
	b.add(1, "PERSIST @new%d", n%7)
	b.add("hello", "ECHO hello")
}

func (b *batch) since62(n int64) {
	b.add("OK", "SET @taken %d", n)
	b.add(n, "GETDEL @taken")
	b.add("OK", "SET @from %d", n)
	b.add(1, "COPY @from @to REPLACE")
	b.add(n, "GETEX @to EX 100")
	b.add(1, "RPUSH @moved %d", n)
	b.add(n, "LMOVE @moved @moved LEFT RIGHT")
	b.add(0, "LPOS @moved %d", n)
	b.add(1, "DEL @moved")
}

func (b *batch) since7(n int64) {
	b.add(3, "RPUSH @many a b c")
	b.add(b.prefix+"many a b", "LMPOP 2 @nowhere @many LEFT COUNT 2")
	b.add(b.prefix+"many c", "LMPOP 1 @many RIGHT")
	b.add("(nil)", "LMPOP 1 @many RIGHT")
	b.add(2, "ZADD @zmany %d a %d b", n, n+1)
	b.add(fmt.Sprintf("%szmany a %d", b.prefix, n), "ZMPOP 1 @zmany MIN")
	b.add(1, "DEL @zmany")
	b.add(1, "EXPIRE @to 1000 GT")
	b.add(0, "EXPIRE @to 100 GT")
}

// fresh is the reply of an addition to a collection in which n modulo size is the member.
func fresh(n, size int64) int {
	if n <= size {
		return 1
	}
	return 0
}
