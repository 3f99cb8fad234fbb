package ledger

// suspects are keys whose own effect or copy has failed while effects that were made from them may already
// have been behind it on the Sink: a RENAME moves whatever it finds, and says OK. When such an effect is
// acknowledged, what it wrote is suspect in its turn.
//
// A suspicion ends when everything is acknowledged that was on the Sink as it arose, so there are never more
// of them than effects that wait for an acknowledgement.
type suspects struct {
	until map[Hash]uint64 // how many acknowledgements there will have been by then
	order []suspicion     // by until
}

type suspicion struct {
	key   Hash
	until uint64
}

func (s *suspects) any() bool { return len(s.order) > 0 }

func (s *suspects) add(h Hash, until uint64) {
	if s.until == nil {
		s.until = map[Hash]uint64{}
	}
	s.until[h] = until
	s.order = append(s.order, suspicion{h, until})
}

// forget ends the suspicions that end with the given number of acknowledgements.
func (s *suspects) forget(acked uint64) {
	if len(s.order) == 0 {
		return
	}
	n := 0
	for n < len(s.order) && s.order[n].until <= acked {
		if x := s.order[n]; s.until[x.key] == x.until {
			delete(s.until, x.key)
		}
		n++
	}
	if s.order = s.order[n:]; len(s.order) == 0 {
		*s = suspects{}
	}
}

// suspect notes that what was made from the keys of p, and is on the Sink already, cannot be trusted.
func (l *Ledger) suspect(p *pending) {
	if l.outstanding.kinds[derived] == 0 || l.without&ruleSuspect != 0 {
		return
	}
	for i, keys := 0, p.keys(); i < len(keys); i++ {
		if keys[i].Write {
			l.suspects.add(keys[i].Hash, l.Mark())
		}
	}
}

// suspected reports whether one of the keys of p, which is being acknowledged, is a suspect.
func (l *Ledger) suspected(p *pending) bool {
	for i, keys := 0, p.keys(); i < len(keys); i++ {
		if l.suspects.until[keys[i].Hash] > l.outstanding.acked {
			return true
		}
	}
	return false
}
