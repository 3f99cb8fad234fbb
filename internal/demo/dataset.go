package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// The data is that of an imaginary shop, so that a look into either server with redis-cli shows keys one
// would expect. Every key's content follows from its number and the seed.
const (
	// fillBatch is how many commands travel in one round trip while the source is filled.
	fillBatch = 1000
	// spareDB holds every fiftieth key: a migration is not about db 0 alone.
	spareDB    = 1
	spareEvery = 50
	seed       = 42
)

// kinds are the families of keys and their share of all, in percent.
var kinds = []struct {
	prefix string
	share  int
	fill   func(w *filler, key string, n int)
}{
	{"session:", 40, fillSession},
	{"stock:", 8, fillStock}, // counters that the clients go on counting
	{"user:", 20, fillUser},
	{"basket:", 8, fillBasket},
	{"tags:", 8, fillTags},
	{"board:", 8, fillBoard},
	{"orders:", 4, fillOrders},
	{"visitors:", 2, fillVisitors},
	{"days:", 2, fillDays},
}

// large are the few values that a backfill must not choke on.
var large = []struct {
	key  string
	fill func(w *filler, key string)
}{
	{"large:image", func(w *filler, key string) { w.add("SET", key, w.bytes(8<<20)) }},
	{"large:catalogue", fillLargeHash},
	{"large:queue", fillLargeList},
	{"large:ranking", fillLargeZset},
}

// stockOf is the value of a stock counter before any client touches it.
func stockOf(n int) int64 { return int64(n)*7 + 1000 }

// stockKey is the nth stock counter, always in db 0; see stockCounters.
func stockKey(n int) string { return "stock:" + strconv.Itoa(n) }

// stockCounters is how many stock counters a keyspace of so many keys has.
func stockCounters(keys int) int { return keys * 8 / 100 }

// fillSource writes keys keys of every type to the server and tells progress how many are there.
func fillSource(ctx context.Context, addr string, keys int, progress func(done int)) error {
	w := &filler{ctx: ctx, random: rand.New(rand.NewPCG(seed, 0))}
	for db := range spareDB + 1 {
		client, err := dial(addr, "demo-fill", db)
		if err != nil {
			return err
		}
		defer client.Close()
		w.clients = append(w.clients, client)
	}
	done := 0
	for _, kind := range kinds {
		for n := range keys * kind.share / 100 {
			w.db = 0
			if n%spareEvery == spareEvery-1 && kind.prefix != "stock:" {
				w.db = spareDB
			}
			kind.fill(w, kind.prefix+strconv.Itoa(n), n)
			if done++; done%fillBatch == 0 {
				progress(done)
			}
		}
	}
	w.db = 0
	for _, l := range large {
		l.fill(w, l.key)
	}
	w.flush()
	progress(done + len(large))
	if w.err != nil {
		return fmt.Errorf("filling the source: %w", w.err)
	}
	return nil
}

// filler collects commands and sends them in batches. After an error it does nothing more.
type filler struct {
	ctx     context.Context
	clients []rueidis.Client // by db
	db      int              // where add's commands go
	batch   [spareDB + 1]rueidis.Commands
	random  *rand.Rand
	err     error
}

// add queues one command whose first argument is its key.
func (w *filler) add(command, key string, args ...string) {
	w.batch[w.db] = append(w.batch[w.db], w.clients[w.db].B().Arbitrary(command).Keys(key).Args(args...).Build())
	if len(w.batch[w.db]) >= fillBatch {
		w.flush()
	}
}

func (w *filler) flush() {
	for db, batch := range w.batch {
		if len(batch) == 0 || w.err != nil {
			continue
		}
		for _, reply := range w.clients[db].DoMulti(w.ctx, batch...) {
			if err := reply.Error(); err != nil && w.err == nil {
				w.err = err
			}
		}
		w.batch[db] = nil // rueidis recycles the commands, not the slice
	}
}

// bytes is a value of that size that no compression shrinks.
func (w *filler) bytes(size int) string {
	var b strings.Builder
	b.Grow(size + 8)
	for b.Len() < size {
		v := w.random.Uint64()
		for range 8 {
			b.WriteByte(byte(v))
			v >>= 8
		}
	}
	return b.String()[:size]
}

// A session expires within a day; one in a hundred does so while the demo runs.
func fillSession(w *filler, key string, n int) {
	ttl := 10*time.Minute + time.Duration(w.random.IntN(24*3600))*time.Second
	if n%100 == 1 {
		ttl = 5*time.Second + time.Duration(w.random.IntN(40_000))*time.Millisecond
	}
	if n%4 == 0 {
		w.add("SET", key, w.bytes(32+w.random.IntN(160)))
		return
	}
	w.add("SET", key, w.bytes(32+w.random.IntN(160)), "PX", strconv.FormatInt(ttl.Milliseconds(), 10))
}

func fillStock(w *filler, key string, n int) {
	w.add("SET", key, strconv.FormatInt(stockOf(n), 10))
}

func fillUser(w *filler, key string, n int) {
	w.add("HSET", key, "name", "user "+strconv.Itoa(n), "visits", strconv.Itoa(w.random.IntN(1000)),
		"token", w.bytes(16), "since", strconv.Itoa(1_500_000_000+w.random.IntN(200_000_000)))
	if n%10 == 0 {
		w.add("PEXPIREAT", key, strconv.FormatInt(time.Now().Add(time.Hour+time.Duration(n)*time.Second).UnixMilli(), 10))
	}
}

func fillBasket(w *filler, key string, _ int) {
	items := make([]string, 1+w.random.IntN(12))
	for i := range items {
		items[i] = "item " + strconv.Itoa(w.random.IntN(5000))
	}
	w.add("RPUSH", key, items...)
}

// Tags are sets of words or, every other one, of numbers, which a server keeps in another form.
func fillTags(w *filler, key string, n int) {
	tags := make([]string, 1+w.random.IntN(10))
	for i := range tags {
		tags[i] = strconv.Itoa(w.random.IntN(1000))
		if n%2 == 0 {
			tags[i] = "tag " + tags[i]
		}
	}
	w.add("SADD", key, tags...)
}

// Boards are sorted sets, every fifth one of places on the map.
func fillBoard(w *filler, key string, n int) {
	members := 1 + w.random.IntN(10)
	if n%5 == 0 {
		for m := range members {
			w.add("GEOADD", key, strconv.FormatFloat(w.random.Float64()*360-180, 'f', 6, 64),
				strconv.FormatFloat(w.random.Float64()*170-85, 'f', 6, 64), "place "+strconv.Itoa(m))
		}
		return
	}
	args := make([]string, 0, 2*members)
	for m := range members {
		args = append(args, strconv.FormatFloat(w.random.Float64()*1000, 'g', -1, 64), "player "+strconv.Itoa(m))
	}
	w.add("ZADD", key, args...)
}

// Orders are streams; every other one has a group with entries read and not yet acknowledged.
func fillOrders(w *filler, key string, n int) {
	for range 3 {
		w.add("XADD", key, "*", "article", strconv.Itoa(w.random.IntN(5000)), "note", w.bytes(12))
	}
	if n%2 == 0 {
		w.add("XGROUP", "CREATE", key, "shipping", "0")
		w.add("XREADGROUP", "GROUP", "shipping", "packer", "COUNT", "2", "STREAMS", key, ">")
	}
}

func fillVisitors(w *filler, key string, _ int) {
	w.add("PFADD", key, w.bytes(8), w.bytes(8), w.bytes(8))
}

func fillDays(w *filler, key string, _ int) {
	for range 4 {
		w.add("SETBIT", key, strconv.Itoa(w.random.IntN(3660)), "1")
	}
}

func fillLargeHash(w *filler, key string) {
	for n := 0; n < 40_000; n += 100 {
		fields := make([]string, 0, 200)
		for f := n; f < n+100; f++ {
			fields = append(fields, "article "+strconv.Itoa(f), w.bytes(40))
		}
		w.add("HSET", key, fields...)
	}
}

func fillLargeList(w *filler, key string) {
	for range 400 {
		items := make([]string, 100)
		for i := range items {
			items[i] = w.bytes(40)
		}
		w.add("RPUSH", key, items...)
	}
}

func fillLargeZset(w *filler, key string) {
	for n := 0; n < 40_000; n += 100 {
		members := make([]string, 0, 200)
		for m := n; m < n+100; m++ {
			members = append(members, strconv.Itoa(w.random.IntN(1_000_000)), "player "+strconv.Itoa(m))
		}
		w.add("ZADD", key, members...)
	}
}
