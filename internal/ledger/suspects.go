package ledger

// suspects are keys whose own effect or copy has failed while effects that were made from them may already
// have been behind it on the Sink: a RENAME moves whatever it finds, and says OK. When such an effect is
// acknowledged, what it wrote is suspect in its turn, and counts as what its origin was. And where an expiry is the
// origin, what is behind it on the same key and answered otherwise than it should be counts as that too.
//
// A suspicion ends when everything is acknowledged that was on the Sink as it arose, so there are never more
// of them than effects that wait for an acknowledgement.
type suspects struct {
	last  map[Hash]suspicion // the latest of each key
	order []suspicion        // by until
}

type suspicion struct {
	key   Hash
	until uint64  // it ends when all is acknowledged that was appended before
	why   Verdict // AtEdge if that is what it began with, else Differs
}

func (s *suspects) any() bool { return len(s.order) > 0 }

func (s *suspects) add(x suspicion) {
	if s.last == nil {
		s.last = map[Hash]suspicion{}
	}
	s.last[x.key] = x
	s.order = append(s.order, x)
}

// forget ends those suspicions that end when all is acknowledged that was appended before reached.
func (s *suspects) forget(reached uint64) {
	if len(s.order) == 0 {
		return
	}
	n := 0
	for n < len(s.order) && s.order[n].until <= reached {
		if x := s.order[n]; s.last[x.key].until == x.until {
			delete(s.last, x.key)
		}
		n++
	}
	if s.order = s.order[n:]; len(s.order) == 0 {
		*s = suspects{}
	}
}

// suspect notes that what was made from the keys of p, and is on the Sink already, cannot be trusted.
func (l *Ledger) suspect(s *stream, p *pending, why Verdict) {
	if why != AtEdge {
		why = Differs
	}
	if why == Differs && s.outstanding.kinds[derived] == 0 || l.without&ruleSuspect != 0 {
		return
	}
	for i, keys := 0, p.keys(); i < len(keys); i++ {
		if keys[i].Write {
			s.suspects.add(suspicion{keys[i].Hash, l.Mark(), why})
		}
	}
}

// suspected returns what one of the keys of p, which is being acknowledged, is a suspect for, or Good.
func (s *suspects) suspected(p *pending) Verdict {
	v := Good
	for i, keys := 0, p.keys(); i < len(keys); i++ {
		if x, ok := s.last[keys[i].Hash]; ok && x.until > p.number && v != Differs {
			v = x.why
		}
	}
	return v
}
