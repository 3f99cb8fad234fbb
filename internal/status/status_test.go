package status

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// The contract: these fields, under these names, always there.
const unknown = `{
	"phase": "passthrough", "primary": "source", "ready_to_cutover": false, "blockers": [], "warnings": [], "uptime_s": 0, "sessions": 0,
	"listen": "",
	"backfill": {"state": "idle", "keys_total": null, "keys_scanned": 0, "keys_copied": 0, "bytes_copied": 0,
		"keys_per_s": null, "percent": null, "eta_s": null, "keys_staying": 0},
	"throttle": {"keys_per_s": null, "bytes_per_s": null, "window_bytes": 0, "workers": 0, "changed": false, "window": "none", "window_until": null,
		"governor": "off", "governor_keys_per_s": null, "latency_ms": null, "usual_latency_ms": null, "slowed": 0},
	"dirty_keys": 0, "unsettled_writes": 0, "lag_ms": null, "lag_bytes": 0,
	"effects": {"forwarded": 0, "mismatched": 0, "dropped": 0},
	"copies": {"done": 0, "races": 0, "failed": 0},
	"duplicates": {"found": 0, "overwritten": 0, "skipped": 0, "removed": 0, "target_only": 0, "by_age": 0, "kept": 0, "list": ""},
	"verify": {"state": "idle", "id": "", "mode": "", "percent": null, "compared": 0, "different": 0, "finished_at": null,
		"at_most_different": null, "next_at": null, "kept": 0, "staying": 0},
	"shadow": {"compared": 0, "different": 0, "skipped": 0},
	"cutover": {"last_pause_ms": null, "at": null, "planned_at": null, "planned_until": null, "planned_problem": "",
		"trial_until": null, "trial_problem": "", "max_pause_ms": 0, "trial_ms": 0},
	"two_way": {"state": "idle", "sessions": 0, "conflicts": 0, "list": ""},
	"tracking": {"state": "idle", "foreign_writes": null, "foreign_flushes": 0, "since": null, "writers": 0, "readers": 0, "connections": []},
	"source": {"address": "", "connected": false, "version": "", "run_id": "", "clock_offset_ms": null},
	"target": {"address": "", "connected": false, "version": "", "run_id": "", "clock_offset_ms": null}
}`

func TestStatusIsTheContract(t *testing.T) {
	var want bytes.Buffer
	if err := json.Compact(&want, []byte(unknown)); err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(New())
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want.String() {
		t.Errorf("got  %s\nwant %s", got, want.String())
	}
}

func TestListsAreNeverNull(t *testing.T) {
	for _, v := range []any{Status{}, &Status{}, map[string]any{"s": Status{}}} {
		got, err := json.Marshal(v)
		if err != nil || !strings.Contains(string(got), `"blockers":[]`) {
			t.Errorf("%s, %v", got, err)
		}
	}
}

func TestStatusComesBackWhole(t *testing.T) {
	s := New()
	s.Phase, s.Primary, s.ReadyToCutover = Reversed, "target", true
	s.Blockers = []Blocker{{Code: "a", Message: "b", Remedy: "c"}}
	s.LagMs, s.Backfill.KeysTotal, s.Backfill.EtaS = Known(1.5), Known[int64](0), Known[int64](9)
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var got Status
	if err := json.Unmarshal(text, &got); err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, s)
	}
	if v, known := got.Backfill.KeysTotal.Get(); v != 0 || !known {
		t.Error("a 0 that is known came back unknown")
	}
	if _, known := got.Backfill.Percent.Get(); known {
		t.Error("an unknown number came back known")
	}
}

func TestDifferenceKeepsItsKeysBytes(t *testing.T) {
	for key, want := range map[string]string{
		"plain": `"plain"`, "ünï": `"ünï"`, "": `""`, "a\x00b": `"a\u0000b"`, "\xff\xfe!": `"\\xff\\xfe!"`, "ok\xc3": `"ok\\xc3"`, "\uFFFD": `"` + "\uFFFD" + `"`,
	} {
		d := Difference{Key: []byte(key), DB: 3, Kind: "k", Detail: "d"}
		text, err := json.Marshal(d)
		if err != nil || !strings.HasPrefix(string(text), `{"key":`+want+`,`) {
			t.Errorf("%q: %s, %v", key, text, err)
		}
		var got Difference
		if err := json.Unmarshal(text, &got); err != nil || !reflect.DeepEqual(got, d) {
			t.Errorf("%q came back as %+v, %v", key, got, err)
		}
	}
}

// A bound is rounded up, never down.
func TestPercentOfABound(t *testing.T) {
	for share, want := range map[float64]string{0.0009981: "0.1 %", 0.001: "0.1 %", 0.00312: "0.32 %", 0.5: "50 %", 0.2951: "30 %", 0.02951: "3 %",
		1: "100 %", 0.991: "100 %", 2.99573e-09: "3e-07 %", 0: "100 %"} {
		if got := percent(share); got != want {
			t.Errorf("%g: %s, want %s", share, got, want)
		}
	}
}
