package ledger

// Where clients write at both instances nobody may block at one of them: an effect that arrives there might be served to
// whoever blocks, and the other instance would know nothing of it. So a command that would block is not sent. Who waits
// asks to be told when one of its keys may have changed (Await), and then tries the form that does not block; that waits
// its turn like any other write, until what has changed the key has arrived where it is sent.

// Await is one who waits for a change of keys.
type Await struct {
	Keys []Hash
	// Changed is called once, with the lock held, when one of them may have changed. It must not block, and may not
	// call the ledger; from then on nobody waits until the next Await.
	Changed func()

	waiting bool
}

// awaited are those who wait, by key, in the order in which they came.
type awaited map[Hash][]*Await

// Await has a told of the next change. It is called in the critical section in which the reply is settled that said that
// there is nothing: what is changed later is told.
func (l *Ledger) Await(a *Await) {
	if a.waiting {
		return
	}
	a.waiting = true
	if l.awaits == nil {
		l.awaits = awaited{}
	}
	for i, h := range a.Keys {
		if !containsHash(a.Keys[:i], h) {
			l.awaits[h] = append(l.awaits[h], a)
		}
	}
}

// StopAwait ends it, for one who waits no longer. After a change it does nothing.
func (l *Ledger) StopAwait(a *Await) {
	if !a.waiting {
		return
	}
	a.waiting = false
	for _, h := range a.Keys {
		rest := l.awaits[h][:0]
		for _, b := range l.awaits[h] {
			if b != a {
				rest = append(rest, b)
			}
		}
		if len(rest) == 0 {
			delete(l.awaits, h)
		} else {
			clear(l.awaits[h][len(rest):])
			l.awaits[h] = rest
		}
	}
}

// tellChanged tells who waits for a key. All are told: whoever is first takes what there is, and the others wait again.
func (l *Ledger) tellChanged(h Hash) {
	for len(l.awaits) > 0 && len(l.awaits[h]) > 0 {
		a := l.awaits[h][0]
		l.StopAwait(a)
		a.Changed()
	}
}

// tellAll tells everybody: any key may have changed.
func (l *Ledger) tellAll() {
	for h := range l.awaits {
		l.tellChanged(h)
	}
}

// tellWritten tells of what w may have changed.
func (l *Ledger) tellWritten(w *Write) {
	if w.barrier() {
		l.tellAll()
		return
	}
	for i := range w.Keys {
		if w.Keys[i].Write {
			l.tellChanged(w.Keys[i].Hash)
		}
	}
}

func containsHash(keys []Hash, h Hash) bool {
	for _, k := range keys {
		if k == h {
			return true
		}
	}
	return false
}
