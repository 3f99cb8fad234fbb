package proxy

import (
	"net"
	"sync/atomic"
	"time"

	"tandem/internal/loop"
)

const (
	chunkSize = 64 << 10
	// handover is the size from which a command's bytes are not copied but taken over.
	handover = 32 << 10
	// maxFreeChunks bounds the memory that a quiet connection keeps.
	maxFreeChunks = 16
)

// chunk is a piece of memory that bytes are sent from, and stay readable in while refs says so.
type chunk struct {
	buf  []byte
	sent int // buf[:sent] was handed to the writer
	refs int // requests that still read it, and writes under way
	own  bool
}

// outbox is what a connection has to send: bytes go in under the shard's lock and are written outside it.
// A request's bytes stay until its reply is judged, so that the effect can be made from them.
type outbox struct {
	chunks []*chunk // that hold unsent bytes, the last one being filled
	cur    *chunk
	free   []*chunk
	// what is unsent, in bytes and in commands or pieces of them
	unsent, commands int
}

// append queues b. With take the bytes are not copied: the outbox owns b from now on. It returns where the
// bytes are and the chunk they are in, to be released when they are no longer needed; the chunk of bytes
// that nobody will read (keep false) is nil.
func (o *outbox) append(b []byte, take, keep bool) ([]byte, *chunk) {
	o.unsent += len(b)
	o.commands++
	var c *chunk
	if take && len(b) >= handover {
		c = &chunk{buf: b, own: true}
		o.cur = nil // what follows must come behind
		o.chunks = append(o.chunks, c)
	} else {
		c = o.cur
		if c == nil || len(c.buf)+len(b) > cap(c.buf) {
			c = o.fresh(len(b))
			o.cur = c
			o.chunks = append(o.chunks, c)
		} else if c.sent == len(c.buf) {
			o.chunks = append(o.chunks, c) // it had been sent whole
		}
		n := len(c.buf)
		c.buf = append(c.buf, b...)
		b = c.buf[n:]
	}
	if !keep {
		return b, nil
	}
	c.refs++
	return b, c
}

func (o *outbox) fresh(n int) *chunk {
	if n <= chunkSize {
		if k := len(o.free); k > 0 {
			c := o.free[k-1]
			o.free = o.free[:k-1]
			return c
		}
		n = chunkSize
	}
	return &chunk{buf: make([]byte, 0, n)}
}

// take moves all that is unsent to w.
func (o *outbox) take(w *writing) {
	for _, c := range o.chunks {
		w.bufs = append(w.bufs, c.buf[c.sent:len(c.buf):len(c.buf)])
		w.chunks = append(w.chunks, c)
		c.sent = len(c.buf)
		c.refs++
	}
	clear(o.chunks)
	o.chunks = o.chunks[:0]
	w.n += o.unsent
	o.unsent, o.commands = 0, 0
}

// release says that one reader of c is done with it.
func (o *outbox) release(c *chunk) {
	if c == nil {
		return
	}
	c.refs--
	if c.refs > 0 || c.sent < len(c.buf) || c.own {
		return
	}
	c.buf, c.sent = c.buf[:0], 0
	if c != o.cur && cap(c.buf) == chunkSize && len(o.free) < maxFreeChunks {
		o.free = append(o.free, c)
	}
}

// reset forgets what is unsent, after the connection is gone.
func (o *outbox) reset() {
	for _, c := range o.chunks {
		c.sent = len(c.buf)
	}
	clear(o.chunks)
	o.chunks = o.chunks[:0]
	o.cur = nil
	o.unsent, o.commands = 0, 0
}

// writing is what a writer has taken and is writing out.
type writing struct {
	bufs   net.Buffers
	whole  net.Buffers // what WriteTo eats
	chunks []*chunk
	n      int
}

// to writes it all to conn, outside any lock, in a turn t if it is one of a loop.
func (w *writing) to(t *loop.Turn, conn net.Conn) error {
	if c, ok := conn.(*loop.Conn); ok {
		w.whole = w.bufs
		return c.WriteAllIn(t, &w.whole)
	}
	if len(w.bufs) == 1 {
		_, err := conn.Write(w.bufs[0])
		return err
	}
	w.whole = w.bufs
	_, err := w.whole.WriteTo(conn)
	return err
}

// try writes what conn takes at once. It returns loop.ErrNotYet where something is left, which inPieces goes on with.
func (w *writing) try(conn net.Conn) error {
	c, ok := conn.(*loop.Conn)
	if !ok {
		return loop.ErrNotYet
	}
	w.whole = w.bufs
	return c.TryWriteAll(&w.whole)
}

// inPieces is to with a deadline that begins anew with every piece that is taken, if limit is not 0, and a note of when that
// was.
func (w *writing) inPieces(conn net.Conn, limit time.Duration, taken *atomic.Int64) error {
	for at := 0; at < len(w.bufs); {
		to, n := at, 0
		for to < len(w.bufs) && (to == at || n+len(w.bufs[to]) <= writePiece) {
			n += len(w.bufs[to])
			to++
		}
		if limit > 0 {
			_ = conn.SetWriteDeadline(time.Now().Add(limit))
		}
		var err error
		switch big := w.bufs[at]; {
		case len(big) > writePiece:
			_, err = conn.Write(big[:writePiece])
			w.bufs[at], to = big[writePiece:], at
		case to == at+1:
			_, err = conn.Write(big)
		default:
			w.whole = w.bufs[at:to]
			_, err = w.whole.WriteTo(conn)
		}
		if err != nil {
			return err
		}
		taken.Store(time.Now().UnixNano())
		at = to
	}
	return nil
}

// done gives the chunks back, under the lock.
func (w *writing) done(o *outbox) {
	for i, c := range w.chunks {
		o.release(c)
		w.chunks[i] = nil
		w.bufs[i] = nil
	}
	w.chunks, w.bufs, w.whole, w.n = w.chunks[:0], w.bufs[:0], nil, 0
}
