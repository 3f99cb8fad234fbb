package precheck

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// What does not move is left out of every number of the other items: here it is counted.

// apart tells the databases of a server that move from those that do not.
func (r *run) apart(s *side, keys map[int]int64) (move, stay map[int]int64) {
	move, stay = map[int]int64{}, map[int]int64{}
	for number, n := range keys {
		if r.Moves.Database(s.Database(number)) {
			move[number] = n
		} else {
			stay[number] = n
		}
	}
	return move, stay
}

// moving is how many of the source's keys move, as far as a sample tells.
func (r *run) moving(m *sampled) int64 {
	all := r.source.info.KeysTotal()
	if looked := m.keys + m.staying; m.staying > 0 && looked > 0 {
		all = int64(float64(all) * float64(m.keys) / float64(looked))
	}
	return max(m.keys, all)
}

// stayingKeys says what will not be on the target.
func stayingKeys(ctx context.Context, r *run, _ *side) finding {
	if r.Moves == nil {
		return success("everything moves")
	}
	m, err := r.look(ctx)
	if err != nil {
		return broken(err)
	}
	var parts []string
	for _, db := range slices.Sorted(maps.Keys(r.source.staying)) {
		parts = append(parts, fmt.Sprintf("%s of db%d", keysIn(r.source.staying[db]), db))
	}
	if byName := r.source.info.KeysTotal() - r.moving(m); m.staying > 0 {
		parts = append(parts, fmt.Sprintf("by their names some %d of the others (%d of %s looked at)",
			max(m.staying, byName), m.staying, keysIn(m.keys+m.staying)))
	}
	if len(parts) == 0 {
		return success("none was found that does not move")
	}
	return warning("make sure that nobody needs them there, or choose them too: databases and keys in the configuration",
		"these do not move: %s", strings.Join(parts, ", "))
}

// targetNumbers is targetDatabases where databases have other numbers on the target.
func (r *run) targetNumbers(has int) finding {
	used := []int{0} // every client begins there
	for db := range r.source.info.Keys {
		used = append(used, db)
	}
	slices.Sort(used)
	for _, db := range slices.Compact(used) {
		number := r.target.Number(db)
		if number < has {
			continue
		}
		if db == 0 && r.source.info.Keys[0] == 0 {
			return failed(fmt.Sprintf("set databases %d or more on the target, or map database 0 to another number (database_map)", number+1),
				"clients begin in database 0, whose number on the target is taken: there it is %d, and the target's last is %d", number, has-1)
		}
		return failed(fmt.Sprintf("set databases %d or more on the target (it takes a restart), or map the database to another number (database_map)", number+1),
			"database %d of the source moves to %d, the target's last is %d", db, number, has-1)
	}
	for db := range r.source.info.Databases {
		if number := r.target.Number(db); number >= has {
			return warning(fmt.Sprintf("set databases %d or more on the target, if clients may come to use them", number+1),
				"database %d of the source would be %d on the target, whose last is %d; those with keys fit", db, number, has-1)
		}
	}
	return success("the target has the number of every database")
}
