package keyspace

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"tandem/test/wire"
)

// FillEncodings makes a key of every type in every form in which servers keep it (small and packed, large, of numbers
// alone, ...), with elements of every size at which an encoding changes, in databases 0 and 1; a few dozen keys named
// after what they are, behind a prefix. Hashes whose fields expire are made where the server has them. Some keys expire, in
// hours. None may be there yet.
func FillEncodings(addr, prefix string) error {
	c, err := wire.Dial(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	server, err := c.Server()
	if err != nil {
		return fmt.Errorf("%s: %w", addr, err)
	}
	r := rand.New(rand.NewPCG(11, 12))
	var commands [][]string
	add := func(words ...string) {
		at := 1
		switch words[0] {
		case "XGROUP":
			at = 2
		case "XREADGROUP":
			at = len(words) - 2
		}
		words[at] = prefix + words[at]
		commands = append(commands, words)
	}
	for db := range 2 {
		commands = append(commands, []string{"SELECT", strconv.Itoa(db)})
		encodedStrings(add, r)
		encodedElements(add, r)
		encodedStreams(add, server)
		if server.HasFieldTTL() {
			encodedFieldTTLs(add)
		}
		hour := time.Now().Add(time.Hour).UnixMilli()
		for i, key := range []string{"string:short", "hash:packed", "list:large", "zset:large", "set:packed", "stream:groups"} {
			add("PEXPIREAT", key, strconv.FormatInt(hour+int64(i)*1001, 10))
		}
	}
	replies, err := c.DoMany(commands)
	if err != nil {
		return fmt.Errorf("%s: fill: %w", addr, err)
	}
	for i, reply := range replies {
		if reply.IsErr() {
			return fmt.Errorf("%s: %q: %s", addr, cut(strings.Join(commands[i], " ")), reply)
		}
	}
	return nil
}

// numbers have every width that a packed element may have, and are at its edges.
var numbers = []string{"0", "1", "-1", "12", "127", "128", "-128", "-129", "4095", "4096", "-4096", "-4097", "32767", "-32768",
	"32768", "8388607", "-8388608", "8388608", "2147483647", "-2147483648", "2147483648", "9223372036854775807",
	"-9223372036854775808", "9223372036854775808", "007", "+1", "-0", "1.5", ""}

func encodedStrings(add func(...string), r *rand.Rand) {
	for i, n := range numbers {
		add("SET", "string:number:"+strconv.Itoa(i), n)
	}
	add("SET", "string:short", "abc")
	add("SET", "string:binary \r\n\x00\xff", "\r\n\x00\xff$5")
	add("SET", "string:noise", noise(r, 70_000))
	add("SET", "string:repetitive", strings.Repeat("abcabcabd", 20_000))
	add("SET", "", "of the empty key")
	add("SETBIT", "string:bitmap", "100000", "1")
	add("PFADD", "string:hll", "a", "b", "c")
}

// encodedElements fills lists, sets, hashes and sorted sets with the same elements.
func encodedElements(add func(...string), r *rand.Rand) {
	var sizes []string
	for _, n := range []int{62, 63, 64, 65, 120, 127, 128, 4095, 4096, 16379, 16380, 16381, 16382, 16383, 16384, 20_000} {
		sizes = append(sizes, text(r, n), noise(r, n))
	}
	short := append([]string{"a", "\x00", "\xff\xfe", strings.Repeat("x", 60)}, numbers...)
	many := make([]string, 700)
	for i := range many {
		many[i] = fmt.Sprintf("element-%d-%s", i, text(r, r.IntN(60)))
	}
	add(append([]string{"RPUSH", "list:packed"}, short...)...)
	add("RPUSH", "list:one", "1")
	add(append([]string{"RPUSH", "list:large"}, append(many, sizes...)...)...)
	for i := range 40 {
		add("RPUSH", "list:compressed", strings.Repeat(strconv.Itoa(i), 900))
	}
	add("RPUSH", "list:plain", "a", noise(r, 100_000), "b", strings.Repeat("c", 100_000), "d")

	add(append([]string{"SADD", "set:packed"}, short...)...)
	add("SADD", "set:integers", "1", "-2", "70000", "9223372036854775807")
	add("SADD", "set:small integers", "1", "2", "3")
	add(append([]string{"SADD", "set:large"}, append(many, sizes...)...)...)

	hash, packed := []string{"HSET", "hash:large"}, []string{"HSET", "hash:packed"}
	for i, e := range append(many, sizes...) {
		hash = append(hash, e, many[i%len(many)])
	}
	for i, e := range short {
		packed = append(packed, e, short[len(short)-1-i])
	}
	add(hash...)
	add(packed...)

	// No negative zero: servers forget its sign by themselves, some when they pack it.
	scores := []string{"0", "1", "-1", "1.5", "3.141592653589793", "1e-300", "-1e300", "inf", "-inf", "9007199254740993",
		"0.1", "123456789012345680", "4095", "4096", "1e17", "17179869184.25"}
	zset, zpacked := []string{"ZADD", "zset:large"}, []string{"ZADD", "zset:packed"}
	for i, e := range append(many, sizes...) {
		zset = append(zset, scores[i%len(scores)], e)
	}
	for i, e := range short {
		zpacked = append(zpacked, scores[i%len(scores)], e)
	}
	add(zset...)
	add(zpacked...)
	add("GEOADD", "zset:geo", "13.361389", "38.115556", "Palermo", "15.087269", "37.502669", "Catania")
}

func encodedStreams(add func(...string), server wire.Server) {
	add("XADD", "stream:one", "1-1", "a", "1")
	add("XGROUP", "CREATE", "stream:empty", "g", "5-5", "MKSTREAM")
	add("XADD", "stream:emptied", "7-7", "a", "1")
	add("XDEL", "stream:emptied", "7-7")
	for i := range 350 {
		// Fields that are the same as of the entry before, and others.
		add("XADD", "stream:groups", fmt.Sprintf("%d-0", 1000+i), "field", strconv.Itoa(i), "other", strings.Repeat("v", i%70))
		if i%50 == 0 {
			add("XADD", "stream:groups", fmt.Sprintf("%d-7", 1000+i), "one more", "\r\n", "field", "", "field", "twice")
		}
	}
	add("XGROUP", "CREATE", "stream:groups", "idle", "0")
	add("XGROUP", "CREATE", "stream:groups", "group \r\n", "0")
	add("XREADGROUP", "GROUP", "group \r\n", "first", "COUNT", "150", "STREAMS", "stream:groups", ">")
	add("XREADGROUP", "GROUP", "group \r\n", "second", "COUNT", "20", "STREAMS", "stream:groups", ">")
	add("XREADGROUP", "GROUP", "group \r\n", "first", "COUNT", "20", "STREAMS", "stream:groups", "0")
	add("XACK", "stream:groups", "group \r\n", "1000-0", "1003-0")
	add("XDEL", "stream:groups", "1001-0", "1050-7") // still pending
	add("XGROUP", "CREATE", "stream:groups", "at the end", "$")
	if server.HasGetDel() { // XGROUP CREATECONSUMER is of the same version
		add("XGROUP", "CREATECONSUMER", "stream:groups", "idle", "nobody")
	}
}

func encodedFieldTTLs(add func(...string)) {
	at := func(d time.Duration) string { return strconv.FormatInt(time.Now().Add(d).UnixMilli(), 10) }
	add("HSET", "hash:expiring packed", "a", "1", "b", "text", "c", "3", "007", "-5")
	add("HPEXPIREAT", "hash:expiring packed", at(time.Hour), "FIELDS", "2", "a", "007")
	add("HPEXPIREAT", "hash:expiring packed", at(2*time.Hour), "FIELDS", "1", "b")
	large, ask := []string{"HSET", "hash:expiring large"}, []string{"HPEXPIREAT", "hash:expiring large", at(3 * time.Hour), "FIELDS", "200"}
	for i := range 700 {
		large = append(large, "f"+strconv.Itoa(i), strings.Repeat("v", i%100))
		if i < 200 {
			ask = append(ask, "f"+strconv.Itoa(3*i))
		}
	}
	add(large...)
	add(ask...)
	add("HPEXPIREAT", "hash:expiring large", at(time.Hour), "FIELDS", "1", "f3")
}
