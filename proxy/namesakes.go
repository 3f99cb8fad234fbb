package proxy

import (
	"bytes"
	"sync"

	"tandem/internal/ledger"
	"tandem/internal/moves"
)

// maxNamesakes bounds the names that are remembered, and namesakesKept what one of them may be long.
const (
	maxNamesakes  = 256
	namesakesKept = 1 << 10
)

// namesakes are the keys of one name in several databases, made once for all feeds. It has a lock of its own, for
// hashes are not made under the shard's.
type namesakes struct {
	mu     sync.Mutex
	byName map[string][]ledger.Key
	moves  *moves.Filter
}

// of returns the keys of a name in these databases, of which there are only ever more. They are shared and must not be
// changed.
func (n *namesakes) of(l *ledger.Ledger, name []byte, dbs []int) []ledger.Key {
	n.mu.Lock()
	keys := n.byName[string(name)]
	n.mu.Unlock()
	if len(keys) == len(dbs) {
		return keys
	}
	name = bytes.Clone(name)
	keys = make([]ledger.Key, len(dbs))
	for i, db := range dbs {
		keys[i] = ledger.Key{Hash: l.Hash(db, name), Name: name, DB: int32(db), Write: true}
		if !n.moves.Key(db, name) {
			keys[i].Write, keys[i].Stays = false, true
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.byName == nil || len(n.byName) >= maxNamesakes {
		n.byName = map[string][]ledger.Key{}
	}
	if len(name) <= namesakesKept {
		n.byName[string(name)] = keys
	}
	return keys
}
