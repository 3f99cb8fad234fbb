package migration

// oweForFields owes a sweep where one server has an expiry of hash fields, the other has none, and there are such fields:
// with a new pair of roles, or in a new process, nobody knows which. On the side that has it they go by themselves, and the
// other keeps them. The copier sees to those that it has copied itself.
func (l *link) oweForFields() {
	primary, secondary := l.m.factsOf(l.primary), l.m.factsOf(l.secondary)
	if primary.Server.HasHashFieldTTL() == secondary.Server.HasHashFieldTTL() ||
		primary.ExpiringFields+secondary.ExpiringFields == 0 {
		return
	}
	// One may be owed already, and go on from where an earlier process was: not this one.
	defer l.m.ledger.Enter()()
	l.m.ledger.OweSweep("fields of hashes expire on one server and not on the other, and it is not known which", int(primary.KeysTotal()))
}
