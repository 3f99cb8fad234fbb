package conformance

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"tandem/router"
)

// held is a key of each type, and how it comes to be. Sets have one member, so that a random one is the same
// everywhere. There are two of each type, for commands of several keys.
var held = []struct{ kind, command string }{
	{"none", ""},
	{"string", "SET KEY 10"},
	{"list", "RPUSH KEY 1 2"},
	{"hash", "HSET KEY f 1"},
	{"set", "SADD KEY 1"},
	{"zset", "ZADD KEY 1 1"},
	{"stream", "XADD KEY 1-1 f v"},
}

// wrong are what arguments are replaced by.
var wrong = []string{"bogus", "-1"}

// rowsPerScenario is how many commands share a scenario, and so a database.
const rowsPerScenario = 24

// notDerived are commands with keys whose derived forms would leave their database, or wait.
var notDerived = []string{
	"MOVE", "COPY", "MIGRATE", // name another database or server
	"WATCH",         // is a state of its session
	"DEBUG", "VADD", // what they do is not comparable
	"EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO", // their text is their argument
}

// fitFor60 is false of requests that leave on Redis 6.0 what a key on the target cannot say: it overflows its clock when
// an expiry is the greatest number, and keeps the key for a while or for ever; and where HINCRBYFLOAT by infinity makes no
// field, it leaves an empty hash.
func fitFor60(command []string) bool {
	return !slices.Contains(command, strconv.Itoa(math.MaxInt64)) &&
		!(slices.Contains(command, "HINCRBYFLOAT") && slices.Contains(command, "inf"))
}

// Derive makes from the first request of each command that has keys all that can be wrong with it: its keys
// missing or of each type, an argument less, one more, and each of the others nonsense; and of all commands, forms
// with a wrong number of arguments. What becomes of a key is
// seen by the forms behind it and by the comparison of the keyspaces.
func Derive(scenarios []*Scenario) []*Scenario {
	var all []*Scenario
	done := map[string]bool{}
	rows := 0
	for _, s := range scenarios {
		for _, step := range s.Steps {
			if step.Action != Ask || s.Alone {
				continue
			}
			for _, command := range step.Commands {
				row := Row(command)
				if done[row] || slices.Contains(notDerived, row) || !fitFor60(command) {
					continue
				}
				steps := forms(row, command, step.Mark)
				if steps == nil {
					continue
				}
				done[row] = true
				if rows%rowsPerScenario == 0 {
					all = append(all, &Scenario{File: "derived"})
				}
				rows++
				last := all[len(all)-1]
				last.Name = strings.TrimPrefix(last.Name+", "+row, ", ")
				last.Steps = append(last.Steps, steps...)
			}
		}
	}
	all = append(all, arities())
	for _, s := range all {
		if first, _, several := strings.Cut(s.Name, ","); several {
			s.Name = "commands from " + first + " on"
		}
	}
	return all
}

// arities has each command of the table with an argument too many, or with too few where there is no most. A
// server refuses those before it executes anything, so that even commands are among them that no scenario
// could play.
func arities() *Scenario {
	s := &Scenario{File: "derived", Name: "numbers of arguments"}
	denied := map[string]bool{}
	for _, name := range router.DefaultDeny {
		denied[name] = true
	}
	for _, c := range router.All() {
		command := strings.Fields(c.Name)
		n := c.Arity + 1
		if c.Arity < 0 {
			n = -c.Arity - 1
		}
		if n < len(command) || denied[c.Name] || c.Class == router.Refused {
			continue
		}
		for len(command) < n {
			command = append(command, "x")
		}
		s.Steps = append(s.Steps, Step{Action: Ask, Commands: [][]string{command}, Line: join(command)})
	}
	return s
}

// forms are the steps of one command, nil if it has no keys or may wait.
func forms(row string, command []string, mark Mark) []Step {
	args := make([][]byte, len(command))
	for i, a := range command {
		args[i] = []byte(a)
	}
	c := router.Lookup(args)
	if c == nil || c.Blocks(args) {
		return nil
	}
	keys, ok := c.AppendKeys(nil, args)
	if !ok || len(keys) == 0 {
		return nil
	}
	var steps []Step
	prefix := strings.ReplaceAll(row, " ", "-") + ":"
	var fill [][]string
	for _, h := range held[1:] {
		for _, n := range []string{"1", "2"} {
			fill = append(fill, strings.Fields(strings.ReplaceAll(h.command, "KEY", prefix+h.kind+n)))
		}
	}
	add := func(mark Mark, commands ...[]string) {
		lines := make([]string, len(commands))
		for i, c := range commands {
			lines[i] = join(c)
		}
		steps = append(steps, Step{Action: Ask, Commands: commands, Mark: mark, Line: strings.Join(lines, " | ")})
	}
	add(Exact, fill...)
	isKey := map[int]bool{}
	for _, k := range keys {
		isKey[k.Arg] = true
	}
	for _, h := range held {
		form := slices.Clone(command)
		for i, k := range keys {
			form[k.Arg] = fmt.Sprintf("%s%s%d", prefix, h.kind, i%2+1)
		}
		add(mark, form)
		// What the type is now, and a form whose other keys are missing.
		add(Exact, []string{"TYPE", form[keys[0].Arg]})
		if len(keys) > 1 {
			form = slices.Clone(form)
			form[keys[len(keys)-1].Arg] = prefix + "none3"
			add(mark, form)
		}
	}
	base := slices.Clone(command)
	for i, k := range keys {
		base[k.Arg] = fmt.Sprintf("%slast%d", prefix, i+1)
	}
	add(mark, base[:len(base)-1])
	add(mark, append(slices.Clone(base), "bogus"))
	for i := len(strings.Fields(row)); i < len(base); i++ {
		if isKey[i] {
			continue
		}
		for _, w := range wrong {
			form := slices.Clone(base)
			form[i] = w
			add(mark, form)
		}
	}
	return steps
}

// Row is the command's line in the table: its name in upper case, with the subcommand if it is one.
func Row(command []string) string {
	name := strings.ToUpper(command[0])
	if len(command) > 1 {
		if sub := name + " " + strings.ToUpper(command[1]); tableRows[sub] {
			return sub
		}
	}
	return name
}

// tableRows are the names of the project's table of commands.
var tableRows = func() map[string]bool {
	rows := map[string]bool{}
	for _, c := range router.All() {
		rows[c.Name] = true
	}
	return rows
}()
