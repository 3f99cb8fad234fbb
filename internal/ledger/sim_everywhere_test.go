package ledger

// bringing is a copy of what belongs to no key, on its way. Of the servers it is one value, made of the tokens of
// all that was loaded.
type bringing struct {
	state   bringState
	version uint64
	value   string
}

type bringState uint8

const (
	bringIdle bringState = iota
	bringReading
	bringRead
)

func (s *sim) bring() {
	b := &s.bringing
	switch b.state {
	case bringIdle:
		if v, ok := s.l.BeginEverywhere(); ok {
			*b = bringing{state: bringReading, version: v}
		}
	case bringReading:
		if s.outage == sideOut(s.l.LibrariesSide()) {
			b.state = bringIdle
			return
		}
		b.value, b.state = s.libs[s.at(s.l.LibrariesSide())], bringRead
	case bringRead:
		value := b.value
		b.state = bringIdle
		r := s.l.EndEverywhere(b.version, &Effect{Payload: &landing{brings: &value}})
		s.logf("brought %q: result %d", value, r)
	}
}

// enabledEverywhere lists what may happen to a copy of what belongs to no key.
func (s *sim) enabledEverywhere(add func(ok bool, what string, i int)) {
	_, owed := s.l.EverywhereOwed()
	possible := s.bringing.state != bringIdle
	if !possible && owed && !s.sinks[s.l.LibrariesSide().Other()].down {
		_, possible = s.l.BeginEverywhere()
	}
	add(possible, "bring", 0)
}
