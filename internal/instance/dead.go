package instance

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// controlName begins the names of the connections that look for others. ParseConnName does not know it, so they
// never find themselves.
const controlName = "tandem-control"

// settleKey is never written.
const settleKey = "tandem:settle"

// How EnsureDead waits.
const (
	// listPause is the first pause between a CLIENT KILL and the next look; it doubles up to listPauseMax. A
	// server frees a killed client at once or, with I/O threads, within its next turns.
	listPause    = 5 * time.Millisecond
	listPauseMax = 200 * time.Millisecond
	// probePause is the time between two probes of a settling server, and promptly what their answer may take
	// for the pause to count: a server that takes longer was stalled, and a stalled server settles nothing.
	probePause = 100 * time.Millisecond
	promptly   = time.Second
)

// EnsureDead returns when no connection of ours whose name matches can make the server do anything any more:
// what they sent is either executed or never will be. match is asked only about names that ParseConnName
// knows; the clients of others cannot be hit.
//
// It exists because closing a connection is not enough: what an old connection still has in the server's
// socket buffers is read and executed later, after commands of a new connection (observed on 7.0: 62 round
// trips later). So the old one is looked up in CLIENT LIST, killed by ID and ADDR together (an id alone could
// hit another client of a restarted server), and looked up again until it is gone.
//
// Where CLIENT LIST is refused or does not show this very connection (a provider's proxy that answers it by
// itself), or a connection could not be named, it waits settle instead, counting only time in which the server
// answers; where only CLIENT KILL is refused, until the list no longer shows them, at most settle. That is the
// weaker proof and precheck says so.
//
// killed is how many connections it killed. An error means that they may be alive: the server could not be
// asked (a script that runs for long answers BUSY), or ctx ended. It can be called again.
func (i *Instance) EnsureDead(ctx context.Context, match func(name string) bool, settle time.Duration) (killed int, err error) {
	c, err := i.control(ctx)
	if err != nil {
		return 0, fmt.Errorf("look for old connections: %w", err)
	}
	defer c.Close()

	mayKill := true
	quiet := newSettling(settle)
	for pause := listPause; ; pause = min(2*pause, listPauseMax) {
		clients, err := c.clients(ctx)
		switch {
		case errors.Is(err, ErrCommandRefused):
			return killed, quiet.wait(ctx, c.Conn)
		case err != nil:
			return killed, err
		default:
			old := slices.DeleteFunc(clients, func(cl Client) bool { return !isOurs(cl.Name) || !match(cl.Name) })
			if len(old) == 0 {
				if i.unnamed.Load() {
					return killed, quiet.wait(ctx, c.Conn)
				}
				return killed, nil
			}
			if mayKill {
				n, err := c.kill(ctx, old)
				killed += n
				if mayKill = !errors.Is(err, ErrCommandRefused); mayKill && err != nil {
					return killed, err
				}
			}
			if !mayKill && quiet.over() {
				return killed, nil
			}
		}
		if mayKill {
			err = sleep(ctx, pause)
		} else {
			err = quiet.step(ctx, c.Conn)
		}
		if err != nil {
			return killed, fmt.Errorf("%s: old connections are still there: %w", i, err)
		}
	}
}

func isOurs(name string) bool {
	_, _, _, ok := ParseConnName(name)
	return ok
}

// control is a connection that asks CLIENT LIST, under a name that no other has.
type control struct {
	*Conn
	name string
}

func (i *Instance) control(ctx context.Context) (*control, error) {
	name := controlName + "-" + rand.Text()
	c, err := i.Conn(ctx, name, 0)
	if err != nil {
		return nil, err
	}
	return &control{c, name}, nil
}

// kill sends CLIENT KILL for each and returns how many were there to be killed.
func (c *control) kill(ctx context.Context, old []Client) (killed int, err error) {
	for _, cl := range old {
		v, err := c.Do(ctx, "CLIENT", "KILL", "ID", strconv.FormatInt(cl.ID, 10), "ADDR", cl.Addr)
		if err != nil {
			return killed, err
		}
		killed += int(v.Int)
	}
	return killed, nil
}

// settling counts the time in which a server answered.
type settling struct {
	left  time.Duration
	pause time.Duration
}

func newSettling(d time.Duration) *settling {
	return &settling{left: d, pause: max(min(probePause, d/4), time.Millisecond)}
}

func (s *settling) over() bool { return s.left <= 0 }

// wait returns when the time is over. It outlives broken connections and servers that are away, whose time
// does not count, and ends with ctx. c stays the caller's.
func (s *settling) wait(ctx context.Context, c *Conn) error {
	i, own := c.i, (*Conn)(nil) // own is the connection that took the place of c
	defer func() {
		if own != nil {
			_ = own.Close()
		}
	}()
	for !s.over() {
		err := s.step(ctx, c)
		if err == nil {
			continue
		}
		if own != nil {
			_ = own.Close()
		}
		for own = nil; own == nil; {
			if err := sleep(ctx, s.pause); err != nil {
				return fmt.Errorf("%s: settling, %v left: %w", i, s.left, err)
			}
			if own, err = i.Conn(ctx, controlName, 0); err != nil {
				own = nil
			}
		}
		c = own
	}
	return nil
}

// step pauses, asks, and counts the pause if the answer came promptly.
//
// PING says that the server reads its sockets, and UNLINK of a key that is not there says more: under CLIENT
// PAUSE WRITE, as in a failover, PING is answered while the writes of old connections are still held back. Any
// reply to it will do, a refusal too.
func (s *settling) step(ctx context.Context, c *Conn) error {
	if err := sleep(ctx, s.pause); err != nil {
		return err
	}
	asked := time.Now()
	if _, err := c.Pipe(ctx, []string{"PING"}, []string{"UNLINK", settleKey}); err != nil {
		return err
	}
	if time.Since(asked) <= promptly {
		s.left -= s.pause
	}
	return nil
}

// sleep waits for d or the end of ctx, which is its error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
