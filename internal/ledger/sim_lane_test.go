package ledger

import (
	"fmt"
	"slices"
)

// simLane is a connection to the primary.
type simLane struct {
	id         LaneID
	at         Side
	sent       []*simWrite // not yet executed
	executed   []*simWrite // in the current turn of the server
	replies    []*simWrite // executed, the reply on its way
	unanswered []*simWrite // both of these, in order
	zombies    []*simWrite // what an old connection may still execute
	down       bool
	feed       simFeed
}

// simSession is a client. It sends without waiting for replies, but nothing behind a write that waits.
type simSession struct {
	sim       *sim
	lane      int
	waiting   *simWrite
	withdrawn bool    // waiting is not in the ledger's queues: a hold took it back
	executed  int     // number of its last write that was executed
	await     *Await  // it waits for something to take
	again     command // what it tries when it is told
	told      bool
}

// simWrite is a client's write: one command, or the commands of a transaction.
type simWrite struct {
	Write
	session *simSession
	unkeyed bool // the ledger is not asked: nobody knows its keys
	number  int
	at      Side
	cmds    []command
	sentAt  int // true time, ms
	// listening is the sim's, when it was sent.
	listening int
	replies   []string
	changed   []bool
	resolved  []command // with absolute expiries
}

func (w *simWrite) Granted(*Write) {
	if w.session.waiting != w {
		w.session.sim.fail("write %d was granted twice", w.number)
		return
	}
	w.session.waiting = nil
	w.session.put(w)
	// A session goes on at once, while the ledger is still handing out stripes.
	if s := w.session.sim; !s.settle && s.writes < s.cfg.writes && s.t < 50 && s.chance(.3) {
		w.session.write()
	}
}

func (x *simSession) put(w *simWrite) {
	s := x.sim
	l := s.lanes[x.lane]
	if w.Lane != l.id || l.down || s.held {
		s.fail("write %d was sent on lane %d, down %v, held %v", w.number, w.Lane, l.down, s.held)
	}
	w.sentAt, w.listening, w.at = s.t, s.listening, l.at
	l.sent = append(l.sent, w)
	l.unanswered = append(l.unanswered, w)
}

func (x *simSession) write() {
	s := x.sim
	s.writes++
	w := &simWrite{session: x, number: s.writes}
	w.Waiter, w.Lane = w, s.lanes[x.lane].id
	s.compose(w)
	s.logf("session on lane %d: %v", x.lane, w.cmds)
	if w.unkeyed {
		if !s.held && !s.lanes[x.lane].down {
			s.l.BeginUnnamed()
			x.put(w)
		}
		return
	}
	x.waiting = w
	s.names(w.Keys, w.DBs)
	if s.l.Acquire(&w.Write) {
		x.waiting = nil
		x.put(w)
	}
}

func (x *simSession) cancel() {
	w := x.waiting
	x.waiting, x.withdrawn = nil, false
	x.sim.l.Cancel(&w.Write)
}

// withdraw takes back what waits. It is submitted anew when the hold ends.
func (x *simSession) withdraw() {
	if x.waiting != nil {
		x.sim.l.Cancel(&x.waiting.Write)
		x.withdrawn = true
	}
}

func (x *simSession) resubmit() {
	if w := x.waiting; x.withdrawn {
		x.withdrawn = false
		w.Lane = x.sim.lanes[x.lane].id
		if x.sim.l.Acquire(&w.Write) {
			x.waiting = nil
			x.put(w)
		}
	}
}

// compose makes a random write: its commands, and the keys that the ledger is told of.
func (s *sim) compose(w *simWrite) {
	kind := s.cfg.kinds[s.r.IntN(len(s.cfg.kinds))]
	switch kind {
	case cmdTx:
		for i := range 2 + s.r.IntN(2) {
			w.cmds = append(w.cmds, s.command(s.txKind(), w.number*10+i))
		}
	case cmdFlushTx, cmdSwapTx:
		all := cmdFlush
		if kind == cmdSwapTx {
			all = cmdSwap
		}
		w.cmds = []command{s.command(all, 0), s.command(s.txKind(), w.number)}
		w.cmds[0].fails = s.chance(.2)
		if s.chance(.5) {
			w.cmds[0], w.cmds[1] = w.cmds[1], w.cmds[0]
		}
	case cmdHidden:
		w.cmds = []command{s.command(cmdOpaque, w.number*10), s.command(cmdOpaque, w.number*10+1)}
		w.cmds[1].hidden, w.Hidden, w.Script = true, true, true
	case cmdAny:
		hidden := cmdApp
		if s.chance(.5) {
			hidden = cmdRen
		}
		w.cmds = []command{s.command(cmdApp, w.number*10), s.command(hidden, w.number*10+1)}
		w.cmds[1].hidden, w.Kind = true, Anything
	case cmdReplay:
		w.cmds, w.Script = []command{s.command(kind, w.number)}, true
	case cmdLoadTx:
		w.cmds = []command{s.command(cmdLoad, w.number), s.command(s.txKind(), w.number)}
	case cmdScript:
		w.unkeyed = true
		w.cmds = []command{s.command(s.txKind(), w.number*10), s.command(s.txKind(), w.number*10+1)}
		return
	default:
		w.cmds = []command{s.command(kind, w.number)}
	}
	shared := s.chance(.5) // a key that is named twice is listed once, or twice
	for i := range w.cmds {
		c := &w.cmds[i]
		if c.hidden {
			continue
		}
		switch c.kind {
		case cmdLoad:
			w.Everywhere = true
			c.fails = s.chance(.2)
		case cmdFlush:
			w.Kind, w.DBs = Flush, c.dbs
		case cmdSwap:
			w.Kind, w.DBs = Swap, c.dbs
		}
		for _, k := range c.w {
			s.name(w, k, true, shared)
		}
		for _, k := range c.r {
			s.name(w, k, false, shared)
		}
	}
}

func (s *sim) name(w *simWrite, k keyID, write, shared bool) {
	if shared {
		if i := slices.IndexFunc(w.Keys, func(x Key) bool { return x.Hash == k.hash() }); i >= 0 {
			w.Keys[i].Write = w.Keys[i].Write || write
			return
		}
	}
	w.Keys = append(w.Keys, Key{Hash: k.hash(), Name: []byte(k.name()), DB: int32(k.db()), Write: write})
}

// txKind is a command of one key that may stand in a transaction.
func (s *sim) txKind() cmdKind {
	kinds := []cmdKind{cmdSet, cmdDel, cmdApp, cmdApp, cmdPop, cmdNX, cmdSetKeep, cmdOpaque}
	n := len(kinds)
	if s.chance(.7) {
		n--
	}
	return kinds[s.r.IntN(n)]
}

func (s *sim) command(kind cmdKind, n int) command {
	c := command{kind: kind, token: fmt.Sprintf("w%d", n)}
	p := s.r.Perm(s.cfg.keys)
	key := func(i int) keyID { return keyID(p[i]) }
	switch kind {
	case cmdFlush:
		c.dbs = []int{0, 1}
		if i := s.r.IntN(3); i < 2 {
			c.dbs = c.dbs[i : i+1]
		}
	case cmdSwap:
		c.dbs = []int{0, 1}
	case cmdLoad:
	case cmdRen, cmdMSet:
		c.w = []keyID{key(0), key(1)}
	case cmdUni:
		c.w, c.r = []keyID{key(0)}, []keyID{key(1), key(2)}
	default:
		c.w = []keyID{key(0)}
	}
	if kind == cmdSetX || kind == cmdPEx {
		c.exp = 2 + s.r.IntN(10)
	}
	return c
}

// execute lets the primary execute the lane's oldest write.
func (s *sim) execute(x *simLane) {
	w := x.sent[0]
	x.sent = x.sent[1:]
	s.executed(w)
	x.executed = append(x.executed, w)
	if !s.cfg.turns {
		s.endTurn()
	}
}

func (s *sim) executed(w *simWrite) {
	if w.number <= w.session.executed {
		s.fail("write %d of a session was executed after %d", w.number, w.session.executed)
	}
	w.session.executed = w.number
	side := s.at(w.at)
	now := s.now(side)
	for _, c := range w.cmds {
		if c.kind == cmdSetX || c.kind == cmdPEx {
			c.exp += now
		}
		reply, changed := s.inst[side].apply(now, &c)
		if !s.outdated(w, &c) {
			s.ref.apply(now, &c)
		} else {
			s.hist[c.w[0]] = append(s.hist[c.w[0]], s.inst[side][c.w[0]].val) // its clients may have seen it
		}
		w.replies, w.changed, w.resolved = append(w.replies, reply), append(w.changed, changed), append(w.resolved, c)
		s.logf("write %d: %v -> %s", w.number, &c, reply)
		switch {
		case !changed:
		case c.kind == cmdLoad:
			s.libs[side], s.refLib = join(s.libs[side], c.token), join(s.refLib, c.token)
		default:
			s.changes(w, &c)
		}
		if changed && !w.unkeyed {
			s.wrote(&c)
		}
	}
	// A transaction's steps are not seen by others: only what it leaves has been held.
	s.serve(side)
	s.noteAll()
}

// reply hands the lane's oldest reply to the ledger, with the effect that the router would make of it.
func (s *sim) reply(x *simLane) {
	w := x.replies[0]
	x.replies = x.replies[1:]
	x.answered(w)
	if w.unkeyed {
		if s.chance(.5) {
			s.l.OweSweep("a script", 0)
		} else {
			s.l.OweAgain("a script")
		}
		s.l.EndUnnamed()
		return
	}
	defer s.awaitMore(w)
	s.missed(w)
	var e Effect
	var p landing
	p.sentAt = w.sentAt
	repeats := w.Kind == Anything && s.l.Settled()
	if w.Kind == Anything && !repeats {
		s.l.OweSweep("a script is not repeated", 0)
	}
	for i, c := range w.resolved {
		if c.hidden && repeats {
			p.cmds, p.expects = append(p.cmds, c), append(p.expects, w.replies[i])
		}
		if !w.changed[i] || c.hidden {
			continue
		}
		step := Step{Copy: c.kind == cmdOpaque || w.Kind == Anything && !repeats, Everywhere: c.kind == cmdLoad, MayExpire: c.kind == cmdSetX || c.kind == cmdPEx || c.kind == cmdRen && s.cfg.expiry}
		expect := w.replies[i]
		switch c.kind {
		case cmdNX:
			c.kind, expect, step.Blind = cmdSet, "", true
		case cmdSet, cmdSetX, cmdDel, cmdMSet, cmdFlush:
			expect, step.Blind = "", true // a count or a reply that depends on what was there
		case cmdSetKeep:
			step.Blind = s.no&flawKeepTTL != 0
		}
		if c.kind == cmdSetX || c.kind == cmdPEx {
			c.exp += s.correctionFrom(w.at)
		}
		if len(w.cmds) > 1 {
			for _, k := range slices.Concat(c.w, c.r) {
				step.Keys = append(step.Keys, slices.IndexFunc(w.Keys, func(x Key) bool { return x.Hash == k.hash() }))
			}
		}
		e.Steps = append(e.Steps, step)
		p.cmds, p.expects = append(p.cmds, c), append(p.expects, expect)
	}
	if len(e.Steps) == 0 {
		if out := s.l.Reply(&w.Write, nil); out != Unchanged {
			s.fail("write %d changed nothing, and its outcome is %d", w.number, out)
		}
	} else {
		e.Payload = &p
		out := s.l.Reply(&w.Write, &e)
		s.logf("write %d: outcome %d", w.number, out)
	}
	scribble(w)
}

// scribble destroys the names of a settled write: nobody may have kept them.
func scribble(w *simWrite) {
	for i := range w.Keys {
		for j := range w.Keys[i].Name {
			w.Keys[i].Name[j] = '#'
		}
	}
}

func (x *simLane) answered(w *simWrite) {
	if x.unanswered[0] != w {
		panic("replies out of order")
	}
	x.unanswered = x.unanswered[1:]
}

// laneLost breaks a lane's connection. Replies that were on their way are lost, and some of what was sent
// is in the server's buffers, to be executed at any time until the connection is known dead.
func (s *sim) laneLost(x *simLane) {
	s.endTurn()
	x.down = true
	x.replies = nil
	x.zombies = append(x.zombies, x.sent[:s.r.IntN(len(x.sent)+1)]...)
	x.sent = nil
	s.l.LaneDown(x.id)
	s.feedLost(x)
	if s.no&flawHold != 0 {
		s.unanswered(x, len(x.unanswered))
	}
}

func (s *sim) laneZombie(x *simLane) {
	w := x.zombies[0]
	x.zombies = x.zombies[1:]
	s.executed(w)
}

// laneUp: the old connection is known dead, and a new one is there. Its writes are settled before it is
// used, or a little later.
func (s *sim) laneUp(x *simLane) {
	if s.no&flawKill == 0 {
		x.zombies = nil
	}
	s.outageSeen(x.at)
	x.down = false
	lost := len(x.unanswered)
	if s.chance(.5) {
		s.unanswered(x, lost)
		s.l.LaneUp(x.id)
	} else {
		s.l.LaneUp(x.id)
		s.unanswered(x, lost)
	}
}

// unanswered settles the lane's first n writes.
func (s *sim) unanswered(x *simLane, n int) {
	for range n {
		w := x.unanswered[0]
		x.unanswered = x.unanswered[1:]
		if w.unkeyed {
			s.l.OweSweep("a script whose outcome is unknown", 0)
			s.l.EndUnnamed()
			continue
		}
		s.missed(w)
		s.l.Unanswered(&w.Write)
		scribble(w)
	}
}
