package conformance

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"tandem/test/wire"
)

// turns is how many a conversation has, and longest how many requests one mostly has at most; a long one has more.
const turns, longest, longTurn = 60, 4, 40

// talkers are the sessions that say anything. One, who opens no transaction, does what others wait for; one waits; one
// subscribes.
var talkers = []string{"a", "b", "c"}

const orderly, waiter, subscriber = "d", "w", "s"

// conversation is a scenario in the making.
type conversation struct {
	*Generator
	r *rand.Rand
	s *Scenario
	// protocol is that of each session; queueing are those within MULTI.
	protocol map[string]int
	queueing map[string]bool
	// scripted: some requests are made by scripts. Not always, for the proxy is slower behind the first.
	scripted bool
	// limited is who has few rights, empty if nobody has.
	limited string
	// fresh numbers keys that nothing else touches.
	fresh int
	// serve is the line that ends the wait of the waiter; empty when it does not wait.
	serve string
	// channels are those that the subscriber hears, patterns with their *.
	channels []string
}

// Scenario makes the conversation of a seed.
func (g *Generator) Scenario(seed uint64) *Scenario {
	c := &conversation{Generator: g, r: rand.New(rand.NewPCG(seed, 1)), protocol: map[string]int{}, queueing: map[string]bool{}}
	c.s = &Scenario{File: "found", Name: fmt.Sprintf("seed %d", seed), Alone: true}
	for _, name := range append([]string{orderly, waiter, subscriber}, talkers...) {
		c.protocol[name] = 2 + c.r.IntN(2)
	}
	c.scripted = c.r.IntN(3) == 0
	if !g.Wild && !g.Switches && c.r.IntN(4) == 0 {
		c.restricted("u" + strconv.FormatUint(seed, 10))
	}
	for n := range turns {
		if g.Crowded && n == turns/3 {
			c.begins()
		}
		c.turn()
	}
	if c.serve != "" {
		c.served()
	}
	return c.s
}

// begins is where the migration does, and with it all connections: what is before is on the source.
func (c *conversation) begins() {
	if c.serve != "" {
		c.served()
	}
	clear(c.queueing)
	c.channels = nil
	c.s.Given = len(c.s.Steps)
}

// add appends a step of a session and writes its line.
func (c *conversation) add(session string, step Step) {
	step.Session, step.Protocol = session, c.protocol[session]
	step.Line = step.text()
	c.s.Steps = append(c.s.Steps, step)
}

// ask appends one request.
func (c *conversation) ask(session string, mark Mark, command ...string) {
	c.add(session, Step{Action: Ask, Mark: mark, Commands: [][]string{command}})
}

// turn is what one session does next.
func (c *conversation) turn() {
	n := c.r.IntN(100)
	switch {
	case n < 3:
		c.leave(c.talker())
	case n < 6:
		c.unanswered(c.talker())
	case n < 8 && c.Switches:
		c.s.Steps = append(c.s.Steps, Step{Action: Switch, Line: "switch"})
	case n >= 16 || c.Wild:
		c.say(c.talker())
	case n < 10:
		c.expire()
	case n < 13:
		c.message()
	case c.serve == "":
		c.wait()
	default:
		c.served()
	}
}

func (c *conversation) talker() string { return talkers[c.r.IntN(len(talkers))] }

// say sends requests in one piece.
func (c *conversation) say(session string) {
	step := Step{Action: Ask}
	n := 1 + c.r.IntN(longest)*c.r.IntN(2)
	if c.r.IntN(30) == 0 {
		n = 1 + c.r.IntN(longTurn)
	}
	for len(step.Commands) < n {
		command, mark := c.command()
		if c.queueing[session] && slices.Contains(notQueued, command[0]) {
			continue
		}
		if len(step.Commands) == 0 {
			step.Mark = mark
		} else if mark != step.Mark && !c.Wild {
			break
		}
		step.Commands = append(step.Commands, command)
		switch command[0] {
		case "MULTI":
			c.queueing[session] = true
		case "EXEC", "DISCARD":
			c.queueing[session] = false
		}
	}
	c.add(session, step)
}

// leave ends a connection, in whatever state it is; the session comes again.
func (c *conversation) leave(session string) {
	last := slices.IndexFunc(c.s.Steps[c.s.Given:], func(s Step) bool { return s.Session == session })
	if last < 0 {
		return // it has not come
	}
	c.add(session, Step{Action: Close})
	c.queueing[session] = false
}

// notUnanswered are commands that change the state of a session, or wait: Redis 6.0 answers who has waited all the same.
var notUnanswered = strings.Fields("MULTI EXEC DISCARD BLPOP BRPOP BLMOVE BRPOPLPUSH BLMPOP BZPOPMIN BZPOPMAX BZMPOP")

// unanswered sends requests that want no reply.
func (c *conversation) unanswered(session string) {
	if c.queueing[session] || c.limited == session { // who may not say so is answered
		return
	}
	var b []byte
	on := c.r.IntN(2) == 0
	if on {
		b = wire.AppendCommand(b, "CLIENT", "REPLY", "OFF")
	} else {
		b = wire.AppendCommand(b, "CLIENT", "REPLY", "SKIP")
	}
	command, _ := c.command()
	for slices.Contains(notUnanswered, command[0]) || slices.Contains(notQueued, command[0]) || slices.Contains(command, "BLOCK") {
		command, _ = c.command()
	}
	b = wire.AppendCommand(b, command...)
	if on {
		b = wire.AppendCommand(b, "CLIENT", "REPLY", "ON")
	} else {
		b = wire.AppendCommand(b, "PING")
	}
	c.add(session, Step{Action: Raw, Text: string(b)})
	c.add(session, Step{Action: Receive}) // what comes next in other sessions comes behind it
}

// expire lets a key's time run out.
func (c *conversation) expire() {
	key := c.key(groups[c.r.IntN(len(groups))])
	c.ask(orderly, Exact, "PEXPIRE", key, "1")
	c.add(orderly, Step{Action: Until, Text: ":0", Commands: [][]string{{"EXISTS", key}}})
}

// message subscribes, or has something published to those who do.
func (c *conversation) message() {
	channels := []string{"random:1", "random:2", "random:*", "r*"}
	channel := channels[c.r.IntN(len(channels))]
	kind := ""
	if strings.HasSuffix(channel, "*") {
		kind = "P"
	}
	at := slices.Index(c.channels, channel)
	switch n := c.r.IntN(4); {
	case n == 0 && at >= 0:
		c.ask(subscriber, Exact, kind+"UNSUBSCRIBE", channel)
		c.channels = slices.Delete(c.channels, at, at+1)
	case n < 2 && at < 0:
		c.ask(subscriber, Exact, kind+"SUBSCRIBE", channel)
		c.channels = append(c.channels, channel)
	default:
		name := channels[c.r.IntN(2)]
		switch c.r.IntN(3) {
		case 0:
			c.add(orderly, Step{Action: Ask, Commands: [][]string{{"MULTI"}, {"PUBLISH", name, "x"}, {"EXEC"}}})
		case 1:
			c.ask(orderly, Exact, "EVAL", "return redis.call('PUBLISH', ARGV[1], 'x')", "0", name)
		default:
			c.ask(orderly, Exact, "PUBLISH", name, strconv.Itoa(c.fresh))
		}
		c.hear(name)
	}
}

// hear receives what was published to a channel: as its subscriber first, and by patterns in no order.
func (c *conversation) hear(channel string) {
	mark, patterns := Exact, slices.DeleteFunc(slices.Clone(c.channels), func(ch string) bool { return !strings.HasSuffix(ch, "*") })
	if slices.Contains(c.channels, channel) {
		c.add(subscriber, Step{Action: Receive})
	}
	if len(patterns) > 1 {
		mark = Shape
	}
	for range patterns {
		c.add(subscriber, Step{Action: Receive, Mark: mark})
	}
}

// waits are commands that wait for KEY, and what serves them. DST is a key of the same freshness.
var waits = []struct{ command, serve string }{
	{"BLPOP KEY 0", "RPUSH KEY x"}, {"BRPOP KEY 0", "LPUSH KEY x y"}, {"BLPOP KEY other 0", "RPUSH KEY x"},
	{"BLPOP KEY 0", "MULTI | RPUSH KEY x y | LPUSH KEY z | EXEC"}, {"BRPOPLPUSH KEY DST 0", "RPUSH KEY x y"},
	{"BLMOVE KEY DST LEFT RIGHT 0", "RPUSH KEY x y"}, {"BLMPOP 0 1 KEY LEFT COUNT 2", "RPUSH KEY 1 2 3"},
	{"BLPOP KEY 0", `EVAL "return redis.call('RPUSH', KEYS[1], 'x', 'y')" 1 KEY`},
	{"BLPOP KEY 0", `EVAL "return redis.call('RPUSH', ARGV[1], 'x')" 0 KEY`},
	{"BLPOP KEY 0", "MULTI | RPUSH DST x y | RENAME DST KEY | EXEC"},
	{"BZPOPMIN KEY 0", "ZADD KEY 1 a 2 b"}, {"BZPOPMAX KEY 0", "ZADD KEY 1 a"}, {"BZMPOP 0 1 KEY MAX", "ZADD KEY 1 a 2 b"},
	{"XREAD BLOCK 0 STREAMS KEY $", "XADD KEY 1-1 f v"}, {"XREAD BLOCK 0 STREAMS KEY 0", "XADD KEY 1-1 f v"},
	{"BLPOP KEY 0", "CLIENT UNBLOCK $wid ERROR"}, {"XREAD BLOCK 0 STREAMS KEY $", "CLIENT UNBLOCK $wid"},
}

// wait has the waiter wait for a key that nobody else has.
func (c *conversation) wait() {
	w := waits[c.r.IntN(len(waits))]
	c.fresh++
	key := strings.NewReplacer("KEYS", "KEYS", "KEY", fmt.Sprintf("wait:%d", c.fresh), "DST", fmt.Sprintf("got:%d", c.fresh))
	command := strings.Fields(key.Replace(w.command))
	if !c.Knows(command[0]) {
		return
	}
	c.serve = key.Replace(w.serve)
	if strings.Contains(w.serve, "$wid") {
		// The id is another each time, so the name is, too.
		name := fmt.Sprintf("wid%d", c.fresh)
		c.serve = strings.ReplaceAll(c.serve, "wid", name)
		c.add(waiter, Step{Action: Ask, Mark: Type, Capture: name, Commands: [][]string{{"CLIENT", "ID"}}})
	}
	c.add(waiter, Step{Action: Block, Commands: [][]string{command}})
}

// served is the end of the wait.
func (c *conversation) served() {
	step, err := parseStep(c.serve)
	if err != nil {
		panic(err) // the texts of waits are no lines
	}
	c.add(orderly, Step{Action: Ask, Commands: step.Commands})
	c.add(waiter, Step{Action: Receive})
	c.serve = ""
}

// rules are what a user may be given.
var rules = strings.Fields("+@all +@all -@all +@read +@write +@string +@list +@connection +@transaction +@scripting +@blocking -@dangerous " +
	"-set -get +get -incr -multi -exec -select -watch -eval +select +ping -ping -client +client|getname allkeys ~strings:* ~lists:* " +
	"~sets:1 ~a ~streams:* %R~hashes:* %W~zsets:* %RW~lists:1 (+get~sets:*) allchannels &random:1 -publish")

// restricted has a talker be a user with few rights. Nothing but a new connection makes it another again.
func (c *conversation) restricted(user string) {
	command := []string{"ACL", "SETUSER", user, "on", ">secret"}
	for range 2 + c.r.IntN(6) {
		command = append(command, strings.ReplaceAll(rules[c.r.IntN(len(rules))], "+get~", "+get ~"))
	}
	c.limited = talkers[2]
	c.ask(orderly, Exact, command...)
	c.ask(c.limited, Exact, "AUTH", user, "secret")
}

func (c *conversation) key(group string) string { return fmt.Sprintf("%s:%d", group, 1+c.r.IntN(2)) }

// command is a random request.
func (c *conversation) command() ([]string, Mark) {
	t := c.templates[c.r.IntN(len(c.templates))]
	for c.Switches && t.row == "WATCH" || c.Crowded && slices.Contains(ofAll, t.row) {
		t = c.templates[c.r.IntN(len(c.templates))]
	}
	command := slices.Clone(t.args)
	if c.r.IntN(4) == 0 && t.group != "own" { // an argument of another request of the command
		other := c.templates[c.byRow[t.row][c.r.IntN(len(c.byRow[t.row]))]]
		i := 1 + c.r.IntN(max(len(command)-1, 1))
		if i < len(command) && i < len(other.args) {
			command[i] = other.args[i]
		}
	}
	group := t.group
	if group == "generic" || group == "expiry" || group == "own" || c.r.IntN(5) == 0 {
		group = groups[c.r.IntN(len(groups))]
	}
	var keys []string
	for _, k := range t.keys {
		if t.group != "own" || c.r.IntN(2) == 0 {
			command[k] = c.key(group)
		}
		keys = append(keys, command[k])
	}
	switch n := c.r.IntN(40); {
	case t.group == "own":
	case n == 0:
		command = append(command, "bogus")
	case n == 1 && len(command) > 1:
		command = command[:len(command)-1]
	case n == 2:
		command[0] = strings.ToLower(command[0])
	case n < 8 && c.scripted:
		return c.inScript(command, keys), t.mark
	}
	return command, t.mark
}

// calls are what carries out the request in its arguments: scripts, and a function, that those who play have loaded.
// What follows a call in the last ones is written or not as the call succeeds.
var calls = []string{
	`EVAL "return redis.call(unpack(ARGV))"`, `EVAL "return redis.call(unpack(ARGV))"`, `EVAL "return redis.pcall(unpack(ARGV))"`,
	"EVALSHA " + callSHA, "FCALL random_call",
	`EVAL "local r = redis.pcall(unpack(ARGV)) redis.call('INCR', 'strings:2') return r"`,
	`EVAL "redis.call('RPUSH', 'lists:2', 'before') return redis.call(unpack(ARGV))"`,
	`EVAL "redis.call(unpack(ARGV)) return redis.error_reply('MY error')"`,
}

// callScript and callLibrary are loaded before the conversations; callSHA is the digest of the script.
const (
	callScript  = "return redis.call(unpack(ARGV))"
	callSHA     = "3c44b7a40779a5c68a6e3920550ff76660a813aa"
	callLibrary = "#!lua name=random\nredis.register_function('random_call', function(keys, args) return redis.call(unpack(args)) end)"
)

// inScript has a script carry out a request, with its keys declared, or not.
func (c *conversation) inScript(command, keys []string) []string {
	words, err := split(calls[c.r.IntN(len(calls))])
	if err != nil {
		panic(err) // the texts of calls are no lines
	}
	call := texts(words)
	if c.r.IntN(2) == 0 {
		keys = nil
	}
	call = append(append(call, strconv.Itoa(len(keys))), keys...)
	return append(call, command...)
}
