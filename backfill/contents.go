package backfill

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"tandem/internal/instance"
)

// facts are what one side says of a key without showing its content.
type facts struct {
	// kind is the key's type as TYPE has it, "none" if there is no such key.
	kind string
	// expireAt is the expiry on the server's clock, Unix ms; 0 for none.
	expireAt int64
	// left is the time until then.
	left time.Duration
	// count is the number of its elements, of a string's bytes.
	count int64
}

const noKey = "none"

// facts asks for those of each name.
func (r *reader) facts(ctx context.Context, db int, names []string) ([]facts, error) {
	expiry := make([]reading, len(names))
	withPTTL := r.usePTTL.Load()
	if withPTTL {
		if err := r.readPTTL(ctx, db, names, expiry); err != nil {
			return nil, err
		}
	}
	commands := make([]command, 0, 2*len(names)+1)
	for _, name := range names {
		commands = append(commands, command{"TYPE", name})
	}
	for _, name := range names {
		if !withPTTL {
			commands = append(commands, command{"PEXPIRETIME", name})
		}
	}
	results, err := r.do(ctx, db, append(commands, command{"TIME"})...)
	if err != nil {
		return nil, err
	}
	now, err := serverTime(results[len(results)-1])
	if err != nil {
		return nil, fmt.Errorf("%s: TIME: %w", r.in, err)
	}
	out := make([]facts, len(names))
	counts := make([]command, len(names))
	for i, name := range names {
		f := &out[i]
		if f.kind, err = results[i].ToString(); err != nil {
			return nil, fmt.Errorf("%s: TYPE: %w", r.in, err)
		}
		if err = expiry[i].err; !withPTTL {
			expiry[i].expireAt, err = results[len(names)+i].ToInt64()
		}
		switch {
		case refused(err) && !withPTTL:
			r.usePTTL.Store(true)
			return r.facts(ctx, db, names)
		case err != nil:
			return nil, fmt.Errorf("%s: expiry: %w", r.in, err)
		case expiry[i].expireAt > 0:
			f.expireAt = expiry[i].expireAt
			f.left = time.UnixMilli(f.expireAt).Sub(now)
		}
		counts[i] = command{"EXISTS", name}
		if count, ok := countCommands[f.kind]; ok {
			counts[i][0] = count
		}
	}
	results, err = r.do(ctx, db, counts...)
	if err != nil {
		return nil, err
	}
	for i := range out {
		out[i].count, err = results[i].ToInt64()
		if err != nil && !isWrongType(err) { // a type that has changed in between, which the ledger knows of
			return nil, fmt.Errorf("%s: %s: %w", r.in, counts[i][0], err)
		}
	}
	return out, nil
}

const (
	// smallCount and smallBytes bound what is asked for in one piece: elements, and bytes of all that is asked
	// for together.
	smallCount = 1024
	smallBytes = 1 << 20
)

// compareContents compares keys of one database by what they contain, and sets found of each. The error is
// for what could not be read.
func (v *Verify) compareContents(ctx context.Context, db int, suspects []*suspect) error {
	names := make([]string, len(suspects))
	for i, s := range suspects {
		names[i], s.found = s.name, difference{}
	}
	first, second, err := both(v, func(r *reader) ([]facts, error) { return r.facts(ctx, db, names) })
	if err != nil {
		return err
	}
	var small []pair
	var bytes int64
	for i, s := range suspects {
		p := pair{s: s, first: first[i], second: second[i]}
		switch {
		case v.compareFacts(p), v.opt.Mode == KeysOnly:
		case p.isSmall():
			small = append(small, p)
			if bytes += s.size; bytes > smallBytes {
				if err := v.compareSmall(ctx, db, small); err != nil {
					return err
				}
				v.spend(bytes)
				small, bytes = nil, 0
			}
		default:
			if err := v.compareLarge(ctx, db, p); isUnreadable(err) {
				s.found = difference{kind: kindUnreadable, detail: err.Error()}
			} else if err != nil {
				return err
			}
		}
	}
	if err := v.compareSmall(ctx, db, small); err != nil {
		return err
	}
	v.spend(bytes)
	for i, s := range suspects {
		if s.found.kind == "" {
			v.compareExpiry(s, first[i], second[i])
		}
	}
	return nil
}

// isUnreadable reports whether an error is a reply about one key: it became another type, or ceased to be,
// while it was read. If no write was behind that, it is a difference.
func isUnreadable(err error) bool {
	for e := err; e != nil; e = errors.Unwrap(e) {
		if _, ok := rueidis.IsRedisErr(e); ok || rueidis.IsRedisNil(e) {
			return !refusedCommand(err) && wholeServer(e) == nil
		}
	}
	return false
}

// pair is a suspect and what both sides say of it.
type pair struct {
	s             *suspect
	first, second facts
}

// isSmall: both sides' contents may be asked for in one piece.
func (p pair) isSmall() bool {
	n := max(p.first.count, p.second.count)
	switch p.first.kind {
	case "string":
		return n <= smallBytes
	case "list", "set", "hash", "zset":
		return n <= smallCount && p.s.size <= smallBytes && p.s.size > 0
	}
	return false
}

// compareFacts reports whether nothing more needs to be compared: there is a difference already, or no key.
func (v *Verify) compareFacts(p pair) bool {
	a, b := p.first, p.second
	found := &p.s.found
	switch {
	case a.kind == noKey && b.kind == noKey:
		return true
	case b.kind == noKey && v.livesOn(v.from, a), a.kind == noKey && v.livesOn(v.to, b):
		return true
	case b.kind == noKey:
		*found = difference{kind: kindMissing, passes: v.passing(a),
			detail: fmt.Sprintf("a %s on the %s, no key on the %s", a.kind, v.from.in.Role, v.to.in.Role)}
	case a.kind == noKey:
		*found = difference{kind: kindExtra, passes: v.passing(b),
			detail: fmt.Sprintf("no key on the %s, a %s on the %s", v.from.in.Role, b.kind, v.to.in.Role)}
	case a.kind != b.kind:
		*found = difference{kind: kindType, detail: v.sides(a.kind, b.kind)}
	case a.count != b.count && a.kind == "string":
		*found = difference{kind: kindValue, detail: v.sides(bytesText(a.count), bytesText(b.count))}
	case a.count != b.count && a.kind != "hash": // a hash may count fields that have expired
		*found = difference{kind: kindValue, detail: v.sides(elementsText(a.count), elementsText(b.count))}
	}
	return found.kind != ""
}

// livesOn reports whether a key that is on one side only may have expired on the other, where it lives less long: the source.
func (v *Verify) livesOn(side *reader, there facts) bool {
	return v.opt.Extend > 0 && side.in.Role == instance.Target && there.expireAt > 0 && there.left <= v.opt.Extend+v.opt.TTLTolerance
}

// passing is when a key that is on one side only may be gone there too.
func (v *Verify) passing(there facts) time.Time {
	if there.expireAt == 0 || there.left > v.opt.TTLTolerance {
		return time.Time{}
	}
	return time.Now().Add(there.left + v.opt.TTLTolerance)
}

// compareExpiry compares the expiry of keys that are equal otherwise.
func (v *Verify) compareExpiry(s *suspect, a, b facts) {
	if a.kind != noKey && b.kind != noKey && !v.sameExpiry(a.expireAt, b.expireAt) {
		s.found = difference{kind: kindTTL, detail: v.sides(expiryText(a.expireAt), expiryText(b.expireAt))}
	}
}

// sides says what each side has.
func (v *Verify) sides(first, second string) string {
	return fmt.Sprintf("%s on the %s, %s on the %s", first, v.from.in.Role, second, v.to.in.Role)
}

func bytesText(n int64) string    { return count(n, "byte") }
func elementsText(n int64) string { return count(n, "element") }

func count(n int64, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.FormatInt(n, 10) + " " + what
}

func timeText(at int64) string { return time.UnixMilli(at).UTC().Format("2006-01-02T15:04:05.000Z") }

func expiryText(at int64) string {
	if at == 0 {
		return "no expiry"
	}
	return "expires at " + timeText(at)
}

// quote shows a value for the eye, not all of a long one.
func quote(s string) string {
	const most = 48
	if len(s) > most {
		return strconv.Quote(s[:most]) + "..."
	}
	return strconv.Quote(s)
}

func (v *Verify) replyError(r *reader, what string, err error) error {
	return fmt.Errorf("%s: %s: %w", r.in, what, err)
}

// oneReply asks for one thing of each side.
func (v *Verify) oneReply(ctx context.Context, db int, c command) (first, second rueidis.RedisResult, err error) {
	if err := v.turn(ctx, 1); err != nil {
		return first, second, err
	}
	a, b, err := both(v, func(r *reader) ([]rueidis.RedisResult, error) { return r.do(ctx, db, c) })
	if err != nil {
		return first, second, err
	}
	if err := a[0].Error(); err != nil && !rueidis.IsRedisNil(err) {
		return first, second, v.replyError(v.from, c[0], err)
	}
	if err := b[0].Error(); err != nil && !rueidis.IsRedisNil(err) {
		return first, second, v.replyError(v.to, c[0], err)
	}
	return a[0], b[0], nil
}
