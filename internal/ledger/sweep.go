package ledger

import "tandem/internal/crashpoint"

// OweSweep forgets what is known of every key: all are unknown until a sweep has compared the whole
// keyspaces, however much was on the way when it was called. keys is how many keys are expected (0: as many
// as the exact set may hold).
func (l *Ledger) OweSweep(why string, keys int) {
	l.sweepGen++
	if l.without&ruleOwedNoted == 0 {
		l.intents.m.SetSweep(l.sweepGen, true)
	}
	l.workedOff() // it finds those as well
	l.seq++
	l.floor = l.seq
	l.forgetDirty()
	if keys <= 0 {
		keys = l.opt.MaxExact
	}
	l.exact.size(keys, l.opt.MaxExact)
	l.sweeping = true
	l.owedWhy, l.againWhy = why, "" // this one has yet to begin, and finds what another was owed for
	l.onChange()
	l.stir()
}

// OweAgain owes a sweep at once, or, while one over all keys is owed, another one when that is done: for what becomes
// unknown again and again, and would have each sweep begin anew. The second is owed before the first counts as done.
func (l *Ledger) OweAgain(why string) {
	if l.sweeping && !l.intents.foundOnly {
		l.againWhy = why
		l.intents.m.SetAgain()
		return
	}
	l.OweSweep(why, 0)
}

// endSweep notes that none is owed any more.
func (l *Ledger) endSweep() {
	l.sweeping, l.againWhy = false, ""
	l.keptSwept()
	l.intents.m.SetSweep(l.sweepGen, false)
	l.workedOff()
	l.exact.drop()
}

// unknown reports whether nothing is known of the key but what the exact set and the dirty set say.
func (l *Ledger) unknown(h Hash) bool { return l.unknownStripe(h.Stripe()) }

func (l *Ledger) unknownStripe(x uint32) bool {
	return l.sweeping && (!l.intents.foundOnly || l.intents.found.has(x))
}

// SweepOwed returns the number of the owed sweep, and why it is owed. Each OweSweep raises it.
func (l *Ledger) SweepOwed() (gen uint64, why string, owed bool) {
	return l.sweepGen, l.owedWhy, l.sweeping
}

// SweepSettled reports whether there has been a moment, since it was first asked about the sweep with the given number,
// at which nothing of it was left: every page was copied and acknowledged, no key dirty, and all answered that was sent
// before it was first asked. What has become dirty after that moment is known to be, so it does not matter how much
// later the sweep is ended: where keys become dirty all the time such moments are short. The caller asks whenever
// something changes.
func (l *Ledger) SweepSettled(gen uint64) bool {
	if !l.sweeping || l.sweepGen != gen && l.without&ruleSweptGen == 0 {
		return false
	}
	if l.settling.gen != gen {
		l.settling = settling{gen: gen}
		if copies, _ := l.Copying(); copies > 0 {
			l.settling.mark = l.Mark()
		}
	}
	x := &l.settling
	answered := l.answered(gen) || l.without&ruleSweptAnswered != 0
	acknowledged := l.acknowledged(x.mark) || l.without&ruleSweptAcks != 0
	x.done = x.done || answered && acknowledged && l.dirty.len() == 0 && l.copying == 0
	return x.done
}

// settling is how far the end of a sweep has come.
type settling struct {
	gen  uint64
	mark uint64 // when so much is acknowledged, all copies are that it has made
	done bool
}

// Swept ends the sweep with the given number if it has settled, and if it has not been owed again (see OweAgain, too).
// From then on every key is exact unless dirty.
func (l *Ledger) Swept(gen uint64) bool {
	if !l.SweepSettled(gen) {
		return false
	}
	l.stats.Swept++
	if why := l.againWhy; why != "" {
		l.OweSweep(why, 0)
		return false
	}
	crashpoint.Reach(crashpoint.SweepEnds)
	l.endSweep()
	crashpoint.Reach(crashpoint.SweepEnded)
	l.onChange()
	l.stir()
	l.settleStir()
	return true
}

// answered reports whether all is answered that was sent before it was first asked for this sweep.
func (l *Ledger) answered(gen uint64) bool {
	older := &l.inEpoch[1-l.epoch]
	if l.swept != gen && *older == 0 {
		l.swept = gen
		l.epoch = 1 - l.epoch
		older = &l.inEpoch[1-l.epoch]
	}
	l.sweptWait = *older > 0
	return l.swept == gen && *older == 0
}
