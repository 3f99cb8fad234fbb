package backfill

import (
	"context"
	"fmt"
	"slices"
	"time"

	"tandem/internal/instance"
	"tandem/internal/ledger"
)

// comparePage compares a page of the primary's keys.
func (v *Verify) comparePage(ctx context.Context, db int, names []string) error {
	found := len(names)
	names = v.notKept(db, names)
	v.kept.Add(int64(found - len(names)))
	if v.opt.Mode != Full {
		if err := v.comparePresence(ctx, db, names, v.to); err != nil {
			return err
		}
		if v.opt.Mode == KeysOnly {
			v.compared.Add(int64(len(names)))
			return nil
		}
		names = v.sample(db, names)
	}
	all := len(names)
	var suspects []*suspect
	for len(names) > 0 {
		n, _, ask := v.pace.next(db)
		batch := names[:min(n, len(names))]
		names = names[len(batch):]
		found, err := v.compareBatch(ctx, db, batch, ask)
		if err != nil {
			return err
		}
		suspects = append(suspects, found...)
	}
	v.compared.Add(int64(all))
	return v.resolve(ctx, db, suspects, resolveTimeout)
}

// notKept leaves out the names of kept keys, which may be another on either side.
func (v *Verify) notKept(db int, names []string) []string {
	v.l.Lock()
	kept := v.l.Kept()
	v.l.Unlock()
	if kept == 0 {
		return names
	}
	var out []string
	for chunk := range slices.Chunk(names, lockedAtOnce) {
		hashes := make([]ledger.Hash, len(chunk))
		for i, name := range chunk {
			hashes[i] = v.l.Hash(db, bytesOf(name))
		}
		v.l.Lock()
		for i, name := range chunk {
			if !v.l.IsKept(hashes[i]) {
				out = append(out, name)
			}
		}
		v.l.Unlock()
	}
	return out
}

// sample picks the names that this verify compares.
func (v *Verify) sample(db int, names []string) []string {
	limit := uint64(v.opt.SampleShare * (1 << 63) * 2)
	var out []string
	for _, name := range names {
		h := (v.l.Hash(db, bytesOf(name)).Hi ^ v.salt) * 0x9e3779b97f4a7c15
		if h^h>>32 <= limit || v.opt.SampleShare >= 1 {
			out = append(out, name)
		}
	}
	return out
}

// comparePresence looks which of the names, found on one side, the other side does not have.
func (v *Verify) comparePresence(ctx context.Context, db int, names []string, other *reader) error {
	var suspects []*suspect
	for portion := range v.portions(names) {
		found, err := v.compareExistence(ctx, db, portion, other)
		if err != nil {
			return err
		}
		suspects = append(suspects, found...)
	}
	return v.resolve(ctx, db, suspects, resolveTimeout)
}

// compareExistence asks one side for a portion of names, and returns those that it does not have.
func (v *Verify) compareExistence(ctx context.Context, db int, names []string, other *reader) (suspects []*suspect, err error) {
	if err := v.turn(ctx, len(names)); err != nil {
		return nil, err
	}
	commands := make([]command, len(names))
	for i, name := range names {
		commands[i] = command{"EXISTS", name}
	}
	err = v.insist(ctx, func() error {
		results, err := other.do(ctx, db, commands...)
		if err != nil {
			return err
		}
		suspects = suspects[:0]
		for i, res := range results {
			n, err := res.ToInt64()
			if err != nil {
				return fmt.Errorf("%s: EXISTS: %w", other.in, err)
			}
			if n == 0 {
				suspects = append(suspects, v.suspect(db, names[i], 0))
			}
		}
		return nil
	})
	return suspects, err
}

// compareBatch compares keys by what DUMP answers, and returns those that are not plainly equal.
func (v *Verify) compareBatch(ctx context.Context, db int, names []string, ask bool) ([]*suspect, error) {
	var suspects []*suspect
	if ask {
		var sizes []int64
		err := v.insist(ctx, func() (err error) {
			sizes, err = v.from.sizes(ctx, db, names)
			return err
		})
		if err != nil {
			return nil, err
		}
		small := make([]string, 0, len(names))
		for i, name := range names {
			if sizes[i] > v.pace.bytes() {
				suspects = append(suspects, v.suspect(db, name, sizes[i]))
			} else {
				small = append(small, name)
			}
		}
		names = small
	}
	for len(names) > 0 {
		if err := v.turn(ctx, len(names)); err != nil {
			return nil, err
		}
		var left []string
		err := v.insist(ctx, func() error {
			first, second, err := v.readBoth(ctx, db, names)
			if err != nil {
				return err
			}
			left = left[:0]
			for i, name := range names {
				a, b := &first[i], &second[i]
				switch {
				case v.plainlyEqual(a, b):
				case (a.found == dropped || b.found == dropped) && max(a.size, b.size) <= v.pace.bytes():
					left = append(left, name) // only its neighbours were too large
				default:
					suspects = append(suspects, v.suspect(db, name, max(a.size, b.size)))
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		names = left
	}
	return suspects, nil
}

// readBoth reads keys on both sides at once.
func (v *Verify) readBoth(ctx context.Context, db int, names []string) (first, second []reading, err error) {
	start := time.Now()
	first, second, err = both(v, func(r *reader) ([]reading, error) {
		out := make([]reading, len(names))
		return out, r.read(ctx, db, names, v.pace.limits(), out)
	})
	if err != nil {
		return nil, nil, err
	}
	var bytes, largest int64
	for i := range first {
		size := max(first[i].size, second[i].size)
		bytes += size
		largest = max(largest, size)
	}
	v.pace.done(db, len(names), bytes, largest, time.Since(start))
	v.spend(bytes)
	return first, second, nil
}

// footer is what DUMP adds to a value: two bytes of version and eight of checksum.
const footer = 10

// plainlyEqual reports whether two readings need no closer look.
func (v *Verify) plainlyEqual(a, b *reading) bool {
	if a.found != b.found {
		return false
	}
	switch a.found {
	case missing:
		return true
	case present:
		n := len(a.payload) - footer
		return n > 0 && n == len(b.payload)-footer && a.payload[:n] == b.payload[:n] &&
			v.sameExpiry(a.expireAt, b.expireAt)
	}
	return false
}

// sameExpiry compares two expiry times in Unix ms, 0 being none.
func (v *Verify) sameExpiry(primary, secondary int64) bool {
	if primary == 0 || secondary == 0 {
		return primary == secondary
	}
	if v.opt.Extend > 0 {
		later := time.Duration(secondary-primary-v.opt.Shift()) * time.Millisecond // than on the source
		if v.from.in.Role == instance.Target {
			later = -later
		}
		return -v.opt.TTLTolerance <= later && later <= v.opt.Extend+v.opt.TTLTolerance
	}
	return v.near(primary+v.opt.Shift(), secondary)
}

// near reports whether two times in Unix ms are the same within the tolerance.
func (v *Verify) near(a, b int64) bool {
	d := time.Duration(a-b) * time.Millisecond
	return -v.opt.TTLTolerance <= d && d <= v.opt.TTLTolerance
}
