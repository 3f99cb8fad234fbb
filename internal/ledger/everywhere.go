package ledger

// Some effects belong to no key: those of SCRIPT LOAD, SCRIPT FLUSH, FUNCTION LOAD, ... What they change, the
// server's scripts and functions, is treated as one thing: writes of it are in flight on one lane at a time,
// their effects are appended in the order of the replies, and when one is not done on the secondary, or nobody
// knows, a copy of all of it is owed. The ledger does not know how to make one: who does asks EverywhereOwed,
// reads the primary's between BeginEverywhere and EndEverywhere, and hands in what puts the secondary right.
// While it is owed Drained says no. A sweep neither owes nor settles it; whoever sets up a secondary calls
// OweEverywhere.

// everywhere is the state of what belongs to no key.
type everywhere struct {
	version  uint64 // raised by every write sent, and whenever a copy comes to be owed
	owner    LaneID // valid while inflight > 0
	inflight int
	owed     bool
	why      string
}

// OweEverywhere says that the secondary's scripts and functions may differ from the primary's.
func (l *Ledger) OweEverywhere(why string) {
	if l.without&ruleEverywhereOwed != 0 {
		return
	}
	l.everywhere.version++
	l.everywhere.owed, l.everywhere.why = true, why
	l.onChange()
	l.stir()
}

// EverywhereOwed reports whether the scripts and functions of the secondary must be brought to what they are on
// the primary, and why.
func (l *Ledger) EverywhereOwed() (why string, owed bool) {
	return l.everywhere.why, l.everywhere.owed
}

// BeginEverywhere returns the version of the scripts and functions before they are read on a connection of
// the caller's own. ok is false while a write of them is in flight: OnChange tells when to ask again.
func (l *Ledger) BeginEverywhere() (version uint64, ok bool) {
	if l.everywhere.inflight > 0 && l.without&ruleEverywhereQuiet == 0 {
		return 0, false
	}
	return l.everywhere.version, true
}

// EndEverywhere hands to the Sink what makes the secondary's scripts and functions those that were read since
// BeginEverywhere gave the version. e.Payload is the Sink's; e.Steps is set here. The caller reads them anew if it
// is Lost, and tries again later if it is NotTaken. If the secondary does not do it, a copy is owed once more.
func (l *Ledger) EndEverywhere(version uint64, e *Effect) Result {
	if l.everywhere.version != version && l.without&ruleEverywhereVersion == 0 {
		l.stats.Races++
		return Lost
	}
	e.Steps = append(e.Steps[:0], Step{Everywhere: true})
	e.Guard = e.Guard[:0]
	if !l.append(&l.to[l.LibrariesSide().Other()], &Write{Everywhere: true}, e) {
		return NotTaken
	}
	l.stats.Forwarded++
	l.everywhere.owed, l.everywhere.why = false, ""
	l.onChange()
	return Won
}

// changesEverywhere reports whether a step of the effect belongs to no key.
func (e *Effect) changesEverywhere() bool {
	for i := range e.Steps {
		if e.Steps[i].Everywhere {
			return true
		}
	}
	return false
}

// canEverywhere reports whether w, which changes what belongs to no key, may go as far as that is concerned:
// such writes in flight are on its own lane, and no other stands before it.
func (l *Ledger) canEverywhere(w *Write) bool {
	if l.without&ruleEverywhereOwner != 0 {
		return true
	}
	if l.everywhere.inflight > 0 && l.everywhere.owner != w.Lane {
		return false
	}
	for _, t := range l.tickets {
		if t == w {
			return true
		}
		if t.Everywhere && l.stands(t) {
			return false
		}
	}
	return true
}
