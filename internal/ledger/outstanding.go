package ledger

import "time"

// what tells the things apart that the secondary acknowledges.
type what uint8

const (
	effect  what = iota // of a write: its keys are dirty if it fails
	barrier             // a flush or swap: a sweep is owed if it fails
	copied              // a copy
)

// pending is one thing on the Sink that is not acknowledged.
type pending struct {
	what     what
	failures int
	bytes    int   // of a copy's payload
	at       int64 // Unix nanoseconds when it was appended
	one      [1]Key
	more     []Key // instead of one, when there are several
	block    *block
}

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
	acked  uint64 // how many have ever left
	copies int    // copies among them
	bytes  int    // the copies' payloads
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

func (r *outstandingRing) pop() {
	r.buf[r.head] = pending{}
	r.head = (r.head + 1) & (len(r.buf) - 1)
	r.n--
	r.acked++
}

// append hands an effect to the Sink and remembers what to do should it fail.
func (l *Ledger) append(w *Write, e *Effect) bool {
	if l.sink == nil || !l.sink.Append(w, e) {
		l.stats.Dropped++
		return false
	}
	if w.barrier() {
		l.push(barrier, 0)
		return true
	}
	switch {
	case len(w.Keys) == 1:
		l.push(effect, 0, &w.Keys[0])
	default:
		written := make([]*Key, 0, len(w.Keys))
		for i := range w.Keys {
			if w.Keys[i].Write {
				written = append(written, &w.Keys[i])
			}
		}
		l.push(effect, 0, written...)
	}
	return true
}

// push remembers one thing that was handed to the Sink, with names of its own.
func (l *Ledger) push(what what, failures int, keys ...*Key) *pending {
	p := l.outstanding.push()
	p.what, p.failures, p.at = what, failures, l.opt.Now()
	size := 0
	for _, k := range keys {
		size += len(k.Name) + 1 // one more, so that the empty name is not nil
	}
	mem, b := l.names.alloc(size)
	p.block = b
	if len(keys) > 1 {
		p.more = make([]Key, 0, len(keys))
	}
	for _, k := range keys {
		n := copy(mem, k.Name)
		kept := Key{Hash: k.Hash, DB: k.DB, Write: true, Name: mem[:n:n]}
		mem = mem[n+1:]
		if len(keys) > 1 {
			p.more = append(p.more, kept)
		} else {
			p.one[0] = kept
		}
	}
	if what == copied {
		l.outstanding.copies++
	} else {
		l.unacked++
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

// Acked settles the oldest thing on the Sink: the secondary has answered it. why says what was wrong, for
// whoever looks at keys that keep failing.
func (l *Ledger) Acked(v Verdict, why string) {
	p := l.outstanding.front()
	switch {
	case p.what == copied && v == Good:
		l.stats.Copied++
	case v == Good:
	case p.what == copied:
		l.stats.Failed++
		l.failed(p, why)
	case v == AtEdge && l.without&ruleEdge != 0 || v == Differs && l.without&ruleMismatch != 0:
	case p.what == barrier:
		l.stats.Mismatched++
		l.OweSweep("the secondary did not take a flush or swap: "+why, 0)
	default:
		if v == AtEdge {
			l.stats.Edges++
		} else {
			l.stats.Mismatched++
		}
		for i, keys := 0, p.keys(); i < len(keys); i++ {
			l.MakeDirty(&keys[i])
		}
	}
	l.settle(p)
}

// failed makes a key dirty whose copy the secondary refused; it is tried again more and more slowly.
func (l *Ledger) failed(p *pending, why string) {
	for i, keys := 0, p.keys(); i < len(keys); i++ {
		d := l.MakeDirty(&keys[i])
		if d == nil {
			continue
		}
		d.Failures = p.failures + 1
		d.Why = why
		if d.state == dirtyQueued {
			d.state = dirtyIdle // leaves todo, where it is skipped
			d.notBefore = time.Unix(0, l.opt.Now()).Add(backoff(d.Failures))
			l.later = append(l.later, d)
		}
	}
}

// backoff is the pause after the nth failure in a row: 10 ms, doubling up to 10 s.
func backoff(n int) time.Duration {
	return min(10*time.Second, 10*time.Millisecond<<min(n-1, 10))
}

func (l *Ledger) settle(p *pending) {
	wasCopy := p.what == copied
	if wasCopy {
		l.outstanding.copies--
		l.outstanding.bytes -= p.bytes
	} else {
		l.unacked--
	}
	l.names.release(p.block)
	l.outstanding.pop()
	if wasCopy || l.outstanding.n == 0 {
		l.onChange()
	}
}

// SecondaryLost says that the Sink's connection is gone: whatever it has not acknowledged may or may not
// have been done, so the keys are dirty. It is called before the old connection is known dead; copies of
// those keys are only read then, and go to the new connection.
func (l *Ledger) SecondaryLost() {
	for l.outstanding.n > 0 {
		p := l.outstanding.front()
		if p.what != copied {
			l.stats.Dropped++
		}
		if p.what == barrier {
			l.OweSweep("a flush or swap was sent to the secondary and its outcome is unknown", 0)
		}
		for i, keys := 0, p.keys(); i < len(keys); i++ {
			l.MakeDirty(&keys[i])
		}
		l.settle(p)
	}
}

// Oldest returns when the oldest unacknowledged thing was appended, in Unix nanoseconds, or 0.
func (l *Ledger) Oldest() int64 {
	if l.outstanding.n == 0 {
		return 0
	}
	return l.outstanding.front().at
}
