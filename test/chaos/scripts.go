package chaos

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"tandem/test/wire"
)

// scripts are Lua scripts that write more than one key: some only such as they declare, which are repeated on the
// secondary, some a key that nobody has named.
type scripts struct {
	mu       sync.Mutex
	declared map[string]outcome // by token
	named    map[string]outcome // by token, of those whose script writes a key of its own naming
	tally    tally
}

const (
	scriptLoad      = 3
	declaredScript  = `redis.call('INCR', KEYS[1]); redis.call('RPUSH', KEYS[2], ARGV[1]); return redis.call('LLEN', KEYS[2])`
	namingScript    = `redis.call('SET', 'named:' .. ARGV[1], ARGV[1]); return redis.call('INCR', KEYS[1])`
	declaredCounter = "script:declared"
	declaredList    = "script:list"
	namingCounter   = "script:naming"
)

func newScripts() *scripts {
	return &scripts{declared: map[string]outcome{}, named: map[string]outcome{}}
}

func (s *scripts) name() string { return "scripts" }

func (s *scripts) prepare(string) error { return nil }

func (s *scripts) clients() (all []func(*client)) {
	for i := range scriptLoad {
		all = append(all, func(c *client) { s.play(c, "l"+strconv.Itoa(i)) })
	}
	return all
}

func (s *scripts) play(c *client, who string) {
	for n := 0; c.going(); n++ {
		t, into := token(who, n), s.declared
		var o outcome
		if c.r.IntN(3) == 0 {
			_, o = c.do("EVAL", namingScript, "1", namingCounter, t)
			into = s.named
		} else {
			_, o = c.do("EVAL", declaredScript, "2", declaredCounter, declaredList, t)
		}
		s.mu.Lock()
		into[t] = o
		s.tally.add(o)
		s.mu.Unlock()
		c.rest(time.Duration(c.r.IntN(90)) * time.Millisecond)
	}
}

func (s *scripts) check(server *wire.Conn) (wrong []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list, err := server.Do("LRANGE", declaredList, "0", "-1")
	if err != nil {
		return nil, fmt.Errorf("LRANGE: %w", err)
	}
	last := map[string]string{}
	for _, t := range list.Strings() {
		if s.declared[t] != done {
			continue // it may have been executed late
		}
		who, _, _ := strings.Cut(t, "-")
		if t <= last[who] {
			wrong = append(wrong, fmt.Sprintf("%s stands behind %s", t, last[who]))
		}
		last[who] = t
	}
	keys, err := server.Do("KEYS", "named:*")
	if err != nil {
		return nil, fmt.Errorf("KEYS: %w", err)
	}
	for _, side := range []struct {
		what, counter string
		have          []string
		want          map[string]outcome
	}{{"in the list", declaredCounter, list.Strings(), s.declared}, {"a key", namingCounter, keys.Strings(), s.named}} {
		times := map[string]int{}
		for _, t := range side.have {
			times[strings.TrimPrefix(t, "named:")]++
		}
		for t, o := range side.want {
			switch n := times[t]; {
			case n > 1:
				wrong = append(wrong, fmt.Sprintf("%s is %s %d times", t, side.what, n))
			case n == 0 && o == done:
				wrong = append(wrong, fmt.Sprintf("%s was done and is not %s", t, side.what))
			case n == 1 && o == refused:
				wrong = append(wrong, fmt.Sprintf("%s was refused and is %s", t, side.what))
			}
		}
		reply, err := server.Do("GET", side.counter)
		if err != nil {
			return nil, fmt.Errorf("GET %s: %w", side.counter, err)
		}
		if n, _ := strconv.Atoi(reply.Str); n != len(side.have) {
			wrong = append(wrong, fmt.Sprintf("%s is %q, and %d are %s", side.counter, reply.Str, len(side.have), side.what))
		}
	}
	return wrong, nil
}

func (s *scripts) summary() string { return s.tally.String() }
