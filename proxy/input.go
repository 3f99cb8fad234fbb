package proxy

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"tandem/internal/loop"
)

const (
	readBuffer = 64 << 10
	// stowMax is the longest piece of a command that is put aside in memory of its own size while the rest of it is
	// awaited. A longer one keeps its buffer, which is then not more than twice its size.
	stowMax = readBuffer / 2
)

// readBuffers are buffers that no client is using. A client has one only while there are bytes of it that are
// not answered for: ten thousand silent ones cost none.
var readBuffers = sync.Pool{New: func() any { return new([readBuffer]byte) }}

// input is what a client has sent: buf[r:w] is unread.
type input struct {
	buf  []byte
	r, w int
	own  bool // a command in buf was handed over to a lane: buf must not be written any more
	// stowed is what is unread while read waits and buf is given back; buf is nil then, and r is 0.
	stowed []byte
	held   int       // bytes of it that hold was told of
	hold   func(int) // counts what the client occupies while it waits

	conn net.Conn
	raw  syscall.RawConn
	sock *loop.Conn // conn, where a loop tells when there is something to read

	// for the closure, so that a read allocates nothing
	n   int
	err error
	try func(fd uintptr) bool
	// idle is stow.
	idle func()
}

func (in *input) init(conn net.Conn, hold func(int)) {
	in.conn, in.hold = conn, hold
	if sc, ok := conn.(syscall.Conn); ok {
		in.raw, _ = sc.SyscallConn()
	}
	in.sock, _ = conn.(*loop.Conn)
	in.idle = in.stow
	in.try = func(fd uintptr) bool {
		for {
			in.fetch()
			in.n, in.err = syscall.Read(int(fd), in.buf[in.w:])
			switch {
			case in.err == syscall.EINTR:
				continue
			case in.err == syscall.EAGAIN:
				in.stow() // while it waits
				return false
			case in.err != nil:
				in.n = 0
			case in.n == 0:
				in.err = io.EOF
			}
			return true
		}
	}
}

// read waits for bytes and appends them; the command in progress is known to lack want more at the least.
func (in *input) read(want int) (n int, err error) {
	in.makeRoom(want)
	if in.raw == nil {
		if c, ok := in.conn.(interface{ Await(func()) error }); ok {
			err = c.Await(in.idle)
		}
		in.fetch()
		if err != nil {
			return 0, err
		}
		n, err = in.conn.Read(in.buf[in.w:])
		in.w += n
		return n, err
	}
	in.n, in.err = 0, nil
	if err := in.raw.Read(in.try); err != nil {
		if in.stowed != nil {
			in.fetch()
		}
		return 0, err
	}
	in.w += in.n
	return in.n, in.err
}

// poll appends what is there, and does not wait: it returns loop.ErrNotYet where nothing is. full says that there was no
// room for more. The session has sock.
func (in *input) poll(want int) (n int, full bool, err error) {
	if in.stowed != nil {
		in.fetch()
	}
	in.makeRoom(want)
	in.fetch()
	n, err = in.sock.TryRead(in.buf[in.w:])
	in.w += n
	return n, in.w == len(in.buf), err
}

var errNoDescriptor = errors.New("not a socket")

// awaitEnd waits for the client's end of the connection, or a deadline, and reads nothing. (A client that has sent more
// than there is room for between it and us cannot let us know that it goes.) It
// returns errNoDescriptor at once where nobody can tell.
func (in *input) awaitEnd() error {
	raw := in.raw
	if under, ok := in.conn.(interface{ NetConn() net.Conn }); ok && raw == nil {
		if sc, ok := under.NetConn().(syscall.Conn); ok {
			raw, _ = sc.SyscallConn()
		}
	}
	if raw == nil {
		return errNoDescriptor
	}
	err := raw.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}, 0)
		return n > 0 && err == nil
	})
	if err == nil {
		err = io.EOF
	}
	return err
}

// makeRoom makes room behind the unread bytes, which move to the front. The buffer grows with what has come:
// what a client announces costs nothing until it comes.
func (in *input) makeRoom(want int) {
	unread := in.w - in.r
	if unread == 0 {
		in.r, in.w = 0, 0
		if in.own || len(in.buf) != readBuffer {
			in.buf, in.own = nil, false
		}
		return
	}
	size := len(in.buf)
	if need := unread + max(1, want); need > size && unread >= size/2 {
		if size *= 2; need > size && need < 4*unread {
			size = need // so much of it has come that the rest is believed
		}
	} else if unread < readBuffer/2 {
		size = readBuffer // it had grown for a command that is gone
	}
	switch {
	case size != len(in.buf) || in.own:
		var fresh []byte
		if size == readBuffer {
			fresh = readBuffers.Get().(*[readBuffer]byte)[:]
		} else {
			in.occupies(size)
			fresh = make([]byte, size)
		}
		copy(fresh, in.buf[in.r:in.w])
		if len(in.buf) == readBuffer && !in.own {
			readBuffers.Put((*[readBuffer]byte)(in.buf))
		}
		in.buf, in.own = fresh, false
	case in.r > 0:
		copy(in.buf, in.buf[in.r:in.w])
	}
	in.r, in.w = 0, unread
}

// stow keeps what is unread in as little memory as it needs, and lets others use the buffer: thousands of clients
// that stop in the middle of a command cost what they have sent.
func (in *input) stow() {
	if in.stowed != nil {
		return
	}
	switch unread := in.buf[in.r:in.w]; {
	case len(unread) == 0:
		in.giveBack()
	case len(in.buf) == readBuffer && !in.own && len(unread) <= stowMax:
		in.stowed = append([]byte(nil), unread...)
		readBuffers.Put((*[readBuffer]byte)(in.buf))
		in.buf, in.r, in.w = nil, 0, len(in.stowed)
		in.occupies(cap(in.stowed))
	default:
		in.occupies(len(in.buf))
	}
}

// fetch takes a buffer to read into, and what was put aside.
func (in *input) fetch() {
	if in.buf != nil {
		return
	}
	in.buf = readBuffers.Get().(*[readBuffer]byte)[:]
	copy(in.buf, in.stowed)
	in.stowed = nil
}

// occupies says how many bytes the client occupies from now on.
func (in *input) occupies(n int) {
	if n != in.held {
		delta := n - in.held
		in.held = n
		in.hold(delta)
	}
}

// giveBack lets others use the buffer. Nothing in it is unread.
func (in *input) giveBack() {
	if len(in.buf) == readBuffer && !in.own {
		readBuffers.Put((*[readBuffer]byte)(in.buf))
	}
	in.buf, in.own, in.stowed = nil, false, nil
	in.occupies(0)
}
