package precheck

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tandem/internal/instance"
	"tandem/router"
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
	_, err = s.conn.Do(ctx, "CLIENT", "SETNAME", connName) // which refusal it is
	return warning(s.allow(err, "client")+", or ask the provider; else, after each broken connection, "+
		"Tandem waits the settling time (secondary.settle), in which nothing is written to this server; and who else writes here cannot be told", "%s", why)
}

// clientUnblock asks for the end of what a connection waits for that there is not.
func clientUnblock(ctx context.Context, _ *run, s *side) finding {
	_, err := s.conn.Do(ctx, "CLIENT", "UNBLOCK", strconv.Itoa(1<<62))
	switch {
	case err == nil:
		return success("allowed")
	case !errors.Is(err, instance.ErrCommandRefused):
		return broken(err)
	}
	return warning(s.allow(err, "client|unblock")+", or ask the provider; else commands that block do so for "+
		"0.3 s at a time, one after the other, and several clients that wait for one key are served in no order",
		"CLIENT UNBLOCK is refused")
}

// invalidations is where a connection must listen that reports of changed keys are redirected to.
const invalidations = "__redis__:invalidate"

// clientTracking has changes of keys reported as the migration does, of keys that begin with the scratch key.
func clientTracking(ctx context.Context, r *run, s *side) finding {
	c, err := s.Conn(ctx, connName, 0) // after a refused SUBSCRIBE, or one that was not, of no other use
	if err != nil {
		return broken(err)
	}
	defer c.Close()
	id, err := c.Do(ctx, "CLIENT", "ID")
	if err == nil {
		if _, err = c.Do(ctx, "SUBSCRIBE", invalidations); err == nil {
			_, err = s.conn.Do(ctx, "CLIENT", "TRACKING", "ON", "REDIRECT", strconv.FormatInt(id.Int, 10), "BCAST", "NOLOOP", "PREFIX", r.scratch)
		}
	}
	if err == nil {
		if _, err = s.conn.Do(ctx, "CLIENT", "TRACKING", "OFF"); err == nil {
			return success("allowed")
		}
	}
	var reply *instance.ReplyError
	if !errors.As(err, &reply) {
		return broken(err)
	}
	remedy := s.allow(err, "client|id", "client|tracking", "subscribe")
	if strings.HasPrefix(reply.Text, "NOPERM") && strings.Contains(reply.Text, "channel") {
		remedy = "let the user listen: ACL SETUSER " + s.user() + " &" + invalidations
	}
	return warning(remedy+", or ask the provider; else a sweep compares all keys after each script that may write keys which it "+
		"does not name, and what others write past Tandem is not noticed before all keys are compared", "%v", err)
}

// commandInfo asks about a command that every server has.
func commandInfo(ctx context.Context, _ *run, s *side) finding {
	v, err := s.conn.Do(ctx, "COMMAND", "INFO", "GET")
	switch {
	case err == nil && len(v.Elems) == 1 && len(v.Elems[0].Elems) >= 6:
		return success("allowed")
	case err == nil:
		err = errors.New("COMMAND INFO tells nothing of GET")
	case !errors.Is(err, instance.ErrCommandRefused):
		return broken(err)
	}
	return warning(s.allow(err, "command|info")+", or ask the provider; else commands that Tandem does not know are refused, "+
		"unless commands.writes names them with their keys", "%v", err)
}

// commandNames looks for commands that a server has under another name than their own, and for those that the target
// lacks though every server has them. What the source has not at all is no matter: clients cannot use it.
func commandNames(ctx context.Context, r *run, s *side) finding {
	names, renamed, err := s.renamed(ctx)
	if errors.Is(err, instance.ErrCommandRefused) {
		return success("the server does not tell (see %s_command_info)", s.Role)
	}
	if err != nil {
		return broken(err)
	}
	s.names = names
	var missing []string
	for _, name := range router.Essential {
		if s.Role == instance.Target && slices.Contains(r.source.names, name) && !slices.Contains(names, name) {
			missing = append(missing, name)
		}
	}
	var found, remedy []string
	if len(renamed) > 0 {
		found = append(found, "under other names: "+strings.Join(renamed, ", "))
		remedy = append(remedy, "take the rename-command lines of "+strings.Join(renamed, ", ")+" out of the server's configuration, and have "+
			"clients use the own names")
	}
	if len(missing) > 0 {
		found = append(found, "not there: "+strings.Join(missing, ", "))
		remedy = append(remedy, "see to it that clients do without "+strings.Join(missing, ", ")+", or ask the provider")
	}
	if len(found) == 0 {
		return success("all are known by their own names")
	}
	return warning(strings.Join(remedy, "; "), "%s", strings.Join(found, "; "))
}

// renamed returns the own names of all commands, in upper case, and of those among them that the server does not
// know by it: it lists commands by their own names, and finds them by the present ones.
func (s *side) renamed(ctx context.Context) (names, renamed []string, err error) {
	all, err := s.conn.Do(ctx, "COMMAND")
	if err != nil {
		return nil, nil, err
	}
	ask := []string{"COMMAND", "INFO"}
	for _, c := range all.Elems {
		if len(c.Elems) > 0 {
			names = append(names, strings.ToUpper(string(c.Elems[0].Str)))
		}
	}
	found, err := s.conn.Do(ctx, append(ask, names...)...)
	if err != nil {
		return nil, nil, err
	}
	if len(found.Elems) != len(names) {
		return nil, nil, fmt.Errorf("%s: COMMAND INFO: %d answers for %d commands", s.Instance, len(found.Elems), len(names))
	}
	for i, name := range names {
		if len(found.Elems[i].Elems) == 0 {
			renamed = append(renamed, name)
		}
	}
	slices.Sort(renamed)
	return names, renamed, nil
}
