package proxy

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/resp"
)

// soaker is one client. What it owns nobody else writes.
type soaker struct {
	*soak
	id  int
	rnd *rand.Rand
	c   net.Conn
	r   *bufio.Reader

	n       int64 // its counter, as last answered
	unknown int64 // increments since then whose outcome is not known
	list    map[string]bool
	pushes  int
}

// db is the database that the client uses. The last client has one that it flushes and swaps, and owns nothing.
func (c *soaker) db() string { return []string{"0", "0", "0", "1", "0", "0", "0", "2"}[c.id] }

func (c *soaker) flushes() bool { return c.id == 7 }

// command is one that was sent, and what its reply must be like.
type command struct {
	args  []string
	check func(v resp.Value)
	// lost is called when the reply did not come.
	lost func()
}

func (c *soaker) run() {
	defer func() {
		if c.c != nil {
			_ = c.c.Close()
		}
	}()
	for !c.t.Failed() {
		select {
		case <-c.stop:
			return
		default:
		}
		if c.c != nil && len(c.doors) > 1 && c.rnd.IntN(16) == 0 {
			_ = c.c.Close() // nothing is unanswered; perhaps it goes on at the other side
			c.c = nil
		}
		if c.c == nil {
			conn, err := net.Dial("tcp", c.doors[c.rnd.IntN(len(c.doors))])
			if err != nil {
				c.t.Error(err)
				return
			}
			c.c, c.r = conn, bufio.NewReader(conn)
			_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
			if c.db() != "0" {
				c.exchange([]command{{args: []string{"SELECT", c.db()}, check: c.is("OK")}}, false)
			}
			continue
		}
		var batch []command
		for range 1 + c.rnd.IntN(12) {
			if c.rnd.IntN(6) == 0 {
				batch = append(batch, c.block()...)
			} else {
				batch = append(batch, c.one())
			}
		}
		c.exchange(batch, c.rnd.IntN(4) == 0)
	}
}

// exchange sends commands, in one piece or one by one, and checks the replies.
func (c *soaker) exchange(batch []command, apart bool) {
	var b []byte
	fail := func(at int, err error) {
		for _, cmd := range batch[at:] {
			if cmd.lost != nil {
				cmd.lost()
			}
		}
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			c.t.Errorf("client %d: no answer to %q", c.id, batch[at].args)
		}
		_ = c.c.Close()
		c.c = nil
	}
	for i, cmd := range batch {
		b = resp.AppendCommand(b, cmd.args...)
		if !apart && i < len(batch)-1 {
			continue
		}
		if _, err := c.c.Write(b); err != nil {
			fail(i*0, err) // none is answered
			return
		}
		b = b[:0]
		if apart {
			if err := c.reply(cmd); err != nil {
				fail(i, err)
				return
			}
		}
	}
	if apart {
		return
	}
	for i, cmd := range batch {
		if err := c.reply(cmd); err != nil {
			fail(i, err)
			return
		}
	}
}

func (c *soaker) reply(cmd command) error {
	var raw []byte
	var f resp.Framer
	for {
		x, err := c.r.ReadByte()
		if err != nil {
			return err
		}
		raw = append(raw, x)
		_, done, err := f.Feed(raw[len(raw)-1:])
		if err != nil {
			c.t.Errorf("client %d: %q to %q: %v", c.id, raw, cmd.args, err)
			return err
		}
		if done {
			break
		}
	}
	v, _, err := resp.Parse(raw)
	if err != nil {
		c.t.Errorf("client %d: %q to %q: %v", c.id, raw, cmd.args, err)
		return err
	}
	if strings.HasPrefix(string(v.Str), "ERR tandem") {
		c.t.Errorf("client %d: %q to %q", c.id, raw, cmd.args)
	}
	if cmd.check != nil {
		cmd.check(v)
	}
	return nil
}

func (c *soaker) is(want string) func(resp.Value) {
	return func(v resp.Value) {
		got := string(v.Str)
		if v.Kind == ':' {
			got = strconv.FormatInt(v.Int, 10)
		}
		if got != want {
			c.t.Errorf("client %d: %.100q, want %q", c.id, got, want)
		}
	}
}

// counted checks what an INCR of its counter was answered.
func (c *soaker) counted(v resp.Value) {
	if v.Kind != ':' || v.Int <= c.n || v.Int > c.n+c.unknown+1 {
		c.t.Errorf("client %d: its counter is %.100q %d after %d, with %d unknown", c.id, v.Str, v.Int, c.n, c.unknown)
	}
	c.n, c.unknown = v.Int, 0
}

// one is a random command.
func (c *soaker) one() command {
	kind := c.rnd.IntN(12)
	if c.flushes() && kind < 3 {
		flushes := [][]string{{"FLUSHDB"}, {"FLUSHDB", "ASYNC"}, {"SWAPDB", "2", "3"}, {"GET", "s1"}}
		return command{args: flushes[c.rnd.IntN(len(flushes))]}
	}
	switch kind {
	case 0, 1:
		return command{args: []string{"INCR", fmt.Sprint("own:n:", c.id)}, check: c.counted, lost: func() { c.unknown++ }}
	case 2:
		c.pushes++
		x := fmt.Sprint(c.id, ".", c.pushes)
		return command{args: []string{"RPUSH", fmt.Sprint("own:l:", c.id), x},
			check: func(v resp.Value) { c.list[x] = true }, lost: func() { c.list[x] = false }}
	case 3:
		x := fmt.Sprint("echo ", c.id, " ", c.rnd.Uint64())
		return command{args: []string{"ECHO", x}, check: c.is(x)}
	}
	return command{args: c.shared()}
}

// block is a transaction, sometimes one that must fail.
func (c *soaker) block() []command {
	queued := func(args []string) command {
		return command{args: args, check: func(v resp.Value) {
			if string(v.Str) != "QUEUED" {
				c.t.Errorf("client %d: %.100q was answered %.100q", c.id, args, v.Str)
			}
		}}
	}
	b := []command{{args: []string{"MULTI"}, check: c.is("OK")}, queued([]string{"INCR", fmt.Sprint("own:n:", c.id)})}
	if c.flushes() {
		b[1] = queued([][]string{{"FLUSHDB"}, {"SWAPDB", "2", "3"}, {"PING"}, {"ZADD", "z1"}}[c.rnd.IntN(3)])
	}
	for range c.rnd.IntN(5) {
		b = append(b, queued(c.shared()))
	}
	switch c.rnd.IntN(8) {
	case 0:
		return append(b, command{args: []string{"DISCARD"}, check: c.is("OK")})
	case 1:
		b = append(b, command{args: []string{"SET", "k"}})
		return append(b, command{args: []string{"EXEC"}, check: func(v resp.Value) {
			if !strings.HasPrefix(string(v.Str), "EXECABORT") {
				c.t.Errorf("client %d: %q", c.id, v.Str)
			}
		}})
	}
	return append(b, command{args: []string{"EXEC"}, lost: func() { c.unknown++ }, check: func(v resp.Value) {
		if len(v.Elems) == 0 {
			c.t.Errorf("client %d: EXEC was answered %q", c.id, v.Str)
			return
		}
		if !c.flushes() {
			c.counted(v.Elems[0])
		}
	}})
}

// shared is a command on keys that all use.
func (c *soaker) shared() []string {
	n := func(k int) int { return c.rnd.IntN(k) }
	key := func(kind string) string { return fmt.Sprint(kind, n(4)) }
	x := strconv.Itoa(n(20))
	choices := []func() []string{
		func() []string { return []string{"SET", key("s"), x} },
		func() []string { return []string{"SET", key("s"), x, "EX", "1000"} },
		func() []string { return []string{"SET", key("s"), x, "PX", strconv.Itoa(1 + n(40))} },
		func() []string { return []string{"SET", key("s"), x, "XX", "KEEPTTL"} },
		func() []string { return []string{"SET", key("s"), x, "NX", "GET"} },
		func() []string { return []string{"SET", key("big"), strings.Repeat(x, 1+n(40<<10))} },
		func() []string { return []string{"GET", key("big")} },
		func() []string {
			if n(8) == 0 { // more than moves a client to the bulk lane
				return []string{"SET", key("big"), strings.Repeat(x, 1<<20)}
			}
			return []string{"GETRANGE", key("big"), "0", x}
		},
		func() []string { return []string{"GETDEL", key("s")} },
		func() []string { return []string{"GETEX", key("s"), "EX", "2000"} },
		func() []string { return []string{"INCR", key("i")} },
		func() []string { return []string{"INCRBYFLOAT", key("f"), "0.5"} },
		func() []string { return []string{"APPEND", key("a"), x} },
		func() []string { return []string{"SETRANGE", key("a"), strconv.Itoa(n(50)), x} },
		func() []string { return []string{"DEL", key("a"), key("s")} },
		func() []string { return []string{"MSET", key("s"), x, key("i"), x} },
		func() []string { return []string{"MSETNX", key("s"), x, key("i"), x} },
		func() []string { return []string{"EXPIRE", key("l"), "3000"} },
		func() []string { return []string{"PEXPIRE", key("l"), strconv.Itoa(1 + n(40))} },
		func() []string { return []string{"PERSIST", key("l")} },
		func() []string { return []string{"LPUSH", key("l"), x, "y"} },
		func() []string { return []string{"RPOP", key("l")} },
		func() []string { return []string{"LPOP", key("l"), "3"} },
		func() []string { return []string{"LMOVE", key("l"), key("l"), "LEFT", "RIGHT"} },
		func() []string { return []string{"LREM", key("l"), "1", x} },
		func() []string { return []string{"SADD", key("t"), x, "a"} },
		func() []string { return []string{"SPOP", key("t"), "2"} },
		func() []string { return []string{"SMOVE", key("t"), key("t"), x} },
		func() []string { return []string{"SUNIONSTORE", key("t"), key("t"), key("t")} },
		func() []string { return []string{"HSET", key("h"), x, x} },
		func() []string { return []string{"HINCRBY", key("h"), "n", x} },
		func() []string { return []string{"HDEL", key("h"), x} },
		func() []string { return []string{"ZADD", key("z"), x, x} },
		func() []string { return []string{"ZINCRBY", key("z"), "1.5", x} },
		func() []string { return []string{"ZPOPMIN", key("z")} },
		func() []string { return []string{"ZUNIONSTORE", key("z"), "2", key("z"), key("z")} },
		func() []string { return []string{"XADD", key("x"), "*", "f", x} },
		func() []string { return []string{"XTRIM", key("x"), "MAXLEN", "10"} },
		func() []string { return []string{"RENAME", key("s"), key("s")} },
		func() []string { return []string{"COPY", key("l"), key("l"), "REPLACE"} },
		func() []string { return []string{"SORT", key("t"), "ALPHA", "STORE", key("l")} },
		func() []string { return []string{"MOVE", key("i"), strconv.Itoa(n(4))} },
		func() []string { return []string{"COPY", key("z"), key("z"), "DB", strconv.Itoa(n(4)), "REPLACE"} },
		func() []string { return []string{"LRANGE", key("l"), "0", "-1"} },
		func() []string { return []string{"SCAN", "0", "COUNT", "100"} },
		func() []string { return []string{"INCR", key("l")} },
	}
	return choices[n(len(choices))]()
}

// audit compares what the client was told with what both servers hold.
func (c *soaker) audit() {
	if c.flushes() {
		return
	}
	for _, server := range []*redisd.Server{c.source, c.target} {
		w := dial(c.t, server.Addr)
		w.ask("SELECT", c.db())
		n, _ := strconv.ParseInt(string(w.ask("GET", fmt.Sprint("own:n:", c.id)).Str), 10, 64)
		if n < c.n || n > c.n+c.unknown {
			c.t.Errorf("client %d: its counter is %d on %s, it was told %d, with %d unknown", c.id, n, server.Addr, c.n, c.unknown)
		}
		seen := map[string]int{}
		for _, x := range texts(w.ask("LRANGE", fmt.Sprint("own:l:", c.id), "0", "-1")) {
			if seen[x]++; seen[x] > 1 {
				c.t.Errorf("client %d: %s was pushed twice", c.id, x)
			}
			if _, sent := c.list[x]; !sent {
				c.t.Errorf("client %d: %s was never pushed", c.id, x)
			}
		}
		for x, acknowledged := range c.list {
			if acknowledged && seen[x] == 0 {
				c.t.Errorf("client %d: %s was acknowledged and is not there", c.id, x)
			}
		}
		_ = w.Close()
	}
}
