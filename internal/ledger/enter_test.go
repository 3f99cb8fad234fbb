package ledger

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Whatever is deferred or recovers further up, a panic with the lock held ends the process.
func TestAPanicWithTheLockHeldEndsTheProcess(t *testing.T) {
	const inside = "TEST_LEDGER_PANICS"
	if os.Getenv(inside) != "" {
		l := newLedger(Options{}, 1)
		defer l.Unlock()
		defer l.Lock()
		defer func() { _ = recover() }()
		func() {
			defer l.Enter()()
			panic("half done")
		}()
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=20s")
	cmd.Env = append(os.Environ(), inside+"=1")
	began := time.Now()
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "half done") || !strings.Contains(string(out), "enter_test.go") {
		t.Errorf("%v after %v: %s", err, time.Since(began), out)
	}
}

// Without a panic it is a lock like any other, also in what runs because of one.
func TestEnterGivesTheLockBack(t *testing.T) {
	l := newLedger(Options{}, 1)
	defer func() {
		if recover() == nil {
			t.Error("the panic was taken by somebody else")
		}
		if !l.TryLock() {
			t.Error("the lock is held")
		}
	}()
	defer func() {
		defer l.Enter()()
		l.seq++
	}()
	panic("with the lock free")
}
