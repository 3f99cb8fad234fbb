package test

import (
	"testing"
	"time"

	"tandem/internal/redisd/redisdtest"
	"tandem/test/program"
)

// largeBytes are the values of 10 MB that a full keyspace has, one of each type.
func largeBytes() int {
	if program.Full {
		return 10 << 20
	}
	return 2 << 20
}

// The main job: a keyspace of every type moves while 32 clients write at full speed. Both sides are equal in
// the end by a comparison that is not tandem's, and the target never showed a value that the source never had.
func TestMigrationUnderLoad(t *testing.T) {
	w := newWorld(t, worldOptions{keys: sized(1_000_000), largeBytes: largeBytes(), clients: 32})
	w.startLoad(nil)
	w.commands(10_000) // served in passthrough as well
	began := time.Now()
	w.td.Step("start")
	s := w.td.WaitSynced()
	took := time.Since(began)
	t.Logf("synced after %v: %d keys scanned, %d copied, %.0f keys/s, %d races, %d effects, %d mismatched",
		took.Round(time.Millisecond), s.Backfill.KeysScanned, s.Backfill.KeysCopied,
		float64(s.Backfill.KeysScanned)/took.Seconds(), s.Copies.Races, s.Effects.Forwarded, s.Effects.Mismatched)
	w.during(3 * time.Second)
	w.stopLoad()
	w.mustBeEqual()
	w.mustBeTruthful()
	w.td.MustMatch()
	w.td.MustVerify()
	w.checkMemory()
	if s.Copies.Failed != 0 {
		t.Errorf("%d copies failed", s.Copies.Failed)
	}
}

// The same at a small size for every pair of versions that DUMP can bridge, with hash field expiries where
// the servers have them.
func TestMigrationBetweenVersions(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]string{
		{"redis-7.0", "redis-7.0"}, {"redis-6.0", "redis-7.0"}, {"redis-7.0", "redis-8.0"},
		{"redis-7.0", "valkey-8.1"}, {"redis-8.0", "redis-8.0"}, {"valkey-9.1", "valkey-9.1"},
	} {
		servers, ok := redisdtest.Find(t, pair[:]...)
		if !ok {
			continue
		}
		t.Run(pair[0]+" to "+pair[1], func(t *testing.T) {
			w := newWorld(t, worldOptions{source: servers[0].Path, target: servers[1].Path,
				keys: sized(100_000), largeBytes: 1 << 20, clients: 8})
			w.startLoad(nil)
			w.td.Step("start")
			w.td.WaitSynced()
			w.commands(20_000)
			w.stopLoad()
			w.mustBeEqual()
			w.mustBeTruthful()
			w.td.MustMatch()
			w.td.MustVerify()
		})
	}
}
