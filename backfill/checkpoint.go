package backfill

import (
	"context"
	"fmt"
	"slices"
	"time"

	"tandem/internal/state"
)

// A sweep over all keys that a crash interrupts goes on where it was. For that it notes every few seconds how far the
// walk through the primary has come: a place counts when all pages before it are copied and the secondary has
// acknowledged the copies, so that what was found there is on the secondary, or dirty. What has happened to those keys
// since is marked in the intent map; so the sweep that goes on first feeds the keys of marked stripes, wherever they
// are, and then everything from the checkpoint on. (Keys that the secondary has too many are looked for at its end,
// among all: that costs little.)

// candidate is a checkpoint that counts when the ledger is quiet up to mark.
type candidate struct {
	at   state.Checkpoint
	mark uint64
}

// takeUp looks what an earlier process has left of this sweep, and returns where the walk through the primary begins.
func (p *pass) takeUp(ctx context.Context, dbs []int) (at state.Checkpoint, err error) {
	p.l.Lock()
	found, only := p.l.FoundStripes()
	p.l.Unlock()
	p.markedOnly, p.noted = only, time.Now()
	at, goesOn := p.goesOn(ctx)
	if p.of != p.gen {
		if p.of, p.began = p.gen, p.noted; goesOn {
			p.began = time.Time{}
		}
	}
	switch {
	case goesOn:
		p.opt.Log.Info("the sweep goes on where it was", "db", at.DB, "scanned", at.Scanned, "marked_stripes", found)
		p.progress.scanned(partOne, int(at.Scanned))
		if found > 0 {
			err = p.feedMarked(ctx, dbs)
		}
	case found > 0 && !only && p.last.Sweep != p.gen:
		// All is fed from the beginning, and no checkpoint is on disk that could make a later process skip some of it.
		p.l.Lock()
		p.l.FoundSwept(p.gen)
		p.l.Unlock()
	}
	return at, err
}

// goesOn returns the checkpoint from which the pass goes on, if there is one of its sweep and its primary.
func (p *pass) goesOn(ctx context.Context) (at state.Checkpoint, ok bool) {
	at = p.last
	if at.Sweep != p.gen || at.RunID == "" {
		return state.Checkpoint{}, false
	}
	runID, err := p.from.runID(ctx)
	if err != nil || runID != at.RunID {
		p.opt.Log.Warn("the sweep begins anew: it was interrupted, and the primary is another process now, or does not tell",
			"instance", p.primary.String(), "error", err)
		return state.Checkpoint{}, false
	}
	return at, true
}

// runID asks which process the server is.
func (r *reader) runID(ctx context.Context) (string, error) {
	results, err := r.do(ctx, anyDatabase, command{"INFO", "server"})
	if err != nil {
		return "", err
	}
	info, err := results[0].ToString()
	if err != nil {
		return "", fmt.Errorf("%s: INFO: %w", r.in, err)
	}
	return infoField(info, "run_id"), nil
}

// feedMarked feeds the primary's keys of the stripes that were found marked, and waits until all of them are copied and
// acknowledged, or dirty.
func (p *pass) feedMarked(ctx context.Context, dbs []int) error {
	for _, db := range dbs {
		err := p.from.scan(ctx, db, p.scanCount, func(names []string) error {
			return p.feedPicked(ctx, db, names, p.marked, nil)
		})
		if err != nil {
			return err
		}
	}
	if err := p.quiet(ctx); err != nil {
		return err
	}
	p.l.Lock()
	defer p.l.Unlock()
	if err := p.over(); err != nil {
		return err
	}
	p.l.FoundSwept(p.gen)
	return nil
}

// marked returns the items whose stripes were found marked.
func (p *pass) marked(items []*item) []*item {
	var out []*item
	for chunk := range slices.Chunk(items, lockedAtOnce) {
		p.l.Lock()
		for _, it := range chunk {
			if p.l.WasMarked(it.copy.Key.Hash) {
				out = append(out, it)
			}
		}
		p.l.Unlock()
	}
	return out
}

// note notes from time to time how far the walk has come: the pages before at have been fed.
func (p *pass) note(ctx context.Context, db int, at position) error {
	p.runID = at.runID
	if p.opt.Save == nil || p.markedOnly || at.runID == "" {
		return nil
	}
	if p.next != nil {
		p.saveIfQuiet()
		return nil
	}
	if time.Since(p.noted) < p.opt.SaveEvery {
		return nil
	}
	c := state.Checkpoint{Sweep: p.gen, RunID: at.runID, DB: db, Cursor: at.cursor, Scanned: p.progress.seenOf(partOne)}
	if c.Cursor == "0" {
		c.DB, c.Cursor = db+1, ""
	}
	return p.take(ctx, c)
}

// noteEnd notes that the walk is at its end, unless it was short.
func (p *pass) noteEnd(ctx context.Context) error {
	if p.opt.Save == nil || p.markedOnly || p.runID == "" || time.Since(p.noted) < p.opt.SaveEvery && p.next == nil {
		return nil
	}
	c := state.Checkpoint{Sweep: p.gen, RunID: p.runID, DB: p.opt.Databases, Scanned: p.progress.seenOf(partOne)}
	if err := p.take(ctx, c); err != nil {
		return err
	}
	p.saveIfQuiet()
	return nil
}

// take makes c the next checkpoint, once all that was fed so far is on the Sink or dirty.
func (p *pass) take(ctx context.Context, c state.Checkpoint) error {
	p.tasks.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx) // a page may have failed
	}
	p.l.Lock()
	p.next = &candidate{at: c, mark: p.l.Mark()}
	p.l.Unlock()
	return nil
}

// saveIfQuiet saves the checkpoint that was taken, if by now all is acknowledged that was on the Sink then.
func (p *pass) saveIfQuiet() {
	p.l.Lock()
	quiet := p.over() == nil && p.l.Quiet(p.next.mark)
	p.l.Unlock()
	if !quiet {
		return
	}
	if err := p.opt.Save(p.next.at); err != nil {
		p.opt.Log.Warn("the sweep's checkpoint could not be written; a restart goes on at an older one", "error", err)
	} else {
		p.last = p.next.at
	}
	p.next, p.noted = nil, time.Now()
}
