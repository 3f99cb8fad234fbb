package router

import "strings"

// Use is what a connection does with keys, as far as its last command tells.
type Use uint8

const (
	// UsesNothing: it looks after the server or itself, or listens (INFO, PING, CLIENT, SUBSCRIBE, DBSIZE).
	UsesNothing Use = iota
	// UsesReads: it reads keys.
	UsesReads
	// UsesWrites: it writes keys, or may: by its arguments (SORT), by what it runs (EVAL, EXEC), or because the command is not
	// known.
	UsesWrites
)

// UseOf tells the use from a name as CLIENT LIST has it: in any case, a subcommand behind a bar, or only the container's
// name (before 7.0). "" and NULL, of connections that have sent nothing, are no use.
func UseOf(name string) Use {
	if name == "" || name == "NULL" {
		return UsesNothing
	}
	first, sub, isSub := strings.Cut(name, "|")
	c := Lookup([][]byte{[]byte(first)})
	switch {
	case c == nil:
		return UsesWrites
	case isSub && len(c.subs) > 0:
		if c = c.sub([]byte(sub)); c == nil {
			return UsesNothing // a newer version's, of a container that we know
		}
		return c.use()
	}
	use := c.use()
	for _, sub := range c.subs {
		use = max(use, sub.use())
	}
	return use
}

func (c *Command) use() Use {
	switch c.Class {
	case Write, Barrier, Everywhere, Transaction:
		return UsesWrites
	case Read:
		if len(c.keys) > 0 || c.findKeys != nil || c.CursorArg > 0 || c.Name == "KEYS" || c.Name == "RANDOMKEY" {
			return UsesReads
		}
	}
	return UsesNothing
}
