package proxy

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

const readBuffer = 64 << 10

// readBuffers are buffers that no client is using. A client has one only while there are bytes of it that are
// not answered for: ten thousand silent ones cost none.
var readBuffers = sync.Pool{New: func() any { return new([readBuffer]byte) }}

// input is what a client has sent: buf[r:w] is unread.
type input struct {
	buf  []byte
	r, w int
	own  bool // a command in buf was handed over to a lane: buf must not be written any more

	conn net.Conn
	raw  syscall.RawConn

	// for the closure, so that a read allocates nothing
	n   int
	err error
	try func(fd uintptr) bool
}

func (in *input) init(conn net.Conn) {
	in.conn = conn
	if sc, ok := conn.(syscall.Conn); ok {
		in.raw, _ = sc.SyscallConn()
	}
	in.try = func(fd uintptr) bool {
		for {
			if in.buf == nil {
				in.buf = readBuffers.Get().(*[readBuffer]byte)[:]
			}
			in.n, in.err = syscall.Read(int(fd), in.buf[in.w:])
			switch {
			case in.err == syscall.EINTR:
				continue
			case in.err == syscall.EAGAIN:
				if in.w == 0 {
					in.giveBack() // while it waits
				}
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
		if in.w == 0 {
			in.giveBack() // while it waits
			if c, ok := in.conn.(interface{ Await() error }); ok {
				if err := c.Await(); err != nil {
					return 0, err
				}
			}
		}
		if in.buf == nil {
			in.buf = readBuffers.Get().(*[readBuffer]byte)[:]
		}
		n, err = in.conn.Read(in.buf[in.w:])
		in.w += n
		return n, err
	}
	in.n, in.err = 0, nil
	if err := in.raw.Read(in.try); err != nil {
		return 0, err
	}
	in.w += in.n
	return in.n, in.err
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
			fresh = make([]byte, size)
		}
		copy(fresh, in.buf[in.r:in.w])
		in.giveBack()
		in.buf = fresh
	case in.r > 0:
		copy(in.buf, in.buf[in.r:in.w])
	}
	in.r, in.w = 0, unread
}

// giveBack lets others use the buffer.
func (in *input) giveBack() {
	if len(in.buf) == readBuffer && !in.own {
		readBuffers.Put((*[readBuffer]byte)(in.buf))
	}
	in.buf, in.own = nil, false
}
