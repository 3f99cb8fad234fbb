package ledger

// Look is one comparison of a key on both sides while clients write. What is read between a BeginLook that
// says Settled, once Quiet(Mark) holds, and an EndLook that says true, is the same point of the key's
// history on both sides: a difference seen there is one.
type Look struct {
	Key Key
	// Mark is what Quiet must hold for before the secondary is read. BeginLook sets it.
	Mark uint64

	version uint64
}

// Settlement says whether a key can be compared now.
type Settlement uint8

const (
	// Settled: all that was sent to the key's stripe is answered and on the Sink, and the key is exact.
	Settled Settlement = iota
	// InFlight: a write to its stripe is not answered yet.
	InFlight
	// Owed: the key is dirty, or unknown while a sweep is owed or running.
	Owed
)

// BeginLook notes the point at which k.Key is compared. own is a granted CopyRead of the caller that owns
// the key's stripe, for keys that are written all the time, or nil.
func (l *Ledger) BeginLook(k *Look, own *Write) Settlement {
	x := k.Key.Hash.Stripe()
	var mine int32
	if own != nil {
		mine = 1
	}
	if l.stripes[x].inflight > mine || l.barriers > 0 {
		return InFlight
	}
	if !l.isExact(k.Key.Hash) {
		return Owed
	}
	k.version, k.Mark = l.version(x), l.Mark()
	return Settled
}

// EndLook reports whether nothing has happened to the key since BeginLook: no write was sent to its stripe,
// and it did not become dirty.
func (l *Ledger) EndLook(k *Look) bool {
	return l.version(k.Key.Hash.Stripe()) == k.version && l.isExact(k.Key.Hash)
}

// Trouble returns how often in a row the copy of a dirty key has failed, and why the last time; 0 for a key
// that is not dirty.
func (l *Ledger) Trouble(h Hash) (failures int, why string) {
	if d := l.dirty.of(h); d != nil {
		return d.Failures, d.Why
	}
	return 0, ""
}

// QueuedFrom returns how many of a side's dirty keys NextDirty may have now; those that back off do not count.
func (l *Ledger) QueuedFrom(from Side) int {
	if to := &l.to[from.Other()]; l.two == nil || !to.lost {
		return to.todo.len()
	}
	return 0
}

// Queued returns how many dirty keys wait for the copiers now; those that back off do not count.
func (l *Ledger) Queued() int { return l.to[Primary].todo.len() + l.to[Secondary].todo.len() }

// Wanted reports whether the copy of d is still owed: no blind effect has cleared it, and it was not
// forgotten.
func (l *Ledger) Wanted(d *Dirty) bool { return l.dirty.of(d.Key.Hash) == d }
