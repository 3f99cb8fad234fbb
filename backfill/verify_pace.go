package backfill

import (
	"context"
	"slices"
)

// A verify reads as much as a backfill, so what keeps that from being too much counts for it as well: the bytes per second,
// which it has in common with the copies, and the governor. Number of keys and windows of the day do not; it has a limit of
// its own (VerifyOptions.KeysPerS), and begins when somebody wants it to.

// compareTurn waits until a verify may look at so many keys, or go on with one.
func (t *Throttle) compareTurn(ctx context.Context, keys int) error {
	if err := t.calm.pass(ctx); err != nil {
		return err
	}
	if err := t.compared.pass(ctx, float64(keys), 0); err != nil {
		return err
	}
	t.comparedKeys.Add(uint64(keys))
	return t.bytes.pass(ctx, 0, 0)
}

// ComparedKeys is how many keys verifies have looked at, as the sum of both servers'.
func (t *Throttle) ComparedKeys() uint64 { return t.comparedKeys.Load() }

// turn waits until so many keys may be looked at; not while a key is held still, for whose writers wait as well.
func (v *Verify) turn(ctx context.Context, keys int) error {
	if ctx.Value(holding{}) != nil {
		return nil
	}
	return v.opt.Throttle.compareTurn(ctx, keys)
}

// holding marks the context of a comparison during which a key is held still.
type holding struct{}

// spend takes bytes that were read off what may be read.
func (v *Verify) spend(bytes int64) { v.opt.Throttle.bytes.spend(float64(bytes)) }

// portions are names that go in one round trip each.
func (v *Verify) portions(names []string) func(func([]string) bool) {
	n := len(names)
	if v.opt.Throttle.governed.Load() > 0 {
		n, _ = v.opt.Throttle.batch(0)
	}
	return slices.Chunk(names, max(1, n))
}
