package instance

// numbers are those that databases have here where they are not what they are on the source. The zero value: all are the
// same. Both maps are of all databases whose number is another, so what is in neither has its own.
type numbers struct {
	of, back map[int]int
}

// Renumber gives databases other numbers on this instance than on the source: of each key, its value. No two may have one
// value. A database that keeps none, for its own is another's, gets one that has become free, so that each has a number of
// its own. It is called before the instance is used.
func (i *Instance) Renumber(of map[int]int) {
	n := numbers{of: map[int]int{}, back: map[int]int{}}
	for db, number := range of {
		if db != number {
			n.of[db], n.back[number] = number, db
		}
	}
	for db, number := range of {
		if _, moved := n.of[number]; moved || db == number {
			continue
		}
		// Against the arrows: whoever comes here from elsewhere has left a number, unless somebody has come there.
		free := db
		for {
			from, taken := n.back[free]
			if !taken {
				break
			}
			free = from
		}
		n.of[number], n.back[free] = free, number
	}
	i.numbers = numbers{}
	if len(n.of) > 0 {
		i.numbers = n
	}
}

// Renumbers reports whether some database has another number here than on the source.
func (i *Instance) Renumbers() bool { return i.numbers.of != nil }

// Number returns what number a database of the source has on this instance.
func (i *Instance) Number(db int) int {
	if number, ok := i.numbers.of[db]; ok {
		return number
	}
	return db
}

// Database returns the database of the source that has a number on this instance.
func (i *Instance) Database(number int) int {
	if db, ok := i.numbers.back[number]; ok {
		return db
	}
	return number
}
