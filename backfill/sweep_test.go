package backfill

import (
	"testing"

	"tandem/internal/redisd"
	"tandem/test/keyspace"
)

func TestSweepCopiesEveryType(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{}, nil)
	if err := (keyspace.Layout{Keys: 20_000, Seed: 1, LargeBytes: 12 << 20}).Fill(w.first.Addr); err != nil {
		t.Fatal(err)
	}
	if err := (keyspace.Layout{Keys: 2_000, Seed: 2}).Fill(w.second.Addr); err != nil {
		t.Fatal(err)
	}
	s := w.sweep()
	w.equal()
	t.Logf("%+v %+v", s.Progress(), w.copier.Stats())
}
