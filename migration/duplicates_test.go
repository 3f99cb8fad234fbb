package migration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/instance"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/resp"
	"tandem/internal/status"
)

// kinds are the commands that make a key of each type from a name and a word, that write to it once more, and that read
// it back.
var kinds = map[string]struct{ write, again, read []string }{
	"string": {[]string{"SET", "KEY", "WORD"}, []string{"APPEND", "KEY", "WORD"}, []string{"GET", "KEY"}},
	"list":   {[]string{"RPUSH", "KEY", "WORD"}, []string{"RPUSH", "KEY", "WORD"}, []string{"LRANGE", "KEY", "0", "-1"}},
	"set":    {[]string{"SADD", "KEY", "WORD"}, []string{"SADD", "KEY", "WORD"}, []string{"SORT", "KEY", "ALPHA"}},
	"zset":   {[]string{"ZADD", "KEY", "1", "WORD"}, []string{"ZADD", "KEY", "2", "WORD"}, []string{"ZRANGE", "KEY", "0", "-1"}},
	"hash":   {[]string{"HSET", "KEY", "f", "WORD"}, []string{"HSET", "KEY", "g", "WORD"}, []string{"HVALS", "KEY"}},
	"stream": {[]string{"XADD", "KEY", "1-1", "f", "WORD"}, []string{"XADD", "KEY", "2-1", "f", "WORD"}, []string{"XRANGE", "KEY", "-", "+"}},
}

func fillIn(args []string, key, word string) []string {
	out := slices.Clone(args)
	for i := range out {
		out[i] = strings.NewReplacer("KEY", key, "WORD", word).Replace(out[i])
	}
	return out
}

// put writes a key of a type on a server.
func (w *world) put(c *instance.Conn, kind, key, word string) {
	w.t.Helper()
	w.do(c, fillIn(kinds[kind].write, key, word)...)
}

// content reads a key of any type from a server, as "type: content"; "" if it is not there.
func (w *world) content(c *instance.Conn, key string) string {
	w.t.Helper()
	kind := w.do(c, "TYPE", key)
	if kind == "none" {
		return ""
	}
	v, err := c.Do(w.t.Context(), fillIn(kinds[kind].read, key, "")...)
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.Join(append([]string{kind}, words(v)...), " ")
}

// words are the texts of a reply.
func words(v resp.Value) (out []string) {
	if len(v.Elems) == 0 {
		return []string{string(v.Str)}
	}
	for _, e := range v.Elems {
		out = append(out, words(e)...)
	}
	return out
}

// listed reads the file that names the target's keys.
func (w *world) listed() map[string]map[string]any {
	w.t.Helper()
	data, err := os.ReadFile(filepath.Join(w.cfg.StateDir, duplicatesFile))
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]map[string]any{}
	for line := range strings.Lines(string(data)) {
		var x map[string]any
		if err := json.Unmarshal([]byte(line), &x); err != nil {
			w.t.Fatalf("%q: %v", line, err)
		}
		out[fmt.Sprint(x["key"])] = x
	}
	return out
}

// Every type on one side meets every type on the other, under each policy: what comes of each, what of those that
// clients write to, and that verify, a restart, a cutover and a rollback leave it at that.
func TestEachPolicyOnEachType(t *testing.T) {
	for _, policy := range []string{"skip", "overwrite"} {
		t.Run(policy, func(t *testing.T) {
			w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) { c.Duplicates = policy })
			source, target := w.conn(w.source.Addr, 0), w.conn(w.target.Addr, 0)
			var both []string
			for a := range kinds {
				w.put(source, a, "source-only:"+a, "s")
				w.put(target, a, "target-only:"+a, "t")
				for b := range kinds {
					key := a + "-" + b
					both = append(both, key, "written:"+key)
					for _, k := range []string{key, "written:" + key} {
						w.put(source, a, k, "s")
						w.put(target, b, k, "t")
					}
				}
			}
			before := map[string]string{}
			for _, k := range both {
				before[k] = w.content(target, k)
			}
			w.run()
			w.synced()
			c := w.conn("", 0)
			for a := range kinds {
				for b := range kinds {
					// By the source's type: it is the source that takes the write.
					w.do(c, fillIn(kinds[a].again, "written:"+a+"-"+b, "live")...)
				}
			}
			check := func(moment string) {
				t.Helper()
				w.synced()
				for a := range kinds {
					if x, y := w.content(source, "source-only:"+a), w.content(target, "source-only:"+a); x != y || x == "" {
						t.Errorf("%s: source-only %s is %q and %q", moment, a, x, y)
					}
					if got := w.content(target, "target-only:"+a); got == "" {
						t.Errorf("%s: the target's own %s is gone", moment, a)
					}
					if got := w.content(source, "target-only:"+a); got != "" {
						t.Errorf("%s: the target's own %s is on the source", moment, a)
					}
				}
				for _, k := range both {
					want, is := w.content(source, k), w.content(target, k)
					if policy == "skip" && !strings.HasPrefix(k, "written:") {
						want = before[k]
					}
					if is != want {
						t.Errorf("%s: %s is %q on the target, want %q", moment, k, is, want)
					}
				}
			}
			check("synced")
			n := int64(len(both)) // and six of the target alone
			s := w.Status().Duplicates
			wantKept := map[string]int64{"skip": n + 6, "overwrite": 6}[policy]
			if s.Found != n+6 || s.Skipped != wantKept || s.Overwritten != n+6-wantKept || s.TargetOnly != 6 {
				t.Errorf("%+v", s)
			}
			if s.List == "" || len(w.listed()) != int(n)+6 {
				t.Errorf("%d are listed in %q", len(w.listed()), s.List)
			}
			if len(w.differences()) > 0 {
				t.Errorf("verify reports %v", w.differences())
			}

			w.stopped()
			w.run()
			check("restarted")
			w.stopped()
			w.loseIntents() // all is swept again
			w.run()
			w.logged("the intent map tells nothing")
			w.until("the sweep is done", func(s status.Status) bool { return s.Backfill.State == status.Done })
			check("swept again")
			after := w.Status().Duplicates
			if s.Kept = after.Kept; after != s {
				t.Errorf("the counts are %+v, were %+v", after, s)
			}

			w.until("ready", func(s status.Status) bool { return s.ReadyToCutover })
			if _, err := w.Cutover(t.Context(), admin.StepOptions{}); err != nil {
				t.Fatal(err)
			}
			c = w.conn("", 0)
			if policy == "skip" {
				if got := w.content(c, "string-list"); got != before["string-list"] {
					t.Errorf("after the cutover clients see %q, the target had %q", got, before["string-list"])
				}
			}
			w.do(c, "APPEND", "target-only:string", "live") // written now: it is the source's, too
			w.until("it is on the source", func(status.Status) bool { return w.content(source, "target-only:string") == "string tlive" })
			w.do(c, "DEL", "target-only:string")
			w.until("it is gone from the source", func(status.Status) bool { return w.content(source, "target-only:string") == "" })
			w.do(c, "RPUSH", "target-only:list", "live")
			w.until("all is settled", func(s status.Status) bool { return s.UnsettledWrites == 0 && s.DirtyKeys == 0 })
			if x, y := w.content(source, "target-only:list"), w.content(target, "target-only:list"); x != y {
				t.Errorf("the list written after the cutover is %q on the source, %q on the target", x, y)
			}
			if _, err := w.Rollback(t.Context(), admin.StepOptions{}); err != nil {
				t.Fatal(err)
			}
			c = w.conn("", 0)
			if got, want := w.content(c, "string-list"), w.content(source, "string-list"); got != want || want == "" {
				t.Errorf("after the rollback clients see %q, the source has %q", got, want)
			}
			if len(w.differences()) > 0 {
				t.Errorf("verify reports %v", w.differences())
			}
		})
	}
}

// differences runs a verify.
func (w *world) differences() (found []status.Difference) {
	w.t.Helper()
	id, err := w.Verify(w.t.Context(), admin.VerifyOptions{Mode: "full"})
	if err != nil {
		w.t.Fatal(err)
	}
	w.until("verify is done", func(s status.Status) bool { return s.Verify.State == status.Done })
	_, err = w.VerifyResults(w.t.Context(), id, 0, func(d status.Difference) error {
		found = append(found, d)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

// Without a policy a start is refused, and says for which keys; nothing is changed, and mended it starts.
func TestKeysOfTheTargetRefuseAStart(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, nil)
	source, target := w.conn(w.source.Addr, 0), w.conn(w.target.Addr, 0)
	w.do(source, "MSET", "a", "s", "b", "s")
	w.do(target, "MSET", "b", "t", "c", "t", "bad\xff\"", "t")
	w.run()
	w.until("it is refused", func(s status.Status) bool { return len(s.Blockers) > 0 && s.Blockers[0].Code == targetEmpty })
	message := w.Status().Blockers[0].Message
	for _, want := range []string{"3 keys (db0: 3)", "1 that the source has too", "2 that the source has not", `"b" (db0)`, duplicatesFile} {
		if !strings.Contains(message, want) {
			t.Errorf("%q does not say %q", message, want)
		}
	}
	all := w.listed()
	if x := all["b"]; len(all) != 3 || x["decision"] != "refused" || x["policy"] != "error" || x["db"] != float64(0) || x["why"] != "both have it" {
		t.Errorf("listed are %v", all)
	}
	if x := all[`bad\xff"`]; x["key_base64"] != "YmFk/yI=" || x["why"] != "only the target has it" {
		t.Errorf("%v", x)
	}
	if left, err := filepath.Glob(filepath.Join(w.cfg.StateDir, keptFile+"*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if got := w.content(target, "b") + w.content(target, "c"); got != "string tstring t" {
		t.Errorf("the target holds %q", got)
	}
	// Forced by name, the source's replace them, and what only the target has goes.
	if _, err := w.Start(t.Context(), admin.StepOptions{Force: targetEmpty}); err != nil {
		t.Fatal(err)
	}
	w.synced()
	w.same(0)
	if s := w.Status().Duplicates; s.Found != 3 || s.Overwritten != 1 || s.Removed != 2 || s.Kept != 0 {
		t.Errorf("%+v", s)
	}
}

// Patterns decide before the default, the first that matches; and target_only about what the source has not.
func TestPatternsAndTargetOnly(t *testing.T) {
	for only, want := range map[string]struct{ code, skip, over, other string }{
		"auto":   {skip: "t", over: "t", other: "refused"},
		"keep":   {skip: "t", over: "t", other: "t"},
		"delete": {skip: "", over: "", other: ""},
		"refuse": {skip: "refused", over: "refused", other: "refused"},
	} {
		t.Run(only, func(t *testing.T) {
			w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) {
				c.TargetOnly = only
				c.DuplicatesByPattern = []config.DuplicatesRule{
					{Pattern: "skip:not:*", Policy: "overwrite"}, {Pattern: "skip:*", Policy: "skip"}, {Pattern: "over:*", Policy: "overwrite"},
				}
			})
			source, target := w.conn(w.source.Addr, 3), w.conn(w.target.Addr, 3)
			both := []string{"skip:1", "skip:not:1", "over:1"}
			for _, k := range both {
				w.do(source, "SET", k, "s")
				w.do(target, "SET", k, "t")
			}
			alone := map[string]string{"skip:alone": want.skip, "over:alone": want.over, "alone": want.other}
			for k := range alone {
				w.do(target, "SET", k, "t")
			}
			w.run()
			refused := slices.Contains([]string{want.skip, want.over, want.other}, "refused")
			w.until("decided", func(s status.Status) bool {
				return s.Phase == status.Synced || refused && len(s.Blockers) > 0 && s.Blockers[0].Code == targetEmpty
			})
			all := w.listed()
			for k, want := range alone {
				decision := map[string]string{"t": "kept", "": "removed", "refused": "refused"}[want]
				if all[k]["decision"] != decision {
					t.Errorf("%s: %v, want %s", k, all[k], decision)
				}
			}
			if refused {
				return
			}
			w.synced()
			for k, want := range alone {
				if got := w.do(target, "GET", k); got != want {
					t.Errorf("%s is %q, want %q", k, got, want)
				}
			}
			got := w.do(target, "GET", "skip:1") + w.do(target, "GET", "skip:not:1") + w.do(target, "GET", "over:1")
			if got != "tss" {
				t.Errorf("the keys of both are %q", got)
			}
		})
	}
}

// idle makes a key one that was not used for so many seconds.
func (w *world) idle(c *instance.Conn, key, seconds string) {
	w.t.Helper()
	dump, err := c.Do(w.t.Context(), "DUMP", key)
	if err != nil {
		w.t.Fatal(err)
	}
	w.do(c, "RESTORE", key, "0", string(dump.Str), "REPLACE", "IDLETIME", seconds)
}

// The one that was used last stays, whatever Tandem itself has read before it asks.
func TestNewestKeepsTheOneUsedLast(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) { c.Duplicates = "newest" })
	source, target := w.conn(w.source.Addr, 0), w.conn(w.target.Addr, 0)
	set := func(c *instance.Conn, key, value, idle string) {
		w.do(c, "SET", key, value)
		w.idle(c, key, idle)
	}
	set(source, "target's", "s", "5000")
	set(target, "target's", "t", "100")
	set(source, "source's", "s", "100")
	set(target, "source's", "t", "5000")
	set(target, "alone", "t", "5000")
	set(source, "written", "s", "5000")
	set(target, "written", "t", "100")
	w.run()
	w.synced()
	w.do(w.conn("", 0), "APPEND", "written", "live")
	w.synced()
	for key, want := range map[string]string{"target's": "t", "source's": "s", "alone": "t", "written": "slive"} {
		if got := w.do(target, "GET", key); got != want {
			t.Errorf("%s is %q, want %q; listed as %v", key, got, want, w.listed()[key])
		}
	}
	if s := w.Status().Duplicates; s.ByAge != 3 || s.Skipped != 3 || s.Overwritten != 1 || s.TargetOnly != 1 || s.Kept != 2 {
		t.Errorf("%+v", s)
	}
	if why := w.listed()["target's"]["why"]; !strings.Contains(fmt.Sprint(why), " ago on the target, 1h23m") {
		t.Errorf("%v", why)
	}
}

// Where a server does not tell when keys were used, the start is refused and says so.
func TestNewestIsRefusedWhereNobodyKnows(t *testing.T) {
	lfu := redisd.Options{Args: []string{"--maxmemory-policy", "allkeys-lfu", "--maxmemory", "1gb"}}
	w := newWorld(t, redisd.Options{}, lfu, func(c *config.Config) { c.Duplicates = "newest" })
	w.do(w.conn(w.source.Addr, 0), "SET", "a", "s")
	w.do(w.conn(w.target.Addr, 0), "SET", "a", "t")
	w.run()
	w.until("it is refused", func(s status.Status) bool { return len(s.Blockers) > 0 && s.Blockers[0].Code == targetEmpty })
	if m := w.Status().Blockers[0]; !strings.Contains(m.Message, "LFU") || !strings.Contains(m.Remedy, "newest") {
		t.Errorf("%+v", m)
	}
}

// Pairs of versions: a kept key, one that gives way, and a live write.
func TestDuplicatesBetweenVersions(t *testing.T) {
	for _, names := range [][2]string{{"redis-6.0", "redis-8.0"}, {"redis-7.0", "valkey-9.1"}, {"valkey-8.1", "valkey-9.1"}} {
		servers, ok := redisdtest.Find(t, names[:]...)
		if !ok {
			continue
		}
		from, to := servers[0], servers[1]
		t.Run(from.Name+" to "+to.Name, func(t *testing.T) {
			w := newWorld(t, redisd.Options{Binary: from.Path}, redisd.Options{Binary: to.Path}, func(c *config.Config) {
				c.Duplicates = "skip"
				c.DuplicatesByPattern = []config.DuplicatesRule{{Pattern: "over*", Policy: "overwrite"}, {Pattern: "new*", Policy: "newest"}}
			})
			source, target := w.conn(w.source.Addr, 0), w.conn(w.target.Addr, 0)
			for _, k := range []string{"kept", "over", "new", "live"} {
				w.do(target, "RPUSH", k, "t")
				w.do(source, "RPUSH", k, "s")
			}
			w.idle(target, "new", "1000")
			w.run()
			w.synced()
			w.do(w.conn("", 0), "RPUSH", "live", "live")
			w.synced()
			for k, want := range map[string]string{"kept": "t", "over": "s", "new": "s", "live": "s live"} {
				if got := w.content(target, k); got != "list "+want {
					t.Errorf("%s is %q on the target, want %q", k, got, want)
				}
			}
		})
	}
}
