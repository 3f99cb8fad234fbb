package keyspace

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"tandem/test/wire"
)

// Options of Compare.
type Options struct {
	// TTLTolerance is how far two expiry times, or two delivery times of a pending entry, may lie apart.
	// 0 takes DefaultTTLTolerance.
	TTLTolerance time.Duration
	// Max is how many differences are collected before the comparison stops; 0 takes 100.
	Max int
	// Ignore says which keys are left out, on both sides; nil: none.
	Ignore func(db int, key string) bool
}

// DefaultTTLTolerance is what a relative expiry may lose between the server's clock at execution and the
// proxy's at the reply, on a loaded machine.
const DefaultTTLTolerance = 2 * time.Second

// Difference is one key that is not the same on both sides.
type Difference struct {
	DB  int
	Key string
	// What is "missing on the second", "missing on the first", "type", "value" or "ttl".
	What string
	// Detail says where the two differ, the first side's value first.
	Detail string
	// Transient is set when a second look, after everything else was compared, found no difference any more:
	// somebody was still writing.
	Transient bool
}

func (d Difference) String() string {
	s := fmt.Sprintf("db%d %q: %s: %s", d.DB, d.Key, d.What, d.Detail)
	if d.Transient {
		s += " (equal when looked at again)"
	}
	return s
}

// Result is what Compare found.
type Result struct {
	// First and Second are the keys that were scanned on each side.
	First, Second int
	// Typed is how many keys had to be read by type because their DUMPs differ.
	Typed int
	// Differences are in no order; More says that the comparison stopped at Options.Max.
	Differences []Difference
	More        bool
	Took        time.Duration
}

// String is a summary and the differences, one to a line.
func (r Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d and %d keys compared in %v, %d of them by type: %d differences", r.First, r.Second,
		r.Took.Round(time.Millisecond), r.Typed, len(r.Differences))
	if r.More {
		b.WriteString(" and more")
	}
	for i, d := range r.Differences {
		if i == 30 {
			fmt.Fprintf(&b, "\n  ... %d more", len(r.Differences)-i)
			break
		}
		b.WriteString("\n  " + d.String())
	}
	return b.String()
}

// chunk is how many keys are asked for in one pipeline on each side.
const chunk = 400

// Compare compares all keys of two servers at rest, in every database and both directions: values, types,
// times of expiry of keys and of hash fields, streams with their groups, consumers and pending entries. It
// holds a chunk's digests in memory and, of keys whose DUMPs differ, the key's content. The idle times of
// consumers, and a HyperLogLog's cached count, are no data and may differ.
func Compare(first, second string, o Options) (Result, error) {
	if o.TTLTolerance == 0 {
		o.TTLTolerance = DefaultTTLTolerance
	}
	if o.Max == 0 {
		o.Max = 100
	}
	started := time.Now()
	c := &comparison{o: o, addrs: [2]string{first, second}}
	err := c.run()
	c.result.Took = time.Since(started)
	return c.result, err
}

// comparison is one call of Compare.
type comparison struct {
	o     Options
	addrs [2]string

	mu     sync.Mutex // guards result
	result Result
}

// page is some keys of one database, found on one side.
type page struct {
	db   int
	side int
	keys []string
}

// run scans the first side, then the second, and hands pages to two workers, each with a pair of connections.
func (c *comparison) run() error {
	pages := make(chan page, 4)
	stop := make(chan struct{}) // closed when a worker has failed or enough was found
	var once sync.Once
	var wg sync.WaitGroup
	errs := make(chan error, 3)
	fail := func(err error) {
		if err != nil {
			errs <- err
		}
		once.Do(func() { close(stop) })
	}
	for range 2 {
		wg.Go(func() {
			p, err := dialPair(c.addrs)
			if err != nil {
				fail(err)
				return
			}
			defer p.close()
			for pg := range pages {
				if err := c.page(p, pg); err != nil {
					fail(err)
					return
				}
				if c.full() {
					fail(nil)
				}
			}
		})
	}
	err := c.scan(pages, stop)
	close(pages)
	wg.Wait()
	close(errs)
	if e := <-errs; e != nil {
		return e
	}
	if err != nil {
		return err
	}
	return c.lookAgain()
}

// scan feeds the keys of both sides, the first's completely before the second's.
func (c *comparison) scan(pages chan<- page, stop <-chan struct{}) error {
	p, err := dialPair(c.addrs)
	if err != nil {
		return err
	}
	defer p.close()
	var held [2]map[int]int
	for side := range held {
		if held[side], err = p[side].DBs(); err != nil {
			return err
		}
	}
	for side, conn := range p.conns() {
		for _, db := range wire.SortedDBs(held[0], held[1]) {
			if _, err := conn.Do("SELECT", strconv.Itoa(db)); err != nil {
				return fmt.Errorf("%s: SELECT %d: %w", conn.Addr, db, err)
			}
			for cursor := "0"; ; {
				reply, err := conn.Do("SCAN", cursor, "COUNT", strconv.Itoa(chunk))
				if err != nil {
					return fmt.Errorf("%s: SCAN: %w", conn.Addr, err)
				}
				cursor = reply.Elems[0].Str
				if keys := c.wanted(db, reply.Elems[1].Strings()); len(keys) > 0 {
					select {
					case pages <- page{db, side, keys}:
					case <-stop:
						return nil
					}
				}
				if cursor == "0" {
					break
				}
			}
		}
	}
	return nil
}

func (c *comparison) wanted(db int, keys []string) []string {
	if c.o.Ignore == nil {
		return keys
	}
	kept := keys[:0]
	for _, k := range keys {
		if !c.o.Ignore(db, k) {
			kept = append(kept, k)
		}
	}
	return kept
}

// page compares the keys of a page. Those found on the second side were compared from the first side's page,
// so that only their absence there is news.
func (c *comparison) page(p pair, pg page) error {
	if err := p.selectDB(pg.db); err != nil {
		return err
	}
	if pg.side == 1 {
		return c.extra(p, pg)
	}
	heads, err := p.heads(pg.keys)
	if err != nil {
		return err
	}
	c.count(func(r *Result) { r.First += len(pg.keys) })
	for i, key := range pg.keys {
		a, b := heads[0][i], heads[1][i]
		d, err := c.key(p, key, a, b)
		if err != nil {
			return err
		}
		if d != nil {
			d.DB = pg.db
			c.found(*d)
		}
	}
	return nil
}

// key compares one key, of which both heads are there; nil means that it is equal or on neither side.
func (c *comparison) key(p pair, key string, a, b head) (*Difference, error) {
	switch {
	case a.missing() && b.missing():
		return nil, nil
	case b.missing():
		return &Difference{Key: key, What: "missing on the second", Detail: a.String()}, nil
	case a.missing():
		return &Difference{Key: key, What: "missing on the first", Detail: b.String()}, nil
	}
	if a.dump != b.dump {
		c.count(func(r *Result) { r.Typed++ })
		what, detail, err := p.contents(key, c.o.TTLTolerance)
		if err != nil || what != "" {
			return &Difference{Key: key, What: what, Detail: detail}, err
		}
	}
	if !near(a.expires, b.expires, c.o.TTLTolerance) {
		return &Difference{Key: key, What: "ttl", Detail: fmt.Sprintf("expires %s, %s", a.when(), b.when())}, nil
	}
	return nil, nil
}

// extra reports keys of the second side that the first does not have.
func (c *comparison) extra(p pair, pg page) error {
	c.count(func(r *Result) { r.Second += len(pg.keys) })
	cmds := make([][]string, len(pg.keys))
	for i, key := range pg.keys {
		cmds[i] = []string{"EXISTS", key}
	}
	replies, err := p[0].DoMany(cmds)
	if err != nil {
		return err
	}
	for i, key := range pg.keys {
		if replies[i].IsErr() {
			return fmt.Errorf("%s: EXISTS %q: %s", p[0].Addr, key, replies[i].Str)
		}
		if replies[i].Int == 0 {
			c.found(Difference{DB: pg.db, Key: key, What: "missing on the first", Detail: "only on the second"})
		}
	}
	return nil
}

// lookAgain drops what expiry has settled in the meantime and marks what others have. A key, or a hash field,
// that expired between the two reads of one comparison looks different and is not.
func (c *comparison) lookAgain() error {
	if len(c.result.Differences) == 0 {
		return nil
	}
	p, err := dialPair(c.addrs)
	if err != nil {
		return err
	}
	defer p.close()
	kept := c.result.Differences[:0]
	for _, d := range c.result.Differences {
		if err := p.selectDB(d.DB); err != nil {
			return err
		}
		heads, err := p.heads([]string{d.Key})
		if err != nil {
			return err
		}
		a, b := heads[0][0], heads[1][0]
		if a.missing() && b.missing() {
			continue
		}
		now, err := c.key(p, d.Key, a, b)
		if err != nil {
			return err
		}
		if now == nil {
			volatile, err := p.fieldsExpire(d.Key)
			if err != nil {
				return err
			}
			if volatile {
				continue
			}
			d.Transient = true
		}
		kept = append(kept, d)
	}
	c.result.Differences = kept
	return nil
}

func (c *comparison) count(f func(*Result)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.result)
}

func (c *comparison) found(d Difference) {
	c.count(func(r *Result) {
		r.Differences = append(r.Differences, d)
		r.More = len(r.Differences) >= c.o.Max
	})
}

func (c *comparison) full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.result.More
}
