package chaos

import (
	"fmt"
	"strconv"
	"sync"
	"time"

	"tandem/test/wire"
)

// caches are clients that keep what they have read until they are told that it has changed (CLIENT TRACKING), and others who
// change it. In the end, what is still kept is what both servers hold.
type caches struct {
	writers sync.WaitGroup

	mu      sync.Mutex
	written map[string]outcome // by value
	writes  tally
	told    int                 // how many keys they were told of
	kept    []map[string]string // by reader: at the end, by key; empty for one that is missing
}

const (
	cacheKeys    = 12
	cacheWriters = 2
)

func newCaches() *caches { return &caches{written: map[string]outcome{}} }

func (s *caches) name() string { return "caches" }

func (s *caches) prepare(string) error { return nil }

func (s *caches) clients() (all []func(*client)) {
	for i := range cacheWriters {
		s.writers.Add(1)
		all = append(all, func(c *client) {
			defer s.writers.Done()
			s.write(c, "k"+strconv.Itoa(i))
		})
	}
	return append(all,
		func(c *client) { s.read(c, "CLIENT", "TRACKING", "ON") },
		func(c *client) { s.read(c, "CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "cache:") })
}

func (s *caches) write(c *client, who string) {
	for n := 0; c.going(); n++ {
		t, key := token(who, n), "cache:"+strconv.Itoa(c.r.IntN(cacheKeys))
		var o outcome
		if c.r.IntN(4) == 0 {
			_, o = c.do("DEL", key)
			t = "" // no key: one of unknown outcome makes all those uncertain
		} else {
			_, o = c.do("SET", key, t)
		}
		s.mu.Lock()
		if s.written[t] != unknown {
			s.written[t] = o
		}
		s.writes.add(o)
		s.mu.Unlock()
		c.rest(time.Duration(c.r.IntN(80)) * time.Millisecond)
	}
}

// read keeps values, on one connection after the other, until the writers have ended.
func (s *caches) read(c *client, tracking ...string) {
	c.protocol = 3
	kept := map[string]string{}
	for c.going() {
		if c.conn == nil {
			clear(kept)
			if _, o := c.do(tracking...); o != done {
				c.drop()
				continue
			}
		}
		key := "cache:" + strconv.Itoa(c.r.IntN(cacheKeys))
		if _, known := kept[key]; known {
			s.ask(c, kept, "PING") // to be told
		} else if value, alive := s.ask(c, kept, "GET", key); alive && !value.IsErr() {
			kept[key] = value.Str
		}
		c.rest(time.Duration(c.r.IntN(10)) * time.Millisecond)
	}
	s.writers.Wait()
	// What was said of the last write stands before the answer to what is asked after it.
	if c.conn == nil {
		return
	}
	if _, alive := s.ask(c, kept, "PING"); alive {
		s.mu.Lock()
		s.kept = append(s.kept, kept)
		s.mu.Unlock()
	}
}

// ask sends a command, and forgets what it is told to forget until the answer comes.
func (s *caches) ask(c *client, kept map[string]string, args ...string) (reply wire.Reply, alive bool) {
	c.conn.Send(args...)
	err := c.conn.Flush()
	for err == nil {
		if reply, err = c.conn.Receive(); err != nil {
			break
		}
		if reply.IsErr() {
			c.note(reply.Str)
		}
		if reply.Kind != '>' {
			return reply, true
		}
		if len(reply.Elems) != 2 || reply.Elems[0].Str != "invalidate" {
			continue
		}
		if reply.Elems[1].Null {
			clear(kept)
		}
		for _, key := range reply.Elems[1].Strings() {
			delete(kept, key)
		}
		s.mu.Lock()
		s.told++
		s.mu.Unlock()
	}
	c.drop()
	return wire.Reply{}, false
}

func (s *caches) check(server *wire.Conn) (wrong []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, kept := range s.kept {
		for key, value := range kept {
			reply, err := server.Do("GET", key)
			if err != nil {
				return nil, fmt.Errorf("GET %s: %w", key, err)
			}
			if reply.Str != value && s.written[reply.Str] != unknown { // which may have been executed later
				wrong = append(wrong, fmt.Sprintf("%s is %q, and a client that would have been told of it kept %q", key, reply.Str, value))
			}
		}
	}
	if s.told == 0 {
		wrong = append(wrong, "no client that keeps what it has read was told of a change")
	}
	return wrong, nil
}

func (s *caches) summary() string {
	n := 0
	for _, kept := range s.kept {
		n += len(kept)
	}
	return fmt.Sprintf("writes %v; told of %d changes; %d values kept to the end", s.writes, s.told, n)
}
