package chaos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"tandem/test/wire"
)

// outcome is what a client knows of a command.
type outcome uint8

const (
	// done: it was answered.
	done outcome = iota
	// refused: the answer is an error, or the connection could not be made. It was not executed.
	refused
	// unknown: it was sent and no answer came. It was executed once or not at all, then or later.
	unknown
)

// patience is how long a client waits for an answer. It is longer than what the program lets commands wait for a
// primary that is away, and shorter than the whole run.
const patience = 6 * time.Second

// calmness is how much less clients do in the end, so that a step can be taken on a machine that is slow.
const calmness = 8

// client is one connection after the other, to any of its addresses. It belongs to one goroutine.
type client struct {
	doors       []string
	protocol    int // 2 or 3
	r           *rand.Rand
	conn        *wire.Conn
	stop        <-chan struct{}
	connections int // so far: who must know whether it is still the same one compares
	began       time.Time
	last        []string // what was sent and answered lately, for messages
	refusals    *refusals
	calm        *atomic.Bool // everybody is to do less
	careless    bool         // it sends what a server may find wrong
}

// lately is how many exchanges a client remembers.
const lately = 25

// remember keeps an exchange.
func (c *client) remember(sent []string, reply wire.Reply, err error) {
	if len(c.last) == lately {
		c.last = append(c.last[:0], c.last[1:]...)
	}
	what := reply.String()
	if err != nil && !reply.IsErr() {
		what = err.Error()
	}
	c.last = append(c.last, fmt.Sprintf("%9.4f connection %d: %.100q -> %.200s", time.Since(c.began).Seconds(), c.connections, sent, what))
	if reply.IsErr() {
		c.note(reply.Str)
	}
}

// note counts an error that was answered.
func (c *client) note(text string) {
	after := c.last
	if c.careless {
		after = nil
	}
	c.refusals.note(text, after)
}

// connected says whether there is a connection, making one if need be.
func (c *client) connected() bool {
	if c.conn != nil {
		return true
	}
	addr := c.doors[0]
	if len(c.doors) > 1 {
		addr = c.doors[c.r.IntN(len(c.doors))]
	}
	conn, err := wire.Dial(addr)
	if err == nil {
		conn.Timeout = patience
		if c.protocol == 3 {
			var reply wire.Reply
			if reply, err = conn.Do("HELLO", "3"); err != nil {
				conn.Close()
			}
			c.remember([]string{"HELLO", "3"}, reply, err)
		}
	}
	if err != nil {
		c.rest(20 * time.Millisecond)
		return false
	}
	c.conn = conn
	c.connections++
	return true
}

// rest waits, or ends with the run.
func (c *client) rest(d time.Duration) {
	if c.calm.Load() {
		d = calmness*d + calmness*time.Millisecond
	}
	select {
	case <-c.stop:
	case <-time.After(d):
	}
}

// going says whether the run goes on.
func (c *client) going() bool {
	select {
	case <-c.stop:
		return false
	default:
		return true
	}
}

func (c *client) drop() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// do sends one command.
func (c *client) do(args ...string) (wire.Reply, outcome) {
	if !c.connected() {
		return wire.Reply{}, refused
	}
	reply, err := c.conn.Do(args...)
	c.remember(args, reply, err)
	return reply, c.judge(err)
}

// judge is the outcome of an exchange that ended with err. After unknown the connection is gone.
func (c *client) judge(err error) outcome {
	var said wire.ServerError
	switch {
	case err == nil:
		return done
	case errors.As(err, &said):
		return refused
	}
	c.drop()
	return unknown
}

// batch sends commands as one pipeline. The outcome is of all of them together: refused only if none was sent.
func (c *client) batch(commands [][]string) ([]wire.Reply, outcome) {
	if !c.connected() {
		return nil, refused
	}
	replies, err := c.conn.DoMany(commands)
	for i, command := range commands {
		var reply wire.Reply
		if i < len(replies) {
			reply = replies[i]
		}
		c.remember(command, reply, err)
	}
	return replies, c.judge(err)
}

// transaction sends commands between MULTI and EXEC, as one pipeline or one by one. done has EXEC's replies, nil ones
// if a watched key had changed, which executes nothing.
func (c *client) transaction(whole bool, commands ...[]string) (wire.Reply, outcome) {
	all := append(append([][]string{{"MULTI"}}, commands...), []string{"EXEC"})
	var last wire.Reply
	if whole {
		replies, result := c.batch(all)
		if result != done {
			return wire.Reply{}, result
		}
		last = replies[len(replies)-1]
	} else {
		for i, command := range all {
			reply, result := c.do(command...)
			if result != done {
				if i < len(all)-1 { // without EXEC nothing is executed
					c.drop()
					return wire.Reply{}, refused
				}
				return wire.Reply{}, result
			}
			last = reply
		}
	}
	if last.IsErr() {
		return last, refused
	}
	return last, done
}

// workload is some clients with keys of their own, and what they know of them.
type workload interface {
	name() string
	// prepare puts onto the source what is to be there before the program starts.
	prepare(source string) error
	// clients are what they do, each on a goroutine and with a connection of its own, until it stops.
	clients() []func(*client)
	// check compares what the clients know with what a server holds, after all is at rest. It returns what is wrong.
	check(server *wire.Conn) (wrong []string, err error)
	// summary says how much was done.
	summary() string
}

// token names one write for ever: who made it, and the how many-th of its.
func token(who string, n int) string { return fmt.Sprintf("%s-%06d", who, n) }

// tally counts outcomes.
type tally struct{ done, refused, unknown int }

func (t *tally) add(o outcome) {
	switch o {
	case done:
		t.done++
	case refused:
		t.refused++
	case unknown:
		t.unknown++
	}
}

func (t tally) String() string {
	return fmt.Sprintf("%d done, %d refused, %d unknown", t.done, t.refused, t.unknown)
}
