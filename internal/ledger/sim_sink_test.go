package ledger

import "time"

// simSink is the lane to the secondary: what is appended lands there in order, and is acknowledged later.
type simSink struct {
	sim     *sim
	feeds   Side
	sent    []*landing // not yet executed
	landed  []*landing // executed, the reply on its way
	zombies []*landing // what an old connection may still execute
	down    bool
	wiped   bool // it will come back empty
}

// landing is an effect or a copy on its way to the secondary.
type landing struct {
	cmds    []command
	expects []string // "": any
	guard   []keyID
	sentAt  int // true time at which the write was sent to the primary, ms
	verdict Verdict

	brings *string // a copy of what belongs to no key
	copied bool
	key    keyID
	state  State
}

func (k *simSink) full() bool {
	return k.down || len(k.sent)+len(k.landed) >= k.sim.cfg.maxLag
}

func (k *simSink) Append(w *Write, e *Effect) bool {
	if k.full() {
		return false
	}
	p := e.Payload.(*landing)
	for _, i := range e.Guard {
		p.guard = append(p.guard, keyOf(&w.Keys[i]))
	}
	if len(e.Guard) > 0 && !k.sim.cfg.expiry {
		k.sim.fail("an effect is guarded where nothing expires")
	}
	k.sent = append(k.sent, p)
	return true
}

func (k *simSink) AppendCopy(c *Copy, st *State) bool {
	if k.down || k.sim.cfg.maxLag < 8 && k.full() && k.sim.chance(.5) {
		return false
	}
	k.sent = append(k.sent, &landing{copied: true, key: keyOf(&c.Key), state: *st})
	return true
}

// keyOf finds the key again by its name, which the ledger has kept a copy of.
func keyOf(k *Key) keyID {
	id := keyID(int(k.DB)*keysPerDB + int(k.Name[4]-'a'))
	if id.name() != string(k.Name) || id.hash() != k.Hash {
		panic("a key's name was not kept: " + string(k.Name))
	}
	return id
}

func (k *simSink) land() {
	p := k.sent[0]
	k.sent = k.sent[1:]
	k.execute(p)
	k.landed = append(k.landed, p)
}

func (k *simSink) zombie() {
	p := k.zombies[0]
	k.zombies = k.zombies[1:]
	k.execute(p)
}

// execute lets the secondary execute p, and judges its replies.
func (k *simSink) execute(p *landing) {
	s := k.sim
	side := s.at(k.feeds)
	on, now := &s.inst[side], s.now(side)
	if s.cfg.refusals && s.chance(.15) {
		p.verdict = Differs
		if p.copied {
			p.verdict = Refused
		}
		s.logf("refused: %v", p)
		return
	}
	if p.copied {
		on[p.key] = entry{}
		if !p.state.Missing && (p.state.ExpireAt == 0 || now < int(p.state.ExpireAt)) {
			on[p.key] = entry{val: p.state.Payload, exp: int(p.state.ExpireAt)}
		}
	}
	if p.brings != nil {
		s.libs[side] = *p.brings
	}
	for _, id := range p.guard {
		ttl := int64(-2)
		if x := on.live(id, now); x.val != missing {
			if ttl = -1; x.exp != 0 {
				ttl = int64(x.exp - now)
			}
		}
		lag := time.Duration(s.t-p.sentAt) * time.Millisecond
		if EdgeSuspect(ttl, lag, time.Millisecond) && s.no&flawGuard == 0 {
			p.verdict = AtEdge
		}
	}
	for i := range p.cmds {
		reply, _ := on.apply(now, &p.cmds[i])
		if c := &p.cmds[i]; c.kind == cmdLoad {
			s.libs[side] = join(s.libs[side], c.token)
		}
		if p.expects[i] != "" && reply != p.expects[i] {
			if p.verdict == Good {
				p.verdict = Differs
			}
			if !s.cfg.loose {
				s.fail("unexpected reply to %v: %q instead of %q", &p.cmds[i], reply, p.expects[i])
			}
		}
	}
	s.logf("landed with verdict %d: %v", p.verdict, p)
	s.serve(side)
	k.truthful()
}

// truthful checks that the secondary holds only values that its keys had on the primary.
func (k *simSink) truthful() {
	s := k.sim
	if s.cfg.loose {
		return
	}
	for id := range keyID(s.cfg.keys) {
		v := s.inst[s.at(k.feeds)][id].val
		held := false
		for _, h := range s.hist[id] {
			held = held || h == v
		}
		if !held {
			s.fail("P3: the secondary has %q for key %d, which it never was", v, id)
		}
	}
}

func (k *simSink) ack() {
	p := k.landed[0]
	k.landed = k.landed[1:]
	if v := k.sim.l.Acked(k.feeds, p.verdict, "it was refused"); v == Differs && k.sim.cfg.matches {
		k.sim.fail("a mismatch, and nothing has failed: %v", p)
	}
}

// lost breaks the connection: some of what was sent may still be executed, until it is known dead.
func (k *simSink) lost() {
	s := k.sim
	k.down = true
	k.wiped = s.cfg.wipes && s.chance(.5)
	k.zombies = append(k.zombies, k.sent[:s.r.IntN(len(k.sent)+1)]...)
	k.sent, k.landed = nil, nil
	s.l.SinkLost(k.feeds)
}

// up: the old connection is known dead, and a new one is there.
func (k *simSink) up() {
	s := k.sim
	if k.wiped {
		k.zombies = nil
		s.inst[s.secondary()], s.libs[s.secondary()] = server{}, ""
		s.l.OweEverywhere("the secondary has lost its data")
		if s.no&flawWipe == 0 {
			s.l.OweSweep("the secondary has lost its data", 0)
		}
	}
	if s.no&flawKill == 0 {
		k.zombies = nil
	}
	s.outageSeen(k.feeds)
	k.down, k.wiped = false, false
	s.l.Wake(k.feeds)
}
