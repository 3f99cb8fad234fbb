package ledger

import (
	"tandem/internal/intent"
	"tandem/internal/kept"
)

// simDisk is what outlives the proxy: the intent map, and the checkpoint of a sweep.
type simDisk struct {
	intents    *intent.Map
	kept       *kept.List // nil: there is none
	keptSynced *kept.List // what a loss of power would leave of it
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
		TwoWay: cfg.two, Decided: s.decided,
	}, 2)
	s.l.without, s.l.kept.without = cfg.without, cfg.withoutKept
	if cfg.two {
		s.l.two.without = cfg.side
		if cfg.side&sideKept != 0 {
			s.l.two.sides = make(bitset, 1)
		}
	}
	s.kept.wanted = false
	if s.disk.kept != nil {
		s.l.SetKept(s.disk.kept, s.prim == 1, func() { s.kept.wanted = true })
	}
	s.l.OnChange(func() { s.wake, s.sweepWake = true, true })
	s.sinks = [2]simSink{
		{sim: s, feeds: Primary, zombies: s.sinks[Primary].zombies}, {sim: s, feeds: Secondary, zombies: s.sinks[Secondary].zombies},
	}
	s.l.SetSink(Secondary, &s.sinks[Secondary])
	if cfg.two {
		s.l.SetSink(Primary, &s.sinks[Primary])
	}
	s.lanes, s.sessions, s.jobs, s.sweep = nil, nil, nil, simSweep{}
	s.wake, s.timer, s.held, s.inRound, s.bringing = false, 0, false, false, bringing{}
	s.addLanes(Primary)
	if cfg.two {
		s.addLanes(Secondary)
	}
	for i := range len(s.lanes) + 1 {
		s.sessions = append(s.sessions, &simSession{sim: s, lane: i % len(s.lanes)})
	}
}

// enabledCrash lists what may happen around the end of the proxy. It reports whether that is all.
func (s *sim) enabledCrash(add func(ok bool, what string, i int)) bool {
	c, fresh := s.cfg, !s.settle
	if s.dead {
		add(true, "restart", 0)
		add(len(s.undead) > 0, "undead", 0)
		for i := range s.sinks {
			add(len(s.sinks[i].zombies) > 0, "sink zombie", i)
		}
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
	if s.held && s.l.Drained() && !s.sinks[Secondary].down && s.reportsRead() && s.chance(.5) {
		s.changeRoles() // the new roles are on disk, and nobody has seen them
	}
	for _, x := range s.lanes {
		s.undead = append(s.undead, x.zombies...)
		s.undead = append(s.undead, x.sent[:s.r.IntN(len(x.sent)+1)]...)
	}
	for i := range s.sinks {
		k := &s.sinks[i]
		if i == int(Primary) && !s.cfg.two {
			continue
		}
		k.zombies = append(k.zombies, k.sent[:s.r.IntN(len(k.sent)+1)]...)
		k.sent, k.landed = nil, nil
	}
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
		s.undead, s.sinks[Primary].zombies, s.sinks[Secondary].zombies = nil, nil, nil
	}
	s.blocked = nil
	s.reopenKept()
	s.disk.intents = s.disk.intents.Reopen()
	s.begin()
	s.sides, s.decisions, s.untold = s.disk.intents.Sides()[0], 0, [maxKeys]bool{}
	r := s.l.Resume()
	s.logf("%d stripes are marked, a sweep is owed %v, goes on %v", r.Stripes, r.Sweep, r.GoesOn)
	s.l.OweEverywhere("the process was started anew")
	s.listening++
	s.l.SetForeign(s.hides(), s.cfg.foreign)
	s.startFeeds()
	for i := range s.sinks {
		if k := &s.sinks[i]; i == int(Secondary) || s.cfg.two {
			if k.down = s.chance(.5); k.down {
				s.l.SinkLost(k.feeds)
			}
		}
	}
	s.restartOutage()
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
