// Package loop waits for many sockets at once and lets each, when it is ready, have its turn on one goroutine: the leader.
// Between two sockets nothing is scheduled and no thread is woken, and what the turns of a round have put off to its end
// (Turn.Late) is done once for all of them.
//
// A turn may wait for something all the same. Before it does, it steps aside (Turn.StepAside): another goroutine becomes
// the leader and goes on with the round where it was, and the one that waits has its own socket only, and ends with its
// turn. These are leader and followers, where the followers do not exist until there is need of them. A turn that
// waits without having said so is found out by a watch, which makes another goroutine the leader a hundredth of a second later.
//
// # What holds
//
//   - The turns of one socket never overlap, on whatever goroutine they are.
//   - Whatever happens on a socket before, or while, its turn runs is seen by that turn or makes another: none is lost. The
//     kernel reports each change once (EPOLLET), and a change during a turn is noted in Conn.state, which the end of the turn
//     looks at.
//   - There is one leader at a time. Who leads, and what is left of the round, is under the loop's lock.
//   - What was put off to the end of the round is done, whoever leads then.
//
// The lock of a loop is taken for moments, and nothing else is locked inside it.
package loop

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxEvents is how many sockets one round may have.
	maxEvents = 256
	// watchPeriod is how often a leader is looked at that might be waiting, and watchIdle how many looks at one
	// that has nothing to do end that.
	watchPeriod = 10 * time.Millisecond
	watchIdle   = 100
)

// Late is what a turn has put off to the end of the round.
type Late interface{ AtEnd(*Turn) }

// Loop is a leader and the sockets it waits for.
type Loop struct {
	epoll, wakeup int
	work          sync.WaitGroup

	mu      sync.Mutex
	leader  *Turn
	ready   []*Conn // this round's; those from at on have not had their turn
	at      int
	again   []*Conn // of the next round, because they have not finished
	late    []Late  // from lateAt on
	lateAt  int
	steps   uint64 // how often the leader has begun something
	waiting bool   // for the kernel
	watched bool
	ended   bool
	conns   []slot // by descriptor

	events [maxEvents]unix.EpollEvent // of the leader
}

// slot is the socket that has a descriptor at present. The generation tells what the kernel says of it from what it
// said of an earlier one.
type slot struct {
	conn       *Conn
	generation int32
}

// Turn is the time for which one goroutine leads. A nil Turn leads nothing.
type Turn struct{ of *Loop }

// New starts a loop. It runs until Close.
func New() (*Loop, error) {
	l := &Loop{}
	var err error
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if l.wakeup, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err == nil {
		err = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, l.wakeup, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(l.wakeup)})
	}
	if err != nil {
		_ = unix.Close(l.epoll)
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	l.mu.Lock()
	l.appoint()
	l.mu.Unlock()
	return l, nil
}

// Close ends the loop and waits for its goroutines. Its sockets are closed by those who use them, before or behind: the turn
// that a socket has when it is closed does not need the loop.
func (l *Loop) Close() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	_, _ = unix.Write(l.wakeup, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	l.work.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = unix.Close(l.epoll)
	_ = unix.Close(l.wakeup)
}

// appoint makes a new goroutine the leader. The lock is held.
func (l *Loop) appoint() {
	t := &Turn{of: l}
	l.leader = t
	l.steps++
	l.work.Go(func() { l.lead(t) })
}

func (l *Loop) lead(t *Turn) {
	for l.finish(t) && l.wait(t) {
	}
}

// finish does what is left of the round. It reports whether t still leads.
func (l *Loop) finish(t *Turn) bool {
	for {
		l.mu.Lock()
		if l.leader != t {
			l.mu.Unlock()
			return false
		}
		l.steps++
		switch {
		case l.at < len(l.ready):
			c := l.ready[l.at]
			l.ready[l.at] = nil
			l.at++
			l.mu.Unlock()
			c.turn(t)
		case l.lateAt < len(l.late):
			x := l.late[l.lateAt]
			l.late[l.lateAt] = nil
			l.lateAt++
			l.mu.Unlock()
			x.AtEnd(t)
		default:
			l.ready, l.again, l.at = l.again, l.ready[:0], 0
			l.late, l.lateAt = l.late[:0], 0
			l.waiting = true
			l.mu.Unlock()
			return true
		}
	}
}

// wait begins a round with what has become ready. It reports whether the loop goes on.
func (l *Loop) wait(t *Turn) bool {
	timeout := -1
	if len(l.ready) > 0 {
		timeout = 0 // they have not finished
	}
	n, err := unix.EpollWait(l.epoll, l.events[:], timeout)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = false
	l.steps++
	if err != nil && err != unix.EINTR {
		panic(fmt.Sprintf("epoll_wait: %v", err)) // its arguments are wrong
	}
	for i := range max(n, 0) {
		e := &l.events[i]
		if int(e.Fd) == l.wakeup {
			continue
		}
		if s := &l.conns[e.Fd]; s.generation == e.Pad && s.conn != nil && s.conn.note(e.Events) {
			l.ready = append(l.ready, s.conn)
		}
	}
	if l.ended {
		l.leader = nil
		for i, c := range l.ready { // somebody may wait for what their turns find out: that they are closed
			l.ready[i] = nil
			go c.turn(nil)
		}
		return false
	}
	if !l.watched {
		l.watched = true
		l.work.Go(l.watch)
	}
	return true
}

// watch looks at the leader as long as there is something to see.
func (l *Loop) watch() {
	tick := time.NewTicker(watchPeriod)
	defer tick.Stop()
	var w watcher
	for range tick.C {
		if !w.look(l) {
			return
		}
	}
}

// watcher is what has been seen of a leader.
type watcher struct {
	steps uint64
	idle  int // looks in a row at which it waited for the kernel
}

// look replaces a leader that has waited for something else since the last look, without having stepped aside. It
// reports whether there is to be another look. It gives up only a leader that waits for the kernel at that moment: who
// leads has another watch begin when that is over.
func (w *watcher) look(l *Loop) (more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.ended:
	case l.steps != w.steps:
		w.steps, w.idle = l.steps, 0
		return true
	case !l.waiting:
		l.appoint()
		w.steps, w.idle = l.steps, 0
		return true
	case w.idle < watchIdle:
		w.idle++
		return true
	}
	l.watched = false
	return false
}

// StepAside says that the goroutine is about to wait: another one leads from now on.
func (t *Turn) StepAside() {
	t.leading((*Loop).appoint)
}

// leading does something under the lock, if t leads, and reports whether it does.
func (t *Turn) leading(do func(*Loop)) bool {
	if t == nil {
		return false
	}
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	if t.of.leader != t {
		return false
	}
	do(t.of)
	return true
}

// Late puts x off to the end of the round. It reports whether there will be one: it is false for who does not lead.
func (t *Turn) Late(x Late) bool {
	return t.leading(func(l *Loop) { l.late = append(l.late, x) })
}

// putOff has c, which has not finished, have another turn in the next round. It is false for who does not lead.
func (t *Turn) putOff(c *Conn) bool {
	return t.leading(func(l *Loop) { l.again = append(l.again, c) })
}

// add has the kernel tell of a socket from now on. The lock is held over that, for behind Close the descriptor of epoll
// may be another's.
func (l *Loop) add(c *Conn) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return errEnded
	}
	for len(l.conns) <= c.fd {
		l.conns = append(l.conns, slot{})
	}
	s := &l.conns[c.fd]
	s.conn = c
	s.generation++
	e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLPRI | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(c.fd), Pad: s.generation}
	err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, c.fd, &e)
	if err != nil {
		s.conn = nil
	}
	return err
}

var errEnded = errors.New("the loop has ended")

// remove forgets a socket, whose descriptor is about to be closed.
func (l *Loop) remove(c *Conn) {
	l.mu.Lock()
	if c.fd < len(l.conns) && l.conns[c.fd].conn == c {
		l.conns[c.fd].conn = nil
	}
	l.mu.Unlock()
}
