package tlsconn

import (
	"io"
	"os"
	"sync"
	"syscall"
)

// records hands a byte stream to crypto/tls no further than to the end of a record. crypto/tls reads ahead into
// a buffer of its own, out of which nobody can tell whether it holds another message; this way what has come
// and was not asked for yet is here, where Await can see it. The buffer is there only while it holds bytes.
type records struct {
	from io.Reader
	raw  syscall.RawConn  // of from, nil where there is none
	buf  *[readAhead]byte // nil while empty; buf[r:w] was not handed over yet
	r, w int

	header [headerSize]byte // of the record that is being handed over
	have   int              // bytes of header that were handed over
	body   int              // bytes of the record behind its header that are still to come

	// for the closure, so that a read allocates nothing
	n   int
	err error
	try func(fd uintptr) bool
}

func newRecords(from io.Reader, raw syscall.RawConn) *records {
	s := &records{from: from, raw: raw}
	s.try = func(fd uintptr) bool {
		for {
			if s.buf == nil {
				s.buf = readAheads.Get().(*[readAhead]byte)
			}
			s.n, s.err = syscall.Read(int(fd), s.buf[:])
			switch {
			case s.err == syscall.EINTR:
				continue
			case s.err == syscall.EAGAIN:
				s.giveBack() // while it waits
				return false
			case s.err != nil:
				s.n, s.err = 0, os.NewSyscallError("read", s.err)
			case s.n == 0:
				s.err = io.EOF
			}
			return true
		}
	}
	return s
}

// fill waits for bytes. It holds the buffer only once there are some.
func (s *records) fill() (err error) {
	if s.raw == nil {
		s.buf = readAheads.Get().(*[readAhead]byte)
		s.n, s.err = s.from.Read(s.buf[:])
	} else if err := s.raw.Read(s.try); err != nil { // a deadline, or closed
		s.n, s.err = 0, err
	}
	s.r, s.w = 0, s.n
	if s.n == 0 && s.buf != nil {
		s.giveBack()
	}
	return s.err
}

const (
	headerSize = 5 // type, version (2), length (2)
	// readAhead holds the largest record.
	readAhead = 16<<10 + 512
)

var readAheads = sync.Pool{New: func() any { return new([readAhead]byte) }}

// Read reads to the end of the present record at most.
func (s *records) Read(b []byte) (int, error) {
	if s.buf == nil {
		if err := s.fill(); s.buf == nil {
			return 0, err
		}
	}
	done := 0
	for done < len(b) && s.r < s.w {
		if s.body == 0 {
			n := copy(s.header[s.have:], s.buf[s.r:s.w])
			n = copy(b[done:], s.header[s.have:s.have+n])
			done, s.r, s.have = done+n, s.r+n, s.have+n
			if s.have < headerSize {
				continue
			}
			s.have, s.body = 0, int(s.header[3])<<8|int(s.header[4])
			if s.body == 0 {
				break // an empty record; crypto/tls will say what it thinks of it
			}
			continue
		}
		n := copy(b[done:], s.buf[s.r:min(s.w, s.r+s.body)])
		done, s.r, s.body = done+n, s.r+n, s.body-n
		if s.body == 0 {
			break
		}
	}
	if s.r == s.w {
		s.giveBack()
	}
	return done, nil
}

func (s *records) giveBack() {
	readAheads.Put(s.buf)
	s.buf, s.r, s.w = nil, 0, 0
}

// Await waits until a Read has something to do, and holds no memory while it waits: whoever has thousands of
// silent clients takes a buffer for one only after it, or gives it back in idle, which is called (if it is not nil)
// when there is nothing yet. Only the goroutine that reads may call it. It ends with
// an error when the read deadline passes or the connection is closed on this side; when the other side has
// closed it, the Read that follows says so.
func (c *Conn) Await(idle func()) error {
	if c.more || c.below.in.buf != nil || c.below.raw == nil {
		return nil
	}
	var one [1]byte
	return c.below.raw.Read(func(fd uintptr) bool {
		for {
			_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK)
			if err == syscall.EAGAIN && idle != nil {
				idle()
				idle = nil
			}
			if err != syscall.EINTR {
				return err != syscall.EAGAIN
			}
		}
	})
}
