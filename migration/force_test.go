package migration

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/redisd"
	"tandem/internal/status"
)

func TestADeadPrimaryIsGivenUp(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{Save: true}, nil)
	listed := func() string {
		files, err := filepath.Glob(filepath.Join(w.cfg.StateDir, "unsettled-*.jsonl"))
		if err != nil || len(files) > 1 {
			t.Fatal(files, err)
		}
		if len(files) == 0 {
			return ""
		}
		text, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	w.fill(w.source.Addr, 200, 0)
	w.prepare()
	var full atomic.Bool
	var whenSaved atomic.Pointer[string] // what is listed when the roles are about to be written
	w.hooks.save = func() error {
		if !full.Load() {
			return nil
		}
		text := listed()
		whenSaved.CompareAndSwap(nil, &text)
		return errors.New("the disk is full")
	}
	w.begin()
	w.synced()
	force := admin.StepOptions{Force: primaryDown}
	// With a primary that is there nothing is given up.
	if r, err := w.Cutover(t.Context(), force); err != nil || r.Phase != status.Reversed {
		t.Fatal(r, err)
	}
	if s := w.Status(); s.DirtyKeys != 0 || strings.Contains(w.log.String(), "given_up") {
		t.Errorf("%+v", s)
	}
	c := w.conn("", 0)
	w.do(c, "SET", "settled", "1")
	tx := w.conn("", 0)
	w.do(tx, "MULTI")
	w.do(tx, "INCR", "moved")
	w.until("settled", func(s status.Status) bool { return s.UnsettledWrites == 0 })

	// It stops with a write that it has and has not answered.
	w.pause(w.target)
	lost := w.conn("", 0)
	answer := make(chan error, 1)
	go func() {
		_, err := lost.Do(context.Background(), "SET", "key:7", "lost")
		answer <- err
	}()
	w.until("it is on the lane", func(s status.Status) bool { return s.UnsettledWrites == 1 })
	const list = `{"key":"key:7",`
	// What would be lost is on disk before the new roles are, and as if never asked for when they cannot be written.
	full.Store(true)
	if _, err := w.Rollback(t.Context(), force); !errors.Is(err, admin.ErrUndone) {
		t.Fatal(err)
	}
	full.Store(false)
	if text := whenSaved.Load(); text == nil || !strings.HasPrefix(*text, list) || listed() != "" {
		t.Errorf("%v was listed when the roles were about to be written, and %q when they were not", text, listed())
	}
	w.mu.Lock()
	w.state.TrialUntil = time.Now().Add(time.Hour).UnixMilli() // as a trial would have left it
	w.mu.Unlock()
	r, err := w.Rollback(t.Context(), force)
	if err != nil || r.Phase != status.Backfill {
		t.Fatal(r, err)
	}
	if err := <-answer; err == nil {
		t.Error("a command was answered by a primary that was given up")
	}
	w.mu.Lock()
	until := w.state.TrialUntil
	w.mu.Unlock()
	if until != 0 {
		t.Errorf("on trial until %d of a primary that is given up", until)
	}
	s := w.Status()
	if s.Primary != "source" || s.ReadyToCutover {
		t.Errorf("%+v", s)
	}
	// Clients go on, transactions that were open too.
	w.do(c, "SET", "after", "2")
	if v, err := tx.Do(t.Context(), "EXEC"); err != nil || len(v.Elems) != 1 || v.Elems[0].Int != 1 {
		t.Errorf("%+v %v", v, err)
	}
	if text := listed(); strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, list) {
		t.Errorf("the list is %q", text)
	}
	w.logged("keys whose last writes may be lost")

	// It comes to life, executes what it had been sent, and is made equal.
	if err := w.target.Continue(); err != nil {
		t.Fatal(err)
	}
	w.synced()
	w.same(0)
	if got := w.do(w.conn(w.target.Addr, 0), "GET", "key:7"); got == "lost" {
		t.Error("the write that was given up has come back")
	}
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	w.run()
	w.synced()
	if s := w.Status(); s.Primary != "source" {
		t.Errorf("%+v", s)
	}
	w.same(0)
}

// A flush without an answer has a sweep owed when its primary is given up, and the ledger forget its dirty keys. The list of
// them does not: it is all that there is of what may be lost.
func TestTheListOutlivesAFlushThatIsGivenUp(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, nil)
	w.fill(w.source.Addr, 20, 0)
	w.run()
	w.synced()
	if _, err := w.Cutover(t.Context(), admin.StepOptions{}); err != nil {
		t.Fatal(err)
	}
	w.until("settled", func(s status.Status) bool { return s.UnsettledWrites == 0 && s.DirtyKeys == 0 })
	c := w.conn("", 0)
	w.pause(w.target)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = c.Do(context.Background(), "FLUSHDB")
	}()
	w.until("the flush is on the lane", func(s status.Status) bool { return s.UnsettledWrites == 1 })
	w.ledger.Lock()
	w.ledger.MakeDirty(w.dirtyKey([]byte("key:7")))
	w.ledger.Unlock()
	if _, err := w.Rollback(t.Context(), admin.StepOptions{Force: primaryDown}); err != nil {
		t.Fatal(err)
	}
	<-ended
	files, err := filepath.Glob(filepath.Join(w.cfg.StateDir, "unsettled-*.jsonl"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if text, err := os.ReadFile(files[0]); err != nil || strings.Count(string(text), "\n") != 1 || !strings.HasPrefix(string(text), `{"key":"key:7",`) {
		t.Errorf("the list is %q, %v", text, err)
	}
	w.logged("unsettled_keys=1")
	w.logged("keys=1 file=" + files[0])
	w.logged(`owed="a flush or swap was sent and its outcome is unknown"`)
}

// Where the other server is not there either, nothing is given up.
func TestNoPrimaryIsGivenUpForNothing(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) { c.Cutover.Wait = time.Second })
	w.fill(w.source.Addr, 20, 0)
	w.run()
	w.synced()
	if _, err := w.Cutover(t.Context(), admin.StepOptions{}); err != nil {
		t.Fatal(err)
	}
	w.source.Kill()
	w.target.Kill()
	w.until("both are missed", func(s status.Status) bool { return len(s.Blockers) == 2 && !s.Source.Connected && !s.Target.Connected })
	if _, err := w.Rollback(t.Context(), admin.StepOptions{}); !errors.Is(err, admin.ErrPrimaryDown) {
		t.Errorf("%v", err)
	}
	if _, err := w.Rollback(t.Context(), admin.StepOptions{Force: primaryDown}); !errors.Is(err, admin.ErrUndone) {
		t.Errorf("%v", err)
	}
	if s := w.Status(); s.Phase != status.Reversed || s.Primary != "target" {
		t.Errorf("%+v", s)
	}
}
