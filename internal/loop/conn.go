package loop

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrNotYet: it would have to wait.
var ErrNotYet = errors.New("not ready")

// The states of a socket's turns.
const (
	resting int32 = iota
	busy          // it has a turn, or will have one in this round
	changed       // ... and something has happened since that began
)

// Conn is a socket of a loop: a net.Conn whose Read and Write wait like those of others, and which also has turns. One
// goroutine at a time may read, and one may write.
type Conn struct {
	of            *Loop
	fd            int
	local, remote net.Addr
	handle        func(*Turn) (more bool)

	users atomic.Int32 // of fd; see closing
	state atomic.Int32
	odd   atomic.Bool // see MoreBehind
	read  waiter
	write waiter
}

// closing is added to Conn.users by Close: nobody may use the descriptor any more, and the last one who does closes it.
const closing = 1 << 30

// Adopt takes over the descriptor of conn, which must be a plain socket from which nothing has been read that its user
// does not have. conn is closed, and must not be used any more; with an error it stays as it was.
func (l *Loop) Adopt(conn net.Conn) (*Conn, error) {
	switch conn.(type) {
	case *net.TCPConn, *net.UnixConn:
	default:
		return nil, fmt.Errorf("%T is not a plain socket", conn)
	}
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	// The copy of the descriptor is of the same socket, and does not block either.
	under := raw.Control(func(old uintptr) { fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) })
	if err = errors.Join(under, err); err != nil {
		return nil, err
	}
	c := &Conn{of: l, fd: fd, local: conn.LocalAddr(), remote: conn.RemoteAddr()}
	c.read.ready, c.write.ready = make(chan struct{}, 1), make(chan struct{}, 1)
	c.state.Store(busy) // until Handle
	if err := l.add(c); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("epoll: %w", err)
	}
	_ = conn.Close()
	return c, nil
}

// Handle begins the socket's turns: handle is called when there may be something to read, or the read deadline has been
// set to the past, or the socket is closed. It returns true if it has left something unread. It reads with TryRead until that says that
// there is no more; and after a read that filled less than it could, it need not try again, unless MoreBehind says so.
func (c *Conn) Handle(handle func(t *Turn) (more bool)) {
	c.handle = handle
	if !c.state.CompareAndSwap(busy, resting) {
		c.state.Store(busy)
		go c.turn(nil)
	}
}

// note takes in what the kernel says. It reports whether the socket is to have a turn that it would not have otherwise.
func (c *Conn) note(events uint32) bool {
	if events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR|unix.EPOLLPRI) != 0 {
		c.odd.Store(true)
	}
	if events&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		c.write.wake()
	}
	return events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 && c.change()
}

// change notes that something has happened. It reports whether whoever calls must give the socket its turn.
func (c *Conn) change() bool {
	for {
		switch state := c.state.Load(); {
		case state == resting && c.state.CompareAndSwap(resting, busy):
			return true
		case state == busy && c.state.CompareAndSwap(busy, changed), state == changed:
			c.read.wake() // the turn may be waiting for it
			return false
		}
	}
}

// turn lets the socket do what there is to do. t may be nil, for a goroutine that does not lead.
func (c *Conn) turn(t *Turn) {
	for {
		more := c.handle(t)
		if !more && c.state.CompareAndSwap(busy, resting) {
			return
		}
		c.state.Store(busy)
		if t.putOff(c) {
			return
		}
	}
}

// poke has the socket have a turn though the kernel has not said anything.
func (c *Conn) poke() {
	if c.change() {
		go c.turn(nil)
	}
}

// use has the descriptor stay as it is until done.
func (c *Conn) use() error {
	for {
		n := c.users.Load()
		if n >= closing {
			return net.ErrClosed
		}
		if c.users.CompareAndSwap(n, n+1) {
			return nil
		}
	}
}

func (c *Conn) done() {
	if c.users.Add(-1) == closing {
		c.of.remove(c)
		_ = unix.Close(c.fd)
	}
}

// Close closes the socket. Who waits for it is told, and it has one more turn.
func (c *Conn) Close() error {
	if err := c.use(); err != nil {
		return err
	}
	for {
		n := c.users.Load()
		if n >= closing {
			c.done()
			return net.ErrClosed
		}
		if c.users.CompareAndSwap(n, n|closing) {
			break
		}
	}
	c.done()
	c.read.wake()
	c.write.wake()
	c.poke()
	return nil
}

// MoreBehind reports whether something may be behind a read that was short: the other side has closed its end, at least for
// sending, or has sent urgent data, at which a read stops.
func (c *Conn) MoreBehind() bool { return c.odd.Load() }

// TryRead reads what is there. With nothing there it returns ErrNotYet, and at the end io.EOF.
func (c *Conn) TryRead(b []byte) (int, error) {
	n, err := c.try(unix.SYS_READ, "read", b)
	if n == 0 && err == nil && len(b) > 0 {
		err = io.EOF
	}
	return n, err
}

// TryWrite writes what can be written at once.
func (c *Conn) TryWrite(b []byte) (int, error) { return c.try(unix.SYS_WRITE, "write", b) }

// try is a system call that does not wait, so Go's scheduler need not know of it. name is for its error.
func (c *Conn) try(call uintptr, name string, b []byte) (int, error) {
	if err := c.use(); err != nil {
		return 0, err
	}
	defer c.done()
	for {
		n, _, err := unix.RawSyscall(call, uintptr(c.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch err {
		case 0:
			return int(n), nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, ErrNotYet
		default:
			return 0, os.NewSyscallError(name, err)
		}
	}
}

// TryWriteAll writes what can be written of several pieces at once, in one system call if possible, and takes it out of bufs,
// and out of the array below, where a piece that was written whole is nil. It returns ErrNotYet when something is left.
func (c *Conn) TryWriteAll(bufs *net.Buffers) (err error) {
	for err == nil && len(*bufs) > 0 {
		var n int
		if len(*bufs) == 1 {
			n, err = c.TryWrite((*bufs)[0])
		} else {
			n, err = c.tryWritev((*bufs)[:min(len(*bufs), maxPieces)])
		}
		for len(*bufs) > 0 && n >= len((*bufs)[0]) {
			n -= len((*bufs)[0])
			(*bufs)[0] = nil
			*bufs = (*bufs)[1:]
		}
		if n > 0 {
			(*bufs)[0] = (*bufs)[0][n:]
		}
	}
	return err
}

// maxPieces is how many the kernel takes in one call (UIO_MAXIOV).
const maxPieces = 1024

func (c *Conn) tryWritev(bufs [][]byte) (int, error) {
	if err := c.use(); err != nil {
		return 0, err
	}
	defer c.done()
	for {
		n, err := unix.Writev(c.fd, bufs)
		switch err {
		case nil:
			return n, nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, ErrNotYet
		default:
			return 0, os.NewSyscallError("writev", err)
		}
	}
}
