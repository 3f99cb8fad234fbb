package ledger

// A read of a client may be repeated on the secondary, to see whether both answer the same. That says something only if
// both read the same point of the keys' history: on the primary the read has its place among the commands of its lane,
// and on the Sink it must get the place that its reply has there.
//
// Behind the reply of a read, all writes of its own lane that were sent before it are judged, and none that was sent after
// it. Of writes of other lanes nothing is known: so the read does not count if another lane had a write in flight on one
// of the stripes while it was under way. A stripe that has not changed hands was this lane's all the time; of any other
// the version must be what it was, and nothing have been in flight.
//
// A script may have written a key that it does not name. That is reported, and until the report is read the key is taken for
// equal: so no read counts that was sent before that.

// Shadow is a read on its way.
type Shadow struct {
	// Keys are those that it reads. Their names are the caller's, and stay as they are.
	Keys []Key

	lane   LaneID
	passes uint64
	hid    uint64
	// of each key's stripe when the read was sent
	versions []uint64
	own      []bool   // it was this lane's
	dirtied  []uint32 // how often keys had become dirty there

	bad uint64 // what had gone wrong when it was handed to the Sink
}

// BeginShadow notes that a read is about to be put on a lane. False: its reply could not be placed.
func (l *Ledger) BeginShadow(s *Shadow, lane LaneID) bool {
	if l.barriers > 0 || l.hiding > 0 || l.foreign && (l.hidden.all || l.hidden.allWas) || l.intents.unnamed > 0 {
		return false
	}
	s.lane, s.passes, s.hid = lane, l.passes, l.hid
	for i := range s.Keys {
		x := s.Keys[i].Hash.Stripe()
		own := l.stripes[x].lastOwner() == lane
		if l.stripes[x].inflight > 0 && !own {
			return false
		}
		s.own, s.versions = append(s.own, own), append(s.versions, l.version(x))
		s.dirtied = append(s.dirtied, l.dirtied[x%dirtyCounts])
	}
	return true
}

// PlaceShadow reports whether the read, whose reply has come just now and before anything behind it was judged, may be
// handed to the Sink now: it is at the same point of the keys' history there, and the secondary's state of them is known
// to equal the primary's.
func (l *Ledger) PlaceShadow(s *Shadow) bool {
	if l.barriers > 0 || l.hiding > 0 || l.hid != s.hid || l.intents.unnamed > 0 {
		return false
	}
	for i := range s.Keys {
		k := &s.Keys[i]
		x := k.Hash.Stripe()
		kept := s.own[i] && l.passes == s.passes && l.stripes[x].lastOwner() == s.lane
		if l.barrier > s.versions[i] || !kept && (l.version(x) != s.versions[i] || l.stripes[x].inflight > 0 && l.stripes[x].lastOwner() != s.lane) {
			return false
		}
		if l.dirtied[x%dirtyCounts] != s.dirtied[i] || !l.isExact(k.Hash) {
			return false
		}
	}
	s.bad = l.mishaps()
	return true
}

// MayExpire reports whether one of the keys may have a time to live.
func (l *Ledger) MayExpire(s *Shadow) bool {
	for i := range s.Keys {
		if l.expiring.has(s.Keys[i].Hash.Stripe()) {
			return true
		}
	}
	return false
}

// mishaps counts what may make a key differ that was taken for equal when a read was handed to the Sink: something before
// it there had not been judged, and went wrong.
func (l *Ledger) mishaps() uint64 { return l.stats.Mismatched + l.stats.Edges + l.stats.Failed }

// ShadowDiffers says that the secondary has answered a read otherwise than the primary. Its keys become dirty. It returns
// whether that is news: nothing that was already known explains it.
func (l *Ledger) ShadowDiffers(s *Shadow) (news bool) {
	news = l.mishaps() == s.bad
	for i := range s.Keys {
		news = news && l.isExact(s.Keys[i].Hash)
	}
	for i := range s.Keys {
		l.MakeDirty(&s.Keys[i])
	}
	return news
}
