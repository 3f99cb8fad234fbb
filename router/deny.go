package router

import (
	"fmt"
	"strings"
)

// DefaultDeny names the commands that are not passed on unless the configuration says otherwise: they stop a
// server, make it another's replica, or move keys past the proxy.
var DefaultDeny = []string{
	"SHUTDOWN", "REPLICAOF", "SLAVEOF", "SYNC", "PSYNC", "REPLCONF", "MIGRATE", "FAILOVER",
}

// Deny is a set of commands that are not passed on. It is immutable, and safe for concurrent use. A nil Deny
// denies nothing.
type Deny struct {
	table []uint64        // a bit for each command of the table, by its index
	names map[string]bool // upper case, for commands that were learned
}

// NewDeny makes the set of the commands with these names, in any case: "DEBUG" stands for all of its
// subcommands too, "CONFIG SET" for one. A name that the table does not know may be a module's.
func NewDeny(names []string) (*Deny, error) {
	d := &Deny{names: map[string]bool{}}
	for _, name := range names {
		words := strings.Fields(strings.ToUpper(name))
		if len(words) == 0 || len(words) > 2 {
			return nil, fmt.Errorf("%q is not the name of a command or of a subcommand", name)
		}
		d.names[strings.Join(words, " ")] = true
	}
	d.table = make([]uint64, commandCount/64+1)
	for _, table := range tables {
		for i := range table {
			if c := &table[i]; d.hasName(c) {
				d.table[c.index/64] |= 1 << (c.index % 64)
			}
		}
	}
	return d, nil
}

// Denies reports whether the command, of the table or learned, is in the set. It costs a few instructions
// for those of the table, and nothing is allocated.
func (d *Deny) Denies(c *Command) bool {
	switch {
	case d == nil:
		return false
	case c.index == 0:
		return d.hasName(c)
	}
	return d.table[c.index/64]&(1<<(c.index%64)) != 0
}

// hasName looks for the full name, and for that of the container.
func (d *Deny) hasName(c *Command) bool {
	container, _, _ := strings.Cut(c.Name, " ")
	return d.names[c.Name] || d.names[container]
}
