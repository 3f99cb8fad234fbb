package config

import (
	"fmt"
	"slices"
	"strconv"

	"tandem/internal/moves"
)

// Moves are the rules of what moves.
func (c *Config) Moves() moves.Rules {
	return moves.Rules{Databases: c.Databases, Include: c.Keys.Include, Exclude: c.Keys.Exclude}
}

// Numbers are the databases that have another number on the target than on the source: source's number to target's.
func (c *Config) Numbers() map[int]int {
	numbers := map[int]int{}
	for _, n := range c.DatabaseMap {
		if n.From != n.To {
			numbers[n.From] = n.To
		}
	}
	return numbers
}

// moves checks what is chosen to move: no two databases become one.
func (v *validator) moves() {
	c := v.config
	v.chosenDatabases()
	v.databaseMap()
	for _, list := range []struct {
		key      string
		patterns []string
	}{{"keys.include", c.Keys.Include}, {"keys.exclude", c.Keys.Exclude}} {
		if slices.Contains(list.patterns, "") {
			v.add(Problem{Key: list.key, Wrong: "has an empty pattern, which matches no key but the one without a name",
				Do: "write patterns as for KEYS, such as session:*"})
		}
	}
	if slices.Contains(c.Keys.Exclude, "*") {
		v.add(Problem{Key: "keys.exclude", Value: "*", Wrong: "leaves no key that moves", Do: "leave it out"})
	}
	if c.Expiry.ExtendBy > 0 && c.Verify.ShadowReads > 0 {
		v.add(Problem{Key: "expiry.extend_by", Value: c.Expiry.ExtendBy.String(), Wrong: "cannot be combined with verify.shadow_reads: what has expired " +
			"at the source alone would be a difference", Do: "set one of them to 0"})
	}
	if c.ListenTarget != "" && (c.Expiry.ExtendBy > 0 || len(c.Databases) > 0 || len(c.DatabaseMap) > 0 || len(c.Keys.Include) > 0 || len(c.Keys.Exclude) > 0) {
		v.add(Problem{Key: "listen_target", Value: c.ListenTarget,
			Wrong: "cannot be combined with databases, database_map, keys and expiry.extend_by: where clients write at both servers, everything moves as it is",
			Do:    "leave it empty, or them"})
	}
}

func (v *validator) chosenDatabases() {
	seen := map[int]bool{}
	for _, db := range v.config.Databases {
		switch {
		case db < 0 || db > moves.MaxDatabase:
			v.add(Problem{Key: "databases", Value: strconv.Itoa(db), Wrong: "is no number of a database", Do: fmt.Sprintf("write numbers from 0 to %d", moves.MaxDatabase)})
		case seen[db]:
			v.add(Problem{Key: "databases", Value: strconv.Itoa(db), Wrong: "is there twice", Do: "leave one of them"})
		}
		seen[db] = true
	}
}

// databaseMap checks that a database that moves has a number of its own on the target.
func (v *validator) databaseMap() {
	const key = "database_map"
	c := v.config
	filter := moves.New(moves.Rules{Databases: c.Databases})
	from, to := map[int]bool{}, map[int]int{}
	for i, n := range c.DatabaseMap {
		wrong, do := "", ""
		switch {
		case n.From < 0 || n.To < 0:
			wrong, do = "that lacks from or to", "write {from: 3, to: 0}: both are numbers of databases"
		case n.From > moves.MaxDatabase || n.To > moves.MaxDatabase:
			wrong, do = fmt.Sprintf("with a number above %d", moves.MaxDatabase), "write the numbers of databases"
		case from[n.From]:
			wrong, do = fmt.Sprintf("that maps database %d again", n.From), "leave one of them"
		case !filter.Database(n.From):
			wrong, do = fmt.Sprintf("for database %d, which does not move", n.From), "add it to databases, or leave this out"
		}
		if other, taken := to[n.To]; wrong == "" && taken {
			wrong, do = fmt.Sprintf("that maps database %d to %d, as database %d is", n.From, n.To, other), "give each a number of its own: two databases cannot become one"
		}
		if wrong != "" {
			v.add(Problem{Key: key, Wrong: fmt.Sprintf("has an element %d %s", i+1, wrong), Do: do})
			return
		}
		from[n.From], to[n.To] = true, n.From
	}
	for i, n := range c.DatabaseMap {
		if !from[n.To] && filter.Database(n.To) {
			v.add(Problem{Key: key, Wrong: fmt.Sprintf("has an element %d that maps database %d to %d, which is where database %d moves to", i+1, n.From, n.To, n.To),
				Do: fmt.Sprintf("map database %d to another number, or list in databases those that move, without it", n.To)})
			return
		}
	}
}
