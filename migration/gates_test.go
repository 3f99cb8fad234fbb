package migration

import (
	"strings"
	"testing"
	"time"

	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/instance"
	"tandem/internal/redisd"
	"tandem/internal/status"
)

// gated is a world that is synced, and whose target is as a test makes it.
func gated(t *testing.T, change func(*config.Config)) (w *world, source, target *instance.Conn) {
	t.Helper()
	w = newWorld(t, redisd.Options{}, redisd.Options{}, change)
	w.fill(w.source.Addr, 100, 0)
	w.run()
	w.synced()
	return w, w.conn(w.source.Addr, 0), w.conn(w.target.Addr, 0)
}

// barred checks that a cutover is refused for a gate and nothing else, is not forced by another name, and that the status
// says so too.
func (w *world) barred(code string) {
	w.t.Helper()
	_, err := w.Cutover(w.t.Context(), admin.StepOptions{})
	refused(w.t, err, code)
	_, err = w.Cutover(w.t.Context(), admin.StepOptions{Force: "another_process"})
	refused(w.t, err, code)
	s := w.Status()
	if s.ReadyToCutover || s.Phase != status.Synced || len(s.Blockers) != 1 || s.Blockers[0].Code != code ||
		!strings.Contains(s.Blockers[0].Remedy, "cutover --force "+code) {
		w.t.Errorf("status: phase %s, ready %t, %+v", s.Phase, s.ReadyToCutover, s.Blockers)
	}
}

// open checks that a cutover is let through, and rolls back. A rollback knows no gates.
func (w *world) open(force string) {
	w.t.Helper()
	if _, err := w.Cutover(w.t.Context(), admin.StepOptions{Force: force}); err != nil {
		w.t.Fatalf("cutover with force %q: %v", force, err)
	}
	if _, err := w.Rollback(w.t.Context(), admin.StepOptions{}); err != nil {
		w.t.Fatal(err)
	}
	w.synced()
}

func TestGateOfTheTargetsMemory(t *testing.T) {
	w, source, target := gated(t, nil)
	w.do(target, "SETRANGE", "fill", "10000000", "x")
	w.do(target, "CONFIG", "SET", "maxmemory", "12mb")
	w.barred(targetFull)
	w.open(targetFull)
	w.do(target, "CONFIG", "SET", "maxmemory", "100mb") // the remedy
	w.open("")

	w.do(target, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	w.barred(targetEvicts)
	w.open(targetEvicts)
	w.do(source, "CONFIG", "SET", "maxmemory", "100mb")
	w.do(source, "CONFIG", "SET", "maxmemory-policy", "volatile-lru")
	w.open("") // the target is a cache as the source was
	w.do(source, "CONFIG", "SET", "maxmemory", "0")
	w.do(target, "CONFIG", "SET", "maxmemory-policy", "noeviction") // the remedy
	w.open("")
	w.do(target, "DEL", "fill")
}

func TestGateOfTheTargetsEvictionIsAccepted(t *testing.T) {
	w, _, target := gated(t, func(c *config.Config) { c.Precheck.Accept = []config.CheckName{"target_eviction"} })
	w.do(target, "CONFIG", "SET", "maxmemory", "100mb")
	w.do(target, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	w.open("")
}

func TestGateOfTheUsers(t *testing.T) {
	w, source, target := gated(t, nil)
	w.do(source, "ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all")
	w.barred(targetUsers)
	w.open(targetUsers)
	w.do(target, "ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all") // the remedy
	w.open("")
}

// Users are no matter where clients do not log in as such, or somebody has said that it is as it should be.
func TestGateOfTheUsersIsLeftOut(t *testing.T) {
	for name, change := range map[string]func(*config.Config){
		"users of the proxy's own": func(c *config.Config) { c.Auth.Mode = "none" },
		"accepted":                 func(c *config.Config) { c.Precheck.Accept = []config.CheckName{"target_users"} },
	} {
		t.Run(name, func(t *testing.T) {
			w, source, _ := gated(t, change)
			w.do(source, "ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all")
			w.open("")
		})
	}
}

func TestGateOfALateTarget(t *testing.T) {
	w, _, _ := gated(t, func(c *config.Config) { c.Cutover.MaxTargetLatency = time.Nanosecond })
	w.barred(targetSlow)
	w.open(targetSlow)
}

func TestNoGateOfALateTarget(t *testing.T) {
	w, _, _ := gated(t, func(c *config.Config) { c.Cutover.MaxTargetLatency = 0 })
	w.open("")
}

func TestGateOfDifferences(t *testing.T) {
	w, _, target := gated(t, nil)
	w.do(target, "SET", "key:1", "past the proxy")
	w.verified(admin.VerifyOptions{Repair: true}, 1)
	w.synced()
	w.barred(verifyDifferent)
	w.verified(admin.VerifyOptions{}, 0) // the remedy
	w.open("")
}

func TestGateOfAVerifyThatIsAskedFor(t *testing.T) {
	w, _, _ := gated(t, func(c *config.Config) { c.Cutover.RequireVerify = time.Hour })
	w.barred(verifyMissing)
	w.verified(admin.VerifyOptions{Mode: admin.VerifyKeys}, 0)
	w.barred(verifyMissing) // that was not all
	w.open(verifyMissing)
	w.verified(admin.VerifyOptions{}, 0)
	w.open("")
}

func TestGateOfAVerifyThatIsTooOld(t *testing.T) {
	w, _, _ := gated(t, func(c *config.Config) { c.Cutover.RequireVerify = time.Nanosecond })
	w.verified(admin.VerifyOptions{}, 0)
	w.barred(verifyMissing)
}

// Several gates are forced by all their names.
func TestGatesForcedTogether(t *testing.T) {
	w, source, _ := gated(t, func(c *config.Config) { c.Cutover.RequireVerify = time.Hour })
	w.do(source, "ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all")
	_, err := w.Cutover(t.Context(), admin.StepOptions{Force: targetUsers})
	refused(t, err, verifyMissing)
	w.open(verifyMissing + "," + targetUsers)
}

// What would lose writes is not forced, whatever name is given.
func TestBlockersThatCannotBeForced(t *testing.T) {
	w, _, _ := gated(t, nil)
	w.target.Kill()
	w.until("the target is gone", func(s status.Status) bool { return len(s.Blockers) > 0 })
	_, err := w.Cutover(t.Context(), admin.StepOptions{Force: "secondary_down"})
	refused(t, err, "secondary_down")
	if !strings.Contains(err.Error(), "cannot be forced") {
		t.Error(err)
	}
}

// verified runs a verify that must find so many differences.
func (w *world) verified(o admin.VerifyOptions, different int64) {
	w.t.Helper()
	id, err := w.Verify(w.t.Context(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.until("the verify ends", func(status.Status) bool {
		s, err := w.VerifyResults(w.t.Context(), id, 0, func(status.Difference) error { return nil })
		if err != nil {
			w.t.Fatal(err)
		}
		if s.State == status.Failed {
			w.t.Fatalf("verify: %s", s.Error)
		}
		return s.State == status.Done && s.Different == different
	})
}
