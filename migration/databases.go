package migration

import (
	"fmt"
	"strings"

	"tandem/internal/status"
)

// secondaryDatabases is the blocker of clients that use databases which the secondary does not have: a cutover or rollback could not
// take them along.
const secondaryDatabases = "secondary_databases"

// missingDatabases is that blocker; nil if the secondary has all that are in use, or it is not known how many it has.
func (m *Migration) missingDatabases() []status.Blocker {
	primary := m.shard.Primary()
	secondary := m.other(primary)
	n := m.factsOf(secondary).Databases
	if n == 0 {
		return nil
	}
	beyond := m.shard.BeyondDatabases(secondary, n)
	if len(beyond) == 0 {
		return nil
	}
	highest := 0
	var names []string
	for _, db := range beyond {
		names = append(names, fmt.Sprint(db))
		highest = max(highest, secondary.Number(db))
	}
	return []status.Blocker{{
		Code: secondaryDatabases,
		Message: fmt.Sprintf("clients have been using database %s, and %s has only %d databases: it could not go on answering them",
			strings.Join(names, ", "), secondary, n),
		Remedy: fmt.Sprintf("set databases %d or more there (it takes a restart); or have these clients end: it is forgotten some minutes later",
			highest+1),
	}}
}
