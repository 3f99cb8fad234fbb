package ledger

import (
	"fmt"
	"slices"
)

// simFeed is the connection on which the server reports keys that others than the lane have changed.
type simFeed struct {
	wanted  bool     // the lane is one of those that have a feed
	flows   bool     // the server reports
	set     bool     // the ledger relies on it
	pending bool     // it is set when the round ends
	reports []report // on their way
}

// report is a changed key; or, with round set, the end of what a round waits for.
type report struct {
	key   keyID
	round bool
}

// changed has the server report keys that a lane has changed, or, with lane nil, what is no lane's doing: writes
// past the proxy, of scripts, and of blocked commands.
func (s *sim) changed(lane *simLane, keys []keyID) {
	for _, k := range keys {
		s.turn[k] = turnChange{true, lane}
		s.kept.named[k] = s.kept.named[k] || lane == nil
	}
	if !s.cfg.turns {
		s.report()
	}
}

// turnChange says whether a key was changed in the current turn of the server, and by which lane last.
type turnChange struct {
	is   bool
	lane *simLane
}

// report has the server send its reports.
func (s *sim) report() {
	for k, c := range s.turn {
		for _, x := range s.lanes {
			if c.is && x.feed.flows && x != c.lane {
				x.feed.reports = append(x.feed.reports, report{key: keyID(k)})
			}
		}
	}
	s.turn = [maxKeys]turnChange{}
}

// endTurn has the server send its reports, and then the replies.
func (s *sim) endTurn() {
	s.report()
	for _, x := range s.lanes {
		x.replies = append(x.replies, x.executed...)
		x.executed = nil
	}
}

// turning reports whether the server has something to send at the end of its turn.
func (s *sim) turning() bool {
	for _, c := range s.turn {
		if c.is {
			return true
		}
	}
	return slices.ContainsFunc(s.lanes, func(x *simLane) bool { return len(x.executed) > 0 })
}

// changes reports what a command of a write has changed.
func (s *sim) changes(w *simWrite, c *command) {
	lane := s.lanes[w.session.lane]
	if c.kind == cmdOpaque || c.kind == cmdReplay || w.Kind == Anything {
		lane = nil // scripts are reported to their own caller as well
	}
	s.changed(lane, c.w)
}

// feed reads the oldest report of a lane's feed.
func (s *sim) readFeed(x *simLane) {
	r := x.feed.reports[0]
	x.feed.reports = x.feed.reports[1:]
	if r.round {
		s.roundRead()
		return
	}
	var keys []Key
	for k := range keyID(s.cfg.keys) {
		if k.name() == r.key.name() { // the report names no database
			keys = append(keys, Key{Hash: k.hash(), Name: []byte(k.name()), DB: int32(k.db())})
		}
	}
	counts := s.l.Foreign(x.id, keys)
	s.logf("report on %s, counts: %v", r.key.name(), counts)
}

// beginRound sends a PING down every feed.
func (s *sim) beginRound() {
	s.inRound = true
	s.l.BeginRound()
	s.roundLeft = 1
	for _, x := range s.lanes {
		if f := &x.feed; f.flows {
			f.pending = !f.set
			if s.no&flawRoundRead == 0 {
				f.reports = append(f.reports, report{round: true})
				s.roundLeft++
			}
		}
	}
	s.roundRead()
}

func (s *sim) roundRead() {
	if s.roundLeft--; s.roundLeft > 0 {
		return
	}
	s.inRound = false
	s.l.EndRound()
	for _, x := range s.lanes {
		if x.feed.pending && x.feed.flows {
			s.setFeed(x)
		}
		x.feed.pending = false
	}
}

func (s *sim) setFeed(x *simLane) {
	x.feed.set = true
	s.l.SetFeed(x.id, true)
}

// listens reports whether any feed reports anything.
func (s *sim) listens() bool {
	return slices.ContainsFunc(s.lanes, func(x *simLane) bool { return x.feed.flows })
}

// missed says that a write may have changed keys that are neither named nor reported: the same feeds, or others that
// took over from them without a gap, must have listened from when it was sent.
func (s *sim) missed(w *simWrite) {
	if w.Hidden && (!s.listens() || w.listening != s.listening) && s.no&flawCovered == 0 {
		s.l.OweSweep("a script may have written keys that nobody was told of", 0)
	}
}

// feedLost breaks a lane's feed, with all that was on its way.
func (s *sim) feedLost(x *simLane) {
	f := &x.feed
	if !f.flows {
		return
	}
	unread := slices.ContainsFunc(f.reports, func(r report) bool { return r.round })
	*f = simFeed{wanted: true}
	s.l.SetFeed(x.id, false)
	s.l.OweSweep("a feed was lost", 0)
	if unread {
		s.roundRead()
	}
}

// feedUp: the server reports, though on the other feeds there may be older reports that count.
func (s *sim) feedUp(x *simLane) {
	s.endTurn()
	if !s.listens() {
		s.listening++
		if s.cfg.foreign && s.no&flawFeedBack == 0 {
			s.l.OweSweep("nobody has listened", 0)
		}
	}
	x.feed.flows = true
	if s.no&flawFeedRound != 0 {
		s.setFeed(x)
	}
}

// startFeeds begins with feeds set: nothing can have been changed before. Some lanes get theirs later.
func (s *sim) startFeeds() {
	for i, x := range s.lanes {
		if x.feed.wanted = i < s.cfg.feeds; x.feed.wanted && (i == 0 || s.chance(.7)) {
			x.feed.flows = true
			s.setFeed(x)
		}
	}
}

// reportsRead reports whether everything has been read that the server has reported.
func (s *sim) reportsRead() bool {
	for _, x := range s.lanes {
		if len(x.feed.reports) > 0 {
			return false
		}
	}
	return true
}

func (s *sim) enabledFeeds(add func(ok bool, what string, i int)) {
	fresh, unset := !s.settle, false
	for i, x := range s.lanes {
		f := &x.feed
		add(len(f.reports) > 0, "report", i)
		add(fresh && s.cfg.feedFaults && f.flows && s.chance(.04), "feed lost", i)
		add(f.wanted && !f.flows && !x.down, "feed up", i)
		unset = unset || f.flows && !f.set
	}
	add(s.turning(), "turn ends", 0)
	add(fresh && s.cfg.foreign && s.writes < s.cfg.writes && s.chance(.3), "foreign", 0)
	add(!s.inRound && (s.l.RoundWanted() || unset), "round", 0)
}

// foreign is a write by someone who bypasses the proxy.
func (s *sim) foreign() {
	s.writes++
	kinds := []cmdKind{cmdSet, cmdDel, cmdApp}
	c := command{kind: kinds[s.r.IntN(3)], w: []keyID{keyID(s.r.IntN(s.cfg.keys))}, token: fmt.Sprintf("f%d", s.writes)}
	s.logf("%v", &c)
	s.inst[s.prim].apply(s.now(s.prim), &c)
	s.ref.apply(s.now(s.prim), &c)
	s.serve(s.prim)
	s.noteAll()
	s.changed(nil, c.w)
}
