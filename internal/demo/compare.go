package demo

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
	"golang.org/x/sync/errgroup"
)

const (
	// comparePage is how many keys are read in one round trip: with the largest values of the data, some
	// tens of MiB at most.
	comparePage = 256
	// expirySlack is how far two expiry times may lie apart. A client that says "in 60 s" leaves it to each
	// server's clock when that is; a second is far more than the clocks of one machine differ.
	expirySlack = time.Second
	// maxNamed bounds the differences that are named; all are counted.
	maxNamed = 10
)

// comparison is what an own look at both servers found. It shares no code with `tandem verify`: it reads
// each key of both servers over plain connections and needs the traffic to be paused.
type comparison struct {
	Keys      int64            // on the source
	Bytes     int64            // of their serialized values
	ByType    map[string]int64 // keys of the source
	Different int64
	Named     []string // the first differences, for a person
}

// compare reads both keyspaces, first all keys of the source, then the target's for keys too many.
func compare(ctx context.Context, source, target string) (*comparison, error) {
	dbs, err := databases(ctx, source, target)
	if err != nil {
		return nil, err
	}
	total := &comparison{ByType: make(map[string]int64)}
	for _, db := range dbs {
		here, err := comparePair(ctx, source, target, db, false)
		if err != nil {
			return nil, err
		}
		there, err := comparePair(ctx, target, source, db, true)
		if err != nil {
			return nil, err
		}
		total.add(here)
		// The way back only finds keys too many; all others have been counted.
		total.Different += there.Different
		total.Named = append(total.Named, there.Named...)
	}
	if len(total.Named) > maxNamed {
		total.Named = total.Named[:maxNamed]
	}
	return total, nil
}

func (c *comparison) add(o *comparison) {
	c.Keys += o.Keys
	c.Bytes += o.Bytes
	c.Different += o.Different
	c.Named = append(c.Named, o.Named...)
	for kind, n := range o.ByType {
		c.ByType[kind] += n
	}
}

// types are the types of the keyspace, the most frequent first.
func (c *comparison) types() []string {
	return slices.SortedFunc(maps.Keys(c.ByType), func(a, b string) int {
		if d := c.ByType[b] - c.ByType[a]; d != 0 {
			return int(d)
		}
		return strings.Compare(a, b)
	})
}

// databases are the dbs that hold keys on either server, from INFO's lines "db0:keys=...".
func databases(ctx context.Context, addrs ...string) ([]int, error) {
	found := make(map[int]bool)
	for _, addr := range addrs {
		client, err := dial(addr, "demo-compare", 0)
		if err != nil {
			return nil, err
		}
		info, err := client.Do(ctx, client.B().Info().Section("keyspace").Build()).ToString()
		client.Close()
		if err != nil {
			return nil, fmt.Errorf("asking %s for its databases: %w", addr, err)
		}
		for line := range strings.Lines(info) {
			name, _, ok := strings.Cut(line, ":keys=")
			if db, err := strconv.Atoi(strings.TrimPrefix(name, "db")); ok && err == nil {
				found[db] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// pair is a worker's connections to one db of both servers.
type pair struct {
	from, to rueidis.Client
	onlyGone bool
}

// comparePair looks at every key of from and its twin on to. With onlyGone it asks only whether the twin
// exists. Pages are compared while the next one is scanned.
func comparePair(ctx context.Context, from, to string, db int, onlyGone bool) (*comparison, error) {
	pages := make(chan []string, 2)
	result := &comparison{ByType: make(map[string]int64)}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(pages)
		return scanKeys(ctx, from, db, pages)
	})
	g.Go(func() error {
		p := pair{onlyGone: onlyGone}
		var err error
		if p.from, err = dial(from, "demo-compare", db); err != nil {
			return err
		}
		defer p.from.Close()
		if p.to, err = dial(to, "demo-compare", db); err != nil {
			return err
		}
		defer p.to.Close()
		seen := make(map[string]bool) // SCAN may return a key twice
		for page := range pages {
			page = slices.DeleteFunc(page, func(key string) bool {
				again := seen[key]
				seen[key] = true
				return again
			})
			if err := p.comparePage(ctx, page, db, result); err != nil {
				return err
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("comparing %s with %s: %w", from, to, err)
	}
	return result, nil
}

func scanKeys(ctx context.Context, addr string, db int, pages chan<- []string) error {
	client, err := dial(addr, "demo-compare", db)
	if err != nil {
		return err
	}
	defer client.Close()
	for cursor := uint64(0); ; {
		entry, err := client.Do(ctx, client.B().Scan().Cursor(cursor).Count(comparePage).Build()).AsScanEntry()
		if err != nil {
			return fmt.Errorf("SCAN: %w", err)
		}
		select {
		case pages <- entry.Elements:
		case <-ctx.Done():
			return ctx.Err()
		}
		if cursor = entry.Cursor; cursor == 0 {
			return nil
		}
	}
}

// comparePage looks at the keys of one page, and a second time at those that differ: what has expired or
// was about to is gone from both by then.
func (p *pair) comparePage(ctx context.Context, keys []string, db int, into *comparison) error {
	for look := 1; look <= 2 && len(keys) > 0; look++ {
		from, err := readKeys(ctx, p.from, keys)
		if err != nil {
			return err
		}
		to, err := readKeys(ctx, p.to, keys)
		if err != nil {
			return err
		}
		var differ []string
		for i, key := range keys {
			if look == 1 && from[i].kind != "none" {
				into.Keys++
				into.Bytes += int64(len(from[i].dump))
				into.ByType[from[i].kind]++
			}
			what, err := p.difference(ctx, key, from[i], to[i])
			if err != nil {
				return err
			}
			if what == "" {
				continue
			}
			differ = append(differ, key)
			if look == 2 {
				into.Different++
				if len(into.Named) < maxNamed {
					into.Named = append(into.Named, fmt.Sprintf("db %d, %q: %s", db, key, what))
				}
			}
		}
		keys = differ
	}
	return nil
}

// state is one key as a server has it.
type state struct {
	kind   string // "none" when there is no such key
	expiry int64  // Unix ms, 0 for none
	dump   string
}

// readKeys reads keys in one round trip.
func readKeys(ctx context.Context, client rueidis.Client, keys []string) ([]state, error) {
	reads := make(rueidis.Commands, 0, 3*len(keys))
	for _, key := range keys {
		reads = append(reads, client.B().Type().Key(key).Build(), client.B().Pttl().Key(key).Build(), client.B().Dump().Key(key).Build())
	}
	asked := time.Now()
	replies := client.DoMulti(ctx, reads...)
	states := make([]state, len(keys))
	for i, key := range keys {
		s := &states[i]
		var err error
		if s.kind, err = replies[3*i].ToString(); err != nil {
			return nil, fmt.Errorf("TYPE %q: %w", key, err)
		}
		left, err := replies[3*i+1].AsInt64()
		if err != nil {
			return nil, fmt.Errorf("PTTL %q: %w", key, err)
		}
		if left >= 0 {
			s.expiry = asked.UnixMilli() + left
		}
		if s.dump, err = replies[3*i+2].ToString(); err != nil && !rueidis.IsRedisNil(err) {
			return nil, fmt.Errorf("DUMP %q: %w", key, err)
		}
	}
	return states, nil
}

// difference says in words how a key differs, "" if it does not. Equal dumps are equal values; servers may
// keep one value in several forms, so unequal ones are read by type.
func (p *pair) difference(ctx context.Context, key string, from, to state) (string, error) {
	switch {
	case from.kind == "none" && to.kind == "none":
		return "", nil
	case from.kind == "none" || to.kind == "none":
		return "on one server only", nil
	case p.onlyGone:
		return "", nil
	case from.kind != to.kind:
		return fmt.Sprintf("a %s and a %s", from.kind, to.kind), nil
	case (from.expiry == 0) != (to.expiry == 0):
		return "expires on one server only", nil
	case time.Duration(abs(from.expiry-to.expiry))*time.Millisecond > expirySlack:
		return fmt.Sprintf("expiry times %d ms apart", abs(from.expiry-to.expiry)), nil
	case from.dump == to.dump:
		return "", nil
	}
	a, err := content(ctx, p.from, key, from.kind)
	if err != nil {
		return "", err
	}
	b, err := content(ctx, p.to, key, to.kind)
	if err != nil {
		return "", err
	}
	if !slices.Equal(a, b) {
		return "another " + from.kind, nil
	}
	return "", nil
}

func abs(n int64) int64 { return max(n, -n) }

// content is a key's value in a form that is equal if and only if the values are.
func content(ctx context.Context, client rueidis.Client, key, kind string) ([]string, error) {
	read := map[string][]string{
		"string": {"GET", key}, "hash": {"HGETALL", key}, "list": {"LRANGE", key, "0", "-1"},
		"set": {"SMEMBERS", key}, "zset": {"ZRANGE", key, "0", "-1", "WITHSCORES"},
		"stream": {"XINFO", "STREAM", key, "FULL", "COUNT", "0"},
	}[kind]
	if read == nil {
		return nil, fmt.Errorf("%q is a %s, which this comparison cannot read", key, kind)
	}
	message, err := client.Do(ctx, client.B().Arbitrary(read...).Build()).ToMessage()
	if rueidis.IsRedisNil(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", read[0], key, err)
	}
	if kind == "stream" {
		return streamContent(&message)
	}
	if kind == "string" {
		text, err := message.ToString()
		return []string{text}, err
	}
	elements, err := message.AsStrSlice()
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", read[0], key, err)
	}
	switch kind {
	case "hash":
		pairs := make([]string, 0, len(elements)/2)
		for i := 0; i+1 < len(elements); i += 2 {
			pairs = append(pairs, fmt.Sprintf("%q %q", elements[i], elements[i+1]))
		}
		elements = pairs
		sort.Strings(elements)
	case "set":
		sort.Strings(elements)
	}
	return elements, nil
}
