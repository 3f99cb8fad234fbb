package backfill

import (
	"context"
	"fmt"
	"strconv"

	"github.com/redis/rueidis"
)

// pieceBytes is how large a piece of a large value should be. Pieces of a string are; of other types the
// number of elements follows the size of those before.
const pieceBytes = 1 << 20

// pieces says how many elements to ask for: few at first, more while they are small.
type pieces struct{ n int }

func newPieces() pieces { return pieces{n: 16} }

// next takes the size of the last piece.
func (p *pieces) next(bytes int) {
	switch {
	case bytes > 2*pieceBytes:
		p.n = max(1, p.n/4)
	case bytes < pieceBytes/2:
		p.n = min(4096, p.n*2)
	}
}

func totalLen(list []string) (n int) {
	for _, s := range list {
		n += len(s)
	}
	return n
}

// compareLarge compares one key piece by piece. Both have the same type, and but for hashes the same number
// of elements, so that it is enough to look for the primary's on the secondary.
func (v *Verify) compareLarge(ctx context.Context, db int, p pair) error {
	var err error
	s := p.s
	switch p.first.kind {
	case "string":
		s.found, err = v.compareLargeString(ctx, db, s.name, p.first.count)
	case "list":
		s.found, err = v.compareLargeList(ctx, db, s.name, p.first.count)
	case "set":
		s.found, err = v.compareLargeSet(ctx, db, s.name)
	case "hash":
		s.found, err = v.compareLargeHash(ctx, db, s, v.from, v.to)
		if err == nil && s.found.kind == "" && p.first.count != p.second.count {
			s.found, err = v.compareLargeHash(ctx, db, s, v.to, v.from)
		}
	case "zset":
		s.found, err = v.compareLargeScores(ctx, db, s.name)
	case "stream":
		s.found, err = v.compareStream(ctx, db, s.name)
	default:
		s.found = difference{kind: kindValue, detail: "the DUMPs differ, and type " + p.first.kind + " cannot be compared otherwise"}
	}
	return err
}

func (v *Verify) compareLargeString(ctx context.Context, db int, name string, length int64) (difference, error) {
	for at := int64(0); at < length; at += pieceBytes {
		c := command{"GETRANGE", name, strconv.FormatInt(at, 10), strconv.FormatInt(at+pieceBytes-1, 10)}
		first, second, err := v.oneReply(ctx, db, c)
		if err != nil {
			return difference{}, err
		}
		a, _ := first.ToString()
		b, _ := second.ToString()
		v.spend(int64(len(a)))
		if d := v.compareStrings(at, a, b); d.kind != "" {
			return d, nil
		}
	}
	return difference{}, nil
}

func (v *Verify) compareLargeList(ctx context.Context, db int, name string, length int64) (difference, error) {
	p := newPieces()
	for at := int64(0); at < length; {
		c := command{"LRANGE", name, strconv.FormatInt(at, 10), strconv.FormatInt(at+int64(p.n)-1, 10)}
		first, second, err := v.oneReply(ctx, db, c)
		if err != nil {
			return difference{}, err
		}
		a, b, err := stringsOf(first, second)
		if err != nil {
			return difference{}, v.replyError(v.from, "LRANGE", err)
		}
		if d := v.compareLists(at, a, b); d.kind != "" {
			return d, nil
		}
		if len(a) == 0 {
			break
		}
		at += int64(len(a))
		p.next(totalLen(a))
		v.spend(int64(totalLen(a)))
	}
	return difference{}, nil
}

// scanElements gives each portion of a SSCAN, HSCAN or ZSCAN on one side to f, until f finds a difference.
func (v *Verify) scanElements(ctx context.Context, db int, scan, name string, side *reader, f func([]string) (difference, error)) (difference, error) {
	p := newPieces()
	for cursor := "0"; ; {
		if err := v.turn(ctx, 1); err != nil {
			return difference{}, err
		}
		results, err := side.do(ctx, db, command{scan, name, cursor, "COUNT", strconv.Itoa(p.n)})
		if err != nil {
			return difference{}, err
		}
		entry, err := results[0].AsScanEntry()
		if err != nil {
			return difference{}, v.replyError(side, scan, err)
		}
		v.spend(int64(totalLen(entry.Elements)))
		if d, err := f(entry.Elements); err != nil || d.kind != "" {
			return d, err
		}
		if entry.Cursor == 0 {
			return difference{}, nil
		}
		cursor = strconv.FormatUint(entry.Cursor, 10)
		p.next(totalLen(entry.Elements))
	}
}

// ask sends one command per element to a side.
func (v *Verify) ask(ctx context.Context, db int, side *reader, name, what string, elements []string) ([]rueidis.RedisResult, error) {
	commands := make([]command, len(elements))
	for i, e := range elements {
		commands[i] = command{what, name, e}
	}
	if len(commands) == 0 {
		return nil, nil
	}
	return side.do(ctx, db, commands...)
}

func (v *Verify) compareLargeSet(ctx context.Context, db int, name string) (difference, error) {
	return v.scanElements(ctx, db, "SSCAN", name, v.from, func(members []string) (difference, error) {
		results, err := v.ask(ctx, db, v.to, name, "SISMEMBER", members)
		if err != nil {
			return difference{}, err
		}
		for i, res := range results {
			is, err := res.ToInt64()
			if err != nil {
				return difference{}, v.replyError(v.to, "SISMEMBER", err)
			}
			if is == 0 {
				return v.lacks(v.to, "member", members[i]), nil
			}
		}
		return difference{}, nil
	})
}

// compareLargeHash looks for the fields of one side on the other.
func (v *Verify) compareLargeHash(ctx context.Context, db int, s *suspect, one, other *reader) (difference, error) {
	return v.scanElements(ctx, db, "HSCAN", s.name, one, func(entries []string) (difference, error) {
		fields := make([]string, 0, len(entries)/2)
		for i := 0; i+1 < len(entries); i += 2 {
			fields = append(fields, entries[i])
		}
		results, err := v.ask(ctx, db, other, s.name, "HGET", fields)
		if err != nil {
			return difference{}, err
		}
		for i, res := range results {
			value, err := res.ToString()
			found := difference{}
			switch {
			case rueidis.IsRedisNil(err):
				found = v.lacks(other, "field", fields[i])
			case err != nil:
				return difference{}, v.replyError(other, "HGET", err)
			case value != entries[2*i+1] && one == v.from:
				found = v.fieldDiffers(fields[i], entries[2*i+1], value)
			}
			if found.kind != "" {
				// Only this field can be why; it may be about to expire.
				s.found = found
				err := v.compareFieldExpiry(ctx, db, []hash{{s, fields[i : i+1]}})
				return s.found, err
			}
		}
		s.found = difference{}
		err = v.compareFieldExpiry(ctx, db, []hash{{s, fields}})
		return s.found, err
	})
}

func (v *Verify) compareLargeScores(ctx context.Context, db int, name string) (difference, error) {
	return v.scanElements(ctx, db, "ZSCAN", name, v.from, func(entries []string) (difference, error) {
		members := make([]string, 0, len(entries)/2)
		for i := 0; i+1 < len(entries); i += 2 {
			members = append(members, entries[i])
		}
		results, err := v.ask(ctx, db, v.to, name, "ZSCORE", members)
		if err != nil {
			return difference{}, err
		}
		for i, res := range results {
			score, err := res.AsFloat64()
			if rueidis.IsRedisNil(err) {
				return v.lacks(v.to, "member", members[i]), nil
			} else if err != nil {
				return difference{}, v.replyError(v.to, "ZSCORE", err)
			}
			want, err := strconv.ParseFloat(entries[2*i+1], 64)
			if err != nil {
				return difference{}, fmt.Errorf("%s: ZSCAN: score: %w", v.from.in, err)
			}
			if !sameScore(score, want) {
				return v.scoreDiffers(members[i], want, score), nil
			}
		}
		return difference{}, nil
	})
}
