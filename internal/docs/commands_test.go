package docs

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/redcon"

	"tandem/internal/resp"
	"tandem/router"
)

// What the page says around the tables.
const (
	commandsIntro = `<!-- Generated from router by: go generate ./internal/docs -->
# Redis commands

What this version does with each command of Redis up to 8 and Valkey up to 9. Nothing is passed on unseen: a
command that is in none of the lists is answered ` + "`-ERR tandem: unknown command ...`" + `.

- [Reads](#reads) go to the primary as they are.
- [Writes](#writes) go to the primary as they are; their effect goes to the secondary.
- [Transactions](#transactions): MULTI, EXEC and DISCARD.
- [Answered by Tandem](#answered-by-tandem): what concerns the client's connection.
- [Refused](#refused): answered with an error that names the command and the reason.

A command that the primary's version does not know is answered by the primary, as without Tandem.
`
	readsIntro = `
## Reads

Sent to the primary, and its reply handed on byte for byte. What they say of the server (INFO, CONFIG GET, SLOWLOG,
...) is of the primary: of the source before a cutover, of the target after it. After a cutover a SCAN, HSCAN, SSCAN or
ZSCAN that was begun before starts over: it may return keys again and misses none.

`
	writesIntro = `
## Writes

The primary executes the request as it is and answers it. From that reply Tandem makes the effect: what has the same
outcome on the secondary whatever its clock, its random numbers and its hash tables say. Where a relative expiry or an
approximate trimming leaves open what exactly came of it, a read travels directly behind the command, and only Tandem
sees its reply (` + "`PEXPIRETIME`" + ` in the table).

- **the same**: the request itself.
- **a copy**: the key is read from the primary, and restored on the secondary.
- **nothing**: the reply says that nothing changed.

A key that is not known to be equal on both servers is always copied, never changed by an effect that builds on what
is there. If the secondary is an older version that does not know a command or an option, its effect is written in an
older form, or the key is copied. A write that the primary answers with an error has no effect.

The examples are made by the code that serves; other forms of a command follow the same rule.

| request | answered | what reaches the secondary |
|---|---|---|
`
	transactionsIntro = `
## Transactions

MULTI, EXEC and DISCARD. QUEUED, errors and EXECABORT are the primary's own. All writes of a transaction reach the secondary
in one MULTI ... EXEC, or all its keys are copied. Reads, writes, PING and ECHO can be queued. A command that Tandem refuses
makes EXEC answer EXECABORT. WATCH is refused, so there is no optimistic locking yet.
`
	sessionIntro = `
## Answered by Tandem

| command | answer |
|---|---|
`
	refusedIntro = `
## Refused

The error is ` + "`-ERR tandem: BLPOP is not supported: it may block ...`" + `, with the command and the reason. The connection
stays open. A subcommand that is not listed on this page is refused too.

| reason | commands |
|---|---|
`
)

// sessionNotes says what Tandem answers itself.
var sessionNotes = map[string]string{
	"PING":            "PONG, or the message",
	"ECHO":            "the message",
	"HELLO":           "RESP2 only: `HELLO 3` is answered NOPROTO, as by a server without RESP3; set the client to RESP2 if it does not go on with that by itself. AUTH in it is refused",
	"AUTH":            "refused: clients have no password of their own yet, so connect without one",
	"SELECT":          "chooses the database, if the primary has it",
	"QUIT":            "OK, once everything before it is answered; then the connection ends",
	"RESET":           "RESET: database 0, no name, no transaction",
	"CLIENT SETNAME":  "OK; the name is the session's and does not reach the servers",
	"CLIENT GETNAME":  "the session's name",
	"CLIENT SETINFO":  "OK; for CLIENT INFO",
	"CLIENT ID":       "the number of the connection to Tandem",
	"CLIENT INFO":     "the connection to Tandem",
	"CLIENT NO-EVICT": "OK, without effect",
	"CLIENT NO-TOUCH": "OK, without effect",
}

// refusedForms are options that a command is refused with, as requests.
var refusedForms = []string{"XREAD BLOCK 0 STREAMS s $", "XREADGROUP GROUP g c BLOCK 0 STREAMS s >"}

// TestRedisCommandsReference keeps docs/reference/redis-commands.md and the command table together.
func TestRedisCommandsReference(t *testing.T) {
	byClass := map[router.Class][]*router.Command{}
	for _, c := range router.All() {
		byClass[c.Class] = append(byClass[c.Class], c)
	}
	var b strings.Builder
	b.WriteString(commandsIntro)
	b.WriteString(readsIntro)
	b.WriteString(wrap(list(byClass[router.Read]), 110))
	b.WriteString(writesIntro)
	b.WriteString(effectRows(t, slices.Concat(byClass[router.Write], byClass[router.Barrier])))
	b.WriteString(transactionsIntro)
	b.WriteString(sessionIntro)
	for _, c := range byClass[router.Session] {
		if sessionNotes[c.Name] == "" {
			t.Errorf("what %s is answered is not said", c.Name)
		}
		fmt.Fprintf(&b, "| %s | %s |\n", c.Name, sessionNotes[c.Name])
	}
	if got := list(byClass[router.Transaction]); got != "DISCARD, EXEC, MULTI" {
		t.Errorf("transactions are %s", got)
	}
	b.WriteString(refusedIntro)
	b.WriteString(refusals(t, byClass[router.Refused]))
	generated(t, "docs/reference/redis-commands.md", b.String())
}

// list names commands.
func list(commands []*router.Command) string {
	names := make([]string, len(commands))
	for i, c := range commands {
		names[i] = c.Name
	}
	return strings.Join(names, ", ")
}

// wrap breaks a text at spaces.
func wrap(text string, width int) string {
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(text) {
		switch {
		case column == 0:
		case column+1+len(word) > width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String() + "\n"
}

// refusals are a row for each reason.
func refusals(t *testing.T, commands []*router.Command) string {
	byReason := map[string][]string{}
	for _, c := range commands {
		byReason[c.Reason] = append(byReason[c.Reason], c.Name)
	}
	for _, form := range refusedForms {
		words := strings.Fields(form)
		c := router.Lookup(arguments(form))
		why := c.Refuse(arguments(form))
		if why == "" {
			t.Errorf("%s is not refused", form)
		}
		byReason[why] = append(byReason[why], words[0]+" with BLOCK")
	}
	var reasons []string
	for reason := range byReason {
		reasons = append(reasons, reason)
	}
	slices.Sort(reasons)
	var b strings.Builder
	for _, reason := range reasons {
		fmt.Fprintf(&b, "| %s | %s |\n", reason, strings.Join(byReason[reason], ", "))
	}
	return b.String()
}

// effectRows shows what becomes of an example of each command that writes.
func effectRows(t *testing.T, commands []*router.Command) string {
	shown := map[string]bool{}
	var rows []string
	for _, x := range examples {
		c := router.Lookup(arguments(x.request))
		if c == nil || c.Class != router.Write && c.Class != router.Barrier {
			t.Errorf("%s is not a write", x.request)
			continue
		}
		shown[c.Name] = true
		rows = append(rows, x.row(t, c))
	}
	for _, c := range commands {
		if !shown[c.Name] {
			t.Errorf("%s has no example", c.Name)
		}
	}
	slices.Sort(rows)
	return strings.Join(rows, "")
}

// newest knows everything, so that effects are shown in their usual form.
var newest = router.Server{Version: 80800}

// row is the example's line of the table.
func (x example) row(t *testing.T, c *router.Command) string {
	t.Helper()
	args := arguments(x.request)
	frames, n := c.FollowUps(nil, args, newest)
	if n != len(x.follow) {
		t.Errorf("%s: %d follow-ups, the example has %d", x.request, n, len(x.follow))
	}
	answered := code(show(t, x.reply))
	var follow [][]byte
	for i, read := range requests(t, frames) {
		if i < len(x.follow) {
			answered += fmt.Sprintf(", %s: %s", read[0], code(show(t, x.follow[i])))
			follow = append(follow, []byte(x.follow[i]))
		}
	}
	var e router.Effect
	env := router.Env{DBs: 2, Now: now, Primary: newest, Secondary: newest}
	c.Effect(&e, &env, args, []byte(x.reply), follow)
	return fmt.Sprintf("| `%s` | %s | %s |\n", x.request, answered, effect(t, &e))
}

// effect is what reaches the secondary, in words.
func effect(t *testing.T, e *router.Effect) string {
	t.Helper()
	switch e.Kind {
	case router.None:
		return "nothing"
	case router.Verbatim:
		return "the same"
	case router.Copy:
		return "a copy"
	}
	var commands []string
	for _, args := range requests(t, e.Frames) {
		commands = append(commands, code(string(bytes.Join(args, []byte{' '}))))
	}
	if len(commands) != e.N {
		t.Errorf("%d commands in an effect of %d", len(commands), e.N)
	}
	return strings.Join(commands, ", ")
}

// requests splits requests that stand one behind the other.
func requests(t *testing.T, frames []byte) (all [][][]byte) {
	t.Helper()
	for len(frames) > 0 {
		complete, args, _, left, err := redcon.ReadNextCommand(frames, nil)
		if !complete || err != nil {
			t.Fatalf("%q is not a request: %v", frames, err)
		}
		all = append(all, args)
		frames = left
	}
	return all
}

func code(text string) string { return "`" + text + "`" }

// show writes a reply for people: OK, 3, [a, b], nil.
func show(t *testing.T, reply string) string {
	t.Helper()
	v, n, err := resp.Parse([]byte(reply))
	if err != nil || n != len(reply) {
		t.Fatalf("%q is not one reply: %v", reply, err)
	}
	return showValue(v)
}

func showValue(v resp.Value) string {
	switch {
	case v.Null:
		return "nil"
	case v.Kind == ':':
		return fmt.Sprint(v.Int)
	case v.Kind == '*':
		elements := make([]string, len(v.Elems))
		for i := range v.Elems {
			elements[i] = showValue(v.Elems[i])
		}
		return "[" + strings.Join(elements, ", ") + "]"
	}
	return string(v.Str)
}

// arguments are a request's words.
func arguments(request string) (args [][]byte) {
	for _, word := range strings.Fields(request) {
		args = append(args, []byte(word))
	}
	return args
}
