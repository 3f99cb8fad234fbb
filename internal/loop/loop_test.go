package loop

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is for what a busy machine may take long for.
const patience = 20 * time.Second

func newLoop(t testing.TB) *Loop {
	t.Helper()
	l, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// ends are both ends of a connection.
func ends(t testing.TB) (near, far net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if far, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if near, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = near.Close()
		_ = far.Close()
	})
	return near, far
}

// pair is a socket of the loop and the other end of its connection.
func pair(t testing.TB, l *Loop) (*Conn, *net.TCPConn) {
	t.Helper()
	near, far := ends(t)
	c, err := l.Adopt(near)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, far.(*net.TCPConn)
}

func within(t testing.TB, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("%s: not within %v", what, patience)
	}
}

// readAll is a handler that reads as a session does. over is called once, at the end.
func readAll(c *Conn, size int, took func(*Turn, []byte), over func(error)) func(*Turn) bool {
	ended := false
	return func(t *Turn) bool {
		if ended {
			return false
		}
		buf := make([]byte, size)
		n, err := c.TryRead(buf)
		if err == ErrNotYet {
			return false
		}
		if n > 0 {
			took(t, buf[:n])
		}
		if err != nil {
			ended = true
			over(err)
			return false
		}
		return n == size || c.MoreBehind()
	}
}

// Whatever is sent, in whatever pieces, while turns step aside, wait without saying so, are poked and are put off: all of it
// is read, in its order, by one turn at a time, with the end behind it.
func TestNothingIsLostAndNoTurnsOverlap(t *testing.T) {
	l := newLoop(t)
	const sockets, pieces = 24, 60
	var work sync.WaitGroup
	for i := range sockets {
		r := rand.New(rand.NewPCG(uint64(i), 1))
		c, far := pair(t, l)
		got, sent := sha256.New(), sha256.New()
		over := make(chan struct{})
		var inside atomic.Int32
		c.Handle(func() func(*Turn) bool {
			read := readAll(c, 1+r.IntN(3000), func(turn *Turn, b []byte) {
				got.Write(b)
				switch r.IntN(40) {
				case 0:
					turn.StepAside()
					time.Sleep(time.Duration(r.IntN(2000)) * time.Microsecond) // what is waited for
				case 1:
					time.Sleep(2 * watchPeriod) // without a word
				case 2:
					_ = c.SetReadDeadline(time.Unix(1, 0))
				}
			}, func(err error) {
				if err != io.EOF {
					t.Errorf("it ended with %v", err)
				}
				close(over)
			})
			return func(turn *Turn) bool {
				if inside.Add(1) != 1 {
					t.Error("two turns at a time")
				}
				defer inside.Add(-1)
				return read(turn)
			}
		}())
		s := rand.New(rand.NewPCG(uint64(i), 2))
		work.Go(func() {
			for range pieces {
				b := make([]byte, 1+s.IntN(8000))
				for j := range b {
					b[j] = byte(s.Uint32())
				}
				sent.Write(b)
				if _, err := far.Write(b); err != nil {
					t.Error(err)
				}
				if s.IntN(3) == 0 {
					time.Sleep(time.Duration(s.IntN(1000)) * time.Microsecond) // so that it comes in pieces
				}
			}
			_ = far.CloseWrite()
			within(t, "the end of a socket", over)
			if !bytes.Equal(got.Sum(nil), sent.Sum(nil)) {
				t.Error("something else was read than what was sent")
			}
		})
	}
	work.Wait()
}

// The end of a connection is seen though it comes with what is read before it, in a turn that does not look for more.
func TestTheEndComesWithTheLastBytes(t *testing.T) {
	l := newLoop(t)
	for range 200 {
		c, far := pair(t, l)
		over := make(chan struct{})
		if _, err := far.Write([]byte("the last")); err != nil {
			t.Fatal(err)
		}
		_ = far.Close()
		c.Handle(readAll(c, 1<<10, func(*Turn, []byte) {}, func(error) { close(over) }))
		within(t, "the end", over)
		_ = c.Close()
	}
}

// A read stops in front of a byte that was sent out of band, though more has come behind it.
func TestWhatComesBehindUrgentDataIsRead(t *testing.T) {
	l := newLoop(t)
	c, far := pair(t, l)
	raw, err := far.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = far.Write([]byte("before"))
	if under := raw.Control(func(fd uintptr) { err = unix.Sendto(int(fd), []byte("!"), unix.MSG_OOB, nil) }); under != nil || err != nil {
		t.Fatal(under, err)
	}
	_, _ = far.Write([]byte("behind"))
	var got []byte
	all := make(chan struct{})
	c.Handle(readAll(c, 100, func(_ *Turn, b []byte) {
		if got = append(got, b...); string(got) == "beforebehind" {
			close(all)
		}
	}, func(error) {}))
	within(t, "what is behind it", all)
}

// While one socket's turn waits, with a word or without, those of others go on, and what it had put off is done.
func TestWhoWaitsDelaysNobody(t *testing.T) {
	for name, aside := range map[string]bool{"steps aside": true, "says nothing": false} {
		t.Run(name, func(t *testing.T) {
			l := newLoop(t)
			waiting, farWaiting := pair(t, l)
			other, farOther := pair(t, l)
			began, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
			late := lateFunc{make(chan struct{})}
			waiting.Handle(readAll(waiting, 100, func(turn *Turn, _ []byte) {
				if !turn.Late(late) {
					t.Error("the leader cannot put something off")
				}
				close(began)
				if aside {
					turn.StepAside()
					if turn.Late(late) {
						t.Error("who does not lead any more can put something off")
					}
				}
				<-goOn
				close(ended)
			}, func(error) {}))
			other.Handle(readAll(other, 100, func(_ *Turn, b []byte) { _, _ = other.Write(b) }, func(error) {}))
			_, _ = farWaiting.Write([]byte("wait"))
			within(t, "the turn that waits", began)
			within(t, "what it has put off", late.done)
			_ = farOther.SetDeadline(time.Now().Add(patience))
			for range 100 {
				_, _ = farOther.Write([]byte("x"))
				if _, err := io.ReadFull(farOther, make([]byte, 1)); err != nil {
					t.Fatalf("the other socket: %v", err)
				}
			}
			close(goOn)
			within(t, "the end of the turn", ended)
		})
	}
}

// A turn that begins when a long time without any is about to end the watch, and waits without a word, is found out as well.
func TestWhoWaitsAfterALongIdlenessIsFoundOut(t *testing.T) {
	l := newLoop(t)
	l.mu.Lock()
	l.watched = true // by this test
	l.mu.Unlock()
	waiting, farWaiting := pair(t, l)
	other, farOther := pair(t, l)
	began, goOn, heard := make(chan struct{}), make(chan struct{}), make(chan struct{})
	waiting.Handle(readAll(waiting, 100, func(*Turn, []byte) {
		close(began)
		<-goOn
	}, func(error) {}))
	defer close(goOn)
	other.Handle(readAll(other, 100, func(*Turn, []byte) { close(heard) }, func(error) {}))
	var w watcher
	for more := true; more && w.idle < watchIdle; {
		more = w.look(l)
	}
	_, _ = farWaiting.Write([]byte("wait"))
	within(t, "the turn that waits", began)
	_, _ = farOther.Write([]byte("x"))
	for range 2 {
		if !w.look(l) {
			t.Fatal("nobody looks at a turn that has begun")
		}
	}
	within(t, "another socket's turn", heard)
}

type lateFunc struct{ done chan struct{} }

func (f lateFunc) AtEnd(*Turn) { close(f.done) }

// A turn has the others of its round go first, before it goes on with what it has left.
func TestWhoHasMuchToReadDelaysNobody(t *testing.T) {
	l := newLoop(t)
	flood, farFlood := pair(t, l)
	other, farOther := pair(t, l)
	stop := make(chan struct{})
	var flooded sync.WaitGroup
	flooded.Go(func() {
		b := make([]byte, 1<<20)
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := farFlood.Write(b); err != nil {
					return
				}
			}
		}
	})
	flood.Handle(readAll(flood, 100, func(*Turn, []byte) {}, func(error) {}))
	other.Handle(readAll(other, 100, func(_ *Turn, b []byte) { _, _ = other.Write(b) }, func(error) {}))
	_ = farOther.SetDeadline(time.Now().Add(patience))
	for range 200 {
		_, _ = farOther.Write([]byte("x"))
		if _, err := io.ReadFull(farOther, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	_ = farFlood.Close()
	flooded.Wait()
}

// A descriptor that has come to be another socket's says nothing of the one before.
func TestADescriptorIsUsedAgain(t *testing.T) {
	l := newLoop(t)
	for range 300 {
		first, far := pair(t, l)
		go func() { _ = far.Close() }()
		_ = first.Close()
		second, _ := pair(t, l)
		second.Handle(func(*Turn) bool {
			if second.MoreBehind() {
				t.Error("it is told of an end that was another's")
			}
			return false
		})
		_ = second.Close()
	}
}

// Read and Write wait as those of any connection: for the other side, until a deadline, until Close.
func TestReadAndWriteWait(t *testing.T) {
	l := newLoop(t)
	t.Run("large", func(t *testing.T) {
		c, far := pair(t, l)
		big := bytes.Repeat([]byte("0123456789abcdef"), 1<<19)
		go func() {
			if err := c.WriteAllIn(nil, &net.Buffers{big[:5], big[5 : 3<<20], nil, big[3<<20:]}); err != nil {
				t.Error(err)
			}
			_, _ = io.Copy(far, bytes.NewReader(big))
		}()
		for _, from := range []io.Reader{far, c} {
			got := make([]byte, len(big))
			if _, err := io.ReadFull(from, got); err != nil || !bytes.Equal(got, big) {
				t.Fatalf("other bytes (%v)", err)
			}
		}
	})
	t.Run("deadlines", func(t *testing.T) {
		c, _ := pair(t, l)
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read: %v", err)
		}
		_ = c.SetReadDeadline(time.Time{})
		go func() { _ = c.SetReadDeadline(time.Unix(1, 0)) }()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read that is woken: %v", err)
		}
		_ = c.SetWriteDeadline(time.Now().Add(5 * time.Millisecond))
		if _, err := c.Write(make([]byte, 64<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write: %v", err)
		}
	})
	t.Run("Close", func(t *testing.T) {
		c, far := pair(t, l)
		go func() { _ = c.Close() }()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Read: %v", err)
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write: %v", err)
		}
		if err := c.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Close again: %v", err)
		}
		_ = far.SetReadDeadline(time.Now().Add(patience))
		if _, err := far.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the other side: %v", err)
		}
	})
	t.Run("Close makes a turn", func(t *testing.T) {
		c, _ := pair(t, l)
		over := make(chan struct{})
		c.Handle(readAll(c, 10, func(*Turn, []byte) {}, func(err error) {
			if !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
			close(over)
		}))
		_ = c.Close()
		within(t, "the turn", over)
	})
}

// A socket about which something was heard just when the loop ended is not forgotten: when it is closed, it has its turn.
func TestCloseBehindTheEndOfTheLoopMakesATurn(t *testing.T) {
	l, err := New()
	if err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	l.watched = true // nobody takes the lead from the first socket
	l.mu.Unlock()
	leading, farLeading := pair(t, l)
	c, far := pair(t, l)
	began, goOn, over := make(chan struct{}), make(chan struct{}), make(chan struct{})
	leading.Handle(readAll(leading, 100, func(*Turn, []byte) {
		close(began)
		<-goOn
	}, func(error) {}))
	c.Handle(readAll(c, 100, func(*Turn, []byte) {}, func(error) { close(over) }))
	_, _ = farLeading.Write([]byte("lead"))
	within(t, "the turn that leads", began)
	_, _ = far.Write([]byte("x"))
	closed := make(chan struct{})
	go func() {
		l.Close()
		close(closed)
	}()
	for ended := false; !ended; runtime.Gosched() {
		l.mu.Lock()
		ended = l.ended
		l.mu.Unlock()
	}
	close(goOn)
	within(t, "the end of the loop", closed)
	_ = c.Close()
	within(t, "the turn", over)
}

// What is not a plain socket is left as it is.
func TestTakeLeavesWhatIsNoSocket(t *testing.T) {
	s, err := Start(2)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	a, b := net.Pipe()
	defer b.Close()
	defer a.Close()
	if s.Take(a) != a || (*Set)(nil).Take(a) != a {
		t.Error("it was taken")
	}
}

// A loop that has ended takes no socket.
func TestTakeLeavesWhatComesBehindTheEnd(t *testing.T) {
	s, err := Start(1)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	_, far := ends(t)
	if s.Take(far) != far {
		t.Error("it was taken")
	}
	if _, err := far.Write([]byte("x")); err != nil {
		t.Errorf("it is not as it was: %v", err)
	}
}
