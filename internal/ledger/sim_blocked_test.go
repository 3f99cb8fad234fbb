package ledger

import "slices"

// simBlocked is a blocking pop on a connection of its own, which owns nothing.
type simBlocked struct {
	Blocked
	keys  []keyID // the first is popped from, a second is pushed to
	side  int     // the server it was sent to
	state blockedState
	// lost: its connection is broken; the server does not know that yet. forgotten: the ledger was told too
	// early that it is over (flawBlockedDead).
	lost, forgotten, served bool
}

type blockedState uint8

const (
	blockSent    blockedState = iota // not yet executed
	blockParked                      // by the server
	blockReplied                     // the reply is on its way
)

// block sends a blocking pop.
func (s *sim) block() {
	p := s.r.Perm(s.cfg.keys)
	b := &simBlocked{side: s.prim}
	for i := range 1 + s.r.IntN(2) {
		k := keyID(p[i])
		b.keys = append(b.keys, k)
		b.Keys = append(b.Keys, Key{Hash: k.hash(), Name: []byte(k.name()), DB: int32(k.db()), Write: true})
	}
	s.logf("blocks on %v", b.keys)
	s.blocked = append(s.blocked, b)
	s.names(b.Keys, nil)
	s.l.Block(&b.Blocked)
}

// serve lets the server serve what it has parked, in the same moment as what made that possible.
func (s *sim) serve(side int) {
	for again := true; again; {
		again = false
		for _, b := range s.blocked {
			if b.side != side || b.state != blockParked {
				continue
			}
			c := command{kind: cmdMove, w: b.keys}
			if reply, ok := s.inst[side].apply(s.now(side), &c); ok {
				s.ref.apply(s.now(side), &c)
				s.wrote(&c)
				s.logf("served from %v: %s", b.keys, reply)
				b.state, b.served, again = blockReplied, true, true
				s.changed(nil, b.keys)
			}
		}
	}
}

func (s *sim) blockArrives(b *simBlocked) {
	b.state = blockParked
	s.serve(b.side)
	s.noteAll()
}

// unblock ends a wait without service: a time-out, or the proxy takes it back.
func (s *sim) unblock(b *simBlocked) { b.state = blockReplied }

func (s *sim) blockReply(b *simBlocked) {
	s.logf("blocked on %v, served: %v", b.keys, b.served)
	s.blockOver(b, b.served)
}

func (s *sim) blockLost(b *simBlocked) {
	b.lost = true
	if s.no&flawBlockedDead != 0 {
		b.forgotten = true
		s.l.Unblock(&b.Blocked, true)
	}
}

// blockDead: the broken connection is known dead. What it did, if anything, nobody knows.
func (s *sim) blockDead(b *simBlocked) { s.blockOver(b, true) }

func (s *sim) blockOver(b *simBlocked, served bool) {
	s.blocked = slices.DeleteFunc(s.blocked, func(x *simBlocked) bool { return x == b })
	if !b.forgotten {
		s.l.Unblock(&b.Blocked, served)
	}
	for i := range b.Keys {
		clear(b.Keys[i].Name) // nobody may have kept them
	}
}

// enabledBlocked lists what may happen to blocked commands.
func (s *sim) enabledBlocked(add func(ok bool, what string, i int)) {
	c, fresh := s.cfg, !s.settle
	add(fresh && c.block && len(s.blocked) < 2 && !s.held && s.chance(.5), "block", 0)
	for i, b := range s.blocked {
		add(b.state == blockSent, "block arrives", i)
		add(b.state == blockParked && !b.lost && (s.settle || s.held || s.chance(.05)), "unblock", i)
		add(b.state == blockReplied && !b.lost, "block reply", i)
		add(fresh && c.blockFaults && !b.lost && s.chance(.1), "block lost", i)
		add(b.lost, "block dead", i)
	}
}
