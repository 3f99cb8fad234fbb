package backfill

import (
	"context"
	"slices"

	"tandem/internal/ledger"
)

// pageRounds is how often a page's keys are tried that writes got in the way of, before they are made dirty.
const pageRounds = 3

// CopyPage copies a page of db's keys for a sweep. It returns nil when each of them is on the Sink, was
// known to the ledger, or is dirty and so left to Run, which must be running. It waits while the secondary
// takes no copies or the primary cannot be read; the only error is that ctx has ended, or Run has.
//
// names must stay unchanged until it returns.
func (c *Copier) CopyPage(ctx context.Context, db int, names []string) error {
	return c.copyPage(ctx, db, c.newPage(db, names))
}

// newPage makes items of swept names.
func (c *Copier) newPage(db int, names []string) []*item {
	page := make([]item, len(names))
	items := make([]*item, len(names))
	for i, name := range names {
		page[i].fromSweep(c.l, db, name)
		items[i] = &page[i]
	}
	return items
}

// unknown returns those of a page of the primary that the ledger does not know.
func (c *Copier) unknown(items []*item) []*item {
	return c.without(items, c.l.Known)
}

// unknownThere is unknown for a page of the secondary: kept keys are not to be removed.
func (c *Copier) unknownThere(items []*item) []*item {
	return c.without(items, func(h ledger.Hash) bool { return c.l.Known(h) || c.l.IsKept(h) })
}

// without returns the items for which known, asked with the ledger's lock held, says no.
func (c *Copier) without(items []*item, known func(ledger.Hash) bool) []*item {
	var out []*item
	for chunk := range slices.Chunk(items, lockedAtOnce) {
		c.l.Lock()
		for _, it := range chunk {
			if !known(it.copy.Key.Hash) {
				out = append(out, it)
			}
		}
		c.l.Unlock()
	}
	return out
}

// copyPage is CopyPage for items.
func (c *Copier) copyPage(ctx context.Context, db int, items []*item) (err error) {
	all, returned := items, false
	defer func() {
		if !returned { // a panic: whatever it was, these keys are owed
			c.handOver(all)
		}
	}()
	err = c.copyRounds(ctx, db, items)
	returned = true
	return err
}

func (c *Copier) copyRounds(ctx context.Context, db int, items []*item) error {
	for round := 0; len(items) > 0; {
		err := c.copyItems(ctx, db, items)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil && c.reader.isClosed() {
			return err
		}
		c.noteRead(ctx, err)
		var again, owed []*item
		var took, refused bool
		for _, it := range items {
			switch it.result {
			case settled:
				took = true
			case untried:
				again = append(again, it)
			case notTaken:
				refused = true
				again = append(again, it)
			case busy, lost:
				if round < pageRounds {
					again = append(again, it)
				} else {
					owed = append(owed, it)
				}
			case large, unusable, failed:
				owed = append(owed, it)
			}
		}
		if took || refused {
			c.noteSink(!refused)
		}
		if len(owed) > 0 {
			c.handOver(owed)
		}
		switch {
		case refused:
			// Not the keys' fault: this is no round of theirs.
			pause(ctx, max(busyPause, c.troubled()))
		case err != nil:
			pause(ctx, c.troubled())
		default:
			round++
			if len(again) > 0 {
				pause(ctx, busyPause)
			}
		}
		items = again
	}
	return nil
}

// handOver makes those dirty that no one has settled meanwhile.
func (c *Copier) handOver(items []*item) {
	defer c.l.Enter()()
	for _, it := range items {
		if k := &it.copy.Key; it.result != settled && !c.l.Known(k.Hash) {
			c.l.MakeDirty(k)
		}
	}
}
