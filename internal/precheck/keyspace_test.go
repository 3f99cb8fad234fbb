package precheck

import (
	"fmt"
	"strings"
	"testing"

	"tandem/internal/resp"
)

// What SCAN returns twice counts once, and of more keys than the set holds each counts that is not known to be there.
func TestKeysThatScanReturnsTwiceCountOnce(t *testing.T) {
	page := func(from, to int) (keys []resp.Value) {
		for i := from; i < to; i++ {
			keys = append(keys, resp.Value{Str: fmt.Append(nil, "key:", i)})
		}
		return append(keys, resp.Value{Str: []byte("other")})
	}
	counts := func(key []byte) bool { return strings.HasPrefix(string(key), "key:") }
	s := newKeySet(30)
	for i, x := range []struct{ from, to, added int }{{0, 10, 10}, {5, 15, 5}, {0, 15, 0}, {15, 40, 25}, {0, 30, 0}, {35, 40, 5}} {
		if n := s.add(page(x.from, x.to), counts); n != x.added {
			t.Errorf("page %d: %d are new, want %d", i, n, x.added)
		}
	}
	if len(s.hashes) != 30 {
		t.Errorf("%d hashes are kept", len(s.hashes))
	}
}
