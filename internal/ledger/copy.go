package ledger

// Copy is one key's state under way from the primary to the secondary.
type Copy struct {
	Key Key
	// Dirty is the dirty key that this copies, nil for a sweep's.
	Dirty *Dirty
	// From is the instance to read it from. BeginCopy sets it; of an own read it is that of its lane.
	From Side

	version uint64 // of the stripe when the read began
	at      uint64 // seq when the read began
}

// State is what a copy's read found.
type State struct {
	// Missing: the key does not exist; the secondary's is removed.
	Missing bool
	// ExpireAt is the expiry on the secondary's clock, Unix ms; 0 for none.
	ExpireAt int64
	// Payload is what DUMP answered, in a form that the secondary reads.
	Payload string
	// From, if it is not empty, is a key of the secondary, in the same database, that holds the value instead: it is to
	// be renamed.
	From string
}

// Result says how a copy ended.
type Result uint8

const (
	// Won: it is on the Sink, and the key is exact; if its last copy failed, as soon as this is acknowledged.
	Won Result = iota
	// Lost: a newer write was sent since the read began; it must be read again.
	Lost
	// NotTaken: the Sink does not take it now.
	NotTaken
)

// version of a stripe, the last barrier included, and the last time that dirty keys were forgotten: whatever
// was read before that may be older than what made them dirty.
func (l *Ledger) version(x uint32) uint64 {
	v := l.stripes[x].version
	if l.without&ruleBarrierVersion == 0 {
		v = max(v, l.barrier)
	}
	if l.without&ruleFloorVersion == 0 {
		v = max(v, l.floor)
	}
	return v
}

// BeginCopy notes the version of c.Key's stripe before the key is read on a connection of its own. It
// reports false when a write is in flight there: what it does may happen before or after the read, and
// nobody could tell. So it does while the instance to read from must get first what is on its way to it.
func (l *Ledger) BeginCopy(c *Copy) bool {
	x := c.Key.Hash.Stripe()
	if l.stripes[x].inflight > 0 && l.without&ruleQuiet == 0 || l.barriers > 0 && l.without&ruleBarrierQuiet == 0 {
		return false
	}
	if t := l.two; t != nil && t.gate[l.sideOf(x)] != 0 {
		return false // what is on its way there is older than what it has the truth of
	}
	c.version, c.at, c.From = l.version(x), l.seq, l.sideOf(x)
	return true
}

// Known reports whether a swept key needs no copy: it is exact, or dirty and so queued already, or kept
// without a report.
func (l *Ledger) Known(h Hash) bool {
	if l.kept.list != nil && l.keptFrom(h) {
		return true
	}
	return !l.unknown(h) || l.dirty.of(h) != nil || l.exact.has(h)
}

// Overtaken reports whether EndCopy would be Lost: what has been read so far is of no use.
func (l *Ledger) Overtaken(c *Copy) bool { return l.version(c.Key.Hash.Stripe()) != c.version }

// EndCopy hands the key's state to the Sink if no write was sent to its stripe, and no key of it became
// dirty, since BeginCopy. For a dirty key the caller follows it with Done if it was Won, else with Retry; for
// a sweep's, anything but Won and it makes the key dirty.
func (l *Ledger) EndCopy(c *Copy, s *State) Result {
	if l.version(c.Key.Hash.Stripe()) != c.version && l.without&ruleVersion == 0 {
		l.stats.Races++
		return Lost
	}
	return l.finishCopy(c, s, c.at)
}

// EndCopyRead is EndCopy for a read that owned the stripe as w (Kind CopyRead): no write was sent between
// its grant and now, so it can lose only if a key of the stripe has become dirty since (a write past the
// proxy, say). That matters even where this key is clean again: a later read may have cleared it, and this
// one must not land behind that. It releases w. A read that failed is ended by Unanswered.
func (l *Ledger) EndCopyRead(w *Write, c *Copy, s *State) Result {
	r := Lost
	c.From = l.lanes[w.Lane].at
	if (l.version(c.Key.Hash.Stripe()) <= w.at || l.without&ruleReadVersion != 0) && (l.two == nil || !l.displaced(w)) {
		r = l.finishCopy(c, s, w.at)
	} else {
		l.stats.Races++
	}
	l.release(w)
	return r
}

func (l *Ledger) finishCopy(c *Copy, s *State, at uint64) Result {
	if r, ends := l.endsKept(c, s, at); ends {
		return r
	}
	to := &l.to[c.From.Other()]
	if to.sink == nil || !to.sink.AppendCopy(c, s) {
		return NotTaken
	}
	if s.ExpireAt != 0 && l.without&ruleExpiring == 0 {
		l.expiring.add(c.Key.Hash.Stripe())
	}
	p := l.push(to, copied, []Key{c.Key}, l.intents.m.Generation())
	p.failures, p.bytes, p.seq = c.failures(), len(s.Payload), at
	to.outstanding.bytes += p.bytes
	if p.failures > 0 && l.Wanted(c.Dirty) {
		// The secondary has refused this key before and may do so again: were it exact now, the effects behind
		// this copy would be done to whatever is there. It is when this is acknowledged.
		c.Dirty.state = dirtyProbed
		return Won
	}
	if !l.becomesExact(c.Key.Hash, at) {
		l.stats.Races++
		return Lost
	}
	return Won
}

func (c *Copy) failures() int {
	if c.Dirty == nil {
		return 0
	}
	return c.Dirty.Failures
}

// Done ends the copier's hold on a dirty key whose copy was Won; any other end is a Retry.
func (l *Ledger) Done(d *Dirty) {
	l.copying--
	l.onChange()
}
