package config

import (
	"slices"
	"testing"
)

func TestChangesTellWhatNeedsARestart(t *testing.T) {
	before, after := Default(), Default()
	if live, restart := Changes(before, after); live != nil || restart != nil {
		t.Errorf("nothing has changed: %v, %v", live, restart)
	}
	after.Log.Level, after.Backfill.MaxKeysPerS, after.Verify.MaxKeysPerS = "debug", 500, 600
	after.Hooks, after.Source.URL = []Hook{{Command: []string{"notify"}}}, "redis://10.0.0.9"
	after.DatabaseMap = []DatabaseNumber{{From: 1, To: 2}}
	live, restart := Changes(before, after)
	if want := []string{"backfill.max_keys_per_s", "hooks", "log.level"}; !slices.Equal(live, want) {
		t.Errorf("live %v, want %v", live, want)
	}
	if want := []string{"source.url", "verify.max_keys_per_s", "database_map"}; !slices.Equal(sorted(restart), sorted(want)) {
		t.Errorf("restart %v, want %v", restart, want)
	}
	before.Adopt(after)
	if before.Log.Level != "debug" || before.Backfill.MaxKeysPerS != 500 || before.Verify.MaxKeysPerS != 0 || before.Source.URL != "" {
		t.Errorf("adopted %+v", before)
	}
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}
