package router

import (
	"slices"
	"strings"
)

// All returns every command of the table by name, subcommands included: what the reference is made from.
// A container (CONFIG, XGROUP) is left out, for only its subcommands are commands. The commands are shared,
// the slice is not.
func All() []*Command {
	var all []*Command
	for _, table := range tables {
		for i := range table {
			c := &table[i]
			if c.container {
				continue
			}
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b *Command) int { return strings.Compare(a.Name, b.Name) })
	return all
}
