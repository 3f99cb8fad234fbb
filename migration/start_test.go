package migration

import (
	"net"
	"testing"

	"tandem/internal/redisd"
)

// Whoever reads the log alone learns what the precheck has found.
func TestTheLogSaysWhyTheBackfillWasNotStarted(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{Password: "secret"}, nil)
	w.run()
	w.logged(`msg="the backfill was not started" error="the precheck failed" why="target_login: target ` + w.target.Addr + ` asks for a password`)
}

// A name of the source may come to be Tandem's own, when clients' is pointed at it: that is said, and not waited for in vain.
func TestASourceThatIsTandemItselfIsNamed(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.cfg.Listen = l.Addr().String()
	w.at = map[*redisd.Server]string{w.source: w.cfg.Listen}
	l.Close()
	w.run()
	w.logged("this address leads to Tandem itself, which listens at " + w.cfg.Listen)
}
