package router

import "strings"

// The command table is data: one line per command, in a file per group. A line is a name, the arity as the
// servers tell it, where the keys are (keys.go), what its effect is, and what else is special about it.
var tables = [][]Command{
	stringTable,
	hashTable,
	listTable,
	setTable,
	sortedSetTable,
	geoTable,
	streamTable,
	arrayTable,
	vectorTable,
	genericTable,
	sessionTable,
	messageTable,
	scriptTable,
	toolTable,
	adminTable,
}

// read is a command without an effect on data.
func read(name string, arity int, spec string, options ...option) Command {
	return line(Command{Name: name, Class: Read, Arity: arity, spec: spec}, options)
}

// write is a command whose reply makes an effect.
func write(name string, arity int, spec string, effect effectFunc, options ...option) Command {
	return line(Command{Name: name, Class: Write, Arity: arity, spec: spec, effect: effect}, options)
}

// barrier is a write on every key of a database.
func barrier(name string, arity int, effect effectFunc) Command {
	return Command{Name: name, Class: Barrier, Arity: arity, effect: effect}
}

// session is a command that the proxy answers itself.
func session(name string, arity int) Command {
	return Command{Name: name, Class: Session, Arity: arity}
}

// transaction is a command that makes, ends or conditions one.
func transaction(name string, arity int, spec string) Command {
	return Command{Name: name, Class: Transaction, Arity: arity, spec: spec}
}

// subscription is a command that changes what a connection is subscribed to.
func subscription(name string, arity int) Command {
	return Command{Name: name, Class: PubSub, Arity: arity}
}

// everywhere is a command that changes something outside of the keyspace, on both servers.
func everywhere(name string, arity int, effect effectFunc, options ...option) Command {
	return line(Command{Name: name, Class: Everywhere, Arity: arity, effect: effect}, options)
}

// unnamed is a write on keys that the request does not name.
func unnamed(name string, arity int, options ...option) Command {
	return write(name, arity, "*", copyAlways, append(options, find(noKeys))...)
}

// refuse is a command that is not passed on.
func refuse(name string, arity int, reason string) Command {
	return Command{Name: name, Class: Refused, Arity: arity, Reason: reason}
}

// container is a name that only its subcommands, which stand on lines of their own, make a command. Without
// one the server answers an error.
func container(name string) Command {
	return Command{Name: name, Class: Read, Arity: -2, container: true}
}

// option is what else is special about a command.
type option func(*Command)

func line(c Command, options []option) Command {
	for _, o := range options {
		o(&c)
	}
	return c
}

func since(r release) option        { return func(c *Command) { c.since = r } }
func find(f keyFunc) option         { return func(c *Command) { c.findKeys = f } }
func follows(f followFunc) option   { return func(c *Command) { c.follows = f } }
func writesIf(f writeFunc) option   { return func(c *Command) { c.writes = f } }
func refusesIf(f refuseFunc) option { return func(c *Command) { c.refuses = f } }
func cursorAt(arg int) option       { return func(c *Command) { c.CursorArg = arg } }
func blocks(b blocking) option      { return func(c *Command) { c.block = &b } }
func apart(c *Command)              { c.apart = true }
func withErrors(c *Command)         { c.errs = true }
func runsScript(c *Command)         { c.script, c.errs = true, true }

// commandCount is the number of commands in the table.
var commandCount int

// init compiles the key specs, hangs subcommands into their containers and fills the lookup table.
func init() {
	containers := map[string]*Command{}
	for _, table := range tables {
		for i := range table {
			c := &table[i]
			commandCount++
			c.index = commandCount
			if c.findKeys == nil {
				c.keys = compileSpec(c.spec)
			}
			if strings.Contains(c.Name, " ") {
				continue
			}
			containers[c.Name] = c
			insert(c)
		}
	}
	for _, table := range tables {
		for i := range table {
			c := &table[i]
			name, _, isSub := strings.Cut(c.Name, " ")
			if !isSub {
				continue
			}
			parent := containers[name]
			parent.subs = append(parent.subs, c)
		}
	}
}
