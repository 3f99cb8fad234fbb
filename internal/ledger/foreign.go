package ledger

// A key may be changed by something that no lane has sent: an application that still writes to the server
// directly, a script that writes a key it did not name, an expiry, an eviction. The server reports changed
// keys to the feeds. A lane's feed reports every change but the lane's own, so a change that one lane made is
// on the feeds of all others, and what nobody of us made is on all of them. The one whose report tells the two
// apart is the feed of the lane that owned the key's stripe last: only that lane can have changed it since.
//
// While a stripe is passed from one lane to another that rule has a gap: a report on the new owner's feed may
// be read just before it becomes the owner, and the same report on the old one's feed just after, and neither
// would count. So after such a change of hands reports on all feeds count, until all of them have been read as
// far as they had come (a round, see BeginRound). In doubt a key is copied once more than needed.
//
// The server sends its reports at the end of a turn of its event loop, and of each key it names the last who changed
// it in that turn. So a lane's own write hides what a script has written to the same key just before. An effect that
// does not depend on what was there is right all the same; any other is not forwarded if it was in flight together
// with a script that may write keys which it does not name (Write.Hidden): its keys are copied. What is sent later
// is of a later turn, for replies are sent after the reports of their turn. A writer past the proxy can be hidden in
// the same way, and nobody knows when: reports are a net for those, and verify is the proof.

// SetFeed says whether a lane has a feed: from now on all that changes but by this lane is reported to Foreign
// with the lane's number. Reports on other feeds about what this lane owns do not count from then on, so before
// a feed is set, a whole round must pass that began after its reports had begun, and another should follow: what
// was written before the first feed may be told as if others had. When one is lost or ends,
// reports that were on their way with it are lost as well, and the caller owes a sweep.
func (l *Ledger) SetFeed(id LaneID, on bool) {
	s := &l.lanes[id]
	if s.feed == on {
		return
	}
	s.feed = on
	if on {
		if l.feeds++; l.feeds == 1 {
			l.unfed.all = true // nobody has noted what was written until now, and reports of it may still come
		}
		return
	}
	l.feeds--
	if l.without&ruleNamesakeHanded == 0 {
		l.handed.all = true // it counts no more as the owner of a namesake
	}
}

// SetForeign says whether keys may be changed by scripts of ours that do not name them, and by writers past the
// proxy. What a command makes of other keys than it writes (RENAME, COPY, SUNIONSTORE, ...) is copied while they may
// have changed its source a moment ago: always where there are writers; after a script until what it has written is
// reported and read, which is a round later. It must be set before the first such change can happen.
func (l *Ledger) SetForeign(scripts, writers bool) {
	l.foreign, l.writers = scripts || writers, writers
	l.doubt()
}

// unreported reports whether others may have changed a key of which the report is not read yet.
func (l *Ledger) unreported() bool {
	return l.foreign && (l.writers || l.hiding > 0 || (l.hidden.all || l.hidden.allWas) && l.without&ruleReportsRead == 0)
}

// Foreign judges a report on a lane's feed that a key was changed: unless another lane's write explains it, the key
// becomes dirty. It returns whether one did; it may have been dirty before. The reports name no database, so keys are
// those of that name in each one in use; all those that a SWAPDB may name are. They need not outlive the call.
//
// A key whose stripe no lane with a feed has owned is changed by others, or by none: the report may be of a lane's write
// to its namesake in another database. That is on the feeds of all but this lane, which owns the namesake. So of the lanes
// that own a namesake, and so may have written it, only the feeds count; where there is none, all do. While a namesake
// changes hands all count, and a key that a lane has just come to own is taken for one that it does not, too.
func (l *Ledger) Foreign(feed LaneID, keys []Key) (dirtied bool) {
	owned, owns := false, false // by lanes with a feed, by this one
	for i := range keys {
		x := keys[i].Hash.Stripe()
		switch owner := l.stripes[x].lastOwner(); {
		case l.handed.has(x) && l.without&ruleNamesakeHanded == 0:
			owns = true
		case l.hasFeed(owner):
			owned, owns = true, owns || owner == feed
		}
	}
	for i := range keys {
		x := keys[i].Hash.Stripe()
		switch owner := l.stripes[x].lastOwner(); {
		case keys[i].Stays:
			continue
		case owner == feed, l.handed.has(x):
		case l.hasFeed(owner) && !(l.gained.has(x) && l.without&ruleNamesakeGained == 0):
			continue
		case owned && !owns:
			continue
		}
		if l.explained(x) {
			continue
		}
		if !l.IsDirty(keys[i].Hash) {
			l.stats.Foreign++
			dirtied = true
		}
		l.MakeDirty(&keys[i])
	}
	if dirtied && !l.mayBeOurs(feed, keys) {
		l.stats.Others++
	}
	return dirtied
}

// mayBeOurs reports whether something that we sent can be what a report on a feed is about, though it is not certain, and so
// counts to be on the safe side: a script, a command that blocks, a lane that has no feed or has just come to own the
// stripe, or another lane, if it owns a namesake: the report may be about any of the keys.
func (l *Ledger) mayBeOurs(feed LaneID, keys []Key) bool {
	if l.hiding > 0 {
		return true
	}
	for i := range keys {
		x := keys[i].Hash.Stripe()
		owner := l.stripes[x].lastOwner()
		if owner >= 0 && owner != feed || l.handed.has(x) || l.gained.has(x) || l.unfed.has(x) || l.told.has(x) || l.hidden.has(x) ||
			l.blockedOn[keys[i].Hash] > 0 {
			return true
		}
	}
	return false
}

// Flushes returns how many flushes of ours the primary has done, and whether one is in flight. The server reports
// each flush, whoever sends it, to every feed once and without a name; the caller tells ours from others by count.
func (l *Ledger) Flushes() (done uint64, inFlight bool) { return l.flushed, l.flushing > 0 }

// explained reports whether a script has written keys of the stripe that it names: the server reports them to the
// script's own lane as well, and they are copied or replayed already. That holds until a round has passed after the
// script's reply, and only where nothing else can be the reason: no writers past the proxy, and no script that may
// have written a key without naming it, for as long as that may be reported.
func (l *Ledger) explained(x uint32) bool {
	if l.writers || !l.told.has(x) {
		return false
	}
	return l.hiding == 0 && !l.hidden.has(x) || l.without&ruleToldHidden != 0
}

// unfeed notes what a lane without a feed may just have written, or a script, or a command that was served while it was
// blocked: all feeds report that.
func (l *Ledger) unfeed(keys []Key) {
	for i := range keys {
		if keys[i].Write {
			l.unfed.add(keys[i].Hash.Stripe(), true)
		}
	}
}

// tell notes that a script is in flight, or was until now, and what it may have written.
func (l *Ledger) tell(w *Write) {
	if w.Hidden {
		l.hidden.all = true
	}
	if w.Kind == Anything && l.foreign {
		l.told.all = true // whatever it writes is repeated
	}
	if !w.Script || !l.foreign {
		return
	}
	for i := range w.Keys {
		if w.Keys[i].Write {
			l.told.add(w.Keys[i].Hash.Stripe(), false)
		}
	}
}

// maxRecent bounds the stripes that are remembered one by one.
const maxRecent = 1 << 16

// recent is a set of stripes to which something has happened, in two generations: since the current round began, and
// before.
type recent struct {
	now, before map[uint32]struct{}
	all, allWas bool // every stripe
}

func (r *recent) has(x uint32) bool {
	if r.all || r.allWas {
		return true
	}
	if _, ok := r.now[x]; ok {
		return true
	}
	_, ok := r.before[x]
	return ok
}

func (r *recent) any() bool { return r.all || len(r.now) > 0 }

// add puts x in. Of too many it remembers all or, if it may not say yes for one that is not in, none that come.
func (r *recent) add(x uint32, orAll bool) {
	if len(r.now) >= maxRecent {
		r.all = r.all || orAll
		return
	}
	if r.now == nil {
		r.now = map[uint32]struct{}{}
	}
	r.now[x] = struct{}{}
}

// begin begins a generation, and end forgets the one before.
func (r *recent) begin() { r.before, r.now, r.allWas, r.all = r.now, nil, r.all, false }
func (r *recent) end()   { r.before, r.allWas = nil, false }

// handOver notes that w takes a stripe from another lane.
func (l *Ledger) handOver(x uint32, s *stripe) {
	if !l.hasFeed(s.lastOwner()) {
		l.gained.add(x, true)
	} else if l.without&ruleHandedOver == 0 {
		l.handed.add(x, true)
	}
}

// hasFeed reports whether what others do to a lane's stripes is on a feed of its own. A lane that is gone has
// none, nor has the owner of a stripe that nobody has owned yet: what is done to those is on all feeds, and each
// counts.
func (l *Ledger) hasFeed(id LaneID) bool {
	return id >= 0 && l.lanes[id].feed || l.without&ruleFeedless != 0
}

// RoundWanted reports whether stripes have changed hands since the last round began, or a script may have written what it
// does not name.
func (l *Ledger) RoundWanted() bool { return l.handed.any() || l.hidden.any() }

// Unread reports whether a script has been answered that may have written keys which it does not name, and the reports of
// them may not be read yet: so they are neither unsettled nor dirty.
func (l *Ledger) Unread() bool { return l.feeds > 0 && (l.hidden.all || l.hidden.allWas) }

// BeginRound begins to read all feeds as far as they have come: after it the caller sends a PING on each, and
// calls EndRound when all are answered. One round at a time.
func (l *Ledger) BeginRound() {
	l.handed.begin()
	l.gained.begin()
	l.told.begin()
	l.hidden.begin()
	l.unfed.begin()
}

// EndRound says that every report has been judged which had been made when BeginRound was called.
func (l *Ledger) EndRound() {
	l.handed.end()
	l.gained.end()
	l.told.end()
	l.hidden.end()
	l.unfed.end()
}
