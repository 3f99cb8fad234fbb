package backfill

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/rueidis"
)

// hash is a suspect that is a hash, and fields of it that the primary has.
type hash struct {
	s      *suspect
	fields []string
}

// fieldTimes asks a side when fields expire, in Unix ms; 0 for those that do not, or are not there. The
// answer is nil where the server knows no expiry of fields.
func (r *reader) fieldTimes(ctx context.Context, db int, hashes []hash) ([][]int64, time.Time, error) {
	if r.noFieldExpiry.Load() {
		return nil, time.Time{}, nil
	}
	commands := make([]command, 0, len(hashes)+1)
	for _, h := range hashes {
		c := command{"HPEXPIRETIME", h.s.name, "FIELDS", strconv.Itoa(len(h.fields))}
		commands = append(commands, append(c, h.fields...))
	}
	results, err := r.do(ctx, db, append(commands, command{"TIME"})...)
	if err != nil {
		return nil, time.Time{}, err
	}
	now, err := serverTime(results[len(hashes)])
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("%s: TIME: %w", r.in, err)
	}
	out := make([][]int64, len(hashes))
	for i, h := range hashes {
		times, err := results[i].AsIntSlice()
		switch {
		case unknown(err):
			r.noFieldExpiry.Store(true)
			return nil, time.Time{}, nil
		case err != nil && !rueidis.IsRedisNil(err):
			return nil, time.Time{}, fmt.Errorf("%s: HPEXPIRETIME: %w", r.in, err)
		}
		out[i] = make([]int64, len(h.fields)) // a key that has just gone has none
		for j := range min(len(times), len(h.fields)) {
			out[i][j] = max(0, times[j])
		}
	}
	return out, now, nil
}

// compareFieldExpiry compares the expiry of hashes' fields, on servers that have it, and says of those that
// differ already whether an expiry may be why. A copy brings the fields' expiry as it is, so both with and
// without the shift are right.
func (v *Verify) compareFieldExpiry(ctx context.Context, db int, hashes []hash) error {
	asked := hashes[:0:0]
	for _, h := range hashes {
		if len(h.fields) > 0 {
			asked = append(asked, h)
		}
	}
	if len(asked) == 0 {
		return nil
	}
	type answer struct {
		times [][]int64
		now   time.Time
	}
	first, second, err := both(v, func(r *reader) (a answer, err error) {
		a.times, a.now, err = r.fieldTimes(ctx, db, asked)
		return a, err
	})
	if err != nil {
		return err
	}
	for i, h := range asked {
		// A side without expiry of fields has none. That the other's are not there is no difference that a copy could
		// mend; it is counted, and fields that have expired are seen to (fading).
		none := make([]int64, len(h.fields))
		a, b := none, none
		if first.times != nil {
			a = first.times[i]
		}
		if second.times != nil {
			b = second.times[i]
		}
		if h.s.found.kind != "" {
			h.s.found.passes = v.fieldPasses(append(a, b...), first.now, second.now)
			continue
		}
		if first.times == nil != (second.times == nil) {
			if slices.ContainsFunc(append(a, b...), func(at int64) bool { return at > 0 }) {
				v.unheld.Add(1)
			}
			continue
		}
		for j := range h.fields {
			if a[j] == b[j] || a[j] > 0 && b[j] > 0 && (v.near(a[j], b[j]) || v.near(a[j]+v.opt.Shift(), b[j])) {
				continue
			}
			h.s.found = difference{kind: kindField, passes: v.fieldPasses([]int64{a[j], b[j]}, first.now, second.now),
				detail: fmt.Sprintf("field %s: %s", quote(h.fields[j]), v.sides(expiryText(a[j]), expiryText(b[j])))}
			break
		}
	}
	return nil
}

// fieldPasses is when a difference that one of these expiry times may be the reason of is gone; zero if none
// is near.
func (v *Verify) fieldPasses(times []int64, nows ...time.Time) time.Time {
	for _, at := range times {
		for _, now := range nows {
			if left := time.UnixMilli(at).Sub(now); at > 0 && !now.IsZero() && left.Abs() <= v.opt.TTLTolerance {
				return time.Now().Add(2 * v.opt.TTLTolerance)
			}
		}
	}
	return time.Time{}
}
