package precheck

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

// The sample meets keys of all databases, its largest are named, and of it nothing stays on the target.
func TestSampleOfTheSource(t *testing.T) {
	for _, b := range redisdtest.Binaries(t) {
		t.Run(b.Name, func(t *testing.T) {
			source := redisdtest.Start(t, redisd.Options{Binary: b.Path})
			target := redisdtest.Start(t, redisd.Options{Binary: b.Path})
			s, d := connect(t, source), connect(t, target)
			var fill [][]string
			for i := range 1000 {
				fill = append(fill, []string{"SET", fmt.Sprint("key:", i), strings.Repeat("x", 100)})
			}
			fill = append(fill, []string{"RPUSH", "list", "a", "b"}, []string{"SELECT", "3"}, []string{"SETRANGE", "huge", "3000000", "x"},
				[]string{"SETRANGE", "medium", "700000", "x"}, []string{"SELECT", "0"})
			if _, err := s.Pipe(t.Context(), fill...); err != nil {
				t.Fatal(err)
			}
			r := precheck(t, source.URL(), target.URL(), Options{LargeKey: 1 << 20})
			r.expect(t, "large_keys", Warning, "1003 of 1003 keys looked at", `"huge" of db3`)
			r.expect(t, "duration", Success, "1003 keys", "to transfer")
			r.otherwise(t, "large_keys")
			if says := r.item(t, "large_keys").Found; strings.Contains(says, "medium") {
				t.Errorf("%s", says)
			}
			if n := do(t, d, "DBSIZE").Int; n != 0 {
				t.Errorf("%d keys are left on the target", n)
			}
			// The remedies: the key is split up; more time is planned for.
			do(t, s, "SELECT 3")
			do(t, s, "DEL huge")
			after := precheck(t, source.URL(), target.URL(), Options{LargeKey: 1 << 20})
			after.expect(t, "large_keys", Success, "medium")
			after.cured(t, r, "large_keys")

			r = precheck(t, source.URL(), target.URL(), Options{LongBackfill: time.Minute, Pace: Pace{KeysPerS: 10}})
			r.expect(t, "duration", Warning, "1002 keys", "at most 10 keys per second", "1m40s")
			r.otherwise(t, "duration")
			precheck(t, source.URL(), target.URL(), Options{LongBackfill: time.Minute, Pace: Pace{KeysPerS: 1000}}).cured(t, r, "duration")
		})
	}
}

// Where sizes are not told, they are guessed; no value that might be large is read.
func TestSampleWithoutSizes(t *testing.T) {
	source, target := start(t), start(t)
	s := connect(t, source)
	do(t, s, "SETRANGE huge 3000000 x")
	do(t, s, "RPUSH small a b")
	do(t, s, "ACL SETUSER app on >pw ~* &* +@all -memory")
	url := "redis://app:pw@" + source.Addr
	r := precheck(t, url, target.URL(), Options{LargeKey: 1 << 20})
	r.expect(t, "large_keys", Warning, "MEMORY USAGE is refused", `"huge" of db0, 2.9 MiB`)
	r.otherwise(t, "large_keys")
}

// What is decided by the last use of keys is not changed by a look at them.
func TestSampleLeavesIdleTimesAlone(t *testing.T) {
	for _, b := range redisdtest.Binaries(t) {
		t.Run(b.Name, func(t *testing.T) {
			source := redisdtest.Start(t, redisd.Options{Binary: b.Path})
			target := start(t)
			if b.Name != target.Name {
				target = redisdtest.Start(t, redisd.Options{Binary: b.Path})
			}
			s := connect(t, source)
			do(t, s, "SET made text")
			payload := do(t, s, "DUMP made")
			do(t, s, "DEL made")
			if _, err := s.Do(t.Context(), "RESTORE", "old", "0", string(payload.Str), "IDLETIME", "5000"); err != nil {
				t.Fatal(err)
			}
			r := precheck(t, source.URL(), target.URL(), Options{KeepIdle: true})
			r.expect(t, "duration", Success, "1 key")
			r.otherwise(t)
			if idle := do(t, s, "OBJECT IDLETIME old").Int; idle < 5000 {
				t.Errorf("idle for %d s, it was 5000", idle)
			}
		})
	}
}

func TestEstimate(t *testing.T) {
	for name, c := range map[string]struct {
		m    sampled
		keys int64
		size int64
		took time.Duration
	}{
		"nothing":              {sampled{}, 0, 0, 0},
		"the slower decides":   {sampled{keys: 100, size: 1000, reading: time.Second, writing: 2 * time.Second}, 1000, 10_000, 20 * time.Second},
		"of large ones, bytes": {sampled{keys: 10, size: 100 << 20, unread: 1, unreadSize: 100 << 20}, 100, 1000 << 20, 10 * time.Second},
	} {
		if size, took := c.m.estimate(c.keys); size != c.size || took != c.took {
			t.Errorf("%s: %d bytes in %v, want %d in %v", name, size, took, c.size, c.took)
		}
	}
}
