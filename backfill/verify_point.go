package backfill

import (
	"context"
	"time"
)

// A long verify that is interrupted by a restart goes on where it was. From time to time it waits until all pages before
// a place are compared, and gives that place to Save together with the keys that had not settled by then: those are
// compared again. What was compared before stays compared, as in a verify that was not interrupted: what clients have
// written since has reached both sides, or its keys are dirty.

// VerifyPoint is a place in a verify, for Save and From. It is JSON in the state directory.
type VerifyPoint struct {
	// Part is 1 while the primary's keys are walked through, 2 while the secondary's are.
	Part int `json:"part"`
	// DB and Cursor are where that walk is, RunID the server process that the cursor belongs to: for another one the walk
	// through this database begins anew.
	DB     int    `json:"db"`
	RunID  string `json:"run_id"`
	Cursor string `json:"cursor"`
	// Salt chooses what a sample compares.
	Salt uint64 `json:"salt"`
	// Scanned and Second are how many keys each part has seen.
	Scanned int64 `json:"scanned"`
	Second  int64 `json:"second"`
	// The counts of VerifyProgress.
	Compared        int64 `json:"compared"`
	Different       int64 `json:"different"`
	DifferentValues int64 `json:"different_values"`
	// Late are keys that are to be compared again.
	Late []LateKey `json:"late"`
}

// LateKey is one key by name.
type LateKey struct {
	DB   int    `json:"db"`
	Name []byte `json:"name"`
}

// maxSavedLate is how many late keys a point may hold. With more of them nothing is saved.
const maxSavedLate = 10_000

// goOn takes up a verify at a point. It is called before Run.
func (v *Verify) goOn(p *VerifyPoint) {
	v.salt = p.Salt
	v.scanned.Store(p.Scanned)
	v.second.Store(p.Second)
	v.compared.Store(p.Compared)
	v.bad.Store(p.Different)
	v.badValues.Store(p.DifferentValues)
	for _, k := range p.Late {
		v.late = append(v.late, v.suspect(k.DB, string(k.Name), 0))
	}
}

// walk gives page all keys of one side, by their databases' counts, from where an earlier process was.
func (v *Verify) walk(ctx context.Context, part int, side *reader, counts []int64, page func(db int, names []string) error) error {
	from := v.opt.From
	if from != nil && from.Part > part {
		return nil // it is done
	}
	for db := range counts {
		var at position
		if from != nil && from.Part == part {
			if db < from.DB {
				continue
			}
			if db == from.DB {
				at = position{runID: from.RunID, cursor: from.Cursor}
			}
		}
		if counts[db] == 0 {
			continue
		}
		err := side.scanFrom(ctx, db, func() int { return v.opt.Throttle.scanCount(v.opt.ScanCount) }, at, func(names []string, at position) error {
			if err := page(db, names); err != nil {
				return err
			}
			return v.save(ctx, part, db, at)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// save gives Save where the verify is, if that is due. The pages before at have been submitted.
func (v *Verify) save(ctx context.Context, part, db int, at position) error {
	if time.Since(v.saved) < v.opt.SaveEvery || at.runID == "" {
		return nil
	}
	v.tasks.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx) // a page may have failed
	}
	v.saved = time.Now()
	p := VerifyPoint{Part: part, DB: db, RunID: at.runID, Cursor: at.cursor, Salt: v.salt, Scanned: v.scanned.Load(), Second: v.second.Load(),
		Compared: v.compared.Load(), Different: v.bad.Load(), DifferentValues: v.badValues.Load(), Late: []LateKey{}}
	if p.Cursor == "0" {
		p.DB, p.RunID, p.Cursor = db+1, "", ""
	}
	v.mu.Lock()
	n := len(v.late)
	for _, s := range v.late[:min(n, maxSavedLate)] {
		if !s.done {
			p.Late = append(p.Late, LateKey{DB: s.db, Name: []byte(s.name)})
		}
	}
	v.mu.Unlock()
	if n <= maxSavedLate {
		v.opt.Save(p)
	}
	return nil
}
