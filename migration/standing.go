package migration

import (
	"tandem/internal/instance"
	"tandem/internal/status"
	"tandem/proxy"
)

// standing is what is known of a server's place in a replication of its own, and of whether its address still leads to
// the server that our lanes are connected to. Guarded by Migration.mu.
type standing struct {
	// master: it has been one since this process knows it.
	master bool
	// demoted: it was one, and is a replica now; or it was met as a replica that is out of touch with its master. It may
	// take over other data at any moment, and lack all data until it has.
	demoted bool
	// masterAddr is whom it replicates.
	masterAddr string
	// id is Facts.ReplicationID when it was last seen as a master. On disk it tells the next process.
	id string
	// former is Facts.FormerReplicationID, once looked: another one shows that it was a replica for a time between two
	// looks. (It is emptied when a backlog is given up, or made, for replicas of its own. The id changes then, too: so
	// that shows nothing.)
	former string
	looked bool

	// elsewhere is the run id that a new connection has met, when it is not the lanes'; empty otherwise.
	elsewhere string
	// fewer: the last look found far fewer keys than on the primary, and no reason for it. asked: a sweep was owed for that.
	// swept is how many keys there were behind it: what that sweep could not bring there another one will not.
	fewer, asked bool
	swept        int64
}

// remember takes in what an earlier process knew.
func (s *standing) remember(id string) {
	s.id, s.master = id, id != ""
}

// wasReplica reports whether a server that is a master now was a replica at some time since it was last looked at. Of
// the time before this process began only the replication id tells: what else than that may have changed it cannot be told
// apart any more.
func (s *standing) wasReplica(f instance.Facts) bool {
	switch {
	case s.demoted:
		return true
	case !s.looked:
		return s.id != "" && f.ReplicationID != "" && f.ReplicationID != s.id
	}
	return s.master && f.FormerReplicationID != "" && f.FormerReplicationID != s.former
}

// stand takes in what a server says of its replication, and has a sweep owed when it is a master again: it has
// the data of another one since, or had for a time. fresh: it is another server than before, which owes a sweep anyway. The
// ledger's lock is held, and mu is not.
func (m *Migration) stand(i *instance.Instance, f instance.Facts, fresh bool) {
	m.mu.Lock()
	s := &m.seen[i.Role].standing
	was := *s
	s.masterAddr = f.MasterAddr
	again := false
	switch {
	case f.ReplicationRole != "master":
		s.demoted = s.demoted || s.master || f.MasterLinkDown
	default:
		again = was.wasReplica(f)
		s.master, s.demoted = true, false
	}
	s.former, s.looked = f.FormerReplicationID, true
	demoted := s.demoted
	phase := m.state.Phase
	m.mu.Unlock()

	replicated := phase != status.Passthrough && phase != status.Finished
	switch {
	case demoted && !was.demoted:
		m.log.Warn("server has become a replica: nothing is copied from it, and it takes no writes", "instance", i.String(), "of", f.MasterAddr)
	case again && !fresh && replicated:
		m.log.Warn("server was a replica for a time: all keys are compared", "instance", i.String())
		m.compareAgain(i, i.String()+" was a replica for a time", int(f.KeysTotal()), false)
	}
	if f.ReplicationRole == "master" {
		m.mu.Lock()
		s.id = f.ReplicationID // on disk not before what is owed for it is noted
		m.mu.Unlock()
	}
	m.holdCopies()
}

// holdCopies stops copies while the primary is a replica. The ledger's lock is held.
func (m *Migration) holdCopies() {
	m.mu.Lock()
	demoted := m.seen[m.shard.Answering().Role].standing.demoted
	m.mu.Unlock()
	m.shard.HoldCopies(demoted)
	if m.twoWay() {
		m.mu.Lock()
		demoted = m.seen[instance.Target].standing.demoted
		m.mu.Unlock()
		m.two.shard.HoldCopies(demoted)
	}
}

// demoted reports whether an instance is a replica that was a master before, and of whom.
func (m *Migration) demoted(i *instance.Instance) (of string, demoted bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &m.seen[i.Role].standing
	return s.masterAddr, s.demoted
}

// moved has the lanes to an instance connect anew when new connections have met another server twice in a row than the
// one that the lanes are connected to: a failover behind the same address may leave old connections open, to a server
// that is a replica now, or to none. (Twice: a server that has just been restarted is met by the lanes themselves in
// between.)
func (m *Migration) moved(i *instance.Instance, f instance.Facts) {
	m.mu.Lock()
	s := m.seen[i.Role]
	elsewhere := f.RunID
	if !s.served.known || elsewhere == s.served.runID {
		elsewhere = ""
	}
	moved := elsewhere != "" && elsewhere == s.standing.elsewhere
	s.standing.elsewhere = elsewhere
	if moved {
		s.standing.elsewhere = ""
	}
	before := s.served.runID
	m.mu.Unlock()
	if !moved {
		return
	}
	m.log.Warn("the address leads to another server now: its connections are made anew", "instance", i.String(),
		"run_id", f.RunID, "before", before)
	m.ledger.Lock()
	m.eachShard(func(sh *proxy.Shard) { sh.Reconnect(i) })
	m.ledger.Unlock()
}

// shrunk has a sweep owed when the secondary holds far fewer keys than the primary, at two looks in a row, although all
// were settled there: somebody has flushed it, or it evicts. That its process is the same, and its connection did not
// break, shows nothing then. Fewer than half: expired keys that still stand are counted, on either side.
func (m *Migration) shrunk(i *instance.Instance, keys int64) {
	staying, walked := m.stayingMet()
	m.ledger.Lock()
	defer m.ledger.Unlock()
	secondary := m.other(m.shard.Answering())
	if i != secondary || m.linked.Load() == nil {
		return
	}
	m.mu.Lock()
	s := &m.seen[i.Role].standing
	primary := m.seen[m.other(i).Role]
	full := m.movingKeys(m.other(i), &primary.facts)
	if m.moves.ByName() {
		full = primary.facts.KeysTotal() - staying
	}
	if i == m.source {
		full -= int64(m.ledger.Kept()) // the source may have none of those
	}
	unsettled := int64(m.ledger.DirtyKeys() + m.ledger.Unsettled())
	fewer := primary.known && primary.up && walked && 2*keys < full && 2*unsettled < full-keys
	shrunk := false
	switch {
	case m.ledger.Sweeping():
		s.fewer = false
	case !fewer:
		s.fewer, s.asked, s.swept = false, false, 0
	case s.asked:
		s.asked, s.swept = false, keys
	case s.swept > 0 && 2*keys >= s.swept:
		// No sweep brings more there.
	default:
		shrunk = s.fewer
		s.fewer, s.asked = !shrunk, shrunk
	}
	m.mu.Unlock()
	if !shrunk {
		return
	}
	m.log.Warn("server holds far fewer keys than the primary: all are compared", "instance", i.String(), "keys", keys, "primary", full)
	why := i.String() + " holds far fewer keys than the primary"
	if m.twoWay() {
		m.ledger.LostData(m.sideOf(i), why)
	} else {
		m.ledger.OweSweep(why, int(full))
	}
}
