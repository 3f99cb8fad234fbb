package ledger

// arena holds the names of keys that wait for an acknowledgement. They leave in the order in which they
// came, so a block is free when as many left as came, and nothing is allocated in the steady state.
type arena struct {
	cur  *block
	free []*block
}

const blockSize = 64 << 10

type block struct {
	buf  []byte
	used int
	live int
}

// alloc returns n bytes, and the block to release when they are no longer needed.
func (a *arena) alloc(n int) ([]byte, *block) {
	if n > blockSize/4 {
		return make([]byte, n), nil
	}
	if a.cur == nil || a.cur.used+n > blockSize {
		if k := len(a.free); k > 0 {
			a.cur, a.free = a.free[k-1], a.free[:k-1]
		} else {
			a.cur = &block{buf: make([]byte, blockSize)}
		}
	}
	b := a.cur
	m := b.buf[b.used : b.used+n : b.used+n]
	b.used += n
	b.live++
	return m, b
}

func (a *arena) release(b *block) {
	if b == nil {
		return
	}
	b.live--
	if b.live > 0 {
		return
	}
	b.used = 0
	if b != a.cur && len(a.free) < 64 {
		a.free = append(a.free, b)
	}
}
