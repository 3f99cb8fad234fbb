package proxy

import "tandem/internal/instance"

// readOnly begins what a replica answers to a write.
var readOnly = []byte("-READONLY ")

// foundReadOnly: the primary has refused a write as a replica does. Nothing is copied from it before somebody has looked
// what it is: it may be about to take over another server's data, and be without any meanwhile. The lock is held.
func (sh *Shard) foundReadOnly() {
	if sh.dual && !sh.copiesHeld && sh.opt.OnReadOnly != nil {
		sh.copiesHeld = true
		sh.opt.OnReadOnly()
	}
}

// HoldCopies stops and resumes copies. They stop while the primary is a replica: what it has may be older than what it
// had, or nothing at all until it has caught up with its own primary, and would take the place of better data. The lock
// is held.
func (sh *Shard) HoldCopies(held bool) { sh.copiesHeld = held }

// Reconnect breaks the connections of all lanes to an instance, so that they are made anew: its address leads to another
// server now, and those that are open do not. Clients with a command on the way are closed, as when the server breaks a
// connection. The lock is held.
func (sh *Shard) Reconnect(i *instance.Instance) {
	if u := sh.primary; u.inst == i {
		for _, ls := range u.lanes {
			ls.each((*lane).hangUp)
		}
		for ln := range u.pinned {
			ln.hangUp()
		}
	}
	if e := sh.effects; e != nil && e.inst == i && e.conn != nil {
		_ = e.conn.Close()
	}
}

// hangUp closes the lane's connection; its reader sees to the rest. The lock is held.
func (ln *lane) hangUp() {
	if ln.conn != nil {
		_ = ln.conn.Close()
	}
}
