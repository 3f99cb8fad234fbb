package chaos

import (
	"fmt"
	"strconv"
	"sync"
	"time"

	"tandem/test/wire"
)

// streams is one stream with producers, and a group of consumers that wait for entries and acknowledge them.
type streams struct {
	mu        sync.Mutex
	added     map[string]outcome // by token
	ids       map[string]string  // of tokens that were answered
	delivered map[string]int     // ids that a consumer was given as new
	finished  map[string]outcome // ids whose XACK was answered
	adds      tally
	reads     tally
}

const (
	streamKey       = "events"
	streamGroup     = "workers"
	streamProducers = 2
	streamConsumers = 3
)

func newStreams() *streams {
	return &streams{added: map[string]outcome{}, ids: map[string]string{}, delivered: map[string]int{}, finished: map[string]outcome{}}
}

func (s *streams) name() string { return "streams" }

func (s *streams) prepare(source string) error {
	_, err := wire.Once(source, "XGROUP", "CREATE", streamKey, streamGroup, "$", "MKSTREAM")
	return err
}

func (s *streams) clients() (all []func(*client)) {
	for i := range streamProducers {
		all = append(all, func(c *client) { s.produce(c, "s"+strconv.Itoa(i)) })
	}
	for i := range streamConsumers {
		all = append(all, func(c *client) { s.consume(c, "consumer-"+strconv.Itoa(i)) })
	}
	return all
}

func (s *streams) produce(c *client, who string) {
	for n := 0; c.going(); n++ {
		t := token(who, n)
		reply, o := c.do("XADD", streamKey, "*", "token", t)
		s.mu.Lock()
		s.added[t] = o
		if o == done {
			s.ids[t] = reply.Str
		}
		s.adds.add(o)
		s.mu.Unlock()
		c.rest(time.Duration(c.r.IntN(60)) * time.Millisecond)
	}
}

func (s *streams) consume(c *client, who string) {
	for c.going() {
		reply, o := c.do("XREADGROUP", "GROUP", streamGroup, who, "COUNT", "3", "BLOCK", "400", "STREAMS", streamKey, ">")
		s.mu.Lock()
		s.reads.add(o)
		s.mu.Unlock()
		if o != done || reply.Null || len(reply.Elems) == 0 {
			continue
		}
		entries := reply.Elems[len(reply.Elems)-1] // RESP3: the map's value
		if c.protocol == 2 {
			entries = reply.Elems[0].Elems[1]
		}
		for _, e := range entries.Elems {
			id := e.Elems[0].Str
			s.mu.Lock()
			s.delivered[id]++
			s.mu.Unlock()
			if c.r.IntN(5) == 0 {
				continue // it stays pending
			}
			_, o := c.do("XACK", streamKey, streamGroup, id)
			s.mu.Lock()
			s.finished[id] = o
			s.mu.Unlock()
		}
	}
}

func (s *streams) check(server *wire.Conn) (wrong []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	reply, err := server.Do("XRANGE", streamKey, "-", "+")
	if err != nil {
		return nil, fmt.Errorf("XRANGE: %w", err)
	}
	times, idOf := map[string]int{}, map[string]string{}
	for _, e := range reply.Elems {
		t := e.Elems[1].Elems[1].Str
		times[t]++
		idOf[t] = e.Elems[0].Str
	}
	for t, o := range s.added {
		switch n := times[t]; {
		case n > 1:
			wrong = append(wrong, fmt.Sprintf("%s is in the stream %d times", t, n))
		case n == 0 && o == done:
			wrong = append(wrong, fmt.Sprintf("%s, added as %s, is not in the stream", t, s.ids[t]))
		case n == 1 && o == refused:
			wrong = append(wrong, fmt.Sprintf("%s was refused and is in the stream", t))
		case n == 1 && o == done && idOf[t] != s.ids[t]:
			wrong = append(wrong, fmt.Sprintf("%s was added as %s and is %s", t, s.ids[t], idOf[t]))
		}
	}
	pending := map[string]bool{}
	reply, err = server.Do("XPENDING", streamKey, streamGroup, "-", "+", "100000")
	if err != nil {
		return nil, fmt.Errorf("XPENDING: %w", err)
	}
	for _, e := range reply.Elems {
		pending[e.Elems[0].Str] = true
	}
	for id, n := range s.delivered {
		o, tried := s.finished[id]
		switch {
		case n > 1:
			wrong = append(wrong, fmt.Sprintf("entry %s was given as new %d times", id, n))
		case tried && o == done && pending[id]:
			wrong = append(wrong, fmt.Sprintf("entry %s was acknowledged and is pending", id))
		case !tried && !pending[id]:
			wrong = append(wrong, fmt.Sprintf("entry %s was given, not acknowledged, and is not pending", id))
		}
	}
	return wrong, nil
}

func (s *streams) summary() string {
	return fmt.Sprintf("added %v; reads %v, %d entries given", s.adds, s.reads, len(s.delivered))
}
