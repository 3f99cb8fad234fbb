package migration

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/instance"
	"tandem/internal/ledger"
	"tandem/internal/printed"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/status"
)

// What is there before the first test is the library of worker pools, which starts two goroutines on loading.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }

// world is two servers and a migration between them, which may end and begin again.
type world struct {
	t               *testing.T
	source, target  *redisd.Server
	cfg             *config.Config
	log             *printed.Text
	at              map[*redisd.Server]string // where the migration connects, if not to the server itself
	lookEvery       time.Duration             // instead of the program's own
	observeEvery    time.Duration             // the same
	saveVerifyEvery time.Duration             // the same

	*Migration
	end   context.CancelFunc
	ended chan error
}

// newWorld starts servers; run starts the migration between them.
func newWorld(t *testing.T, source, target redisd.Options, change func(*config.Config)) *world {
	t.Helper()
	w := &world{t: t, source: redisdtest.Start(t, source), target: redisdtest.Start(t, target), log: &printed.Text{}}
	w.cfg = config.Default()
	w.cfg.Listen = "127.0.0.1:0"
	w.cfg.StateDir = filepath.Join(t.TempDir(), "state")
	w.cfg.Tracking = "off" // tests write to both servers themselves; see watched
	w.cfg.Cutover.Wait = 20 * time.Second
	w.cfg.Cutover.MaxPause = 5 * time.Second
	w.cfg.Cutover.MaxTargetLatency = 10 * time.Second // of a busy machine
	w.cfg.Shutdown.Timeout = 5 * time.Second
	if change != nil {
		change(w.cfg)
	}
	t.Cleanup(func() {
		_ = w.source.Continue()
		_ = w.target.Continue()
		if w.end != nil {
			_ = w.stop()
		}
		if t.Failed() {
			t.Logf("log:\n%s", w.log)
		}
	})
	return w
}

// run starts a migration on the state directory.
func (w *world) run() {
	w.t.Helper()
	w.prepare()
	w.begin()
}

// prepare makes a migration on the state directory, as it is before it serves.
func (w *world) prepare() {
	w.t.Helper()
	source, err := instance.New(instance.Source, "redis://"+w.address(w.source), instance.Options{ReplyTimeout: time.Second})
	if err != nil {
		w.t.Fatal(err)
	}
	target, err := instance.New(instance.Target, "redis://"+w.address(w.target), instance.Options{ReplyTimeout: time.Second})
	if err != nil {
		w.t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelInfo}))
	if w.Migration, err = New(w.cfg, source, target, log); err != nil {
		w.t.Fatal(err)
	}
	w.hooks.lookEvery, w.hooks.observeEvery = w.lookEvery, w.observeEvery
	w.hooks.saveVerifyEvery = w.saveVerifyEvery
}

// begin lets it serve.
func (w *world) begin() {
	var ctx context.Context
	ctx, w.end = context.WithCancel(context.Background())
	w.ended = make(chan error, 1)
	go func(m *Migration, ended chan<- error) { ended <- m.Run(ctx) }(w.Migration, w.ended)
}

// address is where the migration connects to a server.
func (w *world) address(s *redisd.Server) string {
	if addr := w.at[s]; addr != "" {
		return addr
	}
	return s.Addr
}

// relay puts a relay before a server. It is called before run.
func (w *world) relay(s *redisd.Server) *redisdtest.Relay {
	w.t.Helper()
	r := redisdtest.StartRelay(w.t, s.Addr)
	if w.at == nil {
		w.at = map[*redisd.Server]string{}
	}
	w.at[s] = r.Addr
	return r
}

// stop ends the migration as a signal does and returns what Run returned.
func (w *world) stop() error {
	w.t.Helper()
	w.end()
	w.end = nil
	select {
	case err := <-w.ended:
		return err
	case <-time.After(60 * time.Second):
		w.t.Fatal("the process did not end")
		return nil
	}
}

// failSaves makes the state directory refuse to be written, with nil no longer.
func (w *world) failSaves(err error) {
	w.saving.Lock()
	defer w.saving.Unlock()
	w.hooks.save = func() error { return err }
}

func (w *world) pause(s *redisd.Server) {
	w.t.Helper()
	if err := s.Pause(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) start() {
	w.t.Helper()
	if _, err := w.Start(w.t.Context(), admin.StepOptions{}); err != nil {
		w.t.Fatal(err)
	}
	w.synced()
}

// until waits for a condition of the status.
func (w *world) until(what string, condition func(s status.Status) bool) {
	w.t.Helper()
	limit := time.After(60 * time.Second)
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !condition(w.Status()) {
		select {
		case <-limit:
			s := w.Status()
			w.t.Fatalf("%s did not come about: %+v", what, s)
		case <-look.C:
		}
	}
}

func (w *world) synced() {
	w.t.Helper()
	w.until("synced", func(s status.Status) bool {
		return s.Phase == status.Synced && s.DirtyKeys == 0 && s.UnsettledWrites == 0
	})
}

// logged waits until the log has a text.
func (w *world) logged(text string) {
	w.t.Helper()
	w.until("log of "+strconv.Quote(text), func(status.Status) bool { return strings.Contains(w.log.String(), text) })
}

// conn connects to a server, or to the migration's listener if addr is empty.
func (w *world) conn(addr string, db int) *instance.Conn {
	w.t.Helper()
	if addr == "" {
		addr = w.Addr()
	}
	i, err := instance.New(instance.Source, "redis://"+addr, instance.Options{ReplyTimeout: 30 * time.Second})
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := i.Conn(w.t.Context(), "", db)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (w *world) do(c *instance.Conn, args ...string) string {
	w.t.Helper()
	v, err := c.Do(w.t.Context(), args...)
	if err != nil {
		w.t.Fatalf("%v: %v", args, err)
	}
	if v.Kind == ':' {
		return strconv.FormatInt(v.Int, 10)
	}
	return string(v.Str)
}

// fill writes n keys directly to a server, in a few databases.
func (w *world) fill(addr string, n int, dbs ...int) {
	w.t.Helper()
	for _, db := range dbs {
		c := w.conn(addr, db)
		for i := range n {
			w.do(c, "SET", fmt.Sprint("key:", i), fmt.Sprint("value ", db, " ", i))
		}
		_ = c.Close() // not to look like somebody who may write again
	}
}

// same fails the test unless both servers hold the same strings in the databases.
func (w *world) same(dbs ...int) {
	w.t.Helper()
	for _, db := range dbs {
		a, b := w.conn(w.source.Addr, db), w.conn(w.target.Addr, db)
		if x, y := w.do(a, "DBSIZE"), w.do(b, "DBSIZE"); x != y {
			w.t.Errorf("db %d: %s keys on the source, %s on the target", db, x, y)
		}
		keys, err := a.Do(w.t.Context(), "KEYS", "*")
		if err != nil {
			w.t.Fatal(err)
		}
		for _, k := range keys.Elems {
			if x, y := w.do(a, "GET", string(k.Str)), w.do(b, "GET", string(k.Str)); x != y {
				w.t.Errorf("db %d, %s: source %q, target %q", db, k.Str, x, y)
			}
		}
	}
}

// refused checks that a step was refused with a blocker of this code.
func refused(t *testing.T, err error, code string) {
	t.Helper()
	var r *admin.Refused
	if !errors.As(err, &r) {
		t.Fatalf("%v, want a refusal", err)
	}
	for _, b := range r.Blockers {
		if b.Code == code {
			if b.Message == "" || b.Remedy == "" {
				t.Errorf("blocker %+v says too little", b)
			}
			return
		}
	}
	t.Errorf("refused for %+v, not for %s", r.Blockers, code)
}

// dirtyKey is a key of database 0 for the ledger.
func (w *world) dirtyKey(name []byte) *ledger.Key {
	return &ledger.Key{Hash: w.ledger.Hash(0, name), Name: name, Write: true}
}
