// Package keyspace makes keyspaces of every type for the end-to-end tests, and compares two of them.
//
// The comparer shares no code with `tandem verify`: it reads both servers over plain connections and decides
// by what the servers' own reading commands say. It is what the tests believe.
package keyspace

import (
	"fmt"
	"math/rand/v2"
)

// Kind is what a key of the generated keyspace holds. The commands of the load know it, so that they never
// meet a wrong type by accident.
type Kind uint8

const (
	Text      Kind = iota // string of up to 40 printable bytes
	Long                  // string of 1 to 3 KB
	Binary                // string of any bytes, CRLF among them
	Counter               // string that is an integer
	Hash                  // 3 to 10 fields
	BigHash               // 300 fields, past every compact encoding
	FieldTTL              // hash whose fields expire, where the server has that; else a plain one
	List                  // 3 to 20 elements
	BigList               // 600 elements, several nodes
	IntSet                // set of integers
	Set                   // 3 to 20 words
	BigSet                // 400 words, a hash table
	ZSet                  // 3 to 20 members; infinite, negative and fractional scores among them
	BigZSet               // 300 members, a skip list
	Stream                // up to 8 entries, groups, consumers, pending entries
	BigStream             // 300 entries, several nodes
	HLL                   // HyperLogLog, some dense
	Bitmap                // string written by SETBIT
	Geo                   // sorted set written by GEOADD
	kinds
)

// kindTable gives each kind its name, which begins its keys, and its share of the keys in thousandths.
var kindTable = [kinds]struct {
	name  string
	share int
}{
	Text: {"text", 180}, Long: {"long", 30}, Binary: {"binary", 50}, Counter: {"counter", 115},
	Hash: {"hash", 100}, BigHash: {"bighash", 1}, FieldTTL: {"fieldttl", 30},
	List: {"list", 90}, BigList: {"biglist", 1},
	IntSet: {"intset", 50}, Set: {"set", 60}, BigSet: {"bigset", 1},
	ZSet: {"zset", 90}, BigZSet: {"bigzset", 1}, Geo: {"geo", 40},
	Stream: {"stream", 70}, BigStream: {"bigstream", 1}, HLL: {"hll", 40}, Bitmap: {"bitmap", 50},
}

func (k Kind) String() string { return kindTable[k].name }

// DBs are the databases that a keyspace uses. Of ten keys of a kind seven are in the first, two in the second,
// one in the third.
var DBs = []int{0, 1, 5}

func dbOf(i int) int {
	switch i % 10 {
	case 7, 8:
		return DBs[1]
	case 9:
		return DBs[2]
	}
	return DBs[0]
}

// Layout says which keys a keyspace of a size has: everything follows from the size and the seed.
type Layout struct {
	// Keys is how many keys Fill makes, rounded so that every kind has at least ten.
	Keys int
	// Seed makes the values.
	Seed uint64
	// LargeBytes is the size of each of a few large values, one of every type; 0 leaves them out.
	LargeBytes int
	// NoExpiry leaves every key without TTL. Otherwise a third has one: of those most in hours, every
	// twentieth within a minute.
	NoExpiry bool
}

// Count is how many keys of a kind there are.
func (l Layout) Count(k Kind) int { return max(10, l.Keys*kindTable[k].share/1000) }

// Name is the key of a kind and index, 0 <= i < Count.
func Name(k Kind, i int) string { return fmt.Sprintf("%s:%d", kindTable[k].name, i) }

// Pick chooses a key of a kind in a database at random; an existing one unless it was deleted since.
func (l Layout) Pick(r *rand.Rand, k Kind, db int) string {
	i := r.IntN(l.Count(k)/10) * 10
	switch db {
	case DBs[1]:
		i += 7 + r.IntN(2)
	case DBs[2]:
		i += 9
	default:
		i += r.IntN(7)
	}
	return Name(k, i)
}

// expiry is the TTL in ms that Fill gives key i of a kind, 0 for none.
func (l Layout) expiry(r *rand.Rand) int {
	if l.NoExpiry || r.IntN(3) != 0 {
		return 0
	}
	if r.IntN(20) == 0 {
		return 1_000 + r.IntN(60_000)
	}
	return 3_600_000 + r.IntN(7_200_000)
}
