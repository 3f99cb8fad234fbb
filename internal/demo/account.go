package demo

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/redis/rueidis"
)

const (
	// queueLength, setSize and logLength bound a client's own list, set and string: beyond them it takes out
	// what it put in.
	queueLength = 50
	setSize     = 40
	logLength   = 4096
	// streamLength is what a client trims its own stream to.
	streamLength = 200
)

// account is what one client knows that the servers must hold: nobody else writes its keys, so every reply
// and, at the end, every value has exactly one right form. A write that was lost, or done twice, or done on
// stale data, makes the books disagree.
type account struct {
	prefix string // of the client's own keys
	random *rand.Rand
	keys   int // how many keys the data began with

	rounds   int64
	counter  int64
	head     int64 // the oldest number in the queue
	tail     int64 // the number after the newest
	members  map[string]struct{}
	visits   int64
	score    int64
	moved    int64 // what transfers have taken from one balance and given to the other
	log      int64 // bytes
	lastID   string
	stock    map[int]int64 // the data's stock counters that this client alone counts, as they must stand
	stockIDs []int
}

// newAccount opens the books of client id of clients, of data of so many keys. Its share of the stock
// counters is every clients-th.
func newAccount(id, clients, keys int) *account {
	a := &account{
		prefix: fmt.Sprintf("demo:client-%d:", id), random: rand.New(rand.NewPCG(seed, uint64(id)+1)),
		keys: keys, members: make(map[string]struct{}), stock: make(map[int]int64),
	}
	for n := id; n < stockCounters(keys); n += clients {
		a.stock[n] = stockOf(n)
		a.stockIDs = append(a.stockIDs, n)
	}
	return a
}

// operation is one command and what its reply must be. check may change the account: replies are checked
// in the order in which the commands were sent.
type operation struct {
	command rueidis.Completed
	check   func(rueidis.RedisResult) error
}

// round makes the commands of one pipeline. Half of them read and change what is there, which is what a
// naive dual write gets wrong.
func (a *account) round(b builder) []operation {
	a.rounds++
	seq := strconv.FormatInt(a.rounds, 10)
	ops := []operation{
		{b("INCR", a.prefix+"counter"), a.adds(&a.counter, 1)},
		{b("SET", a.prefix+"last", seq, "EX", "3600"), is("OK")},
		{b("GET", a.prefix+"last"), is(seq)},
		{b("HINCRBY", a.prefix+"profile", "visits", "3"), a.adds(&a.visits, 3)},
		{b("ZINCRBY", a.prefix+"board", "2", "me"), func(r rueidis.RedisResult) error {
			a.score += 2
			return isFloat(r, float64(a.score))
		}},
		{b("XADD", a.prefix+"events", "MAXLEN", "=", strconv.Itoa(streamLength), "*", "seq", seq), a.newerID},
		{b("SADD", a.prefix+"set", "member "+seq), func(r rueidis.RedisResult) error {
			a.members["member "+seq] = struct{}{}
			return isInt(r, 1)
		}},
	}
	ops = append(ops, a.queue(b)...)
	ops = append(ops, a.transfer(b)...)
	ops = append(ops, a.shared(b)...)
	if a.rounds > setSize {
		ops = append(ops, operation{b("SPOP", a.prefix+"set"), a.popped})
	}
	if len(a.stockIDs) > 0 {
		n := a.stockIDs[a.random.IntN(len(a.stockIDs))]
		by := int64(1 + a.random.IntN(9))
		ops = append(ops, operation{b("DECRBY", stockKey(n), strconv.FormatInt(by, 10)), func(r rueidis.RedisResult) error {
			a.stock[n] -= by
			return isInt(r, a.stock[n])
		}})
	}
	if a.log >= logLength {
		ops = append(ops, operation{b("GETDEL", a.prefix+"log"), func(r rueidis.RedisResult) error {
			text, err := r.ToString()
			if err == nil && int64(len(text)) != a.log {
				err = wrong(len(text), a.log)
			}
			a.log = 0
			return err
		}})
	}
	return append(ops, operation{b("APPEND", a.prefix+"log", seq+" "), a.adds(&a.log, int64(len(seq)+1))})
}

// queue pushes a number to the right and, when the list is long enough, takes the oldest from the left.
func (a *account) queue(b builder) []operation {
	next := a.tail
	a.tail++
	length := a.tail - a.head
	ops := []operation{{b("RPUSH", a.prefix+"queue", strconv.FormatInt(next, 10)), func(r rueidis.RedisResult) error {
		return isInt(r, length)
	}}}
	if length > queueLength {
		oldest := strconv.FormatInt(a.head, 10)
		a.head++
		ops = append(ops, operation{b("LPOP", a.prefix+"queue"), is(oldest)})
	}
	return ops
}

// transfer moves 5 from one balance to another in a transaction.
func (a *account) transfer(b builder) []operation {
	return []operation{
		{b("MULTI", ""), is("OK")},
		{b("DECRBY", a.prefix+"savings", "5"), is("QUEUED")},
		{b("INCRBY", a.prefix+"current", "5"), is("QUEUED")},
		{b("EXEC", ""), func(r rueidis.RedisResult) error {
			a.moved += 5
			got, err := r.AsIntSlice()
			if err == nil && (len(got) != 2 || got[0] != -a.moved || got[1] != a.moved) {
				err = wrong(got, []int64{-a.moved, a.moved})
			}
			return err
		}},
	}
}

// shared are writes to data that all clients share. What they answer depends on the others, so only an
// error is wrong here; the comparison of both servers at the end is what covers them.
func (a *account) shared(b builder) []operation {
	nth := func(prefix string) string { return prefix + strconv.Itoa(a.random.IntN(a.keys/50)) }
	ops := []operation{
		{b("HINCRBY", nth("user:"), "visits", "1"), noError},
		{b("RPUSH", nth("basket:"), "item "+strconv.Itoa(a.random.IntN(5000))), noError},
	}
	switch a.random.IntN(4) {
	case 0:
		ops = append(ops, operation{b("DEL", nth("session:")), noError})
	case 1:
		ops = append(ops, operation{b("SET", nth("session:"), "again", "PX", "60000"), noError})
	case 2:
		ops = append(ops, operation{b("LPOP", nth("basket:")), noError})
	case 3:
		ops = append(ops, operation{b("EXPIRE", nth("user:"), "7200"), noError})
	}
	return ops
}

// popped takes the member that the server chose out of the books; one that is not there was popped twice,
// or its SADD came to the other server only.
func (a *account) popped(r rueidis.RedisResult) error {
	member, err := r.ToString()
	if err != nil {
		return err
	}
	if _, ok := a.members[member]; !ok {
		return wrong(member, "a member of the set")
	}
	delete(a.members, member)
	return nil
}

func (a *account) newerID(r rueidis.RedisResult) error {
	id, err := r.ToString()
	if err != nil {
		return err
	}
	if !olderID(a.lastID, id) {
		return wrong(id, "an id after "+a.lastID)
	}
	a.lastID = id
	return nil
}

// audit are the reads that compare the whole account with a server, after the client has stopped.
func (a *account) audit(b builder) []operation {
	if a.rounds == 0 {
		return nil
	}
	ops := []operation{
		{b("GET", a.prefix+"counter"), is(strconv.FormatInt(a.counter, 10))},
		{b("GET", a.prefix+"last"), is(strconv.FormatInt(a.rounds, 10))},
		{b("HGET", a.prefix+"profile", "visits"), is(strconv.FormatInt(a.visits, 10))},
		{b("ZSCORE", a.prefix+"board", "me"), func(r rueidis.RedisResult) error { return isFloat(r, float64(a.score)) }},
		{b("XLEN", a.prefix+"events"), func(r rueidis.RedisResult) error { return isInt(r, min(a.rounds, streamLength)) }},
		{b("GET", a.prefix+"savings"), is(strconv.FormatInt(-a.moved, 10))},
		{b("GET", a.prefix+"current"), is(strconv.FormatInt(a.moved, 10))},
		{b("STRLEN", a.prefix+"log"), func(r rueidis.RedisResult) error { return isInt(r, a.log) }},
		{b("LRANGE", a.prefix+"queue", "0", "-1"), func(r rueidis.RedisResult) error {
			got, err := r.AsIntSlice()
			if err == nil && (int64(len(got)) != a.tail-a.head || got[0] != a.head || got[len(got)-1] != a.tail-1) {
				err = wrong(got, fmt.Sprintf("%d to %d", a.head, a.tail-1))
			}
			return err
		}},
		{b("SMEMBERS", a.prefix+"set"), func(r rueidis.RedisResult) error {
			got, err := r.AsStrSlice()
			if err == nil && len(got) != len(a.members) {
				err = wrong(len(got), len(a.members))
			}
			for _, member := range got {
				if _, ok := a.members[member]; !ok && err == nil {
					err = wrong(member, "a member of the set")
				}
			}
			return err
		}},
	}
	for _, n := range a.stockIDs {
		ops = append(ops, operation{b("GET", stockKey(n)), is(strconv.FormatInt(a.stock[n], 10))})
	}
	return ops
}

// builder makes a command; an empty key is left out.
type builder func(command, key string, args ...string) rueidis.Completed

// builderOf is the builder of a client's commands.
func builderOf(client rueidis.Client) builder {
	return func(command, key string, args ...string) rueidis.Completed {
		c := client.B().Arbitrary(command)
		if key != "" {
			c = c.Keys(key)
		}
		return c.Args(args...).Build()
	}
}

// adds counts by into *book and expects the server's number to be the same.
func (a *account) adds(book *int64, by int64) func(rueidis.RedisResult) error {
	return func(r rueidis.RedisResult) error {
		*book += by
		return isInt(r, *book)
	}
}

// errWrong marks a reply that was no error and yet not the right one.
var errWrong = errors.New("wrong reply")

func wrong(got, want any) error { return fmt.Errorf("%w: %v instead of %v", errWrong, got, want) }

func noError(r rueidis.RedisResult) error {
	if err := r.Error(); err != nil && !rueidis.IsRedisNil(err) {
		return err
	}
	return nil
}

func is(want string) func(rueidis.RedisResult) error {
	return func(r rueidis.RedisResult) error {
		got, err := r.ToString()
		if err == nil && got != want {
			err = wrong(got, want)
		}
		return err
	}
}

func isInt(r rueidis.RedisResult, want int64) error {
	got, err := r.AsInt64()
	if err == nil && got != want {
		err = wrong(got, want)
	}
	return err
}

func isFloat(r rueidis.RedisResult, want float64) error {
	got, err := r.AsFloat64()
	if err == nil && got != want {
		err = wrong(got, want)
	}
	return err
}

// olderID compares two stream ids, ms-seq; the empty one is older than any.
func olderID(a, b string) bool {
	var ams, aseq, bms, bseq uint64
	fmt.Sscanf(a, "%d-%d", &ams, &aseq)
	n, _ := fmt.Sscanf(b, "%d-%d", &bms, &bseq)
	return n == 2 && (ams < bms || ams == bms && aseq < bseq)
}

// connTimeout bounds a reply; a client that waits longer counts it as an error.
const connTimeout = 30 * time.Second

// dial opens one plain connection, as an application's library would: no cache, and no retries, which would
// hide from a client that something went wrong.
func dial(addr, name string, db int) (rueidis.Client, error) {
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{addr}, ClientName: name, SelectDB: db, ForceSingleClient: true, PipelineMultiplex: -1,
		DisableCache: true, DisableRetry: true, AlwaysRESP2: true, ConnWriteTimeout: connTimeout,
	})
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", addr, err)
	}
	return client, nil
}
