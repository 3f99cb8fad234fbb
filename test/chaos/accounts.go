package chaos

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"tandem/test/wire"
)

// accounts are balances between which transactions move money, each with a line in a journal. A transaction is
// executed whole or not at all: the sum stays, and the balances are what the journal says.
type accounts struct {
	mu     sync.Mutex
	wanted map[string]outcome // by line of the journal
	tally  tally
	denied int // by WATCH
}

const (
	accountCount   = 5
	accountBalance = 1000
	accountLoad    = 4
	journalKey     = "journal"
)

func newAccounts() *accounts { return &accounts{wanted: map[string]outcome{}} }

func (a *accounts) name() string { return "accounts" }

func accountName(i int) string { return "account:" + strconv.Itoa(i) }

func (a *accounts) prepare(source string) error {
	command := []string{"MSET"}
	for i := range accountCount {
		command = append(command, accountName(i), strconv.Itoa(accountBalance))
	}
	_, err := wire.Once(source, command...)
	return err
}

func (a *accounts) clients() (all []func(*client)) {
	for i := range accountLoad {
		all = append(all, func(c *client) { a.play(c, "a"+strconv.Itoa(i)) })
	}
	return all
}

func (a *accounts) play(c *client, who string) {
	for n := 0; c.going(); n++ {
		from := c.r.IntN(accountCount)
		to := (from + 1 + c.r.IntN(accountCount-1)) % accountCount
		amount := 1 + c.r.IntN(20)
		line := fmt.Sprintf("%s %d %d %d", token(who, n), from, to, amount)
		var o outcome
		var reply wire.Reply
		switch c.r.IntN(3) {
		case 0: // by what was read
			reply, o = a.watched(c, from, to, amount, line)
		default:
			reply, o = c.transaction(c.r.IntN(2) == 0,
				[]string{"DECRBY", accountName(from), strconv.Itoa(amount)},
				[]string{"INCRBY", accountName(to), strconv.Itoa(amount)},
				[]string{"RPUSH", journalKey, line})
		}
		a.mu.Lock()
		if o == done && reply.Null {
			a.denied++
			o = refused
		}
		a.wanted[line] = o
		a.tally.add(o)
		a.mu.Unlock()
		c.rest(time.Duration(c.r.IntN(60)) * time.Millisecond)
	}
}

// watched reads both balances and writes what they become, unless somebody else has.
func (a *accounts) watched(c *client, from, to, amount int, line string) (wire.Reply, outcome) {
	if _, o := c.do("WATCH", accountName(from), accountName(to)); o != done {
		return wire.Reply{}, refused
	}
	watched := c.connections
	balances, o := c.do("MGET", accountName(from), accountName(to))
	if o != done || c.connections != watched {
		c.drop()
		return wire.Reply{}, refused
	}
	var now [2]int
	for i, text := range balances.Strings() {
		now[i], _ = strconv.Atoi(text) // one that is missing shows in the sum
	}
	return c.transaction(true,
		[]string{"SET", accountName(from), strconv.Itoa(now[0] - amount)},
		[]string{"SET", accountName(to), strconv.Itoa(now[1] + amount)},
		[]string{"RPUSH", journalKey, line})
}

func (a *accounts) check(server *wire.Conn) (wrong []string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	journal, err := server.Do("LRANGE", journalKey, "0", "-1")
	if err != nil {
		return nil, fmt.Errorf("LRANGE: %w", err)
	}
	var want [accountCount]int
	for i := range want {
		want[i] = accountBalance
	}
	times := map[string]int{}
	for _, line := range journal.Strings() {
		times[line]++
		var who string
		var from, to, amount int
		if _, err := fmt.Sscanf(strings.ReplaceAll(line, "-", "_"), "%s %d %d %d", &who, &from, &to, &amount); err != nil {
			wrong = append(wrong, fmt.Sprintf("the journal has a line %q", line))
			continue
		}
		want[from] -= amount
		want[to] += amount
	}
	for line, o := range a.wanted {
		switch n := times[line]; {
		case n > 1:
			wrong = append(wrong, fmt.Sprintf("%q is in the journal %d times", line, n))
		case n == 0 && o == done:
			wrong = append(wrong, fmt.Sprintf("%q was done and is not in the journal", line))
		case n == 1 && o == refused:
			wrong = append(wrong, fmt.Sprintf("%q was refused and is in the journal", line))
		}
	}
	for i := range want {
		reply, err := server.Do("GET", accountName(i))
		if err != nil {
			return nil, fmt.Errorf("GET %s: %w", accountName(i), err)
		}
		if reply.Str != strconv.Itoa(want[i]) {
			wrong = append(wrong, fmt.Sprintf("%s has %q, the journal makes it %d", accountName(i), reply.Str, want[i]))
		}
	}
	return wrong, nil
}

func (a *accounts) summary() string {
	return fmt.Sprintf("transactions %v, of these %d denied by WATCH", a.tally, a.denied)
}
