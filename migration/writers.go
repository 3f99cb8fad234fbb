package migration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tandem/internal/instance"
	"tandem/router"
)

// Writers that bypass the proxy: who uses a server besides us, as CLIENT LIST shows it every few seconds. A connection is
// judged by its last command (router.UseOf), however long ago that was: an application's pool that is idle now will write
// again. Who reads may write later, so it is listened for that; who writes is in the way of every step that changes or
// ends roles (foreignWriters), until it is gone, and what it did is compared. Connections that come and go between two
// looks are not seen; what they write shows in the reports while somebody listens (listening.go).

// foreignWriters is the blocker that a forced step ignores.
const foreignWriters = "foreign_writers"

// idleError is by how much the time since a connection's last command may be wrong: the server counts whole seconds.
const idleError = time.Second

// maxStrangers is how many connections are kept to be shown; all are counted.
const maxStrangers = 10

// strangers are those who use an instance past Tandem. Guarded by Migration.mu.
type strangers struct {
	// unknown says why nobody can tell who is connected; empty if somebody can, or has not been asked yet.
	unknown string
	// writers and readers count connections at the last look; shown are some of them, those that write first.
	writers, readers int
	shown            []stranger
	// wrote is when one was last seen that writes, used when one was last seen at all, or its writes were.
	wrote, used time.Time
	// acted is when the last command was of one that writes, as far as idleError; lastActed the same of those who were there
	// at the last look.
	acted, lastActed time.Time
	// written: others have written there since the two servers were last compared. On the secondary it stays until
	// somebody has compared them; on the primary a sweep is owed when they are gone.
	written bool
	// evicting is when the server was last seen to evict keys, or about to.
	evicting time.Time
	tally    writesTally
}

// stranger is a connection that is not ours and uses keys.
type stranger struct {
	instance.Client
	use router.Use
}

// String says who it is: nothing of it is a secret.
func (s stranger) String() string {
	text := s.Addr
	if s.Name != "" {
		text += " " + s.Name
	}
	if s.User != "" && s.User != "default" {
		text += " as " + s.User
	}
	return text + " (" + s.Command + ")"
}

// present reports whether somebody writes there, or did a moment ago.
func (s *strangers) present(now time.Time, quiet time.Duration) bool {
	return !s.wrote.IsZero() && now.Sub(s.wrote) < quiet
}

// strangersIn are those among the clients of a server that use keys: no connection of ours, no replica and no master.
func strangersIn(clients []instance.Client) (found []stranger) {
	for _, c := range clients {
		if c.IsOurs() || strings.ContainsAny(c.Flags, "SM") {
			continue
		}
		if use := router.UseOf(c.Command); use != router.UsesNothing {
			found = append(found, stranger{c, use})
		}
	}
	// Those that write first, and of them those that did so last.
	slices.SortStableFunc(found, func(a, b stranger) int {
		if a.use != b.use {
			return int(b.use) - int(a.use)
		}
		return int((a.Idle - b.Idle) / time.Second)
	})
	return found
}

// lookAtClients finds out who is connected to a server: other processes of Tandem, and strangers.
func (m *Migration) lookAtClients(ctx context.Context, i *instance.Instance) {
	clients, err := i.Clients(ctx)
	if err != nil && !errors.Is(err, instance.ErrCommandRefused) {
		return // what was seen last stays
	}
	if err == nil {
		m.noteOthers(i, strings.Join(instance.OtherProcesses(clients, m.id), ", "))
	}
	found := strangersIn(clients)
	writers := 0
	for _, s := range found {
		if s.use == router.UsesWrites {
			writers++
		}
	}
	m.mu.Lock()
	s := &m.seen[i.Role].strangers
	was := s.writers
	s.unknown = ""
	if err != nil {
		s.unknown = err.Error()
	}
	s.writers, s.readers = writers, len(found)-writers
	s.shown = found[:min(len(found), maxStrangers)]
	if len(found) > 0 {
		s.used = time.Now()
	}
	s.lastActed = time.Time{}
	if writers > 0 {
		m.sawWriters(s)
		s.lastActed = time.Now().Add(-found[0].Idle)
		if s.lastActed.After(s.acted) {
			s.acted = s.lastActed
		}
	}
	replicated := m.replicates()
	m.mu.Unlock()
	if writers > 0 && was == 0 && replicated {
		m.log.Warn("others write past Tandem", "instance", i.String(), "primary", i == m.shard.Primary(), "connections", writers,
			"among_them", found[0].String())
	}
}

// sawWriters notes that others write to an instance. m.mu is held.
func (m *Migration) sawWriters(s *strangers) {
	s.wrote, s.used = time.Now(), time.Now()
	s.written = s.written || m.replicates()
}

// noteOthers takes in which other processes of Tandem are connected to a server.
func (m *Migration) noteOthers(i *instance.Instance, others string) {
	m.mu.Lock()
	was := m.seen[i.Role].foreign
	m.seen[i.Role].foreign = others
	m.mu.Unlock()
	switch {
	case others != "" && others != was:
		m.log.Error("another tandem process is connected to this pair of servers", "instance", i.String(), "id", others)
	case others == "" && was != "":
		m.log.Info("the other tandem process is gone", "instance", i.String(), "id", was)
	}
}

// lookForWriters looks at both servers' clients now: a step must not rest on what was there seconds ago.
func (m *Migration) lookForWriters(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	for _, i := range []*instance.Instance{m.source, m.target} {
		m.lookAtClients(ctx, i)
	}
	m.listen(time.Now())
}

// compared notes that the two servers were compared, beginning at a time, and whatever differs is or will be mended: what
// others wrote to the secondary before that is settled.
func (m *Migration) compared(began time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	secondary := m.other(m.primaryOf(m.state.Phase))
	s := &m.seen[secondary.Role].strangers
	if s.written && !s.present(began, m.cfg.TrackingQuiet) {
		s.written = false
		m.log.Info("what others wrote to the secondary past Tandem is settled: all keys were compared", "instance", secondary.String())
	}
}

// writersText says who writes to an instance past Tandem, as far as it is known. m.mu is held.
func (s *strangers) writersText(i *instance.Instance, now time.Time) string {
	var who []string
	for _, x := range s.shown {
		if x.use == router.UsesWrites {
			who = append(who, x.String())
		}
	}
	switch more := s.writers - len(who); {
	case len(who) == 0 && s.wrote.IsZero():
		return fmt.Sprintf("others have written to %s past Tandem", i)
	case len(who) == 0:
		return fmt.Sprintf("others have written to %s past Tandem, last seen %s ago", i, now.Sub(s.wrote).Round(time.Second))
	case more > 0:
		return fmt.Sprintf("others write to %s past Tandem: %s and %d more", i, strings.Join(who, ", "), more)
	}
	return fmt.Sprintf("others write to %s past Tandem: %s", i, strings.Join(who, ", "))
}

// strangersCount is how many connections read, and write, past Tandem, by role of the instance.
func (m *Migration) strangersCount() map[string][2]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	counts := map[string][2]int{}
	for role, seen := range m.seen {
		counts[string(role)] = [2]int{seen.strangers.readers, seen.strangers.writers}
	}
	return counts
}
