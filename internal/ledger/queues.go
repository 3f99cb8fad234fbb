package ledger

// The two places in which dirty keys wait for the copier. Both may hold keys that have been cleared since;
// whoever takes one out looks.

// dirtyQueue is a FIFO: those that can be copied now.
type dirtyQueue struct {
	items []*Dirty
	head  int
}

func (q *dirtyQueue) len() int { return len(q.items) - q.head }

func (q *dirtyQueue) push(d *Dirty) { q.items = append(q.items, d) }

// pop returns nil when there is none.
func (q *dirtyQueue) pop() *Dirty {
	if q.len() == 0 {
		return nil
	}
	d := q.items[q.head]
	q.items[q.head] = nil
	q.head++
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	} else if q.head > 1024 && q.head*2 > len(q.items) {
		q.keep(func(*Dirty) bool { return true })
	}
	return d
}

// keep removes those that ok says no to, and the room of those that were taken.
func (q *dirtyQueue) keep(ok func(d *Dirty) bool) {
	rest := q.items[:0]
	for _, d := range q.items[q.head:] {
		if ok(d) {
			rest = append(rest, d)
		}
	}
	clear(q.items[len(rest):])
	q.items, q.head = rest, 0
}

// dirtyHeap has the one first that is to be tried again soonest. A secondary that refuses everything fills
// it, so looking at it must not cost what it holds.
type dirtyHeap []*Dirty

func (h *dirtyHeap) push(d *Dirty) {
	*h = append(*h, d)
	h.up(len(*h) - 1)
}

// pop removes the first.
func (h *dirtyHeap) pop() {
	n := len(*h) - 1
	(*h)[0] = (*h)[n]
	(*h)[n] = nil
	*h = (*h)[:n]
	h.down(0)
}

// keep removes those that ok says no to.
func (h *dirtyHeap) keep(ok func(d *Dirty) bool) {
	rest := (*h)[:0]
	for _, d := range *h {
		if ok(d) {
			rest = append(rest, d)
		}
	}
	clear((*h)[len(rest):])
	*h = rest
	for i := len(rest)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
}

func (h dirtyHeap) less(i, j int) bool { return h[i].notBefore.Before(h[j].notBefore) }

func (h dirtyHeap) up(i int) {
	for i > 0 && h.less(i, (i-1)/2) {
		h[i], h[(i-1)/2] = h[(i-1)/2], h[i]
		i = (i - 1) / 2
	}
}

func (h dirtyHeap) down(i int) {
	for {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(h); c++ {
			if h.less(c, least) {
				least = c
			}
		}
		if least == i {
			return
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}
