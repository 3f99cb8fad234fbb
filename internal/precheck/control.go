package precheck

import (
	"context"
	"errors"
	"strings"

	"tandem/internal/instance"
)

// clientKill does what a migration does after a broken connection: it has an old one, found by its name, be
// dead.
func clientKill(ctx context.Context, r *run, s *side) finding {
	old := instance.ConnName(instance.TrialID, "precheck", strings.TrimPrefix(r.scratch, scratchPrefix))
	c, err := s.Conn(ctx, old, 0)
	if err != nil {
		return broken(err)
	}
	defer c.Close()
	killed, err := s.EnsureDead(ctx, func(name string) bool { return name == old }, 0)
	if err != nil {
		return broken(err)
	}
	if killed == 1 {
		return success("allowed")
	}
	why := "CLIENT KILL is refused"
	if !c.Named {
		why = "CLIENT SETNAME is refused"
	} else if _, err := s.Others(ctx, ""); errors.Is(err, instance.ErrCommandRefused) {
		why = "CLIENT LIST is refused, or does not show our connections"
	}
	return warning("let the user run them: "+grant(s, "client")+", or ask the provider; else, after each broken connection, "+
		"Tandem waits the settling time (secondary.settle), in which nothing is written to this server", "%s", why)
}
