package proxy

import (
	"container/heap"
	"time"

	"tandem/internal/ledger"
)

// gate is what an answer waits for with `ack: both`: that the Sink has acknowledged as far as mark, and that
// no copy is owed of the keys.
type gate struct {
	closed bool
	mark   uint64
	one    [1]ledger.Hash
	more   []ledger.Hash // instead of one, when there are several keys
	n      int
}

func (g *gate) keys() []ledger.Hash {
	if g.more != nil {
		return g.more
	}
	return g.one[:g.n]
}

// answer is a reply that waits, or one of the same client behind it.
type answer struct {
	reply    []byte
	first    bool // begins a reply
	ended    int32
	gate     gate
	until    int64 // Unix nanoseconds
	released bool
}

// queue is what one client waits for, in order. The first answer's gate is closed.
type queue struct {
	sess    *session
	answers []*answer
	bytes   int
	exempt  bool // the reply that is coming began when nothing was waiting
	place   int  // in gates.marked, -1 if it is not there
}

// gates are the answers that wait for the secondary. Each client's pass in order, whatever others wait for,
// and each after AckTimeout at the latest: a secondary in trouble delays a client by that much and no more.
// What waits counts against the client's output limit.
//
//	queue per client ──► first answer waits for a mark ──► marked (lowest mark first)
//	                     first answer waits for a copy ──► copied
type gates struct {
	queues map[*session]*queue
	marked markHeap
	copied []*queue
	byTime []*answer // those whose gate was closed, in the order of until
	owners []*queue  // of byTime
	timer  *time.Timer
}

func (g *gates) holds(s *session) bool { return len(g.queues) > 0 && g.queues[s] != nil }

// of is the gate of a write of these keys whose effect is on the Sink, or whose keys are dirty.
func (g *gates) of(sh *Shard, keys []ledger.Key) gate {
	w := gate{closed: true, mark: sh.ledger.Mark()}
	for i := range keys {
		if !keys[i].Write {
			continue
		}
		if w.n == 0 {
			w.one[0] = keys[i].Hash
		} else {
			if w.n == 1 {
				w.more = append(w.more, w.one[0])
			}
			w.more = append(w.more, keys[i].Hash)
		}
		w.n++
	}
	return w
}

// add puts a whole reply, or the rest of one, behind what the client waits for.
func (g *gates) add(sh *Shard, s *session, reply []byte, first bool, w gate) {
	q := g.queueOf(s, len(reply), first)
	if q == nil {
		return
	}
	a := &answer{reply: append([]byte(nil), reply...), first: first, ended: 1, gate: w}
	q.answers = append(q.answers, a)
	if w.closed {
		for len(g.byTime) > 0 && g.byTime[0].released {
			g.byTime, g.owners = g.byTime[1:], g.owners[1:]
		}
		a.until = time.Now().Add(sh.opt.AckTimeout).UnixNano()
		g.byTime, g.owners = append(g.byTime, a), append(g.owners, q)
		if len(g.byTime) == 1 {
			sh.openGatesIn(sh.opt.AckTimeout)
		}
	}
	if len(q.answers) == 1 {
		g.wait(q)
	}
}

// addPiece puts a part of a reply there; the rest of it comes later.
func (g *gates) addPiece(s *session, piece []byte, first bool) {
	if q := g.queueOf(s, len(piece), first); q != nil {
		q.answers = append(q.answers, &answer{reply: append([]byte(nil), piece...), first: first})
	}
}

// queueOf returns the client's queue with n bytes taken into account. It returns nil for a client that is
// closed, or is closed now because that is more than may wait for it.
func (g *gates) queueOf(s *session, n int, first bool) *queue {
	q := g.queues[s]
	switch {
	case s.closed.Load():
		return nil
	case q == nil:
		if g.queues == nil {
			g.queues = map[*session]*queue{}
		}
		q = &queue{sess: s, place: -1}
		g.queues[s] = q
	}
	if first {
		q.exempt = q.bytes == 0
	}
	if q.bytes+n > s.out.limit && !q.exempt {
		s.close(OutputLimit)
		return nil
	}
	q.bytes += n
	return q
}

// wait enters q among those whose first answer waits for a mark.
func (g *gates) wait(q *queue) { heap.Push(&g.marked, q) }

// openGates passes on the answers that need not wait any longer. The lock is held: another goroutine may
// not pass on a later answer of the same client meanwhile.
func (sh *Shard) openGates() {
	g := &sh.gates
	if len(g.queues) == 0 {
		return
	}
	for len(g.marked) > 0 && (!sh.dual || sh.ledger.Quiet(g.marked[0].answers[0].gate.mark)) {
		sh.pass(heap.Pop(&g.marked).(*queue))
	}
	waiting := g.copied
	g.copied = nil
	for _, q := range waiting {
		if sh.owesCopy(q) {
			g.copied = append(g.copied, q)
			continue
		}
		// The copy itself must be acknowledged too.
		q.answers[0].gate.mark = sh.ledger.Mark()
		q.answers[0].gate.n, q.answers[0].gate.more = 0, nil
		g.wait(q)
	}
	if len(waiting) > len(g.copied) {
		sh.openGates()
	}
}

// owesCopy reports whether the first answer of q waits for a copy.
func (sh *Shard) owesCopy(q *queue) bool {
	if !sh.dual {
		return false
	}
	for _, h := range q.answers[0].gate.keys() {
		if !sh.ledger.Known(h) || sh.ledger.IsDirty(h) {
			return true
		}
	}
	return false
}

// pass hands the client its first answer, whose mark is acknowledged, unless that needs a copy; and those
// behind it that wait for nothing.
func (sh *Shard) pass(q *queue) {
	if sh.owesCopy(q) {
		sh.gates.copied = append(sh.gates.copied, q)
		return
	}
	q.answers[0].gate.closed = false
	sh.release(q)
}

// release hands over answers up to the next closed gate.
func (sh *Shard) release(q *queue) {
	for len(q.answers) > 0 && !q.answers[0].gate.closed {
		a := q.answers[0]
		q.answers[0] = nil
		q.answers = q.answers[1:]
		q.bytes -= len(a.reply)
		q.sess.out.write(a.reply, a.first)
		a.reply, a.released = nil, true
		q.sess.answered(a.ended)
	}
	if len(q.answers) == 0 {
		delete(sh.gates.queues, q.sess)
		return
	}
	sh.gates.wait(q)
}

// gatesLate passes on what has waited for AckTimeout.
func (sh *Shard) gatesLate() {
	g := &sh.gates
	sh.openGates()
	now := time.Now().UnixNano()
	n := 0
	for ; n < len(g.byTime) && (g.byTime[n].released || g.byTime[n].until <= now); n++ {
		a, q := g.byTime[n], g.owners[n]
		if a.released || !a.gate.closed {
			continue
		}
		sh.counts.AckTimeouts++
		a.gate.closed = false
		if q.answers[0] == a {
			g.leave(q)
			sh.release(q)
		}
	}
	g.byTime, g.owners = g.byTime[n:], g.owners[n:]
	if len(g.byTime) == 0 {
		g.byTime, g.owners = nil, nil
		return
	}
	sh.openGatesIn(time.Duration(g.byTime[0].until - now))
}

// leave takes q out of where it waits.
func (g *gates) leave(q *queue) {
	if q.place >= 0 {
		heap.Remove(&g.marked, q.place)
		return
	}
	for i, other := range g.copied {
		if other == q {
			g.copied = append(g.copied[:i], g.copied[i+1:]...)
			return
		}
	}
}

func (sh *Shard) openGatesIn(d time.Duration) {
	if sh.gates.timer != nil {
		sh.gates.timer.Reset(d)
		return
	}
	sh.gates.timer = time.AfterFunc(d, func() {
		sh.lock()
		sh.gatesLate()
		sh.unlock()
	})
}

// markHeap has the queue first whose first answer waits for the lowest mark.
type markHeap []*queue

func (h markHeap) Len() int           { return len(h) }
func (h markHeap) Less(i, j int) bool { return h[i].answers[0].gate.mark < h[j].answers[0].gate.mark }
func (h markHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

// Push is heap.Interface's.
func (h *markHeap) Push(x any) {
	q := x.(*queue)
	q.place = len(*h)
	*h = append(*h, q)
}

// Pop is heap.Interface's.
func (h *markHeap) Pop() any {
	last := len(*h) - 1
	q := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	q.place = -1
	return q
}
