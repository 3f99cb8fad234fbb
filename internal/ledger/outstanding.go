package ledger

import "time"

// what tells the things apart that the secondary acknowledges.
type what uint8

const (
	effect  what = iota // of a write: its keys are dirty if it fails
	derived             // the same, and what it wrote to one key may depend on another
	flush               // a sweep is owed if it fails
	swap                // a sweep is owed if it fails, or if anything before it does; a write of any key too
	copied              // a copy
)

// pending is one thing on the Sink that is not acknowledged.
type pending struct {
	what     what
	number   uint64 // among all that was ever appended
	intent   uint8  // the generation of the intent map in which it counts
	keyless  bool   // a part of it belongs to no key: a copy of all that does is owed if it fails
	failures int    // of a copy: how often in a row it failed before
	seq      uint64 // of a copy: when its read began
	bytes    int    // of a copy's payload
	at       int64  // Unix nanoseconds when it was appended
	one      [1]Key
	more     []Key // instead of one, when there are several; those only read are among them
	block    *block
}

func (p *pending) barrier() bool { return p.what == flush || p.what == swap }

func (p *pending) keys() []Key {
	if p.more != nil {
		return p.more
	}
	if p.one[0].Name == nil {
		return nil
	}
	return p.one[:]
}

// outstandingRing is a FIFO of pendings that grows and never shrinks below what the lag bound allows.
type outstandingRing struct {
	buf    []pending // length a power of two
	head   int
	n      int
	copies int // copies among them
	bytes  int // the copies' payloads
	kinds  [copied + 1]int
	spare  [][]Key // of those that are settled, for the keys of others
}

// What is kept for the keys of writes of several: so many lists, of so many keys at most. More than a megabyte would lie
// idle otherwise, for a longer list costs little for each of its keys.
const (
	spareLists = 1024
	spareKeys  = 16
)

// list returns an empty list with room for so many keys.
func (r *outstandingRing) list(keys int) []Key {
	if last := len(r.spare) - 1; last >= 0 && keys <= spareKeys {
		list := r.spare[last]
		r.spare[last], r.spare = nil, r.spare[:last]
		if cap(list) >= keys {
			return list
		}
	}
	return make([]Key, 0, keys)
}

func (r *outstandingRing) len() int { return r.n }

func (r *outstandingRing) push() *pending {
	if r.n == len(r.buf) {
		grown := make([]pending, max(256, 2*len(r.buf)))
		for i := range r.n {
			grown[i] = r.buf[(r.head+i)&(len(r.buf)-1)]
		}
		r.buf, r.head = grown, 0
	}
	p := &r.buf[(r.head+r.n)&(len(r.buf)-1)]
	r.n++
	return p
}

func (r *outstandingRing) front() *pending { return &r.buf[r.head] }

// pop removes the first. Nobody may have kept its keys.
func (r *outstandingRing) pop() {
	if list := r.buf[r.head].more; 0 < cap(list) && cap(list) <= spareKeys && len(r.spare) < spareLists {
		clear(list)
		r.spare = append(r.spare, list[:0])
	}
	r.buf[r.head] = pending{}
	r.head = (r.head + 1) & (len(r.buf) - 1)
	r.n--
}

// append hands an effect to the Sink of a stream and remembers what to do should it fail.
func (l *Ledger) append(to *stream, w *Write, e *Effect) bool {
	if to.sink == nil || !to.sink.Append(w, e) {
		l.stats.Dropped++
		return false
	}
	var p *pending
	switch {
	case w.Kind == Flush:
		p = l.push(to, flush, nil, w.intent)
	case w.Kind == Swap, w.Kind == Anything:
		p = l.push(to, swap, nil, w.intent)
	case len(w.Keys) > 1 && !e.blind():
		p = l.push(to, derived, w.Keys, w.intent)
	default:
		p = l.push(to, effect, w.Keys, w.intent)
	}
	if p.keyless = w.Everywhere && e.changesEverywhere(); p.keyless && l.two != nil {
		l.two.librariesEnd = to.end(l.pushed)
	}
	return true
}

// blind reports whether no step depends on what was there.
func (e *Effect) blind() bool {
	for i := range e.Steps {
		if !e.Steps[i].Blind {
			return false
		}
	}
	return true
}

// push remembers one thing that was handed to a Sink, with names of its own. It is unsettled in that generation of
// the intent map.
func (l *Ledger) push(to *stream, what what, keys []Key, generation uint8) *pending {
	p := to.outstanding.push()
	p.what, p.number, p.at = what, l.pushed, l.opt.Now()
	l.pushed++
	l.carried(p, generation)
	size := 0
	for i := range keys {
		size += len(keys[i].Name) + 1 // one more, so that the empty name is not nil
	}
	mem, b := l.names.alloc(size)
	p.block = b
	into := p.one[:0]
	if len(keys) > 1 {
		p.more = to.outstanding.list(len(keys))
		into = p.more
	}
	for i := range keys {
		k := &keys[i]
		n := copy(mem, k.Name)
		into = append(into, Key{Hash: k.Hash, DB: k.DB, Write: k.Write || what == copied, Name: mem[:n:n]})
		mem = mem[n+1:]
	}
	if len(keys) > 1 {
		p.more = into
	}
	to.outstanding.kinds[what]++
	if what == copied {
		to.outstanding.copies++
	} else {
		to.unacked++
	}
	if l.two != nil {
		l.appended(to, p)
	}
	return p
}

// Verdict is what the secondary's replies to one effect, or one copy, say of it.
type Verdict uint8

const (
	// Good: they are what they should be.
	Good Verdict = iota
	// Differs: they are not.
	Differs
	// AtEdge: they are, but one of the keys was missing or about to expire (see EdgeSuspect).
	AtEdge
	// Refused: the secondary would not take a copy.
	Refused
)

// Acked settles the oldest thing on a Sink: the instance that it feeds has answered it. why says what was wrong, for
// whoever looks at keys that keep failing. It returns what the verdict has come to with what is known of the keys. With
// nothing on the Sink it does nothing.
func (l *Ledger) Acked(to Side, v Verdict, why string) Verdict {
	on := &l.to[to]
	if on.outstanding.n == 0 {
		return v
	}
	p := on.outstanding.front()
	if on.suspects.any() {
		switch s := on.suspects.suspected(p); {
		case p.what == derived && v == Good && s != Good:
			v, why = s, "it was made from a key whose own effect or copy had failed"
		case v == Differs && s == AtEdge && l.without&ruleBehindEdge == 0:
			v = AtEdge
		}
	}
	switch {
	case v == Good && p.what == copied:
		l.stats.Copied++
		l.probed(p)
	case v == Good:
	case v == AtEdge && l.without&ruleEdge != 0 || v == Differs && l.without&ruleMismatch != 0 ||
		v == Refused && l.without&ruleRefused != 0:
	default:
		l.bad(on, p, v, why)
	}
	barrier := p.barrier()
	if l.two != nil {
		l.letIn(p)
	}
	l.settle(on, p)
	if barrier {
		l.barriersOver()
	}
	if l.two != nil {
		l.wakeFreed(on)
	}
	return v
}

// bad makes the keys dirty of what the secondary did not do as it should.
func (l *Ledger) bad(on *stream, p *pending, v Verdict, why string) {
	switch {
	case p.what == copied:
		l.stats.Failed++
	case v == AtEdge:
		l.stats.Edges++
	default:
		l.stats.Mismatched++
	}
	if p.keyless {
		l.OweEverywhere("the secondary did not do as it should: " + why)
	}
	switch {
	case p.barrier():
		l.OweSweep("the secondary did not take a flush or swap: "+why, 0)
	case on.outstanding.kinds[swap] > 0 && l.without&ruleSwapBehind == 0:
		// By now the primary has that key under another name.
		l.OweSweep("two databases were swapped behind an effect that failed: "+why, 0)
	default:
		l.giveBack(on, p)
		l.suspect(on, p, v)
		if p.what == copied {
			l.failed(p, why)
			return
		}
		l.dirtyAll(p)
	}
}

// dirtyAll makes the keys dirty that p has written.
func (l *Ledger) dirtyAll(p *pending) {
	for i, keys := 0, p.keys(); i < len(keys); i++ {
		if keys[i].Write {
			l.MakeDirty(&keys[i])
		}
	}
}

// failed makes a key dirty whose copy the secondary refused; it is tried again more and more slowly.
func (l *Ledger) failed(p *pending, why string) {
	d := l.MakeDirty(&p.one[0])
	if d == nil {
		return
	}
	d.Failures = p.failures + 1
	d.Why = why
	l.dirty.failed(d)
	if d.state == dirtyQueued || d.state == dirtyProbed {
		l.putOff(d, time.Unix(0, l.opt.Now()).Add(backoff(d.Failures)))
	}
}

// probed ends the probation of a key whose copy had failed before: this one was taken.
func (l *Ledger) probed(p *pending) {
	d := l.dirty.of(p.one[0].Hash)
	if p.failures == 0 || d == nil || d.state != dirtyProbed {
		return
	}
	d.Failures, d.Why = 0, ""
	l.dirty.failed(d)
	if !l.becomesExact(d.Key.Hash, p.seq) {
		l.enqueueDirty(d) // it has become dirty once more meanwhile
		l.onChange()
	}
}

// backoff is the pause after the nth failure in a row: 10 ms, doubling up to 10 s.
func backoff(n int) time.Duration {
	return min(10*time.Second, 10*time.Millisecond<<min(n-1, 10))
}

func (l *Ledger) settle(on *stream, p *pending) {
	wasCopy := p.what == copied
	on.outstanding.kinds[p.what]--
	l.arrived(p)
	if wasCopy {
		on.outstanding.copies--
		on.outstanding.bytes -= p.bytes
	} else {
		on.unacked--
	}
	l.names.release(p.block)
	on.outstanding.pop()
	reached := l.pushed
	if on.outstanding.n > 0 {
		reached = on.outstanding.front().number
	}
	on.suspects.forget(reached)
	if wasCopy || on.outstanding.n == 0 {
		l.onChange()
	}
}

// SinkLost says that a Sink's connection is gone: whatever it has not acknowledged may or may not
// have been done, so the keys are dirty. It is called before the old connection is known dead; copies of
// those keys are only read then, and go to the new connection (see Wake).
func (l *Ledger) SinkLost(to Side) {
	on := &l.to[to]
	on.lost = true
	owed := false
	for on.outstanding.n > 0 {
		p := on.outstanding.front()
		if p.what != copied {
			l.stats.Dropped++
		}
		if p.keyless {
			l.OweEverywhere("it is not known what the secondary did")
		}
		switch {
		case l.without&ruleLost != 0:
		case p.barrier():
			owed = true
		default:
			l.giveBack(on, p)
			l.dirtyAll(p)
			if d := l.dirty.of(p.one[0].Hash); p.what == copied && d != nil && d.state == dirtyProbed {
				l.enqueueDirty(d)
			}
		}
		l.settle(on, p)
	}
	if owed {
		l.OweSweep("a flush or swap was sent to the secondary and its outcome is unknown", 0)
	}
	l.barriersOver()
	l.stir()
	l.settleStir()
}
