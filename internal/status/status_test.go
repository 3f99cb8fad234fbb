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
	"phase": "passthrough", "primary": "source", "ready_to_cutover": false, "blockers": [], "uptime_s": 0, "sessions": 0,
	"backfill": {"state": "idle", "keys_total": null, "keys_scanned": 0, "keys_copied": 0, "bytes_copied": 0,
		"keys_per_s": null, "percent": null, "eta_s": null},
	"dirty_keys": 0, "unsettled_writes": 0, "lag_ms": null, "lag_bytes": 0,
	"effects": {"forwarded": 0, "mismatched": 0, "dropped": 0},
	"copies": {"done": 0, "races": 0, "failed": 0},
	"duplicates": {"found": 0, "overwritten": 0, "skipped": 0},
	"verify": {"state": "idle", "compared": 0, "different": 0, "finished_at": null},
	"cutover": {"last_pause_ms": null, "at": null},
	"tracking": {"state": "idle", "foreign_writes": null},
	"source": {"connected": false, "version": "", "run_id": "", "clock_offset_ms": null},
	"target": {"connected": false, "version": "", "run_id": "", "clock_offset_ms": null}
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
