package proxy

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"tandem/internal/loop"
)

// drainPiece is how much of a slow client's replies is written in one go: the write timeout runs anew for
// each byte taken, but is looked at this often only.
const drainPiece = 256 << 10

// output is what waits to be read by one client. Lanes write to it and never wait: what the socket does not
// take at once is kept, and a goroutine that lives only as long as there is something kept writes it out.
type output struct {
	mu      sync.Mutex
	conn    net.Conn
	sock    *loop.Conn // conn, where it can be tried without waiting
	kept    []byte
	pushing int    // bytes that the goroutine has taken and not yet written
	spare   []byte // a buffer to reuse
	drain   bool   // the goroutine is running
	exempt  bool   // the reply that is coming in pieces began on an empty buffer
	closed  bool
	limit   int
	timeout time.Duration
	fail    func(CloseReason)
	hold    func(int) // counts what waits; see memory
	held    int       // what it was told of
	less    sync.Cond // something was written out, or closed
}

func (o *output) init(conn net.Conn, limit int, timeout time.Duration, fail func(CloseReason), hold func(int)) {
	o.conn, o.limit, o.timeout, o.fail, o.hold = conn, limit, timeout, fail, hold
	o.less.L = &o.mu
	o.sock, _ = conn.(*loop.Conn)
}

// write hands bytes to the client. first says that they begin a reply; the rest of it comes with first
// false. A single reply passes whatever its size if nothing was kept when it began.
func (o *output) write(b []byte, first bool) {
	o.mu.Lock()
	reason := o.writeLocked(b, first)
	delta := o.uncounted()
	o.mu.Unlock()
	if delta != 0 {
		o.hold(delta)
	}
	if reason != notClosed {
		o.fail(reason)
	}
}

func (o *output) writeLocked(b []byte, first bool) CloseReason {
	if o.closed || len(b) == 0 {
		return notClosed
	}
	if first {
		o.exempt = o.waiting() == 0
	}
	if len(o.kept) == 0 && !o.drain && o.sock != nil {
		n, err := o.sock.TryWrite(b)
		switch {
		case err == nil && n == len(b):
			return notClosed
		case err == nil || err == loop.ErrNotYet:
			b = b[n:]
		default:
			return ClientGone
		}
	}
	if o.waiting()+len(b) > o.limit && !o.exempt {
		return OutputLimit
	}
	if o.kept == nil {
		o.kept, o.spare = o.spare[:0], nil
	}
	o.kept = append(o.kept, b...)
	if !o.drain {
		o.drain = true
		go o.drainKept()
	}
	return notClosed
}

// drainKept writes out what is kept, until nothing is.
func (o *output) drainKept() {
	o.mu.Lock()
	for len(o.kept) > 0 && !o.closed {
		b := o.kept
		o.kept, o.spare = o.spare[:0], nil
		o.pushing = len(b)
		o.mu.Unlock()
		reason := o.push(b)
		o.mu.Lock()
		o.pushing = 0
		if cap(b) <= 1<<20 {
			o.spare = b[:0]
		}
		if reason != notClosed {
			o.mu.Unlock()
			o.fail(reason)
			o.mu.Lock()
			break
		}
	}
	_ = o.conn.SetWriteDeadline(time.Time{}) // an old one would fail the next write
	o.drain = false
	if cap(o.spare) > keptOutput {
		o.spare = nil
	}
	if cap(o.kept) > keptOutput {
		o.kept = nil
	}
	o.less.Broadcast()
	o.mu.Unlock()
}

func (o *output) push(b []byte) CloseReason {
	for len(b) > 0 {
		_ = o.conn.SetWriteDeadline(time.Now().Add(o.timeout))
		n, err := o.conn.Write(b[:min(len(b), drainPiece)])
		b = b[n:]
		o.mu.Lock()
		o.pushing = len(b)
		delta := o.uncounted()
		o.less.Broadcast()
		o.mu.Unlock()
		o.hold(delta)
		switch {
		case err == nil || n > 0 && errors.Is(err, os.ErrDeadlineExceeded):
		case errors.Is(err, os.ErrDeadlineExceeded):
			return WriteTimeout
		default:
			return ClientGone
		}
	}
	return notClosed
}

// flush waits until everything is with the client, or the output is closed. The write timeout bounds it.
func (o *output) flush(t *loop.Turn) {
	o.mu.Lock()
	for (o.drain || len(o.kept) > 0) && !o.closed {
		t.StepAside()
		o.less.Wait()
	}
	o.mu.Unlock()
}

// await waits while much is kept: a client that does not read is not asked for more commands. It reports false
// when the output is closed.
func (o *output) await(t *loop.Turn) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.waiting() > o.limit/4 && !o.closed {
		t.StepAside()
		o.less.Wait()
	}
	return !o.closed
}

// waiting is how many bytes the client has not taken. The lock is held.
func (o *output) waiting() int { return len(o.kept) + o.pushing }

// close drops what is kept.
func (o *output) close() {
	o.mu.Lock()
	o.closed = true
	o.kept, o.spare = nil, nil
	delta := -o.held
	o.held = 0
	o.less.Broadcast()
	o.mu.Unlock()
	o.hold(delta)
}

// uncounted is by how much what waits has changed since hold was told. The lock is held; hold is told without.
func (o *output) uncounted() int {
	if o.closed {
		return 0
	}
	delta := o.waiting() - o.held
	o.held += delta
	return delta
}

// size is how many bytes wait.
func (o *output) size() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.waiting()
}
