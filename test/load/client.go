package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"tandem/test/keyspace"
	"tandem/test/wire"
)

// client is one connection and what it knows of its own keys. All of it belongs to one goroutine.
type client struct {
	load   *Load
	id     int
	db     int // where it works, but for trips to the spare database
	conn   *wire.Conn
	rand   *rand.Rand
	sent   []sentCommand // not answered yet
	queued int           // commands of the transaction in which the connection was lost
	own    *own
}

// check judges a reply: "" is right, anything else says what would have been. Checks run in the order of the
// commands, each with the client's model as it was before its command.
type check func(wire.Reply) string

type sentCommand struct {
	args  []string
	check check
}

// homeDB spreads clients over the keyspace's databases: five in eight in the first.
func homeDB(id int) int {
	switch id % 8 {
	case 5, 6:
		return keyspace.DBs[1]
	case 7:
		return keyspace.DBs[2]
	}
	return keyspace.DBs[0]
}

func newClient(l *Load, id int) (*client, error) {
	c := &client{load: l, id: id, db: homeDB(id), rand: rand.New(rand.NewPCG(l.cfg.Seed, uint64(id)+1))}
	c.own = newOwn(c)
	return c, c.connect()
}

// connect opens the connection and selects the client's database, as client libraries do.
func (c *client) connect() error {
	conn, err := wire.Dial(c.load.cfg.Addr)
	if err != nil {
		return err
	}
	if _, err := conn.DoMany([][]string{{"CLIENT", "SETNAME", "load-" + strconv.Itoa(c.id)}, {"SELECT", strconv.Itoa(c.db)}}); err != nil {
		conn.Close()
		return err
	}
	c.conn = conn
	return nil
}

// run sends pipelines until the load stops or, for a client that must not reconnect, its connection ends.
func (c *client) run() {
	defer func() { c.conn.Close() }()
	for !c.load.stopping() {
		depth := 1
		if c.rand.IntN(3) == 0 {
			depth = 2 + c.rand.IntN(maxPipeline-1)
		}
		for len(c.sent) < depth {
			c.queueOne()
		}
		err := c.exchange()
		if err == nil && c.rand.IntN(40) == 0 {
			err = c.piecemeal()
		}
		if err == nil {
			continue
		}
		if c.load.stopping() {
			return
		}
		if !c.load.cfg.Reconnect {
			c.load.problem("client %d: connection lost with %d commands in flight, the first %s: %v",
				c.id, len(c.sent), c.first(), err)
			return
		}
		if !c.resume() {
			return
		}
	}
}

// queueOne queues one operation: on the client's own keys, on shared ones, or a trip to the spare database.
func (c *client) queueOne() {
	switch n := c.rand.IntN(100); {
	case n < 50:
		c.own.queue()
	case n < 98:
		c.queueShared()
	default:
		c.queueSpare()
	}
}

// send queues a command for the next exchange.
func (c *client) send(ok check, args ...string) {
	c.conn.Send(args...)
	c.sent = append(c.sent, sentCommand{args, ok})
}

// exchange writes what was queued and checks the replies. On an error the commands whose replies did not come
// stay in c.sent: whether they were executed is not known.
func (c *client) exchange() error {
	if len(c.sent) == 0 {
		return nil
	}
	if c.load.limit != nil {
		if err := c.load.limit.WaitN(context.Background(), min(len(c.sent), maxPipeline*4)); err != nil {
			return err
		}
	}
	at, n := time.Now(), len(c.sent)
	if err := c.conn.Flush(); err != nil {
		return err
	}
	for len(c.sent) > 0 {
		reply, err := c.conn.Receive()
		if err != nil {
			return err
		}
		s := c.sent[0]
		c.sent = c.sent[1:]
		if want := s.check(reply); want != "" {
			c.load.problem("client %d, db %d: %s answered %s, want %s", c.id, c.db, show(s.args), reply, want)
		}
	}
	c.sent = nil
	c.load.answered(n, at)
	return nil
}

// piecemeal sends a transaction command by command, waiting for each reply.
func (c *client) piecemeal() error {
	steps := c.own.transaction()
	for _, s := range steps {
		c.send(s.check, s.args...)
		if err := c.exchange(); err != nil {
			c.queued = len(steps) // if it was EXEC that was lost, all of them may have been executed
			return err
		}
	}
	return nil
}

// resume connects again after the connection was lost and lets the model find out what became of the commands
// in flight. It reports false when the load has stopped or the listener stays away.
func (c *client) resume() bool {
	unknown := max(len(c.sent), c.queued)
	c.conn.Close()
	c.sent, c.queued = nil, 0
	within := c.load.cfg.ReconnectWithin
	if within == 0 {
		within = 30 * time.Second
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(within); ; {
		err := c.connect()
		if err == nil {
			err = c.own.reload(unknown)
		}
		if err == nil {
			return true
		}
		if time.Now().After(deadline) {
			c.load.problem("client %d: no connection for %v: %v", c.id, within, err)
			return false
		}
		select {
		case <-c.load.stop:
			return false
		case <-tick.C:
		}
	}
}

func (c *client) first() string {
	if len(c.sent) == 0 {
		return "none"
	}
	return show(c.sent[0].args)
}

// show is a command for a message, long arguments cut.
func show(args []string) string {
	var b strings.Builder
	for i, a := range args {
		if i == 8 {
			fmt.Fprintf(&b, " ... %d arguments", len(args))
			break
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		if len(a) > 40 {
			a = a[:40] + "..."
		}
		fmt.Fprintf(&b, "%q", a)
	}
	return b.String()
}

// The checks that most commands need.

// anything accepts every reply but an error.
func anything(r wire.Reply) string {
	if r.IsErr() {
		return "no error"
	}
	return ""
}

// unless accepts errors that begin with one of the texts: those that the state of a shared key allows.
func unless(prefixes ...string) check {
	return func(r wire.Reply) string {
		for _, p := range prefixes {
			if r.IsErr() && strings.HasPrefix(r.Str, p) {
				return ""
			}
		}
		return anything(r)
	}
}

func isOK(r wire.Reply) string {
	if r.Kind != '+' || r.Str != "OK" {
		return "+OK"
	}
	return ""
}

func isQueued(r wire.Reply) string {
	if r.Kind != '+' || r.Str != "QUEUED" {
		return "+QUEUED"
	}
	return ""
}

func isInt(r wire.Reply, want int) string {
	if r.Kind != ':' || r.Int != int64(want) {
		return strconv.Itoa(want)
	}
	return ""
}

// isText accepts the bulk string, or nil for nil.
func isText(r wire.Reply, want *string) string {
	if want == nil {
		if r.Null {
			return ""
		}
		return "nil"
	}
	if r.Kind != '$' || r.Null || r.Str != *want {
		return strconv.Quote(*want)
	}
	return ""
}
