package precheck

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"tandem/internal/instance"
	"tandem/internal/resp"
)

// The bounds of a sample: keys looked at, and values read and written in one go.
const (
	maxSampled   = 20_000
	sampleBatch  = 128
	sampleValues = 4 << 20 // bytes of one batch
	// largest is what is read of a key for the sample. A larger one is not: it would stop the server for a moment.
	largestRead = 1 << 20
	shownLarge  = 3
)

// coreTypes are those that every server has; others are of modules.
var coreTypes = []string{"string", "list", "set", "zset", "hash", "stream"}

// sampled is what a look at some of the source's keys has shown. SCAN walks in the order of hashes: its first keys are as
// good as random ones.
type sampled struct {
	keys int64
	// staying are those that were left out, for they do not move; keys are the others.
	staying int64
	// size is of all of them, bytes: of their DUMP, or of the memory of those that were not read.
	size int64
	// unread are the keys that were too large to be read, and what they occupy.
	unread, unreadSize int64
	// reading and writing are the times that the source and the target took for the others.
	reading, writing time.Duration
	// readSize is the DUMPs of the others.
	readSize int64
	// large are the largest, largest first.
	large []sampledKey
	// modules is one key of each type that a module has.
	modules map[string]sampledKey
	// sized: the server tells the size of a key (MEMORY USAGE). Else it is guessed by the number of elements.
	sized bool
	// sizesOnly: values were not read, for that would count as use of the keys.
	sizesOnly bool
}

type sampledKey struct {
	db   int
	name string
	size int64
}

func (k sampledKey) String() string {
	name := k.name
	if len(name) > 64 {
		name = name[:64] + "..."
	}
	return fmt.Sprintf("%s of db%d, %s", strconv.Quote(name), k.db, bytes(k.size))
}

// look takes the sample, for as long as r.SampleTime: keys of all databases of the source are read as the backfill does, and
// their values written to the scratch key of the target.
func (r *run) look(ctx context.Context) (*sampled, error) {
	if r.sampled != nil {
		return r.sampled, nil
	}
	m := &sampled{modules: map[string]sampledKey{}, sized: true}
	// Whoever reads a value uses the key, and what is decided by last use must not be decided by this. (7.2 and newer.)
	if _, err := r.source.conn.Do(ctx, "CLIENT", "NO-TOUCH", "ON"); err != nil {
		var reply *instance.ReplyError
		if !errors.As(err, &reply) {
			return nil, err
		}
		m.sizesOnly = r.KeepIdle
	}
	dbs := slices.Sorted(maps.Keys(r.source.info.Keys))
	began := time.Now()
	for i, db := range dbs {
		until := began.Add(r.SampleTime * time.Duration(i+1) / time.Duration(len(dbs)))
		if err := r.lookAtDatabase(ctx, m, db, until, m.keys+m.staying+maxSampled/int64(len(dbs))); err != nil {
			return nil, err
		}
	}
	if err := r.remove(ctx, r.target); err != nil {
		return nil, err
	}
	r.sampled = m
	return m, nil
}

// lookAtDatabase samples keys until a time, or until there are so many. The connection is left in database 0.
func (r *run) lookAtDatabase(ctx context.Context, m *sampled, db int, until time.Time, most int64) (err error) {
	c := r.source.conn
	if _, err := c.Do(ctx, "SELECT", strconv.Itoa(db)); err != nil {
		return err
	}
	defer func() {
		if _, back := c.Do(ctx, "SELECT", "0"); err == nil {
			err = back
		}
	}()
	for cursor := "0"; m.keys+m.staying < most; {
		began := time.Now()
		v, err := c.Do(ctx, "SCAN", cursor, "COUNT", strconv.Itoa(sampleBatch))
		if err != nil {
			return err
		}
		if len(v.Elems) != 2 {
			return fmt.Errorf("SCAN answered %d elements", len(v.Elems))
		}
		m.reading += time.Since(began)
		var keys []string
		for _, k := range v.Elems[1].Elems {
			switch name := string(k.Str); {
			case strings.HasPrefix(name, scratchPrefix):
			case r.Moves.Key(db, k.Str):
				keys = append(keys, name)
			default:
				m.staying++
			}
		}
		if err := r.lookAtKeys(ctx, m, db, keys); err != nil {
			return err
		}
		if cursor = string(v.Elems[0].Str); cursor == "0" || time.Now().After(until) {
			return nil
		}
	}
	return nil
}

// lookAtKeys asks for types and sizes, and copies what is not too large into the scratch key.
func (r *run) lookAtKeys(ctx context.Context, m *sampled, db int, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	var ask [][]string
	for _, k := range keys {
		ask = append(ask, []string{"TYPE", k}, []string{"MEMORY", "USAGE", k, "SAMPLES", "5"})
	}
	answers, err := r.source.conn.Pipe(ctx, ask...)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(answers, func(v resp.Value) bool { return v.IsError() }) {
		m.sized = false
		if answers, err = r.guessSizes(ctx, keys, answers); err != nil {
			return err
		}
	}
	var batch []string
	var batchSize int64
	for i, k := range keys {
		kind, size := answers[2*i], answers[2*i+1]
		if kind.IsError() || string(kind.Str) == "none" {
			continue // it has gone
		}
		key := sampledKey{db: db, name: k, size: size.Int}
		m.keys++
		if t := string(kind.Str); !slices.Contains(coreTypes, t) {
			if had, ok := m.modules[t]; !ok || key.size < had.size {
				m.modules[t] = key
			}
			m.size += key.size
			m.note(key)
			continue
		}
		if key.size > largestRead || m.sizesOnly {
			m.unread++
			m.unreadSize += key.size
			m.size += key.size
			m.note(key)
			continue
		}
		if batchSize += key.size; batchSize > sampleValues {
			if err := r.copySample(ctx, m, db, batch); err != nil {
				return err
			}
			batch, batchSize = nil, key.size
		}
		batch = append(batch, k)
	}
	return r.copySample(ctx, m, db, batch)
}

// lengths are the commands that tell how many bytes or elements a value has.
var lengths = map[string]string{"string": "STRLEN", "list": "LLEN", "set": "SCARD", "zset": "ZCARD", "hash": "HLEN", "stream": "XLEN"}

// guessedElement is what an element of a collection is taken to occupy where the server does not tell, bytes.
const guessedElement = 64

// guessSizes puts sizes by the number of elements in the place of those that the server does not tell. answers are two
// for each key, its type and its size.
func (r *run) guessSizes(ctx context.Context, keys []string, answers []resp.Value) ([]resp.Value, error) {
	var ask [][]string
	for i, k := range keys {
		length := lengths[string(answers[2*i].Str)]
		if length == "" {
			length = "EXISTS"
		}
		ask = append(ask, []string{length, k})
	}
	counts, err := r.source.conn.Pipe(ctx, ask...)
	if err != nil {
		return nil, err
	}
	for i := range keys {
		if size := &answers[2*i+1]; size.IsError() {
			*size = counts[i]
			if string(answers[2*i].Str) != "string" {
				size.Int *= guessedElement
			}
		}
	}
	return answers, nil
}

// copySample reads keys and writes them to the scratch key, one after the other, and takes the time of both.
func (r *run) copySample(ctx context.Context, m *sampled, db int, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	var read [][]string
	for _, k := range keys {
		read = append(read, []string{"DUMP", k}, []string{"PTTL", k})
	}
	began := time.Now()
	values, err := r.source.conn.Pipe(ctx, read...)
	if err != nil {
		return err
	}
	m.reading += time.Since(began)
	var write [][]string
	for i, k := range keys {
		v := values[2*i]
		if v.IsError() || len(v.Str) == 0 {
			continue
		}
		m.size += int64(len(v.Str))
		m.readSize += int64(len(v.Str))
		m.note(sampledKey{db: db, name: k, size: int64(len(v.Str))})
		payload, _ := r.target.carried(string(v.Str))
		write = append(write, []string{"RESTORE", r.scratch, scratchTTL, payload, "REPLACE"})
	}
	if len(write) == 0 {
		return nil
	}
	began = time.Now()
	if _, err := r.target.conn.Pipe(ctx, write...); err != nil { // what is refused is the subject of the exchange
		return err
	}
	m.writing += time.Since(began)
	return nil
}

// note keeps a key if it is among the largest.
func (m *sampled) note(k sampledKey) {
	m.large = append(m.large, k)
	slices.SortFunc(m.large, func(a, b sampledKey) int { return cmp.Compare(b.size, a.size) })
	m.large = m.large[:min(len(m.large), shownLarge)]
}

// estimate is how many bytes all keys are, and how long copying them takes. The slower of the two servers decides, for
// the backfill reads from the one and writes to the other at the same time. It is 0 without a sample.
func (m *sampled) estimate(keys int64) (size int64, took time.Duration) {
	if m.keys == 0 || keys == 0 {
		return 0, 0
	}
	all := float64(keys) / float64(m.keys)
	size = int64(float64(m.size) * all)
	slower := max(m.reading, m.writing)
	seconds := slower.Seconds() * all
	if m.unread > 0 {
		// Of large values the bytes count. Of small ones they do not, and make the rate look worse than it is.
		rate := float64(100 << 20)
		if slower > 0 {
			rate = max(rate, float64(m.readSize)/slower.Seconds())
		}
		seconds += float64(m.unreadSize) / rate * all
	}
	return size, time.Duration(seconds * float64(time.Second))
}

// largeKeys looks for keys whose copy takes its time.
func largeKeys(ctx context.Context, r *run, _ *side) finding {
	m, err := r.look(ctx)
	if err != nil {
		return broken(err)
	}
	if m.keys == 0 {
		return success("no keys")
	}
	seen := fmt.Sprintf("%d of %s looked at", m.keys, keysIn(r.moving(m)))
	if !m.sized {
		seen += " (MEMORY USAGE is refused, so sizes are guesses)"
	}
	largest := m.large[0]
	if largest.size <= r.LargeKey {
		return success("%s, the largest is %s", seen, largest)
	}
	var list []string
	for _, k := range m.large {
		if k.size > r.LargeKey {
			list = append(list, k.String())
		}
	}
	return warning("split them if you can; else know that such a key is copied piece by piece, and from its beginning again if "+
		"clients write to it meanwhile: what is written all the time is copied at last while its writers wait, for two seconds "+
		"at most, or stays a named blocker", "%s; the largest: %s", seen, strings.Join(list, "; "))
}

// duration estimates how long the backfill takes.
func duration(ctx context.Context, r *run, _ *side) finding {
	m, err := r.look(ctx)
	if err != nil {
		return broken(err)
	}
	return r.durationOf(m, r.moving(m))
}

func (r *run) durationOf(m *sampled, keys int64) finding {
	size, took := m.estimate(keys)
	if keys == 0 || m.keys == 0 {
		return success("there is nothing to copy")
	}
	took, bound := r.Pace.lasts(keys, size, took, time.Now())
	found := fmt.Sprintf("%s, some %s to transfer: about %s without other load", keysIn(keys), bytes(size), readDuration(took))
	if m.sizesOnly {
		found = fmt.Sprintf("%s, some %s; the time was not measured, for reading values would count as use of their keys", keysIn(keys), bytes(size))
		if bound != "" {
			found += "; it is " + readDuration(took) + " or more"
		}
	}
	if bound != "" {
		found += " (" + bound + ")"
	}
	if took > r.LongBackfill {
		return warning("raise backfill.workers and backfill.window_bytes, and backfill.max_keys_per_s, max_bytes_per_s and windows if they are set; "+
			"run Tandem near both servers; or plan for it: writes reach both servers all the time, and a restart goes on where it was", "%s", found)
	}
	return success("%s", found)
}

// readDuration is a time for people.
func readDuration(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= furthest:
		return "more than ten years"
	case d >= 2*day:
		return fmt.Sprintf("%d days", (d+day/2)/day)
	}
	return roundDuration(d).String()
}

// roundDuration leaves two figures or so.
func roundDuration(d time.Duration) time.Duration {
	switch {
	case d < time.Second:
		return time.Second
	case d < time.Minute:
		return d.Round(time.Second)
	case d < time.Hour:
		return d.Round(10 * time.Second)
	}
	return d.Round(10 * time.Minute)
}
