package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/printed"
)

// TestReloadChangesWhatCanChange: the level of the log is in force at once, an address needs a restart, and of a
// configuration with a mistake nothing is taken. What steps leave in the log is there at every level.
func TestReloadChangesWhatCanChange(t *testing.T) {
	c := config.Default()
	c.StateDir, c.Listen = filepath.Join(t.TempDir(), "state"), "127.0.0.1:0"
	c.Source.URL, c.Target.URL = "redis://127.0.0.1:1", "redis://127.0.0.1:2"
	var text printed.Text
	log, level := newLevelledLogger(&text, c.Log)
	m, err := newMigration(c, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Run(ended()) })
	c.Admin.Listen = "127.0.0.1:0"
	next, wrong := *c, error(nil)
	r := newReloader(func() (*config.Config, error) { return &next, wrong }, level, c, log)
	r.migration = m
	api, err := listenAdmin(c, m, r, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = api.Serve(ended()) })

	next.Log.Level, next.Listen, next.Backfill.MaxKeysPerS = "error", "127.0.0.1:6", 700
	done, err := r.reload(context.Background())
	if err != nil || strings.Join(done.Applied, " ") != "backfill.max_keys_per_s log.level" || strings.Join(done.Restart, " ") != "listen" {
		t.Errorf("%+v, %v", done, err)
	}
	if level.Level() != slog.LevelError {
		t.Errorf("the level is %v", level.Level())
	}
	s, err := m.Throttle(context.Background(), admin.ThrottleOptions{})
	if n, known := s.KeysPerS.Get(); err != nil || !known || n != 700 {
		t.Errorf("the throttle is %+v, %v", s, err)
	}

	next.Log.Level, wrong = "debug", errors.New("a mistake")
	if _, err := r.reload(context.Background()); !errors.Is(err, admin.ErrInvalid) || level.Level() != slog.LevelError {
		t.Errorf("a mistake was taken: %v, level %v", err, level.Level())
	}
}
