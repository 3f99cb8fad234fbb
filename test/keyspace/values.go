package keyspace

import (
	"fmt"
	"math/rand/v2"
	"strconv"
)

// commands appends the commands that create key i of a kind, and nothing about its TTL.
func (l Layout) commands(dst [][]string, r *rand.Rand, k Kind, key string, fieldTTL bool) [][]string {
	switch k {
	case Text:
		return append(dst, []string{"SET", key, word(r, 1+r.IntN(40))})
	case Long:
		return append(dst, []string{"SET", key, text(r, 1000+r.IntN(2000))})
	case Binary:
		return append(dst, []string{"SET", key, noise(r, r.IntN(200)) + "\r\n\x00"})
	case Counter:
		return append(dst, []string{"SET", key, strconv.Itoa(r.IntN(1 << 30))})
	case Hash:
		return append(dst, hash(r, key, 3+r.IntN(8), 20))
	case BigHash:
		return append(dst, hash(r, key, 300, 80))
	case FieldTTL:
		dst = append(dst, hash(r, key, 5, 20))
		if fieldTTL {
			dst = append(dst, []string{"HPEXPIRE", key, strconv.Itoa(3_600_000 + r.IntN(1_000_000)), "FIELDS", "2", "f0", "f1"})
			if r.IntN(20) == 0 {
				dst = append(dst, []string{"HPEXPIRE", key, strconv.Itoa(1_000 + r.IntN(60_000)), "FIELDS", "1", "f2"})
			}
		}
		return dst
	case List:
		return append(dst, items(r, "RPUSH", key, 3+r.IntN(18), 20))
	case BigList:
		return append(dst, items(r, "RPUSH", key, 600, 100))
	case IntSet:
		cmd := []string{"SADD", key}
		for range 5 + r.IntN(60) {
			cmd = append(cmd, strconv.Itoa(r.IntN(1_000_000)-1000))
		}
		return append(dst, cmd)
	case Set:
		return append(dst, items(r, "SADD", key, 3+r.IntN(18), 20))
	case BigSet:
		return append(dst, items(r, "SADD", key, 400, 80))
	case ZSet:
		return append(dst, zset(r, key, 3+r.IntN(18), 20))
	case BigZSet:
		return append(dst, zset(r, key, 300, 80))
	case Stream:
		return stream(dst, r, key, 3+r.IntN(6))
	case BigStream:
		return stream(dst, r, key, 300)
	case HLL:
		n := 5
		if r.IntN(50) == 0 {
			n = 3000
		}
		return append(dst, items(r, "PFADD", key, n, 20))
	case Bitmap:
		for range 3 {
			dst = append(dst, []string{"SETBIT", key, strconv.Itoa(r.IntN(4000)), "1"})
		}
		return dst
	case Geo:
		cmd := []string{"GEOADD", key}
		for n := range 3 + r.IntN(6) {
			cmd = append(cmd, fmt.Sprintf("%.6f", r.Float64()*360-180), fmt.Sprintf("%.6f", r.Float64()*160-80), "place"+strconv.Itoa(n))
		}
		return append(dst, cmd)
	}
	return dst
}

// large appends the commands of the large values: one of each type, size bytes each, some of them in several
// commands. They are in database 0.
func (l Layout) large(r *rand.Rand, send func(cmd ...string) error) error {
	size := l.LargeBytes
	if err := send("SET", "large:noise", noise(r, size)); err != nil {
		return err
	}
	if err := send("SET", "large:text", text(r, size)); err != nil {
		return err
	}
	// 100 items of 1 KB to a command.
	for n := 0; n < size; n += 100 << 10 {
		h, z := []string{"HSET", "large:hash"}, []string{"ZADD", "large:zset"}
		list, set := []string{"RPUSH", "large:list"}, []string{"SADD", "large:set"}
		for i := range 100 {
			v := text(r, 1000)
			h = append(h, fmt.Sprintf("f%d", n+i), v)
			list = append(list, v)
			set = append(set, fmt.Sprintf("%d:%s", n+i, v))
			z = append(z, strconv.Itoa(n+i), fmt.Sprintf("%d:%s", n+i, v))
			if err := send("XADD", "large:stream", fmt.Sprintf("1-%d", n+i+1), "v", v); err != nil {
				return err
			}
		}
		for _, cmd := range [][]string{h, list, set, z} {
			if err := send(cmd...); err != nil {
				return err
			}
		}
	}
	if err := send("XGROUP", "CREATE", "large:stream", "g", "0"); err != nil {
		return err
	}
	return send("XREADGROUP", "GROUP", "g", "c", "COUNT", "500", "STREAMS", "large:stream", ">")
}

func hash(r *rand.Rand, key string, fields, size int) []string {
	cmd := []string{"HSET", key}
	for n := range fields {
		cmd = append(cmd, "f"+strconv.Itoa(n), word(r, 1+r.IntN(size)))
	}
	return cmd
}

func items(r *rand.Rand, name, key string, n, size int) []string {
	cmd := []string{name, key}
	for range n {
		cmd = append(cmd, word(r, 4+r.IntN(size)))
	}
	return cmd
}

// oddScores are those whose text or order goes wrong first.
var oddScores = []string{"inf", "-inf", "0", "-0.5", "0.1", "3.0000000000000004", "1e300", "-1e-300", "9007199254740993"}

func zset(r *rand.Rand, key string, n, size int) []string {
	cmd := []string{"ZADD", key}
	for i := range n {
		score := strconv.Itoa(r.IntN(1000))
		if r.IntN(5) == 0 {
			score = oddScores[r.IntN(len(oddScores))]
		}
		cmd = append(cmd, score, "m"+strconv.Itoa(i)+word(r, 1+r.IntN(size)))
	}
	return cmd
}

// stream makes entries with a deletion among them, one or two groups, and consumers that have read a part,
// acknowledged a part of that, and hold the rest pending.
func stream(dst [][]string, r *rand.Rand, key string, n int) [][]string {
	for i := 1; i <= n; i++ {
		dst = append(dst, []string{"XADD", key, fmt.Sprintf("%d-%d", 1000+i, i), "n", strconv.Itoa(i), "v", word(r, 1+r.IntN(20))})
	}
	dst = append(dst, []string{"XGROUP", "CREATE", key, "g", "0"},
		[]string{"XREADGROUP", "GROUP", "g", "alice", "COUNT", "2", "STREAMS", key, ">"})
	if r.IntN(2) == 0 {
		dst = append(dst, []string{"XREADGROUP", "GROUP", "g", "bob", "COUNT", "1", "STREAMS", key, ">"},
			[]string{"XACK", key, "g", "1001-1"})
	}
	if r.IntN(3) == 0 {
		dst = append(dst, []string{"XGROUP", "CREATE", key, "idle", "$"})
	}
	if r.IntN(4) == 0 { // a pending entry whose message is gone
		dst = append(dst, []string{"XDEL", key, "1002-2"})
	}
	return dst
}

const letters = "abcdefghijklmnopqrstuvwxyz0123456789-_. "

func word(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[r.IntN(len(letters))]
	}
	return string(b)
}

// text compresses well: the servers store and dump it in another way than noise.
func text(r *rand.Rand, n int) string {
	b := make([]byte, 0, n+32)
	for len(b) < n {
		w := word(r, 8)
		for range 4 {
			b = append(b, w...)
		}
	}
	return string(b[:n])
}

// noise is any bytes, in no encoding.
func noise(r *rand.Rand, n int) string {
	b := make([]byte, n+8)
	for i := 0; i < n; i += 8 {
		v := r.Uint64()
		for j := range 8 {
			b[i+j] = byte(v >> (8 * j))
		}
	}
	return string(b[:n])
}
