package proxy

import (
	"time"

	"tandem/internal/ledger"
)

// gate is what an answer waits for with `ack: both`.
type gate struct {
	closed bool
	mark   uint64        // the Sink must have acknowledged as far as this
	dirty  []ledger.Hash // and these keys must have been copied
}

// gated is an answer that waits, or one of the same client behind it.
type gated struct {
	sess  *session
	reply []byte
	first bool
	gate  gate
	until int64 // Unix nanoseconds
}

// gates are the answers that wait for the secondary, in order. They pass one behind the other, after
// AckTimeout at the latest: a secondary in trouble delays clients by that much and no more.
type gates struct {
	items []gated
	head  int
	count map[*session]int
	timer *time.Timer
}

func (g *gates) holds(s *session) bool { return len(g.count) > 0 && g.count[s] > 0 }

func (g *gates) of(sh *Shard, r *request, out ledger.Outcome) gate {
	if out == ledger.Forwarded {
		return gate{closed: true, mark: sh.ledger.Mark()}
	}
	w := gate{closed: true}
	for i := range r.write.Keys {
		if r.write.Keys[i].Write {
			w.dirty = append(w.dirty, r.write.Keys[i].Hash)
		}
	}
	return w
}

func (g *gates) add(s *session, reply []byte, first bool, w gate) {
	if g.count == nil {
		g.count = map[*session]int{}
	}
	g.count[s]++
	g.items = append(g.items, gated{sess: s, reply: append([]byte(nil), reply...), first: first, gate: w})
}

// openGates passes on the answers that need not wait any longer. The lock is held: another goroutine may
// not pass on a later answer of the same client meanwhile.
func (sh *Shard) openGates() {
	g := &sh.gates
	now := time.Now().UnixNano()
	for g.head < len(g.items) {
		x := &g.items[g.head]
		if x.until == 0 {
			x.until = now + sh.opt.AckTimeout.Nanoseconds()
		}
		if !sh.gateOpen(&x.gate) {
			if now < x.until {
				sh.openGatesIn(time.Duration(x.until - now))
				return
			}
			sh.counts.AckTimeouts++
		}
		x.sess.out.write(x.reply, x.first)
		x.sess.answered(1)
		if g.count[x.sess]--; g.count[x.sess] == 0 {
			delete(g.count, x.sess)
		}
		*x = gated{}
		g.head++
	}
	g.items, g.head = g.items[:0], 0
}

// gateOpen reports whether what an answer waits for has come about. Keys that have been copied are then
// waited for once more: for the copy's acknowledgement.
func (sh *Shard) gateOpen(w *gate) bool {
	if !w.closed || !sh.dual {
		return true
	}
	for len(w.dirty) > 0 {
		if !sh.ledger.Known(w.dirty[0]) || sh.ledger.IsDirty(w.dirty[0]) {
			return false
		}
		w.dirty = w.dirty[1:]
		w.mark = sh.ledger.Mark()
	}
	return sh.ledger.Quiet(w.mark)
}

func (sh *Shard) openGatesIn(d time.Duration) {
	if sh.gates.timer != nil {
		sh.gates.timer.Reset(d)
		return
	}
	sh.gates.timer = time.AfterFunc(d, func() {
		sh.lock()
		sh.openGates()
		sh.unlock()
	})
}
