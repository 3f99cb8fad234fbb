package router

// A server may have commands under other names than their own (rename-command), or none at all under theirs. It
// tells the own name of one that it was asked about by another. What the table knows such a command for, its facts
// in COMMAND INFO do not say: that it changes the connection's database or begins a transaction, that the keys of
// a script are not all it writes, that a cursor means nothing to another server. So only those are learned of which
// the facts say all that matters, and the others refused by name.

// Essential are commands that every supported server has, and whose facts do not tell what they do. Where one of
// them is missing it may be there under another name; of what the facts are unclear about (Unclear) nothing may be
// assumed then.
var Essential = []string{
	"AUTH", "HELLO", "SELECT", "CLIENT", "MONITOR",
	"MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH",
	"SUBSCRIBE", "UNSUBSCRIBE", "PSUBSCRIBE", "PUNSUBSCRIBE",
	"EVAL", "EVALSHA", "SCRIPT",
}

// Unclear reports whether the facts of a learned command say neither that it reads nor that it writes, and it is no
// module's: it may be any command that was renamed.
func (c *Command) Unclear() bool { return c.unclear }

// As returns what stands for a learned command that the server was asked about by this name, in upper case: the
// command itself, or one that is refused because it is a command of the table under another name.
func (c *Command) As(name string) *Command {
	if c.Name == name {
		return c
	}
	known := Lookup([][]byte{[]byte(c.Name)})
	if known == nil || known.toldBy(c) {
		return c
	}
	return &Command{Name: name, Class: Refused, Arity: -1,
		Reason: "it is " + c.Name + " under another name (rename-command), which must be called by its own"}
}

// toldBy reports whether the facts that l was learned from say all that matters of c.
func (c *Command) toldBy(l *Command) bool {
	for _, sub := range c.subs {
		told := l
		if len(l.subs) > 0 {
			told = l.sub([]byte(sub.Name[len(c.Name)+1:]))
		}
		if !sub.toldBy(told) {
			return false
		}
	}
	switch {
	case len(c.subs) > 0:
		return true
	case c.script, c.apart, c.block != nil, c.refuses != nil, c.CursorArg > 0:
		return false
	case c.Name == "MOVE", c.Name == "COPY": // they write to another database
		return false
	}
	return c.Class == Read || (c.Class == Write || c.Class == Barrier) && l.Class == Write
}
