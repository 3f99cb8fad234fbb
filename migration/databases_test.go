package migration

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"tandem/internal/admin"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/status"
)

// A client that uses a database which the target does not have is in the way of a cutover, before anybody asks for one. A key there
// that has gone again is none that could not be copied. With a target that has the database all is well.
func TestADatabaseThatTheTargetDoesNotHave(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{Args: []string{"--databases", "8"}}, nil)
	w.fill(w.source.Addr, 10, 0, 7)
	w.run()
	w.synced()
	w.do(w.conn("", 7), "GET", "key:1")
	if s := w.Status(); !s.ReadyToCutover {
		t.Errorf("blockers %+v", s.Blockers)
	}
	c := w.conn("", 12)
	w.do(c, "GET", "key")
	s := w.Status()
	if s.ReadyToCutover || len(s.Blockers) != 1 || s.Blockers[0].Code != secondaryDatabases || !strings.Contains(s.Blockers[0].Remedy, "databases 13") {
		t.Errorf("blockers %+v", s.Blockers)
	}
	_, err := w.Cutover(t.Context(), admin.StepOptions{})
	refused(t, err, secondaryDatabases)

	w.do(c, "SET", "key", "1")
	w.until("it cannot be copied", func(s status.Status) bool { return s.DirtyKeys == 1 && s.Copies.Failed > 0 })
	w.do(c, "DEL", "key")
	w.synced()

	w.do(c, "SET", "key", "2")
	_, port, err := net.SplitHostPort(w.target.Addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	w.target.Stop()
	w.target = redisdtest.Start(t, redisd.Options{Port: n, Args: []string{"--databases", "16"}}) // the remedy
	w.until("ready", func(s status.Status) bool { return s.ReadyToCutover })
	if _, err := w.Cutover(t.Context(), admin.StepOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := w.do(c, "GET", "key"); got != "2" {
		t.Errorf("the target answers %q", got)
	}
}
