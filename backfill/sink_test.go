package backfill

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"tandem/internal/instance"
	"tandem/internal/ledger"
)

// testSink is a small real Sink: one connection to the secondary on which everything is sent in order, and
// whose replies are acknowledged in order. It reconnects by itself until it is closed.
type testSink struct {
	l    *ledger.Ledger
	addr string
	// refuse makes AppendCopy refuse; under the ledger's lock.
	refuse bool

	mu      sync.Mutex // guards what follows; taken under the ledger's lock
	up      bool
	db      int
	buf     net.Buffers
	tail    []byte // the end of buf, still growing
	replies []sent // what each thing that is on its way is answered
	kick    chan struct{}

	stop context.CancelFunc
	done chan struct{}
}

// sent is one thing on its way: how many replies it has, and what the last of them must be.
type sent struct {
	replies int
	want    string // empty: anything but an error
	copied  bool
}

func startSink(t testing.TB, l *ledger.Ledger, addr string) *testSink {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &testSink{l: l, addr: addr, kick: make(chan struct{}, 1), stop: cancel, done: make(chan struct{})}
	l.Lock()
	l.SetSink(ledger.Secondary, s)
	l.Unlock()
	go s.run(ctx)
	t.Cleanup(func() {
		cancel()
		<-s.done
	})
	return s
}

// run connects, serves, and reports the loss of each connection.
func (s *testSink) run(ctx context.Context) {
	defer close(s.done)
	for ctx.Err() == nil {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			pause(ctx, 5*time.Millisecond)
			continue
		}
		s.l.Lock()
		s.mu.Lock()
		s.up, s.db, s.buf, s.tail, s.replies = true, 0, nil, nil, nil
		s.mu.Unlock()
		s.l.Wake(ledger.Secondary)
		s.l.Unlock()
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		var wg sync.WaitGroup
		gone := make(chan struct{})
		wg.Go(func() { s.write(conn, gone) })
		s.read(conn)
		close(gone)
		conn.Close()
		wg.Wait()
		stop()
		s.l.Lock()
		s.mu.Lock()
		s.up = false
		s.mu.Unlock()
		s.l.SinkLost(ledger.Secondary)
		s.l.Unlock()
	}
}

func (s *testSink) write(conn net.Conn, gone chan struct{}) {
	for {
		select {
		case <-s.kick:
		case <-gone:
			return
		}
		s.mu.Lock()
		out := append(s.buf, s.tail)
		s.buf, s.tail = nil, nil
		s.mu.Unlock()
		if _, err := out.WriteTo(conn); err != nil {
			return
		}
	}
}

func (s *testSink) read(conn net.Conn) {
	in := bufio.NewReaderSize(conn, 64<<10)
	type verdict struct {
		v   ledger.Verdict
		why string
	}
	var ready []verdict
	for {
		v := verdict{v: ledger.Good}
		s.mu.Lock()
		for len(s.replies) == 0 {
			s.mu.Unlock()
			if _, err := in.Peek(1); err != nil { // nothing is owed: this only ends with the connection
				return
			}
			s.mu.Lock()
		}
		next := s.replies[0]
		s.replies = s.replies[1:]
		s.mu.Unlock()
		for i := range next.replies {
			line, err := readReply(in)
			if err != nil {
				return
			}
			last := i == next.replies-1
			switch {
			case line[0] == '-' && next.copied:
				v = verdict{ledger.Refused, string(line)}
			case line[0] == '-' || last && next.want != "" && string(line) != next.want:
				v = verdict{ledger.Differs, fmt.Sprintf("%q instead of %q", line, next.want)}
			}
		}
		ready = append(ready, v)
		if in.Buffered() > 0 && len(ready) < 64 {
			continue
		}
		s.l.Lock()
		for _, v := range ready {
			s.l.Acked(ledger.Secondary, v.v, v.why)
		}
		s.l.Unlock()
		ready = ready[:0]
	}
}

// readReply reads one reply; a bulk string comes without its length, an array is not known.
func readReply(in *bufio.Reader) ([]byte, error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	line = bytes.TrimRight(line, "\r\n")
	if line[0] != '$' {
		return line, nil
	}
	n, err := strconv.Atoi(string(line[1:]))
	if err != nil || n < 0 {
		return []byte("$-1"), err
	}
	b := make([]byte, n+2)
	_, err = io.ReadFull(in, b)
	return b[:n], err
}

func (s *testSink) Ready() bool { return !s.refuse && s.up }

// enter begins an entry of db; it returns how many replies come before its own.
func (s *testSink) enter(db int32) int {
	if int(db) == s.db {
		return 0
	}
	s.db = int(db)
	s.tail = command{"SELECT", strconv.Itoa(s.db)}.append(s.tail)
	return 1
}

func (s *testSink) leave(n sent) {
	s.replies = append(s.replies, n)
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

func (s *testSink) AppendCopy(c *ledger.Copy, st *ledger.State) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.Ready() {
		return false
	}
	n := s.enter(c.Key.DB) + 1
	if st.Missing {
		s.tail = appendBulk(append(s.tail, "*2\r\n$6\r\nUNLINK\r\n"...), c.Key.Name)
		s.leave(sent{replies: n, copied: true})
		return true
	}
	if st.From != "" {
		key := string(c.Key.Name)
		if st.ExpireAt != 0 {
			s.tail = command{"PEXPIREAT", st.From, strconv.FormatInt(st.ExpireAt, 10)}.append(s.tail)
		} else {
			s.tail = command{"PERSIST", st.From}.append(s.tail)
		}
		s.tail = command{"RENAME", st.From, key}.append(s.tail)
		s.leave(sent{replies: n + 1, want: "+OK", copied: true})
		return true
	}
	var digits [20]byte
	s.tail = append(s.tail, "*6\r\n$7\r\nRESTORE\r\n"...)
	s.tail = appendBulk(s.tail, c.Key.Name)
	s.tail = appendBulk(s.tail, strconv.AppendInt(digits[:0], st.ExpireAt, 10))
	if len(st.Payload) < 16<<10 {
		s.tail = appendBulk(s.tail, st.Payload)
	} else {
		s.tail = append(strconv.AppendInt(append(s.tail, '$'), int64(len(st.Payload)), 10), "\r\n"...)
		s.buf = append(s.buf, s.tail, bytesOf(st.Payload))
		s.tail = []byte("\r\n")
	}
	s.tail = append(s.tail, "$7\r\nREPLACE\r\n$6\r\nABSTTL\r\n"...)
	s.leave(sent{replies: n, want: "+OK", copied: true})
	return true
}

// effect is what testLane gives for a payload.
type effect struct {
	db      int32
	command []byte
	want    string
}

func (s *testSink) Append(w *ledger.Write, e *ledger.Effect) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up {
		return false
	}
	p := e.Payload.(effect)
	n := s.enter(p.db) + 1
	s.tail = append(s.tail, p.command...)
	s.leave(sent{replies: n, want: p.want})
	return true
}

func appendBulk[T string | []byte](b []byte, v T) []byte {
	b = append(strconv.AppendInt(append(b, '$'), int64(len(v)), 10), "\r\n"...)
	return append(append(b, v...), "\r\n"...)
}

// append appends the command as the protocol has it.
func (c command) append(b []byte) []byte {
	b = append(strconv.AppendInt(append(b, '*'), int64(len(c)), 10), "\r\n"...)
	for _, arg := range c {
		b = appendBulk(b, arg)
	}
	return b
}

// testInstance is an instance for a test server.
func testInstance(t testing.TB, role instance.Role, url string) *instance.Instance {
	t.Helper()
	in, err := instance.New(role, url, instance.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return in
}
