package migration

import (
	"errors"
	"strings"
	"testing"

	"tandem/internal/admin"
	"tandem/internal/status"
)

func TestVerifiesAreBounded(t *testing.T) {
	var vs verifies
	present := func() *link { return nil }
	var all []*verify
	for range maxRunning {
		v := &verify{state: status.Running}
		if err := vs.begin(v, nil, present); err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	var refused *admin.Refused
	if err := vs.begin(&verify{state: status.Running}, nil, present); !errors.As(err, &refused) {
		t.Errorf("one too many: %v", err)
	}
	all[1].end(nil)
	if err := vs.begin(&verify{state: status.Running}, nil, present); err != nil {
		t.Error(err)
	}
}

func TestListedDifferencesAreBounded(t *testing.T) {
	v := &verify{state: status.Running}
	huge := status.Difference{Key: []byte(strings.Repeat("k", maxListedBytes/4))}
	for range 10 {
		v.add(huge)
	}
	v.add(status.Difference{Key: []byte("k")})
	if v.count != 11 || len(v.found) != 4 {
		t.Errorf("%d counted, %d listed", v.count, len(v.found))
	}
}
