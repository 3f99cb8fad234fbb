package instance

import "strings"

// namePrefix begins the name of every connection that we open.
const namePrefix = "tandem:"

// TrialID is an id that no migration has: for connections that are there to be found and killed, to see
// whether that works. Others passes them by.
const TrialID = "trial"

// ConnName is the name that a connection carries on the server (CLIENT SETNAME), by which it is found again
// when it has to be dead: tandem:<id>:<what>:<generation>. id is the state directory's, what is the use
// (lane, effect, copier, ...), generation tells this opening of it from older ones.
//
// id and generation must have no ':' in them; what may. Redis takes only printable ASCII without spaces
// in names: anything else becomes '_'.
func ConnName(id, what, generation string) string {
	return strings.Map(func(r rune) rune {
		if r < '!' || r > '~' {
			return '_'
		}
		return r
	}, namePrefix+id+":"+what+":"+generation)
}

// ParseConnName takes a ConnName apart. ok is false for the names of others.
func ParseConnName(name string) (id, what, generation string, ok bool) {
	rest, ok := strings.CutPrefix(name, namePrefix)
	if !ok {
		return "", "", "", false
	}
	id, rest, ok = strings.Cut(rest, ":")
	last := strings.LastIndexByte(rest, ':')
	if !ok || id == "" || last < 0 {
		return "", "", "", false
	}
	return id, rest[:last], rest[last+1:], true
}
