package loop

import (
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// waiter is who waits to read, or to write.
type waiter struct {
	ready    chan struct{} // a token: look again
	deadline atomic.Int64  // Unix nanoseconds; 0: none
}

func (w *waiter) wake() {
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

func (w *waiter) late() bool {
	d := w.deadline.Load()
	return d != 0 && time.Now().UnixNano() >= d
}

// wait waits until something may have changed, or the deadline, or the end of the connection.
func (c *Conn) wait(w *waiter) error {
	if c.users.Load() >= closing {
		return net.ErrClosed
	}
	d := w.deadline.Load()
	if d == 0 {
		<-w.ready
		return nil
	}
	left := time.NewTimer(time.Until(time.Unix(0, d)))
	defer left.Stop()
	select {
	case <-w.ready:
	case <-left.C:
	}
	return nil
}

// Read waits for something and reads it.
func (c *Conn) Read(b []byte) (int, error) {
	for {
		if c.read.late() {
			return 0, os.ErrDeadlineExceeded
		}
		n, err := c.TryRead(b)
		if err != ErrNotYet {
			return n, err
		}
		if err := c.wait(&c.read); err != nil {
			return 0, err
		}
	}
}

// Write writes all of b, and waits as often as it must.
func (c *Conn) Write(b []byte) (written int, err error) {
	for {
		if c.write.late() {
			return written, os.ErrDeadlineExceeded
		}
		n, err := c.TryWrite(b[written:])
		if written += n; err == nil && written == len(b) {
			return written, nil
		}
		if err == ErrNotYet {
			err = c.wait(&c.write)
		}
		if err != nil {
			return written, err
		}
	}
}

// WriteAllIn writes several pieces during a turn, which steps aside if it must wait. What was written is taken out of bufs.
func (c *Conn) WriteAllIn(t *Turn, bufs *net.Buffers) error {
	for {
		if c.write.late() {
			return os.ErrDeadlineExceeded
		}
		err := c.TryWriteAll(bufs)
		if err != ErrNotYet {
			return err
		}
		t.StepAside()
		if err := c.wait(&c.write); err != nil {
			return err
		}
	}
}

// LocalAddr is where the socket is on this side.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is where the other side is.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (c *Conn) SetDeadline(at time.Time) error {
	_ = c.SetReadDeadline(at)
	return c.SetWriteDeadline(at)
}

// SetReadDeadline bounds the Reads that wait, from now on. One that is past also makes a turn.
func (c *Conn) SetReadDeadline(at time.Time) error {
	c.read.set(at)
	if c.read.late() {
		c.poke()
	}
	return nil
}

// SetWriteDeadline bounds the Writes that wait, from now on.
func (c *Conn) SetWriteDeadline(at time.Time) error {
	c.write.set(at)
	return nil
}

func (w *waiter) set(at time.Time) {
	d := int64(0)
	if !at.IsZero() {
		d = max(at.UnixNano(), 1)
	}
	if w.deadline.Swap(d) != d {
		w.wake()
	}
}

// SyscallConn gives the descriptor to functions that wait as those of Read and Write do.
func (c *Conn) SyscallConn() (syscall.RawConn, error) { return rawConn{c}, nil }

type rawConn struct{ *Conn }

func (r rawConn) Control(f func(fd uintptr)) error {
	if err := r.use(); err != nil {
		return err
	}
	defer r.done()
	f(uintptr(r.fd))
	return nil
}

func (r rawConn) Read(f func(fd uintptr) bool) error  { return r.until(&r.read, f) }
func (r rawConn) Write(f func(fd uintptr) bool) error { return r.until(&r.write, f) }

func (r rawConn) until(w *waiter, f func(fd uintptr) bool) error {
	for {
		if w.late() {
			return os.ErrDeadlineExceeded
		}
		if err := r.use(); err != nil {
			return err
		}
		over := f(uintptr(r.fd))
		r.done()
		if over {
			return nil
		}
		if err := r.wait(w); err != nil {
			return err
		}
	}
}
