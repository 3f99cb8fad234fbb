package proxy

import (
	"errors"
	"sync/atomic"
)

// Descriptors bounds how many of the process' file descriptors clients may use, for themselves and for the lanes of their
// own: what is left belongs to what keeps the servers equal. Without that bound a crowd would take the last one, and a
// lane that breaks, or a state that must be written, would get none. It is for one Shard and its Servers. Nil is no bound.
type Descriptors struct {
	most int64
	used atomic.Int64
}

// NewDescriptors returns a bound for so many.
func NewDescriptors(most int) *Descriptors { return &Descriptors{most: int64(most)} }

// errDescriptors: the process has no file descriptor for it.
var errDescriptors = errors.New("the process may not open more connections for clients (LimitNOFILE)")

// take counts one, and reports whether there is room for it; if not, nothing is counted.
func (d *Descriptors) take() bool {
	if d == nil {
		return true
	}
	if d.used.Add(1) > d.most {
		d.used.Add(-1)
		return false
	}
	return true
}

// room reports whether there is room for one.
func (d *Descriptors) room() bool { return d == nil || d.used.Load() < d.most }

// count counts one for which there must be room.
func (d *Descriptors) count() {
	if d != nil {
		d.used.Add(1)
	}
}

// give ends what take or count have begun.
func (d *Descriptors) give() {
	if d != nil {
		d.used.Add(-1)
	}
}
