package ledger

// Blocked is one blocking command (BLPOP, BLMOVE, XREADGROUP BLOCK, ...) that has found nothing and waits on a
// connection of its own. It owns no stripe, so that others can push what it waits for: it is served in the
// middle of somebody else's command, and its reply comes on another connection than theirs. So nobody can tell
// where in the order of its keys' writes it was served, and while it may be, none of them is exact: every
// effect on one, and what would be made from one, is a copy. Copies of them are made as ever, each of a state
// that the key really had, and so are reads for verify, which counts them as owed.
//
// What it does is not a write that is on its way: it is not in Unsettled. But Drained says no while any is
// blocked, for it may be served at any moment: before roles change the commands are taken back (CLIENT UNBLOCK)
// and issued anew on the new primary, and none may be sent during a hold.
type Blocked struct {
	// Keys are all that it names, those that it would write to included. Those with Write are dirty when it was
	// served. The names must stay unchanged until Unblock.
	Keys []Key

	waiting bool
}

// Block says that b is about to be sent. It is called in the critical section in which b is put on its
// connection: a push that is sent later may serve it. Without keys it is one that may change any.
func (l *Ledger) Block(b *Blocked) {
	if b.waiting {
		return
	}
	b.waiting = true
	l.unkeepBlocked(b)
	l.blocking++
	if l.blockedOn == nil {
		l.blockedOn = map[Hash]int32{}
	}
	for i := range b.Keys {
		h := b.Keys[i].Hash
		if l.blockedOn[h]++; l.blockedOn[h] == 1 {
			l.stand(h.Stripe(), ruleBlockedStands)
		}
	}
	if len(b.Keys) == 0 {
		l.BeginUnnamed()
	}
}

// Unblock says that b is over. served is true if its reply says that it changed something, and if its outcome
// is unknown: its connection is lost, and is known dead (until then it may be served still, and stays blocked).
// It is false after nil, a time-out, an error and CLIENT UNBLOCK. Where nothing is replicated any more (there is no
// Sink) it does not matter.
func (l *Ledger) Unblock(b *Blocked, served bool) {
	if !b.waiting {
		return
	}
	b.waiting = false
	l.blocking--
	for i := range b.Keys {
		h := b.Keys[i].Hash
		if l.blockedOn[h]--; l.blockedOn[h] <= 0 {
			delete(l.blockedOn, h)
			l.unstand(h.Stripe(), ruleBlockedStands)
		}
	}
	if len(b.Keys) == 0 {
		l.EndUnnamed()
	}
	if served && l.feeds > 0 {
		l.unfeed(b.Keys)
	}
	if served && l.to[Secondary].sink != nil && l.without&ruleServedDirty == 0 {
		for i := range b.Keys {
			if !b.Keys[i].Write {
				continue
			}
			if d := l.MakeDirty(&b.Keys[i]); d != nil {
				d.served = l.seq
			}
		}
		l.served = l.seq
	}
	l.onChange()
}

// Blocking returns how many blocking commands wait to be served.
func (l *Ledger) Blocking() int { return l.blocking }

// isBlockedOn reports whether a command is blocked on the key.
func (l *Ledger) isBlockedOn(h Hash) bool {
	return l.blocking > 0 && l.blockedOn[h] > 0 && l.without&ruleBlockedNotExact == 0
}

// meetsBlocked reports whether an effect has to do with a key that somebody blocks on, or that was served since w
// was sent: it may be what it was served from. A blind effect, too: it would show the secondary what was pushed,
// when on the primary it was popped in the same moment.
func (l *Ledger) meetsBlocked(w *Write, e *Effect) bool {
	for i := range e.Steps {
		s := &e.Steps[i]
		for j, n := 0, s.keys(w); j < n; j++ {
			h := w.Keys[s.key(j)].Hash
			if l.isBlockedOn(h) {
				return true
			}
			// A sweep that came to be owed since has forgotten which keys were served.
			if d := l.dirty.of(h); (d != nil && d.served > w.at || l.floor > w.at) && l.without&ruleServedSince == 0 {
				return true
			}
		}
	}
	return false
}
