package backfill

import (
	"context"
	"fmt"
	"slices"
	"time"

	"tandem/internal/ledger"
	"tandem/internal/status"
)

// The kinds of differences, which stay as they are: scripts read them.
const (
	kindMissing = "missing"        // the secondary lacks the key
	kindExtra   = "extra"          // the primary lacks the key
	kindType    = "type"           // the types differ
	kindValue   = "value"          // the contents differ
	kindTTL     = "ttl"            // the expiry differs
	kindField   = "field-ttl"      // the expiry of a hash's field differs
	kindStream  = "stream"         // a stream's last id or counters differ
	kindGroup   = "stream-group"   // a stream's groups or consumers differ
	kindPending = "stream-pending" // a group's pending entries differ
	// kindUnreadable: a server answers with an error.
	kindUnreadable = "unreadable"
	// kindUnsettled: the key could not be compared, for it never stood still.
	kindUnsettled = "unsettled"
)

// difference is what a comparison has found; an empty kind is none.
type difference struct {
	kind, detail string
	// passes is when it may be gone by itself, because one side has yet to see an expiry; zero: it stays.
	passes time.Time
}

// suspect is a key that was not equal at the first look. It is compared again at a moment of which the
// ledger says that nothing is on its way to either side; what is found then is a difference.
type suspect struct {
	look ledger.Look
	name string
	db   int
	// size is the larger of its payloads, as far as it is known.
	size int64
	// state is what BeginLook said, changed how often a write has spoiled a comparison.
	state   ledger.Settlement
	changed int
	// trouble says why its copy keeps failing.
	trouble string
	// found is what the last comparison has found, whether that counted or not.
	found difference
	// seen: the comparison before, which counted, has found a difference too. One alone may be an expiry
	// between the two sides' reads, of which the ledger knows nothing.
	seen bool
	// done: it is equal, or reported.
	done bool
}

func (v *Verify) suspect(db int, name string, size int64) *suspect {
	key := bytesOf(name)
	return &suspect{db: db, name: name, size: size,
		look: ledger.Look{Key: ledger.Key{Hash: v.l.Hash(db, key), Name: key, DB: int32(db), Write: true}}}
}

const (
	// resolveTimeout is how long a page's worker waits for its suspects to settle before it leaves them for
	// later.
	resolveTimeout = time.Second
	// looksAtOnce is how many suspects are compared together.
	looksAtOnce = 128
	// maxLate is how many suspects may be left for later; beyond it the page waits.
	maxLate = 100_000
	// maxChanged is how many comparisons of a key a write may spoil before it is held still.
	maxChanged = 4
	// maxHolds is how often a key is held still in vain before it is reported as unsettled.
	maxHolds = 5
	// settlePause is the first pause between two looks; it doubles up to settlePauseMax.
	settlePause    = time.Millisecond
	settlePauseMax = 50 * time.Millisecond
	// quietTimeout is how long a look waits for the secondary's acknowledgements.
	quietTimeout = 2 * time.Second
)

// resolve compares suspects of one database until each is equal or reported. Those that do not settle within
// limit are left for later.
func (v *Verify) resolve(ctx context.Context, db int, suspects []*suspect, limit time.Duration) error {
	start := time.Now()
	wait := settlePause
	for len(suspects) > 0 {
		var left []*suspect
		for from := 0; from < len(suspects); from += looksAtOnce {
			batch := suspects[from:min(from+looksAtOnce, len(suspects))]
			if err := v.lookAt(ctx, db, batch); err != nil {
				return err
			}
			for _, s := range batch {
				if !s.done {
					left = append(left, s)
				}
			}
		}
		if suspects = left; len(suspects) == 0 {
			return nil
		}
		if time.Since(start) > limit && v.leaveForLater(suspects) {
			return nil
		}
		pause(ctx, wait)
		wait = min(2*wait, settlePauseMax)
	}
	return nil
}

// leaveForLater puts suspects off until all else is compared, unless there are too many already.
func (v *Verify) leaveForLater(suspects []*suspect) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.late)+len(suspects) > maxLate {
		return false
	}
	v.late = append(v.late, suspects...)
	return true
}

// resolveLate compares what was left for later, and reports what does not settle in time either. Time alone does not tell: where
// little may be read, one look takes longer than that. So each is looked at often enough to be held still, too.
func (v *Verify) resolveLate(ctx context.Context) error {
	var waited time.Duration
	for looks := 1; ; looks++ {
		v.mu.Lock()
		late := v.late
		v.late = nil
		v.mu.Unlock()
		if len(late) == 0 {
			return nil
		}
		byDB := map[int][]*suspect{}
		for _, s := range late {
			byDB[s.db] = append(byDB[s.db], s)
		}
		start := time.Now()
		for db, suspects := range byDB {
			if err := v.resolve(ctx, db, suspects, 0); err != nil {
				return err
			}
		}
		pause(ctx, settlePauseMax)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		v.l.Lock()
		sweeping := v.l.Sweeping()
		v.l.Unlock()
		if !sweeping {
			waited += time.Since(start)
		}
		if waited > v.opt.SettleTimeout && looks > maxChanged {
			for db, suspects := range byDB {
				if err := v.resolveAtLast(ctx, db, suspects); err != nil {
					return err
				}
			}
			v.mu.Lock()
			v.late = nil
			v.mu.Unlock()
			return nil
		}
	}
}

// resolveAtLast compares what never settled once more and reports what differs still.
func (v *Verify) resolveAtLast(ctx context.Context, db int, suspects []*suspect) error {
	suspects = slices.DeleteFunc(suspects, func(s *suspect) bool { return s.done })
	for batch := range slices.Chunk(suspects, looksAtOnce) {
		if err := v.insist(ctx, func() error { return v.compareContents(ctx, db, batch) }); err != nil {
			return err
		}
		for _, s := range batch {
			if s.found.kind != "" {
				v.reportUnsettled(s)
			}
		}
	}
	return nil
}

// lookAt compares suspects once, those that can be compared now. What it finds of the others does not count
// unless they are equal.
func (v *Verify) lookAt(ctx context.Context, db int, batch []*suspect) error {
	var ready []*suspect
	var mark uint64
	v.l.Lock()
	for _, s := range batch {
		s.state = v.l.BeginLook(&s.look, nil)
		switch {
		case s.state == ledger.Settled && s.changed < maxChanged:
			ready = append(ready, s)
			mark = max(mark, s.look.Mark)
		case s.state == ledger.Owed:
			if failures, why := v.l.Trouble(s.look.Key.Hash); failures >= maxFailures {
				s.trouble = why // it will not get better by waiting
				ready = append(ready, s)
			}
		case s.state == ledger.InFlight:
			s.changed++
		}
	}
	v.l.Unlock()
	if len(ready) > 0 && v.quiet(ctx, mark, quietTimeout) {
		if err := v.lookAtSettled(ctx, db, ready); err != nil {
			return err
		}
	}
	for _, s := range batch {
		if !s.done && s.changed >= maxChanged && s.state != ledger.Owed {
			if err := v.lookAtHeld(ctx, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxFailures is how often in a row a key's copy must have failed for verify not to wait for it.
const maxFailures = 3

// lookAtSettled compares those for which BeginLook said Settled, or whose copies keep failing.
func (v *Verify) lookAtSettled(ctx context.Context, db int, ready []*suspect) error {
	err := v.insist(ctx, func() error { return v.compareContents(ctx, db, ready) })
	if err != nil {
		return err
	}
	now := time.Now()
	var confirmed []*suspect
	v.l.Lock()
	for _, s := range ready {
		switch {
		case s.found.kind == "":
			s.done = true
		case s.trouble != "":
			s.found.detail += " (its copy keeps failing: " + s.trouble + ")"
			confirmed = append(confirmed, s)
		case !v.l.EndLook(&s.look):
			s.changed++
		case s.persists(now):
			confirmed = append(confirmed, s)
		}
	}
	v.l.Unlock()
	for _, s := range confirmed {
		v.reportDifference(s)
	}
	return nil
}

// persists reports whether a difference that was found at a moment that counts is one to report.
func (s *suspect) persists(now time.Time) bool {
	if s.found.passes.After(now) {
		return false // one side has seen the expiry that the other is about to see
	}
	if !s.seen {
		s.seen = true
		return false
	}
	return true
}

// quiet waits until the secondary has acknowledged all up to mark; false if not within limit.
func (v *Verify) quiet(ctx context.Context, mark uint64, limit time.Duration) bool {
	wait := 200 * time.Microsecond
	for start := time.Now(); ; {
		v.l.Lock()
		quiet := v.l.Quiet(mark)
		v.l.Unlock()
		if quiet {
			return true
		}
		if ctx.Err() != nil || time.Since(start) > limit {
			return false
		}
		pause(ctx, wait)
		wait = min(2*wait, 10*time.Millisecond)
	}
}

// reportUnsettled reports a key that did not stand still.
func (v *Verify) reportUnsettled(s *suspect) {
	v.l.Lock()
	failures, why := v.l.Trouble(s.look.Key.Hash)
	v.l.Unlock()
	if failures > 0 {
		why = fmt.Sprintf("its copy has failed %d times: %s", failures, why)
	} else {
		why = "it has not stood still in time"
	}
	if s.found.kind == "" {
		s.found = difference{kind: kindUnsettled, detail: why}
	} else {
		s.found.detail += " (" + why + ")"
	}
	v.reportDifference(s)
}

// reportDifference reports a suspect, and has it copied if that is wanted.
func (v *Verify) reportDifference(s *suspect) {
	s.done = true
	if v.isReported(s.look.Key.Hash) {
		return
	}
	v.bad.Add(1)
	if s.found.kind != kindMissing && s.found.kind != kindExtra {
		v.badValues.Add(1)
	}
	if v.opt.Repair {
		v.l.Lock()
		v.l.MakeDirty(&s.look.Key)
		v.l.Unlock()
	}
	v.report.Lock()
	defer v.report.Unlock()
	v.opt.Report(status.Difference{Key: []byte(s.name), DB: s.db, Kind: s.found.kind, Detail: s.found.detail})
}

// maxReported is how many reported keys are remembered. A key may come up twice, for SCAN gives some twice.
const maxReported = 100_000

// isReported reports whether a key was reported before, and remembers it.
func (v *Verify) isReported(h ledger.Hash) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, ok := v.reported[h]; ok {
		return true
	}
	if len(v.reported) < maxReported {
		v.reported[h] = struct{}{}
	}
	return false
}
