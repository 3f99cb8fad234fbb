package proxy

import "tandem/router"

// hints are what sessions plan their commands by, outside the lock. They are never changed, only replaced, and
// that is looked at again under the lock: a command planned by old ones is planned anew.
type hints struct {
	dual      bool
	epoch     int // number of cutovers
	server    router.Server
	databases int
	// renumbers: databases have other numbers on the target. foreignNumbers: and it is the primary.
	renumbers, foreignNumbers bool
}

// publish brings what effects depend on, and the hints, up to date: after a change of the roles, or when it
// is known what server an instance is. The lock is held.
func (sh *Shard) publish() {
	sh.env.Primary = sh.primary.facts.Server
	dbs := sh.primary.facts.Databases
	if e := sh.effects; e != nil {
		sh.env.Secondary = e.facts.Server
		if e.facts.Databases > 0 && sh.primary.inst.Renumbers() {
			dbs = e.facts.Databases // databases are called by the source's numbers
		} else if e.facts.Databases > 0 && !e.inst.Renumbers() {
			dbs = min(dbs, e.facts.Databases) // the others could not be flushed there, and have nothing
		}
	}
	if dbs > 0 {
		sh.env.DBs = dbs
	}
	sh.env.Extend = 0
	if sh.primary.inst == sh.first {
		sh.env.Extend = sh.opt.Extend.Milliseconds()
	}
	if e := sh.effects; e != nil {
		sh.env.Flushed = sh.flushedOn(e)
	}
	h := hints{dual: sh.dual, epoch: sh.scanEpoch, server: sh.env.Primary, databases: sh.env.DBs,
		renumbers: sh.opt.Renumbered, foreignNumbers: sh.primary.inst.Renumbers()}
	if old := sh.hints.Load(); old == nil || *old != h {
		sh.hints.Store(&h)
	}
}

// SetScanEpoch restores the number of cutovers there have been.
func (sh *Shard) SetScanEpoch(n int) {
	sh.lock()
	defer sh.unlock()
	sh.scanEpoch = n
	sh.publish()
}
