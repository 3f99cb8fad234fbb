package ledger

// The parts of the interleaving test that only clients at both instances need: lanes of both, and times when a whole
// instance is down.

func (s *sim) addLanes(at Side) {
	for range s.cfg.lanes {
		s.lanes = append(s.lanes, &simLane{id: s.l.AddLane(at), at: at})
	}
	s.copierLanes[at] = s.l.AddLane(at)
}

// sideOut is the value of sim.outage for a side.
func sideOut[T ~int | ~uint8](side T) int { return int(side) + 1 }

// waiting is how much is on a Sink.
func (k *simSink) waiting() int { return len(k.sent) + len(k.landed) }

func (j *copyJob) from() Side {
	if j.owner != nil {
		return j.sim.l.lanes[j.owner.Lane].at
	}
	return j.c.From
}

// enabledOutage lists what may happen to whole instances.
func (s *sim) enabledOutage(add func(ok bool, what string, i int)) {
	for i := range s.sinks {
		add(!s.settle && s.cfg.outages && s.outage == 0 && s.chance(.03), "outage", i)
	}
	add(s.outage != 0 && s.cfg.conflict != Wait && s.l.two.conflict[s.outage-1] == Wait, "decide", 0)
	// Towards the end it lasts until nothing else can happen.
	over := s.outage != 0 && (s.settle || s.chance(.1))
	if s.settle && over && len(s.events) > 0 {
		over = s.patient()
	}
	add(over, "outage over", 0)
}

// patient reports whether all that can still happen is what is tried again and again.
func (s *sim) patient() bool {
	for _, e := range s.events {
		switch e.what {
		case "copy", "copy reads", "copy ends", "timer", "sweep", "bring", "turn intents":
		default:
			return false
		}
	}
	return true
}

// beginOutage breaks all connections of an instance.
func (s *sim) beginOutage(side Side) {
	s.outage, s.lastOut = sideOut(side), side
	s.wiped = s.cfg.outWipes && s.chance(.7)
	s.restarted = s.cfg.restarts && s.chance(.5)
	for _, x := range s.lanes {
		if x.at == side && !x.down {
			s.laneLost(x)
		}
	}
	if k := &s.sinks[side]; !k.down {
		k.lost()
	}
}

// decideFor has conflicts with the instance decided that is down.
func (s *sim) decideFor() { s.l.SetConflict(Side(s.outage-1), s.cfg.conflict) }

// endOutage ends it. Nobody whose instance was up the whole time may still be waiting for what is not the other's.
func (s *sim) endOutage() {
	down := Side(s.outage - 1)
	if s.settle && s.l.barriers == 0 { // one that is in flight there holds everybody
		for _, w := range s.l.tickets {
			if s.l.lanes[w.Lane].at != down && !s.l.lanes[w.Lane].down && !s.l.barred(w) && !s.waitsForOwn(w) {
				s.fail("during an outage of the other side a write waits for nothing: %v", w.Keys)
			}
		}
	}
	s.outage = 0
	s.l.SetConflict(down, Wait)
}

// waitsForOwn: a lane of its own side is down, and nobody else is to blame.
func (s *sim) waitsForOwn(w *Write) bool {
	for _, x := range s.lanes {
		if x.at == s.l.lanes[w.Lane].at && x.down {
			return true
		}
	}
	return false
}

// outageSeen: an instance answers again. If it has lost its data that is seen before anything else.
func (s *sim) outageSeen(side Side) {
	if s.lastOut != side {
		return
	}
	if restarted := s.restarted; !s.wiped {
		if s.restarted = false; restarted {
			s.restartInstance(side)
		}
		return
	}
	s.restarted = false
	s.wiped = false
	s.inst[s.at(side)], s.libs[s.at(side)] = server{}, ""
	s.sinks[side].zombies = nil
	for _, x := range s.lanes {
		if x.at == side {
			x.zombies = nil
		}
	}
	s.l.LostData(side, "it has lost its data")
}

// restartInstance: an instance is another process now. What is the other one's truth from now on is what that has when all has arrived.
func (s *sim) restartInstance(side Side) {
	for _, x := range s.lanes {
		if x.at == side {
			x.zombies = nil
		}
	}
	s.sinks[side].zombies = nil
	var was [maxKeys]Side
	for k := range keyID(s.cfg.keys) {
		was[k] = s.l.SideOf(k.hash())
	}
	s.l.Restarted(side, "it was restarted")
	s.sides = s.l.two.sides[0]
	will := s.inst[s.at(side.Other())]
	for _, p := range s.sinks[side.Other()].sent {
		if p.copied {
			will[p.key] = entry{}
			if !p.state.Missing {
				will[p.key].val = p.state.Payload
			}
		}
		for i := range p.cmds {
			will.apply(s.now(s.at(side.Other())), &p.cmds[i])
		}
	}
	for k := range keyID(s.cfg.keys) {
		if was[k] == side && s.l.SideOf(k.hash()) != side {
			s.ref[k] = will[k]
			s.note(k)
		}
	}
}

// restartOutage: for a proxy that begins while an instance is down it is down.
func (s *sim) restartOutage() {
	if s.outage == 0 {
		return
	}
	side := Side(s.outage - 1)
	for _, x := range s.lanes {
		if x.at == side {
			s.laneLost(x)
		}
	}
	if k := &s.sinks[side]; !k.down {
		k.lost()
	}
}

// seeDecisions takes notice of stripes that were decided in the last step: what the other instance has of their keys
// does not count any more, and each that differs must be reported.
func (s *sim) seeDecisions() {
	if !s.cfg.two || s.dead {
		return
	}
	sides, decided := s.l.two.sides[0], s.l.two.decided
	for k := range keyID(s.cfg.keys) {
		x := k.hash().Stripe()
		now := s.l.sideOf(x)
		if s.cfg.restarts && (s.sides^sides)>>x&1 != 0 {
			s.ref[k] = s.inst[s.at(now)][k] // the same, unless it was given back
		}
		if decided == s.decisions || (s.sides^sides)>>x&1 == 0 {
			continue
		}
		if e := s.inst[s.at(now)][k]; s.ref[k] != e {
			// One that is decided for the side that it came from, before anybody has seen that it was decided, was not.
			s.ref[k], s.untold[k] = e, !s.told[k] && !s.untold[k]
			s.note(k)
		}
	}
	s.sides, s.decisions, s.told = sides, decided, [maxKeys]bool{}
}

// decided is told by the ledger of such a key.
func (s *sim) decided(k *Key) {
	id := keyOf(k)
	s.logf("key %d is decided for side %d", id, s.l.SideOf(k.Hash))
	if s.cfg.conflict == Newest && !s.isWriting(k.Hash) {
		s.fail("key %d is decided, and nobody writes it", id)
	}
	s.untold[id], s.told[id] = false, true
}

// outdated reports whether a command is executed at an instance that was decided against meanwhile.
func (s *sim) outdated(w *simWrite, c *command) bool {
	return s.cfg.conflict != Wait && !s.dead && len(c.w) == 1 && s.l.SideOf(c.w[0].hash()) != w.at
}

// isWriting reports whether a write that waits, or is being sent, writes a key at the side that has it.
func (s *sim) isWriting(h Hash) bool {
	for _, x := range s.sessions {
		if w := x.waiting; w != nil && s.lanes[x.lane].at == s.l.SideOf(h) {
			for i := range w.Keys {
				if w.Keys[i].Hash == h && w.Keys[i].Write {
					return true
				}
			}
		}
	}
	return false
}

// awaitMore has a client wait that has found nothing to take.
func (s *sim) awaitMore(w *simWrite) {
	x := w.session
	if !s.cfg.awaits || len(w.cmds) != 1 || w.cmds[0].kind != cmdPop || w.changed[0] || x.await != nil || x.waiting != nil {
		return
	}
	x.again = w.cmds[0]
	x.await = &Await{Keys: []Hash{x.again.w[0].hash()}, Changed: func() { x.told = true }}
	s.l.Await(x.await)
}

// tryAgain sends the command anew: if there is nothing again, the client waits again.
func (x *simSession) tryAgain() {
	s := x.sim
	x.told, x.await = false, nil
	s.writes++
	k := x.again.w[0]
	w := &simWrite{session: x, number: s.writes, cmds: []command{x.again}}
	w.Waiter, w.Lane = w, s.lanes[x.lane].id
	w.Keys = []Key{{Hash: k.hash(), Name: []byte(k.name()), DB: int32(k.db()), Write: true}}
	x.waiting = w
	if s.l.Acquire(&w.Write) {
		x.waiting = nil
		x.put(w)
	}
}

// awaitsNothing checks that nobody waits for what is there.
func (s *sim) awaitsNothing() {
	for _, x := range s.sessions {
		if x.await == nil || x.told {
			continue
		}
		if k := x.again.w[0]; s.inst[s.at(s.lanes[x.lane].at)][k].val != missing {
			s.fail("a client waits for key %d, and it is there", k)
		}
	}
}
