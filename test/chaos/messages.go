package chaos

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"tandem/test/wire"
)

// messages are publishers and subscribers. A message may be lost with a connection, and is never heard twice by a
// subscriber, nor before an older one of the same publisher.
type messages struct {
	mu        sync.Mutex
	published map[string]outcome // by token
	tally     tally
	heard     [][2]string // what a subscriber heard, and what it had heard before of the same publisher
}

const (
	channelName = "news"
	publishers  = 2
)

func newMessages() *messages { return &messages{published: map[string]outcome{}} }

func (m *messages) name() string { return "messages" }

func (m *messages) prepare(string) error { return nil }

func (m *messages) clients() (all []func(*client)) {
	for i := range publishers {
		all = append(all, func(c *client) { m.publish(c, "m"+strconv.Itoa(i)) })
	}
	return append(all,
		func(c *client) { m.listen(c, "SUBSCRIBE", channelName) },
		func(c *client) { m.listen(c, "PSUBSCRIBE", channelName[:2]+"*") })
}

func (m *messages) publish(c *client, who string) {
	for n := 0; c.going(); n++ {
		t := token(who, n)
		_, o := c.do("PUBLISH", channelName, t)
		m.mu.Lock()
		m.published[t] = o
		m.tally.add(o)
		m.mu.Unlock()
		c.rest(time.Duration(c.r.IntN(60)) * time.Millisecond)
	}
}

// listen hears what comes. The connection's end is all that ends it, so somebody has to close it when the run does.
func (m *messages) listen(c *client, command, channel string) {
	last := map[string]string{} // by publisher
	for c.going() {
		if !c.connected() {
			continue
		}
		conn := c.conn
		over := make(chan struct{})
		go func() {
			select {
			case <-c.stop:
				conn.Close()
			case <-over:
			}
		}()
		conn.Send(command, channel)
		err := conn.Flush()
		for err == nil {
			var reply wire.Reply
			if reply, err = conn.Receive(); err == nil {
				m.hear(reply, last)
				err = conn.Flush() // nothing to write: it sets the deadline of the next message
			}
		}
		close(over)
		c.drop()
	}
}

func (m *messages) hear(reply wire.Reply, last map[string]string) {
	if n := len(reply.Elems); n < 3 || !strings.HasSuffix(reply.Elems[0].Str, "message") {
		return
	}
	t := reply.Elems[len(reply.Elems)-1].Str
	who, _, _ := strings.Cut(t, "-")
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heard = append(m.heard, [2]string{t, last[who]})
	last[who] = t
}

func (m *messages) check(*wire.Conn) (wrong []string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range m.heard {
		// One of unknown outcome may have been published late.
		if t, before := h[0], h[1]; t == before || t < before && m.published[t] == done {
			wrong = append(wrong, fmt.Sprintf("%s was heard after %s", t, before))
		}
	}
	if len(m.heard) == 0 {
		wrong = append(wrong, "no message was heard")
	}
	return wrong, nil
}

func (m *messages) summary() string {
	return fmt.Sprintf("published %v; %d heard", m.tally, len(m.heard))
}
