package state

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var testPair = [2]string{"10.0.0.1:6379", "10.0.0.2:6379"}

func TestDecodeRefuses(t *testing.T) {
	good, err := newState(testPair).encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := decode(good); err != nil {
		t.Fatalf("a new state is refused: %v", err)
	}
	edit := func(field string, value any) []byte {
		var m map[string]any
		if err := json.Unmarshal(good, &m); err != nil {
			t.Fatal(err)
		}
		if m[field] = value; value == nil {
			delete(m, field)
		}
		b, _ := json.Marshal(m)
		return b
	}
	for name, c := range map[string]struct {
		data []byte
		want error
		text string
	}{
		"empty file":               {nil, ErrCorrupt, "unexpected end"},
		"zeroes":                   {make([]byte, 4096), ErrCorrupt, "invalid character"},
		"cut in the middle":        {good[:len(good)/2], ErrCorrupt, "unexpected end"},
		"two states":               {append(good[:len(good):len(good)], good...), ErrCorrupt, ""},
		"null":                     {[]byte("null"), ErrCorrupt, "no format"},
		"a list":                   {[]byte("[]"), ErrCorrupt, ""},
		"no format":                {edit("format", nil), ErrCorrupt, "no format"},
		"format of the past":       {edit("format", 0), ErrCorrupt, "format 0"},
		"format is text":           {edit("format", "1"), ErrCorrupt, ""},
		"newer format":             {edit("format", Format+1), ErrNewerFormat, "6, this program knows 5"},
		"newer, with new fields":   {[]byte(`{"format": 99, "id": {"new": "shape"}}`), ErrNewerFormat, "99"},
		"field of a newer minor":   {edit("shards", 3), ErrCorrupt, "shards"},
		"phase with a typing slip": {edit("phase", "sinced"), ErrCorrupt, "sinced"},
		"no phase":                 {edit("phase", nil), ErrCorrupt, "phase"},
		"no id":                    {edit("id", nil), ErrCorrupt, "id"},
		"id with a colon":          {edit("id", "0123456:89abcdef"), ErrCorrupt, "hex"},
		"half a pair":              {edit("pair", []string{"a:1"}), ErrCorrupt, "pair"},
		"generation below zero":    {edit("generation", -1), ErrCorrupt, "below zero"},
		"no secret":                {edit("hash_secret", nil), ErrCorrupt, "no hash secret"},
		"half a secret":            {edit("hash_secret", "0011"), ErrCorrupt, "32 digits"},
		"a secret of letters":      {edit("hash_secret", strings.Repeat("x", 32)), ErrCorrupt, "hexadecimal"},
		"checkpoint below zero":    {edit("checkpoint", map[string]any{"db": -1}), ErrCorrupt, "below zero"},
		"field of the past":        {edit("owed_sweep", true), ErrCorrupt, "owed_sweep"},
		"generation too large":     {edit("generation", 1e300), ErrCorrupt, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decode(c.data)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Fatalf("got %v, want %v with %q", err, c.want, c.text)
			}
		})
	}
}

func TestOpenMakesANewStateAndKeepsWhatIsSaved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "state")
	d, s, err := Open(path, testPair)
	if err != nil {
		t.Fatal(err)
	}
	if s.Phase != "passthrough" || s.Generation != 1 || s.Pair != testPair || len(s.ID) != 16 {
		t.Fatalf("new state: %+v", s)
	}
	saved := *s
	saved.Phase, saved.ScanEpoch, saved.SourceKeys = "reversed", 3, 7
	saved.Checkpoint = Checkpoint{Sweep: 4, RunID: "aaa", DB: 2, Cursor: "18446744073709551615", Scanned: 12}
	saved.SourceRunID, saved.TargetRunID = "aaa", "bbb"
	if err := d.Save(saved); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}

	d, again, err := Open(path, testPair)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	saved.Generation = 2 // raised by the second Open
	if *again != saved {
		t.Fatalf("got  %+v\nwant %+v", *again, saved)
	}
	onDisk, err := decode(mustRead(t, filepath.Join(path, stateFile)))
	if err != nil || onDisk.Generation != 2 {
		t.Fatalf("the raised generation is not on disk: %+v %v", onDisk, err)
	}
}

// The first format had neither secret nor checkpoint, and is written anew in the present one.
func TestOpenReadsTheFirstFormat(t *testing.T) {
	path := t.TempDir()
	first := `{"format": 1, "id": "0123456789abcdef", "pair": ["10.0.0.1:6379", "10.0.0.2:6379"], "generation": 5,
		"phase": "synced", "scan_epoch": 2, "source_run_id": "", "target_run_id": "", "owed_sweep": true, "backfill_done": true}`
	if err := os.WriteFile(filepath.Join(path, stateFile), []byte(first), 0o600); err != nil {
		t.Fatal(err)
	}
	d, s, err := Open(path, testPair)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if s.ID != "0123456789abcdef" || s.Generation != 6 || s.Phase != "synced" || s.ScanEpoch != 2 || s.Secret == (Secret{}) {
		t.Errorf("%+v", s)
	}
	again, err := decode(mustRead(t, filepath.Join(path, stateFile)))
	if err != nil || again.Format != Format || again.Secret != s.Secret {
		t.Errorf("on disk: %+v, %v", again, err)
	}
}

// The secret is in the file, which nobody else may read, and nowhere else.
func TestSecretIsNotShown(t *testing.T) {
	path := t.TempDir()
	d, s, err := Open(path, testPair)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	secret := hex.EncodeToString(s.Secret[:])
	file := filepath.Join(path, stateFile)
	if !strings.Contains(string(mustRead(t, file)), secret) {
		t.Error("the file has no secret")
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	var logged bytes.Buffer
	slog.New(slog.NewTextHandler(&logged, nil)).Info("state", "state", *s, "secret", s.Secret)
	for _, shown := range []string{logged.String(), fmt.Sprintf("%v %+v %#v %s", *s, *s, *s, s.Secret)} {
		if strings.Contains(shown, secret) || strings.Contains(shown, fmt.Sprint([16]byte(s.Secret))) {
			t.Errorf("the secret is shown: %s", shown)
		}
	}
}

func TestOpenRefusesAnotherPairByName(t *testing.T) {
	path := t.TempDir()
	reopen(t, path)
	before := mustRead(t, filepath.Join(path, stateFile))
	swapped := [2]string{testPair[1], testPair[0]}
	_, _, err := Open(path, swapped)
	if !errors.Is(err, ErrOtherPair) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{
		"source " + testPair[0] + " and target " + testPair[1],
		"source " + swapped[0] + " and target " + swapped[1],
		"another state directory",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	unchanged(t, path, before)
	reopen(t, path) // the lock is free
}

func TestOpenLeavesAStateThatItCannotReadAsItIs(t *testing.T) {
	for name, c := range map[string]struct {
		data string
		want error
	}{
		"damaged": {`{"format": 1, "id": "0011`, ErrCorrupt},
		"empty":   {"", ErrCorrupt},
		"newer":   {`{"format": 7}`, ErrNewerFormat},
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir()
			file := filepath.Join(path, stateFile)
			if err := os.WriteFile(file, []byte(c.data), 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second shows that the first gave the lock back
				_, _, err := Open(path, testPair)
				if !errors.Is(err, c.want) || !strings.Contains(err.Error(), file) {
					t.Fatalf("got %v, want %v naming %s", err, c.want, file)
				}
			}
			unchanged(t, path, []byte(c.data))
		})
	}
}

func TestSaveRefusesWhatNoStateMayBe(t *testing.T) {
	path := t.TempDir()
	d, s, err := Open(path, testPair)
	if err != nil {
		t.Fatal(err)
	}
	before := mustRead(t, filepath.Join(path, stateFile))
	for name, edit := range map[string]func(*State){
		"unknown phase": func(s *State) { s.Phase = "done" },
		"another id":    func(s *State) { s.ID = "0000000000000000" },
		"another pair":  func(s *State) { s.Pair[0] = "other:1" },
	} {
		bad := *s
		edit(&bad)
		if err := d.Save(bad); err == nil {
			t.Errorf("%s was saved", name)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatalf("second Close: %v", err)
	}
	if err := d.Save(*s); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Save after Close: %v", err)
	}
	unchanged(t, path, before)
}

func TestALeftoverTemporaryFileIsReplaced(t *testing.T) {
	path := t.TempDir()
	reopen(t, path)
	if err := os.WriteFile(filepath.Join(path, tempFile), []byte(strings.Repeat("x", 10000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if s := reopen(t, path); s.Generation != 2 {
		t.Fatalf("generation %d", s.Generation)
	}
}

func FuzzDecode(f *testing.F) {
	good, _ := newState(testPair).encode()
	f.Add(good)
	f.Add([]byte(`{"format":1,"id":"00112233445566aa","pair":["a:1","b:2"],"generation":4,"phase":"synced"}`))
	f.Add([]byte(`{"format":2}`))
	f.Add([]byte(`{"format":1e0,"FORMAT":3}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := decode(data)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNewerFormat) {
				t.Fatalf("neither damaged nor newer: %v", err)
			}
			return
		}
		again, err := s.encode()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decode(again); err != nil || back != s {
			t.Fatalf("%+v comes back as %+v, %v", s, back, err)
		}
	})
}

// reopen opens and closes the directory and returns the state.
func reopen(t *testing.T, path string) State {
	t.Helper()
	d, s, err := Open(path, testPair)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return *s
}

func mustRead(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unchanged(t *testing.T, path string, before []byte) {
	t.Helper()
	if now := mustRead(t, filepath.Join(path, stateFile)); string(now) != string(before) {
		t.Fatalf("state file was changed to\n%s", now)
	}
}
