package backfill

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"

	"github.com/redis/rueidis"
)

// wholeCommand asks for the whole content of a key of each type.
func wholeCommand(kind, name string) command {
	switch kind {
	case "string":
		return command{"GET", name}
	case "list":
		return command{"LRANGE", name, "0", "-1"}
	case "set":
		return command{"SMEMBERS", name}
	case "hash":
		return command{"HGETALL", name}
	case "zset":
		return command{"ZRANGE", name, "0", "-1", "WITHSCORES"}
	}
	return nil
}

// compareSmall compares keys whose contents are small, all of them in one round trip, hashes with the expiry
// of their fields in two.
func (v *Verify) compareSmall(ctx context.Context, db int, pairs []pair) error {
	if len(pairs) == 0 {
		return nil
	}
	commands := make([]command, len(pairs))
	for i, p := range pairs {
		commands[i] = wholeCommand(p.first.kind, p.s.name)
	}
	first, second, err := both(v, func(r *reader) ([]rueidis.RedisResult, error) { return r.do(ctx, db, commands...) })
	if err != nil {
		return err
	}
	var hashes []hash
	for i, p := range pairs {
		found, err := v.compareWhole(p.first.kind, first[i], second[i])
		if err != nil {
			found = difference{kind: kindUnreadable, detail: err.Error()}
		}
		p.s.found = found
		if p.first.kind == "hash" && err == nil {
			fields, _ := first[i].AsStrMap() // as compareWhole did
			hashes = append(hashes, hash{p.s, keysOf(fields)})
		}
	}
	return v.compareFieldExpiry(ctx, db, hashes)
}

func keysOf(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	return keys
}

// compareWhole compares two answers of wholeCommand.
func (v *Verify) compareWhole(kind string, first, second rueidis.RedisResult) (difference, error) {
	switch kind {
	case "string":
		a, err := first.ToString()
		if err != nil && !rueidis.IsRedisNil(err) {
			return difference{}, err
		}
		b, err := second.ToString()
		if err != nil && !rueidis.IsRedisNil(err) {
			return difference{}, err
		}
		return v.compareStrings(0, a, b), nil
	case "list":
		a, b, err := stringsOf(first, second)
		if err != nil {
			return difference{}, err
		}
		return v.compareLists(0, a, b), nil
	case "set":
		a, b, err := stringsOf(first, second)
		if err != nil {
			return difference{}, err
		}
		return v.compareSets(a, b), nil
	case "hash":
		a, err := first.AsStrMap()
		if err != nil {
			return difference{}, err
		}
		b, err := second.AsStrMap()
		if err != nil {
			return difference{}, err
		}
		return v.compareHashes(a, b), nil
	case "zset":
		a, err := first.AsZScores()
		if err != nil {
			return difference{}, err
		}
		b, err := second.AsZScores()
		if err != nil {
			return difference{}, err
		}
		return v.compareScores(a, b), nil
	}
	return difference{}, fmt.Errorf("type %s", kind)
}

func stringsOf(first, second rueidis.RedisResult) (a, b []string, err error) {
	if a, err = first.AsStrSlice(); err != nil {
		return nil, nil, err
	}
	b, err = second.AsStrSlice()
	return a, b, err
}

// hyllHeader is the header of a HyperLogLog: a magic word, an encoding, three bytes unused, and the cached
// cardinality, which is no data: PFCOUNT may fill it in on one side alone.
const (
	hyllMagic       = "HYLL"
	hyllCacheStart  = 8
	hyllHeaderBytes = 16
)

// compareStrings compares a string, or a piece of one that begins at offset.
func (v *Verify) compareStrings(offset int64, a, b string) difference {
	if a == b {
		return difference{}
	}
	if offset == 0 && len(a) == len(b) && len(a) >= hyllHeaderBytes && a[:4] == hyllMagic &&
		a[:hyllCacheStart] == b[:hyllCacheStart] && a[hyllHeaderBytes:] == b[hyllHeaderBytes:] {
		return difference{}
	}
	n := min(len(a), len(b))
	at := 0
	for at < n && a[at] == b[at] {
		at++
	}
	return difference{kind: kindValue, detail: fmt.Sprintf("from byte %d on: %s", offset+int64(at),
		v.sides(quote(a[at:]), quote(b[at:])))}
}

// compareLists compares a list, or a piece of one that begins at index offset.
func (v *Verify) compareLists(offset int64, a, b []string) difference {
	if slices.Equal(a, b) {
		return difference{}
	}
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return difference{kind: kindValue, detail: fmt.Sprintf("element %d: %s", offset+int64(i),
				v.sides(quote(a[i]), quote(b[i])))}
		}
	}
	return difference{kind: kindValue, detail: v.sides(elementsText(offset+int64(len(a))), elementsText(offset+int64(len(b))))}
}

func (v *Verify) compareSets(a, b []string) difference {
	sort.Strings(a)
	sort.Strings(b)
	if slices.Equal(a, b) {
		return difference{}
	}
	if m, ok := onlyIn(a, b); ok {
		return v.lacks(v.to, "member", m)
	}
	m, _ := onlyIn(b, a)
	return v.lacks(v.from, "member", m)
}

// onlyIn returns an element of a that b does not have. Both are sorted.
func onlyIn(a, b []string) (string, bool) {
	for _, x := range a {
		if _, ok := slices.BinarySearch(b, x); !ok {
			return x, true
		}
	}
	return "", false
}

// lacks is a difference: one side does not have an element.
func (v *Verify) lacks(side *reader, what, name string) difference {
	return difference{kind: kindValue, detail: fmt.Sprintf("%s %s is not on the %s", what, quote(name), side.in.Role)}
}

func (v *Verify) compareHashes(a, b map[string]string) difference {
	for field, x := range a {
		y, ok := b[field]
		if !ok {
			return v.lacks(v.to, "field", field)
		}
		if x != y {
			return v.fieldDiffers(field, x, y)
		}
	}
	for field := range b {
		if _, ok := a[field]; !ok {
			return v.lacks(v.from, "field", field)
		}
	}
	return difference{}
}

func (v *Verify) fieldDiffers(field, a, b string) difference {
	return difference{kind: kindValue, detail: fmt.Sprintf("field %s: %s", quote(field), v.sides(quote(a), quote(b)))}
}

// compareScores compares sorted sets, which both sides give in the same order.
func (v *Verify) compareScores(a, b []rueidis.ZScore) difference {
	scores := make(map[string]float64, len(b))
	for _, z := range b {
		scores[z.Member] = z.Score
	}
	for _, z := range a {
		score, ok := scores[z.Member]
		if !ok {
			return v.lacks(v.to, "member", z.Member)
		}
		if !sameScore(score, z.Score) {
			return v.scoreDiffers(z.Member, z.Score, score)
		}
		delete(scores, z.Member)
	}
	for member := range scores {
		return v.lacks(v.from, "member", member)
	}
	return difference{}
}

// sameScore reports whether two scores are the same: -0 is another than 0, for clients can tell them apart, and what is
// no number, which a RESTORE may bring, is the same as itself.
func sameScore(a, b float64) bool {
	return math.Float64bits(a) == math.Float64bits(b) || math.IsNaN(a) && math.IsNaN(b)
}

func (v *Verify) scoreDiffers(member string, a, b float64) difference {
	return difference{kind: kindValue, detail: fmt.Sprintf("score of member %s: %s", quote(member),
		v.sides(strconv.FormatFloat(a, 'g', -1, 64), strconv.FormatFloat(b, 'g', -1, 64)))}
}
