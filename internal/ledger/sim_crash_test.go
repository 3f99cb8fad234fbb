package ledger

import "tandem/internal/intent"

// simDisk is what outlives the proxy: the intent map, and the checkpoint of a sweep.
type simDisk struct {
	intents    *intent.Map
	checkpoint simCheckpoint
}

// simCheckpoint says how far the first half of a sweep has come.
type simCheckpoint struct {
	gen  uint64 // 0: there is none
	pos  int
	mark uint64 // what must be acknowledged before it counts
}

// begin makes a proxy: a ledger, lanes, clients.
func (s *sim) begin() {
	cfg := s.cfg
	s.l = newLedger(Options{
		MaxDirty: cfg.maxDirty, MaxExact: 64, Now: func() int64 { return s.wall.UnixNano() }, Intents: s.disk.intents,
	}, 2)
	s.l.without = cfg.without
	s.l.OnChange(func() { s.wake, s.sweepWake = true, true })
	s.sink = simSink{sim: s, zombies: s.sink.zombies}
	s.l.SetSink(&s.sink)
	s.lanes, s.sessions, s.jobs, s.sweep = nil, nil, nil, simSweep{}
	s.wake, s.timer, s.held, s.inRound, s.bringing = false, 0, false, false, bringing{}
	for range cfg.lanes {
		s.lanes = append(s.lanes, &simLane{id: s.l.AddLane()})
	}
	s.copierLane = s.l.AddLane()
	for i := range cfg.lanes + 1 {
		s.sessions = append(s.sessions, &simSession{sim: s, lane: i % cfg.lanes})
	}
}

// enabledCrash lists what may happen around the end of the proxy. It reports whether that is all.
func (s *sim) enabledCrash(add func(ok bool, what string, i int)) bool {
	c, fresh := s.cfg, !s.settle
	if s.dead {
		add(true, "restart", 0)
		add(len(s.undead) > 0, "undead", 0)
		add(len(s.sink.zombies) > 0, "sink zombie", 0)
		return true
	}
	add(fresh && c.crash && s.crashes < 2 && s.chance(.04), "crash", 0)
	add(fresh && c.crash && s.chance(max(.2, c.turnIntents)), "turn intents", 0)
	next := &s.checkpoint
	last := &s.disk.checkpoint
	sweeping := fresh && c.crash && (last.gen != s.sweep.gen || last.pos < s.sweep.pos) && s.l.Sweeping() && !s.l.intents.foundOnly && s.sweep.half == 0 && s.sweep.gen == s.l.sweepGen
	add(sweeping && next.gen == 0 && s.sweep.pos > 0 && (s.sweep.jobs == 0 || s.no&flawCheckpoint != 0), "checkpoint", 0)
	add(next.gen != 0 && (s.l.Quiet(next.mark) || s.no&flawCheckpoint != 0), "checkpoint saved", 0)
	return false
}

// crash ends the proxy. What it had sent is in the servers' buffers, and may be executed until it is known dead.
func (s *sim) crash() {
	s.crashes++
	s.dead = true
	if s.held && s.l.Drained() && !s.sink.down && s.reportsRead() && s.chance(.5) {
		s.prim = 1 - s.prim // the new roles are on disk, and nobody has seen them
		s.noteAll()
	}
	for _, x := range s.lanes {
		s.undead = append(s.undead, x.zombies...)
		s.undead = append(s.undead, x.sent[:s.r.IntN(len(x.sent)+1)]...)
	}
	k := &s.sink
	k.zombies = append(k.zombies, k.sent[:s.r.IntN(len(k.sent)+1)]...)
	k.sent, k.landed = nil, nil
	s.turn = [maxKeys]turnChange{}
	s.checkpoint = simCheckpoint{}
}

func (s *sim) undeadExecutes() {
	w := s.undead[0]
	s.undead = s.undead[1:]
	s.executed(w)
}

// restart begins a proxy on what the last one has left. Its connections are known dead.
func (s *sim) restart() {
	s.dead = false
	if s.no&flawKill == 0 {
		s.undead, s.sink.zombies = nil, nil
	}
	s.blocked = nil
	s.disk.intents = s.disk.intents.Reopen()
	s.begin()
	r := s.l.Resume()
	s.logf("%d stripes are marked, a sweep is owed %v, goes on %v", r.Stripes, r.Sweep, r.GoesOn)
	s.l.OweEverywhere("the process was started anew")
	s.listening++
	s.l.SetForeign(s.hides(), s.cfg.foreign)
	s.startFeeds()
	s.sink.down = s.chance(.5)
	if s.sink.down {
		s.l.SecondaryLost()
	}
}

// takeCheckpoint notes how far the sweep has come; it counts when all until then is acknowledged.
func (s *sim) takeCheckpoint() {
	s.checkpoint = simCheckpoint{gen: s.sweep.gen, pos: s.sweep.pos, mark: s.l.Mark()}
}

func (s *sim) saveCheckpoint() {
	s.disk.checkpoint = s.checkpoint
	s.checkpoint = simCheckpoint{}
}

// settledIntents checks that nothing stays marked when all has settled.
func (s *sim) settledIntents() {
	for range 2 {
		s.l.TurnIntents()
	}
	if n, all := s.l.MarkedStripes(); n > 0 || all && !s.l.foreign {
		s.fail("at rest %d stripes are marked, all: %v", n, all)
	}
}
