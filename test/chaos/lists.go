package chaos

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"tandem/test/wire"
)

// lists are queues: producers push tokens, consumers take them, most of them by commands that block. A token is
// somewhere exactly once.
type lists struct {
	mu       sync.Mutex
	pushed   map[string]outcome // by token
	popped   map[string]int     // how often a client was given it
	lostPops int                // pops of unknown outcome: each may have taken one that nobody has seen
	given    [][]string         // per consumer, what it was given in this order: "queue token"
	pushes   tally
	pops     tally
	move     []string // moves from a queue to finished: a command, without the queue's name
}

const (
	listQueues    = 2
	listProducers = 2
	listConsumers = 4
)

// newLists is for servers of which the older one is such.
func newLists(older wire.Server) *lists {
	l := &lists{pushed: map[string]outcome{}, popped: map[string]int{}, given: make([][]string, listConsumers)}
	l.move = []string{"BLMOVE", "finished", "LEFT", "RIGHT", "0.5"}
	if !older.HasGetDel() {
		l.move = []string{"BRPOPLPUSH", "finished", "1"}
	}
	return l
}

func (l *lists) name() string { return "lists" }

func (l *lists) prepare(string) error { return nil }

func (l *lists) clients() (all []func(*client)) {
	for i := range listProducers {
		all = append(all, func(c *client) { l.produce(c, "p"+strconv.Itoa(i)) })
	}
	for i := range listConsumers {
		all = append(all, func(c *client) { l.consume(c, i) })
	}
	return all
}

func queueName(i int) string { return "queue:" + strconv.Itoa(i) }

func (l *lists) produce(c *client, who string) {
	for n := 0; c.going(); n++ {
		queue, t := queueName(n%listQueues), token(who, n)
		_, o := c.do("RPUSH", queue, t)
		l.mu.Lock()
		l.pushed[t] = o
		l.pushes.add(o)
		l.mu.Unlock()
		c.rest(time.Duration(c.r.IntN(60)) * time.Millisecond)
	}
}

// consume takes from all queues; every second consumer moves some to a list of what is done.
func (l *lists) consume(c *client, me int) {
	moves := me%2 == 0
	for c.going() {
		queue := queueName(c.r.IntN(listQueues))
		var reply wire.Reply
		var o outcome
		switch {
		case moves && c.r.IntN(2) == 0:
			reply, o = c.do(slices.Insert(slices.Clone(l.move), 1, queue)...)
			// It is where it was or in finished, whatever became of the reply.
			l.mu.Lock()
			l.pops.add(o)
			l.mu.Unlock()
			continue
		case c.r.IntN(3) == 0:
			reply, o = c.do("LPOP", queue)
			if !reply.Null {
				reply.Elems = []wire.Reply{{Str: queue}, reply}
			}
		default:
			reply, o = c.do("BLPOP", queue, queueName(c.r.IntN(listQueues)), "0.7")
		}
		l.mu.Lock()
		l.pops.add(o)
		switch {
		case o == unknown:
			l.lostPops++
		case o == done && len(reply.Elems) == 2:
			from, t := reply.Elems[0].Str, reply.Elems[1].Str
			l.popped[t]++
			l.given[me] = append(l.given[me], from+" "+t)
		}
		l.mu.Unlock()
		c.rest(time.Duration(c.r.IntN(40)) * time.Millisecond)
	}
}

func (l *lists) check(server *wire.Conn) (wrong []string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, consumer := range l.given {
		wrong = append(wrong, l.disorder("one consumer was given", consumer)...)
	}
	where := map[string][]string{}
	for t, n := range l.popped {
		for range n {
			where[t] = append(where[t], "given to a consumer")
		}
	}
	held := []string{"finished"}
	for i := range listQueues {
		held = append(held, queueName(i))
	}
	for _, list := range held {
		reply, err := server.Do("LRANGE", list, "0", "-1")
		if err != nil {
			return nil, fmt.Errorf("LRANGE %s: %w", list, err)
		}
		standing := []string{}
		for _, t := range reply.Strings() {
			where[t] = append(where[t], "in "+list)
			standing = append(standing, list+" "+t)
		}
		if list != "finished" { // there, several queues flow together
			wrong = append(wrong, l.disorder("the list has", standing)...)
		}
	}
	missing := []string{}
	for t, o := range l.pushed {
		switch n := len(where[t]); {
		case n > 1:
			wrong = append(wrong, fmt.Sprintf("%s is more than once: %q", t, where[t]))
		case n == 0 && o == done:
			missing = append(missing, t)
		case n == 1 && o == refused:
			wrong = append(wrong, fmt.Sprintf("%s was refused and is %s", t, where[t][0]))
		}
		delete(where, t)
	}
	for t := range where {
		wrong = append(wrong, fmt.Sprintf("%s was never pushed", t))
	}
	if len(missing) > l.lostPops {
		wrong = append(wrong, fmt.Sprintf("%d tokens are nowhere, and only %d pops have an unknown outcome: %q", len(missing), l.lostPops,
			missing[:min(len(missing), 10)]))
	}
	return wrong, nil
}

// disorder finds tokens that stand behind a later one of the same producer and queue. One whose push has an unknown
// outcome may have been pushed late.
func (l *lists) disorder(where string, tokens []string) (wrong []string) {
	last := map[string]string{}
	for _, t := range tokens {
		queue, name, _ := strings.Cut(t, " ")
		if l.pushed[name] != done {
			continue
		}
		who := queue + name[:2]
		if t <= last[who] {
			wrong = append(wrong, fmt.Sprintf("%s %s after %s", where, t, last[who]))
		}
		last[who] = t
	}
	return wrong
}

func (l *lists) summary() string { return fmt.Sprintf("pushes %v; pops %v", l.pushes, l.pops) }
