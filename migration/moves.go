package migration

import (
	"errors"
	"fmt"

	"tandem/config"
	"tandem/internal/instance"
	"tandem/internal/moves"
	"tandem/internal/state"
	"tandem/internal/status"
)

// ErrMoves says that what is configured to move is not what the migration has begun with.
var ErrMoves = errors.New("databases, database_map, keys and expiry are not those that this migration has begun with")

// canonicalMoves is what the state file keeps of what moves.
func canonicalMoves(cfg *config.Config) string {
	text := moves.Canonical(cfg.Moves(), cfg.Numbers())
	if d := cfg.Expiry.ExtendBy; d > 0 {
		text += fmt.Sprintf("extend %s\n", d)
	}
	return text
}

// checkMoves refuses another choice than the one that the migration has begun with: keys that move now and did not then
// would be on neither the list of what is owed nor the target, and a database with another number would be another one.
func checkMoves(cfg *config.Config, st *state.State) error {
	if st.Phase == status.Passthrough || st.Moves == canonicalMoves(cfg) {
		return nil
	}
	return fmt.Errorf("%s: %w: put them back, or begin anew with another state directory and an empty target", cfg.StateDir, ErrMoves)
}

// movingKeys is how many keys an instance has in the databases that move.
func (m *Migration) movingKeys(i *instance.Instance, f *instance.Facts) (n int64) {
	for number, keys := range f.Keys {
		if m.moves.Database(i.Database(number)) {
			n += keys
		}
	}
	return n
}

// stayingMet is how many keys of the primary the last sweep has met that do not move. walked is false where they must be met to
// be counted, for their names keep them, and none has been through.
func (m *Migration) stayingMet() (n int64, walked bool) {
	if !m.moves.ByName() {
		return 0, true
	}
	l := m.linked.Load()
	if l == nil {
		return 0, false
	}
	b := l.progress()
	return b.KeysStaying, b.State == status.Done
}
