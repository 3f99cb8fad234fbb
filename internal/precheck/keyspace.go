package precheck

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strconv"
	"strings"

	"tandem/internal/instance"
	"tandem/internal/resp"
)

// countAll bounds the counting by SCAN: up to so many keys, INFO's number is checked key by key, for it has
// expired keys and our own scratch keys in it.
const countAll = 10_000

func targetEmpty(ctx context.Context, r *run, _ *side) finding {
	if r.Resume {
		return finding{}
	}
	t := r.target
	var where []string
	var total int64
	for _, db := range slices.Sorted(maps.Keys(t.info.Keys)) {
		keys := t.info.Keys[db]
		if keys <= countAll {
			n, err := r.countKeys(ctx, t, db)
			var reply *instance.ReplyError
			switch {
			case err == nil:
				keys = n
			case !errors.As(err, &reply):
				return broken(err)
			}
		}
		if keys > 0 {
			total += keys
			where = append(where, fmt.Sprintf("db%d: %d", db, keys))
		}
	}
	if total == 0 {
		return success("no keys")
	}
	found := fmt.Sprintf("%s (%s)", keysIn(total), strings.Join(where, ", "))
	empty := fmt.Sprintf("check that %s is the right server; if its keys are not needed, empty it (FLUSHALL), else choose another target", t.Addr)
	if r.Duplicates == nil {
		return failed(empty, "%s", found)
	}
	d, err := r.Duplicates(ctx)
	switch {
	case errors.Is(err, instance.ErrCommandRefused):
		return failed("choose another value than newest in duplicates and duplicates_by_pattern, or allow OBJECT IDLETIME on both servers",
			"%s; which of them were used last is not told: %v", found, err)
	case err != nil:
		return broken(err)
	}
	if d.Found > total { // they were found by SCAN
		found += ", or about so many: some have come, or were met twice"
	}
	if d.Refused > 0 {
		return failed(empty+"; or say what is to become of them: duplicates, duplicates_by_pattern and target_only in the configuration",
			"%s: %s", found, d)
	}
	return success("%s: %s", found, d)
}

// Duplicates is what is decided about the keys that the target holds.
type Duplicates struct {
	// Found is how many there are; TargetOnly of them the source has not.
	Found, TargetOnly int64
	// Refused is how many must not be there, RefusedOnly of them only on the target. Sample names some of them.
	Refused, RefusedOnly int64
	Sample               []string
	// Skipped stay as they are, Overwritten give way to the source's, and Removed are removed.
	Skipped, Overwritten, Removed int64
	// List is the file that names all of them; empty if there is none.
	List string
}

func (d *Duplicates) String() string {
	var parts []string
	part := func(n int64, format string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf(format, n))
		}
	}
	part(d.Refused-d.RefusedOnly, "%d that the source has too, and no policy is set for")
	part(d.RefusedOnly, "%d that the source has not")
	if len(d.Sample) > 0 {
		parts = append(parts, "such as "+strings.Join(d.Sample, ", "))
	}
	part(d.Skipped, "%d stay as they are")
	part(d.Overwritten, "%d give way to the source's")
	part(d.Removed, "%d are removed")
	if len(parts) == 0 {
		parts = append(parts, "they have gone since")
	}
	if d.List != "" {
		parts = append(parts, "all are listed in "+d.List)
	}
	return strings.Join(parts, ", ")
}

// IsScratch reports whether a key is one of ours: one that a precheck writes, or that a copy has left behind.
func IsScratch(key string) bool {
	return strings.HasPrefix(key, scratchPrefix) || instance.IsTemporaryKey(key)
}

// countKeys counts a database's keys by SCAN, without ours and those that do not move. It is more than 0 if and only if there is one; a key
// that SCAN returns twice, as it may while the server's table grows or shrinks, counts once, as long as there are not many more
// than INFO told. The connection is left in database 0.
func (r *run) countKeys(ctx context.Context, s *side, db int) (n int64, err error) {
	c := s.conn
	if s.info.Databases > 1 {
		if _, err := c.Do(ctx, "SELECT", strconv.Itoa(db)); err != nil {
			return 0, err
		}
		defer func() {
			if _, back := c.Do(ctx, "SELECT", "0"); err == nil {
				err = back
			}
		}()
	}
	counted := newKeySet(2 * countAll)
	for cursor := "0"; ; {
		v, err := c.Do(ctx, "SCAN", cursor, "COUNT", "1000")
		if err != nil {
			return 0, err
		}
		if len(v.Elems) != 2 {
			return 0, fmt.Errorf("SCAN answered %d elements", len(v.Elems))
		}
		n += int64(counted.add(v.Elems[1].Elems, func(k []byte) bool { return !IsScratch(string(k)) && r.Moves.Name(k) }))
		if cursor = string(v.Elems[0].Str); cursor == "0" {
			return n, nil
		}
	}
}

// keySet is a bounded set of keys: of each a hash is kept, 8 bytes.
type keySet struct {
	seed   maphash.Seed
	hashes map[uint64]struct{}
	most   int
}

func newKeySet(most int) *keySet {
	return &keySet{seed: maphash.MakeSeed(), hashes: map[uint64]struct{}{}, most: most}
}

// add returns how many of the keys that count are new; when the set is full, all that are not in it are.
func (s *keySet) add(keys []resp.Value, counts func(key []byte) bool) (added int) {
	for _, k := range keys {
		if !counts(k.Str) {
			continue
		}
		hash := maphash.Bytes(s.seed, k.Str)
		if _, had := s.hashes[hash]; had {
			continue
		}
		if len(s.hashes) < s.most {
			s.hashes[hash] = struct{}{}
		}
		added++
	}
	return added
}

func targetDatabases(_ context.Context, r *run, _ *side) finding {
	has, all, used := r.target.info.Databases, r.source.info.Databases, r.source.info.HighestDB()
	if r.target.Renumbers() {
		return r.targetNumbers(has)
	}
	switch {
	case used >= has:
		return failed(fmt.Sprintf("set databases %d or more on the target (it takes a restart), or ask the provider", max(all, used+1)),
			"the source has keys in database %d, the target's last is %d", used, has-1)
	case all > has:
		return warning(fmt.Sprintf("set databases %d on the target (it takes a restart), if clients may come to use them", all),
			"the source offers %d databases, the target %d; those with keys fit", all, has)
	}
	return success("the target offers %d databases, the source %d", has, all)
}

func keysIn(n int64) string {
	if n == 1 {
		return "1 key"
	}
	return fmt.Sprintf("%d keys", n)
}
