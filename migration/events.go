package migration

import (
	"maps"
	"sync"

	"tandem/internal/journal"
)

// eventKey is what events have in common that are counted together. There are few: all three are words of the program's.
type eventKey struct {
	kind  journal.Kind
	name  string
	state string
}

// eventCounts counts the events of a process. The zero value has counted none.
type eventCounts struct {
	mu sync.Mutex
	of map[eventKey]uint64
}

func (c *eventCounts) add(e journal.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[eventKey]uint64{}
	}
	c.of[eventKey{e.Kind, e.Name, e.State}]++
}

// counts is a copy.
func (c *eventCounts) counts() map[eventKey]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.of)
}
