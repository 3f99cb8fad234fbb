package ledger

import "tandem/internal/intent"

// The intent map (see its package) says at every instant what a crash would leave in doubt. The ledger marks it:
//
//	a write        its keys' stripes, in the current generation, before it is sent. It counts as unsettled there until
//	               its reply, and its effect, in the same generation, until the secondary has acknowledged it.
//	a copy         counts like an effect, in the generation in which it is handed to the Sink.
//	a dirty key,   its stripe stands marked as long as it is. When the key is clean the stripe is marked in the current
//	or one that    generation: what has cleaned it, an effect or a copy, is not acknowledged yet.
//	is blocked on
//	a barrier      all stripes, until it is acknowledged; and so does what may change keys that it does not name, until
//	               it is answered and what it has changed is reported.
//	an owed sweep  is noted before what was known of keys is forgotten.
//
// A generation in which nothing is unsettled says nothing more: whatever was sent in it is on the secondary, or its keys
// are dirty and stand. So the older of the two is cleared as soon as that is so, and becomes the current one (TurnIntents).
//
// What an earlier process has left is found there by Resume. Keys in those stripes are unknown, whatever the phase, and
// the marks stay until a sweep has been through with them.
type intents struct {
	m         *intent.Map
	unsettled [2]int // writes and copies, by the generation in which they were sent

	// standing counts, by stripe, the keys that are dirty or blocked on.
	standing map[uint32]uint32
	// unnamed counts what is under way, and may change keys that nobody knows: writes without keys, and blocked
	// commands.
	unnamed int
	// barriers counts those in flight, and those on the Sink.
	barriers int

	// found are the stripes that were marked when the process began, until a sweep has been through with them.
	found bitset
	// foundOnly: the sweep that is owed concerns only keys in found; the others are what they are without a sweep.
	foundOnly bool
}

// Resumed says what an earlier process has left to do.
type Resumed struct {
	// Sweep: one over all keys is owed. If GoesOn, it was before, and what it had achieved holds: its checkpoint counts
	// and only keys in stripes that are marked must be looked at anew.
	Sweep, GoesOn bool
	// Stripes is how many are marked.
	Stripes int
	// Why is the reason, empty if nothing is to be done.
	Why string
}

// Resume takes up what the intent map was left with. It is called before any write, and once; not for a ledger whose
// instances are to be compared anyway.
func (l *Ledger) Resume() Resumed {
	f := l.intents.m.Found()
	number, owed := l.intents.m.Sweep()
	r := Resumed{Stripes: f.Count}
	if f.Why != "" {
		l.AssumeExpiring()
	}
	switch {
	case f.All || owed && l.intents.m.Again():
		r.Sweep, r.Why = true, f.Why
		if r.Why == "" {
			r.Why = "keys that nobody knows may have been changed when the process ended"
		}
		l.OweSweep(r.Why, 0)
		return r
	case owed:
		r.Sweep, r.GoesOn, r.Why = true, true, "the process ended before the sweep that was owed"
	case f.Count == 0:
		return r
	default:
		r.Why = "keys had not settled when the process ended"
	}
	l.intents.found, l.intents.foundOnly = f.Stripes, !owed
	if l.without&ruleOldMarksStay != 0 {
		l.intents.m.Release()
		l.intents.m.Turn()
	}
	keys := l.opt.MaxExact
	if !owed {
		l.sweepGen = number + 1
		keys = keysPerStripe * f.Count
	}
	l.exact.size(keys, l.opt.MaxExact)
	l.sweeping, l.owedWhy = true, r.Why
	l.onChange()
	return r
}

// keysPerStripe is for how many there is room among the exact keys while only marked stripes are swept.
const keysPerStripe = 8

// intend marks the stripe of a key that is about to be written.
func (l *Ledger) intend(stripe uint32) {
	if l.without&ruleIntent == 0 {
		l.intents.m.Mark(stripe)
	}
}

// begun counts a write that is about to be sent.
func (l *Ledger) begun(w *Write) {
	w.intent = l.intents.m.Generation()
	l.intents.unsettled[w.intent]++
	if w.barrier() && l.without&ruleIntentAll == 0 {
		l.intents.barriers++
		l.intents.m.SetBarrier(true)
	}
	if w.Unnamed {
		l.BeginUnnamed()
	}
}

// barriersOver looks whether the last barrier has settled. It is not called before what it has left is noted.
func (l *Ledger) barriersOver() {
	if l.intents.barriers == 0 {
		l.intents.m.SetBarrier(false)
	}
}

// ended settles a write itself; its effect counts for itself.
func (l *Ledger) ended(w *Write) {
	l.intents.unsettled[w.intent]--
	if w.barrier() && l.without&ruleIntentAll == 0 {
		l.intents.barriers--
		l.barriersOver()
	}
	if w.Unnamed {
		l.EndUnnamed()
	}
}

// carried counts an effect or a copy.
func (l *Ledger) carried(p *pending, generation uint8) {
	if p.intent = generation; l.without&ruleWriteGeneration != 0 {
		p.intent = l.intents.m.Generation()
	}
	if p.what != copied || l.without&ruleCopyCounted == 0 {
		l.intents.unsettled[p.intent]++
	}
	if p.barrier() && l.without&ruleIntentAll == 0 {
		l.intents.barriers++
	}
}

// arrived settles it: it is acknowledged, or its keys are dirty.
func (l *Ledger) arrived(p *pending) {
	if p.what != copied || l.without&ruleCopyCounted == 0 {
		l.intents.unsettled[p.intent]--
	}
	if p.barrier() && l.without&ruleIntentAll == 0 {
		l.intents.barriers--
	}
}

// BeginUnnamed says that a write is about to be sent, past Acquire, of which nobody knows the keys.
func (l *Ledger) BeginUnnamed() {
	l.intents.unnamed++
	l.doubt()
}

// EndUnnamed says that it is answered. If it may have changed something, a sweep is owed by then.
func (l *Ledger) EndUnnamed() { l.intents.unnamed-- }

// inDoubt reports whether keys may be changing of which nobody will know the names, should the process end.
func (l *Ledger) inDoubt() bool {
	if l.without&ruleIntentUnnamed != 0 {
		return false
	}
	// What a script has done to keys that it does not name is reported, and what others do; with the process the
	// reports are lost that are not read yet.
	return l.intents.unnamed > 0 || l.hiding > 0 || l.writers || l.foreign && (l.hidden.all || l.hidden.allWas)
}

// doubt has every stripe marked while that is so. It ends with a turn of the intents, and not before: there no
// critical section is half through.
func (l *Ledger) doubt() {
	if l.inDoubt() {
		l.intents.m.SetDoubt(true)
	}
}

// stand marks a stripe for as long as a key of it is dirty or blocked on.
func (l *Ledger) stand(stripe uint32, rule rules) {
	if l.without&rule != 0 {
		l.intents.m.Mark(stripe)
		return
	}
	l.intents.standing[stripe]++
	l.intents.m.Stand(stripe)
}

// unstand ends that. What has settled the key may be on its way still.
func (l *Ledger) unstand(stripe uint32, rule rules) {
	if l.without&rule != 0 {
		return
	}
	l.intents.m.Mark(stripe)
	if l.intents.standing[stripe]--; l.intents.standing[stripe] == 0 {
		delete(l.intents.standing, stripe)
		l.intents.m.Unstand(stripe)
	}
}

// standAnew marks what stands when no key is dirty any more.
func (l *Ledger) standAnew() {
	l.intents.standing = map[uint32]uint32{}
	l.intents.m.UnstandEach()
	for h := range l.blockedOn {
		l.stand(h.Stripe(), ruleBlockedStands)
	}
}

// TurnIntents clears the older generation of the intent map and makes it the current one, if all has settled that was
// sent in it. It is called every few seconds.
func (l *Ledger) TurnIntents() bool {
	l.intents.m.SetDoubt(l.inDoubt())
	l.settleLibraries()
	if l.intents.m.Held() || l.intents.unsettled[1-l.intents.m.Generation()] > 0 {
		return false
	}
	l.intents.m.Turn()
	return true
}

// FoundStripes returns how many stripes were marked when the process began and are not yet worked off. only is true if
// the sweep that is owed is for their keys alone.
func (l *Ledger) FoundStripes() (n int, only bool) {
	if l.intents.found == nil {
		return 0, false
	}
	return l.intents.m.Found().Count, l.intents.foundOnly
}

// WasMarked reports whether the key's stripe is one of those.
func (l *Ledger) WasMarked(h Hash) bool {
	return l.intents.found != nil && l.intents.found.has(h.Stripe())
}

// FoundSwept says that a sweep over all keys, with that number, has fed the primary's keys of the stripes that were
// found marked, and all that was queued by then is acknowledged. It goes on from its checkpoint; keys that the primary
// has not any more are found at its end, for it is owed until then.
func (l *Ledger) FoundSwept(gen uint64) {
	if l.sweeping && l.sweepGen == gen && !l.intents.foundOnly {
		l.workedOff()
	}
}

// workedOff says that the stripes that were found marked are in doubt no longer, or a sweep is owed that finds them.
func (l *Ledger) workedOff() {
	l.intents.found, l.intents.foundOnly = nil, false
	l.intents.m.Release()
}

// MarkedStripes returns how many stripes a crash would leave in doubt at this moment; all is true if it would be every
// key.
func (l *Ledger) MarkedStripes() (n int, all bool) { return l.intents.m.Marked() }
