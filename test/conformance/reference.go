package conformance

import (
	"bufio"
	"fmt"
	"slices"
	"strings"

	"tandem/router"
)

// RunRow is what a run of the suite has found of one command.
type RunRow struct {
	// Versions know it; Effects are as Effects tells them, sorted.
	Versions, Effects []string
}

// Run is what run.txt keeps of a run: the page for users is made from it and from the table, without servers.
type Run map[string]RunRow

const runIntro = `# What a run of the suite found of each command: the versions that know it, and, of those that write, what its
# requests in the scenarios come to on the secondary. Written by: go test ./test/conformance -run 'Run|Page' -update
`

// Text writes a run in the form of run.txt: ROW: version, ...: effect, ...
func (run Run) Text() string {
	var b strings.Builder
	b.WriteString(runIntro)
	for _, name := range run.names() {
		fmt.Fprintf(&b, "%s| %s| %s\n", name, strings.Join(run[name].Versions, ", "), strings.Join(run[name].Effects, ", "))
	}
	return b.String()
}

func (run Run) names() []string {
	var names []string
	for name := range run {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// ParseRun reads run.txt.
func ParseRun(text string) (Run, error) {
	run := Run{}
	list := func(s string) (all []string) {
		if s = strings.TrimSpace(s); s == "" {
			return nil
		}
		return strings.Split(s, ", ")
	}
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		parts := strings.Split(line, "|")
		if len(parts) != 3 {
			return nil, fmt.Errorf("run.txt: %q is not of the form ROW| versions| effects", line)
		}
		run[parts[0]] = RunRow{list(parts[1]), list(parts[2])}
	}
	return run, nil
}

// Of is the run without what other versions found.
func (run Run) Of(versions []string) Run {
	some := Run{}
	for name, row := range run {
		of := slices.DeleteFunc(slices.Clone(row.Versions), func(v string) bool { return !slices.Contains(versions, v) })
		if len(of) > 0 {
			some[name] = RunRow{of, row.Effects}
		}
	}
	return some
}

const pageIntro = `<!-- Generated from the command table and a run of the suite by: go test ./test/conformance -run 'Run|Page' -update -->
# Every command

What becomes of each command of the servers that the conformance suite runs on. Each is exercised by scenarios, straight
against a server and then through Tandem in ` + "`passthrough`, `backfill`, `synced` and `reversed`" + `, in RESP2 and RESP3: what
clients receive is the same byte for byte, and so are both keyspaces in the end. Those that are left out, and why, are
in ` + "`test/conformance/left_out.txt`" + `. [Another page](reference/redis-commands.md) shows examples of effects.

How a command travels:

- **read**: to the primary, whose reply is handed on; what administers a server administers the primary.
- **write**: to the primary; its effect, made from request and reply, follows on the secondary. **The same** is the request
  itself, **a copy** reads the key from the primary and restores it on the secondary, **nothing** means that the reply said
  that nothing changed; commands with names are what the request is rewritten to.
- **flush**: a write on all keys of databases.
- **everywhere**: executed on both servers, for what is no key: scripts and functions.
- **session**: of this connection alone; answered by Tandem, or by the primary on a connection of the session's own.
- **transaction**, **subscription**: on a connection of the session's own where the server keeps something for it.
- **refused**: what follows it on a connection would not be the protocol of Redis.
- **denied**: refused unless the configuration allows it ([` + "`commands.deny`" + `](reference/configuration.md#commandsdeny)).

A command that is not in this list (of a module, or of a newer version) is looked up on the primary by COMMAND INFO: one
that only reads is passed on, and of one that writes the keys are copied.

| command | known to | travels as | effect |
|---|---|---|---|
`

// Page is docs/commands.md.
func Page(run Run) string {
	var b strings.Builder
	b.WriteString(pageIntro)
	for _, c := range router.All() {
		row := run[c.Name]
		known := strings.Join(row.Versions, ", ")
		if len(row.Versions) == len(versions) {
			known = "all"
		} else if known == "" {
			known = "none of ours"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", c.Name, known, travels(c), effectText(c, row))
	}
	return b.String()
}

// versions are what the suite is for; the first is the oldest.
var versions = []string{"redis-6.0", "redis-7.0", "redis-8.0", "valkey-8.1", "valkey-9.1"}

var classNames = map[router.Class]string{
	router.Refused: "refused", router.Read: "read", router.Write: "write", router.Barrier: "flush", router.Session: "session",
	router.Transaction: "transaction", router.PubSub: "subscription", router.Everywhere: "everywhere",
}

func travels(c *router.Command) string {
	if slices.Contains(router.DefaultDeny, c.Name) {
		return "denied"
	}
	return classNames[c.Class]
}

func effectText(c *router.Command, row RunRow) string {
	if len(row.Effects) > 0 {
		return strings.Join(row.Effects, "; ")
	}
	switch {
	case slices.Contains(router.DefaultDeny, c.Name), c.Class == router.Refused:
		return c.Reason
	case c.IsScript():
		return "a copy of its keys, or the same"
	case c.Class == router.Write, c.Class == router.Barrier, c.Class == router.Everywhere:
		return "not run"
	}
	return ""
}
