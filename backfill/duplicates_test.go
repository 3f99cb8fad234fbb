package backfill

import (
	"errors"
	"slices"
	"testing"
	"time"

	"tandem/internal/instance"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

// What becomes of a key, by its policy, by whether the source has it, and by what is said of those that it has not.
func TestTheFateOfAKey(t *testing.T) {
	const source, target = true, false
	for _, c := range []struct {
		policy      Policy
		on          bool
		only        string
		forced      bool
		here, there time.Duration
		want        Fate
	}{
		{policy: PolicyError, on: source, only: OnlyAuto, want: Refused},
		{policy: PolicyError, on: source, only: OnlyAuto, forced: true, want: Overwritten},
		{policy: PolicyOverwrite, on: source, only: OnlyAuto, want: Overwritten},
		{policy: PolicySkip, on: source, only: OnlyAuto, want: Skipped},
		{policy: PolicySkip, on: source, only: OnlyAuto, forced: true, want: Skipped},
		{policy: PolicyNewest, on: source, only: OnlyAuto, here: 5, there: 4, want: Skipped},
		{policy: PolicyNewest, on: source, only: OnlyAuto, here: 4, there: 5, want: Overwritten},
		{policy: PolicyNewest, on: source, only: OnlyAuto, here: 5, there: 5, want: Overwritten},
		{policy: PolicyError, on: target, only: OnlyAuto, want: Refused},
		{policy: PolicyError, on: target, only: OnlyAuto, forced: true, want: Removed},
		{policy: PolicyOverwrite, on: target, only: OnlyAuto, want: Skipped},
		{policy: PolicySkip, on: target, only: OnlyAuto, want: Skipped},
		{policy: PolicyNewest, on: target, only: OnlyAuto, want: Skipped},
		{policy: PolicyError, on: target, only: OnlyKeep, want: Skipped},
		{policy: PolicyError, on: source, only: OnlyKeep, want: Refused},
		{policy: PolicySkip, on: target, only: OnlyRefuse, want: Refused},
		{policy: PolicySkip, on: source, only: OnlyRefuse, want: Skipped},
		{policy: PolicySkip, on: target, only: OnlyDelete, want: Removed},
		{policy: PolicyOverwrite, on: source, only: OnlyDelete, want: Overwritten},
	} {
		d := &duplicates{opt: DuplicatesOptions{TargetOnly: c.only, Forced: c.forced}}
		x := Decision{Policy: c.policy, OnSource: c.on}
		d.decide(&x, c.here*time.Second, c.there*time.Second)
		if x.Fate != c.want || x.Why == "" {
			t.Errorf("%+v: %s (%s)", c, x.Fate, x.Why)
		}
	}
}

// Databases that the source does not offer have keys that it has not; and an error of whoever is told ends the walk.
func TestDuplicatesOfDatabasesThatTheSourceLacks(t *testing.T) {
	s := redisdtest.Start(t, redisd.Options{Args: []string{"--databases", "2"}})
	g := redisdtest.Start(t, redisd.Options{Args: []string{"--databases", "9"}})
	source, err := instance.New(instance.Source, "redis://"+s.Addr, instance.Options{})
	if err != nil {
		t.Fatal(err)
	}
	target, err := instance.New(instance.Target, "redis://"+g.Addr, instance.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		i  *instance.Instance
		db int
	}{{source, 1}, {target, 1}, {target, 8}} {
		c, err := x.i.Conn(t.Context(), "", x.db)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range []string{"a", "b", "own"} {
			if _, err := c.Do(t.Context(), "SET", k, "1"); err != nil {
				t.Fatal(err)
			}
		}
		_ = c.Close()
	}
	var got []Decision
	o := DuplicatesOptions{Databases: 9, TargetOnly: OnlyAuto, Policy: func(string) Policy { return PolicySkip },
		Except:  func(key string) bool { return key == "own" },
		Decided: func(d Decision) error { got = append(got, d); return nil }}
	if err := DecideDuplicates(t.Context(), source, target, o); err != nil {
		t.Fatal(err)
	}
	for i, d := range got {
		if d.OnSource != (d.DB == 1) || d.Fate != Skipped || !slices.Contains([]string{"a", "b"}, d.Key) {
			t.Errorf("%d: %+v", i, d)
		}
	}
	if len(got) != 4 {
		t.Errorf("%d decisions", len(got))
	}
	full := errors.New("no space left on device")
	o.Decided = func(Decision) error { return full }
	if err := DecideDuplicates(t.Context(), source, target, o); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
}
