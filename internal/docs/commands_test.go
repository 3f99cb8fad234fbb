package docs

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/redcon"

	"tandem/internal/generated"
	"tandem/internal/resp"
	"tandem/router"
)

// What the page says around the tables.
const (
	commandsIntro = `<!-- Generated from router by: go generate ./internal/docs -->
# Redis commands: effects and answers

[Every command](../commands.md) says of each how it travels. This page shows what that list has no room for: examples of
effects, what Tandem answers itself, and what is refused and why.
`
	writesIntro = `
## Writes

The primary executes the request as it is and answers it. From that reply Tandem makes the effect: what has the same
outcome on the secondary whatever its clock, its random numbers and its hash tables say. Where a relative expiry or an
approximate trimming leaves open what exactly came of it, a read travels directly behind the command, and only Tandem
sees its reply (` + "`PEXPIRETIME`" + ` in the table).

- **the same**: the request itself.
- **a copy**: the key is read from the primary, and restored on the secondary.
- **a repetition, or a copy**: of [scripts and functions](../guide-clients.md#scripts-and-functions), as their source allows.
- **nothing**: the reply says that nothing changed.
- **all keys are compared**: the command does not name what it changes, so a sweep is owed.

A key that is not known to be equal on both servers is always copied, never changed by an effect that builds on what
is there. If the secondary is an older version that does not know a command or an option, its effect is written in an
older form, or the key is copied. A write that the primary answers with an error has no effect; of scripts, and of
commands that Tandem has learned, the keys are copied all the same, for what was written before the error stays.

The examples are made by the code that serves; other forms of a command follow the same rule.

| request | answered | what reaches the secondary |
|---|---|---|
`
	everywhereIntro = `
## Scripts and libraries

What loads or drops them is no write of keys. It is executed by the primary, and then by the secondary.

| request | answered | what reaches the secondary |
|---|---|---|
`
	transactionsIntro = `
## Transactions

%s.

QUEUED, errors and EXECABORT are the primary's own. All writes of a transaction reach the secondary in one MULTI ... EXEC,
or all its keys are copied. What Tandem refuses makes EXEC answer EXECABORT, and so do AUTH, HELLO and subscriptions, which
cannot be queued. WATCH is kept by the primary; [a cutover](../guide-clients.md#transactions-and-watch) ends it.
`
	pubSubIntro = `
## Subscriptions

%s.

They are kept by the primary, on a connection of the client's own; PUBLISH and SPUBLISH are answered with its count.
[More of it](../guide-clients.md#messages).
`
	sessionIntro = `
## Answered by Tandem

What concerns a client's connection is answered by Tandem, which holds that connection, or by the primary, on a
connection that the client then has for itself.

| command | answer |
|---|---|
`
	refusedIntro = `
## Refused

The error is ` + "`-ERR tandem: SCRIPT DEBUG is not supported: a debugging session ...`" + `, with the command and the reason. The
connection stays open; only that of HTTP is closed, without an answer. These are refused whatever the configuration says; what it denies besides, unless told otherwise, is
in [` + "`commands.deny`" + `](configuration.md#commandsdeny).

| reason | commands |
|---|---|
`
)

// sessionNotes says what Tandem answers itself.
var sessionNotes = map[string]string{
	"PING":                 "PONG, or the message",
	"ECHO":                 "the message",
	"HELLO":                "the primary's answer, with the id of the connection to Tandem; RESP2 or RESP3 from then on, as asked, and the login and name that it names",
	"AUTH":                 "the primary's own answer, or as [`auth.mode`](configuration.md#authmode) says",
	"SELECT":               "chooses the database, if the primary has it and the user may",
	"QUIT":                 "OK, once everything before it is answered; then the connection ends",
	"RESET":                "RESET: RESP2, database 0, no login, no name, no transaction, no subscriptions, nothing watched or tracked",
	"MONITOR":              "the primary's: a line for each command that it executes, with the addresses of Tandem's connections",
	"CLIENT SETNAME":       "OK; the name is the session's and does not reach the servers",
	"CLIENT GETNAME":       "the session's name",
	"CLIENT SETINFO":       "OK; for CLIENT INFO and CLIENT LIST",
	"CLIENT ID":            "the number of the connection to Tandem; it stays through a cutover",
	"CLIENT INFO":          "the connection to Tandem",
	"CLIENT LIST":          "the clients of Tandem, each with its own address, name, user, database and state",
	"CLIENT KILL":          "ends clients of Tandem",
	"CLIENT UNBLOCK":       "of a client of Tandem, by the id that CLIENT ID gave it",
	"CLIENT REPLY":         "OFF and SKIP: no answer, of Tandem's or of the primary's; ON: OK",
	"CLIENT TRACKING":      "the primary's; REDIRECT names a client of Tandem. [What happens at a cutover](../guide-clients.md#client-side-caching)",
	"CLIENT CACHING":       "the primary's",
	"CLIENT GETREDIR":      "the primary's, with the id of a client of Tandem",
	"CLIENT TRACKINGINFO":  "the primary's, with the id of a client of Tandem",
	"CLIENT NO-EVICT":      "OK, without effect: Tandem evicts nobody",
	"CLIENT NO-TOUCH":      "the primary's",
	"CLIENT CAPA":          "the primary's",
	"CLIENT IMPORT-SOURCE": "the primary's",
}

// refusedForms are what a command is refused with that is passed on otherwise.
var refusedForms = []string{"DEBUG PROTOCOL PUSH", "DEBUG MARK-INTERNAL-CLIENT"}

// TestRedisCommandsReference keeps docs/reference/redis-commands.md and the command table together.
func TestRedisCommandsReference(t *testing.T) {
	byClass := map[router.Class][]*router.Command{}
	for _, c := range router.All() {
		byClass[c.Class] = append(byClass[c.Class], c)
	}
	var b strings.Builder
	b.WriteString(commandsIntro)
	b.WriteString(writesIntro)
	b.WriteString(effectRows(t, examples, slices.Concat(byClass[router.Write], byClass[router.Barrier])))
	b.WriteString(everywhereIntro)
	b.WriteString(effectRows(t, everywhereExamples, byClass[router.Everywhere]))
	fmt.Fprintf(&b, transactionsIntro, list(byClass[router.Transaction]))
	fmt.Fprintf(&b, pubSubIntro, list(byClass[router.PubSub]))
	b.WriteString(sessionIntro)
	for _, c := range byClass[router.Session] {
		if sessionNotes[c.Name] == "" {
			t.Errorf("what %s is answered is not said", c.Name)
		}
		fmt.Fprintf(&b, "| %s | %s |\n", c.Name, sessionNotes[c.Name])
		delete(sessionNotes, c.Name)
	}
	for name := range sessionNotes {
		t.Errorf("%s is said to be answered by Tandem, and is not", name)
	}
	b.WriteString(refusedIntro)
	b.WriteString(refusals(t, byClass[router.Refused]))
	generated.File(t, filepath.Join(root, "docs/reference/redis-commands.md"), b.String(), "go generate ./internal/docs")
}

// TestThereIsAPageOfEveryCommand: this page leads to it, and shows what it has no room for.
func TestThereIsAPageOfEveryCommand(t *testing.T) {
	page := read(t, "docs/commands.md")
	for _, c := range router.All() {
		if !strings.Contains(page, "\n| "+c.Name+" | ") {
			t.Errorf("%s is not in docs/commands.md", c.Name)
		}
	}
}

// list names commands.
func list(commands []*router.Command) string {
	names := make([]string, len(commands))
	for i, c := range commands {
		names[i] = c.Name
	}
	return strings.Join(names, ", ")
}

// refusals are a row for each reason.
func refusals(t *testing.T, commands []*router.Command) string {
	byReason := map[string][]string{}
	for _, c := range commands {
		byReason[c.Reason] = append(byReason[c.Reason], c.Name)
	}
	for _, form := range refusedForms {
		why := router.Lookup(arguments(form)).Refuse(arguments(form))
		if why == "" {
			t.Errorf("%s is not refused", form)
		}
		byReason[why] = append(byReason[why], form)
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
func effectRows(t *testing.T, examples []example, commands []*router.Command) string {
	shown := map[string]bool{}
	var rows []string
	for _, x := range examples {
		c := router.Lookup(arguments(x.request))
		if !slices.Contains(commands, c) {
			t.Errorf("%s is not of this table", x.request)
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
	what := effect(t, &e)
	switch _, named := c.AppendKeys(nil, args); {
	case e.Kind == router.Copy && !named:
		what = "all keys are compared"
	case e.Kind == router.Copy && c.IsScript():
		what = "a repetition, or a copy"
	}
	return fmt.Sprintf("| `%s` | %s | %s |\n", x.request, answered, what)
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
