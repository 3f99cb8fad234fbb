package proxy

import (
	"net"
	"strings"
	"time"

	"tandem/internal/status"
)

const (
	// maxGroups is how many groups of clients are told of at most.
	maxGroups = 100
	// activeWithin is how long ago an active client has sent something at most.
	activeWithin = 10 * time.Second
)

// group is what connections of one group have in common.
type group struct{ host, name, library, user string }

// Clients tells who is connected. It takes neither the shard's lock nor a client's time.
func (srv *Server) Clients() status.Clients {
	srv.mu.Lock()
	all := make([]*session, 0, len(srv.sessions))
	for s := range srv.sessions {
		all = append(all, s)
	}
	srv.mu.Unlock()

	now := time.Now()
	groups := map[group]*status.ClientGroup{}
	for _, s := range all {
		a := s.about.Load()
		if a == nil {
			a = &about{user: "default"} // it has only just come
		}
		g := group{host: host(s.conn.RemoteAddr()), name: a.name, library: strings.TrimSpace(a.libName + " " + a.libVer), user: a.user}
		in := groups[g]
		if in == nil {
			in = &status.ClientGroup{Host: g.host, Name: g.name, Library: g.library, User: g.user, IdleS: 1<<63 - 1}
			groups[g] = in
		}
		idle := max(0, now.Sub(time.Unix(0, s.active.Load())))
		in.Connections++
		if idle <= activeWithin {
			in.Active++
		}
		if seconds := int64(idle / time.Second); seconds < in.IdleS {
			in.IdleS = seconds
			if c := s.last.Load(); c != nil {
				in.Command = c.Name
			}
		}
	}

	c := status.Clients{Connections: int64(len(all)), Groups: make([]status.ClientGroup, 0, len(groups))}
	for _, g := range groups {
		c.Groups = append(c.Groups, *g)
	}
	c.Sort()
	if len(c.Groups) > maxGroups {
		for _, g := range c.Groups[maxGroups:] {
			c.LeftOut += g.Connections
		}
		c.Groups = c.Groups[:maxGroups]
	}
	return c
}

// host is an address without its port, which is another one for each connection.
func host(addr net.Addr) string {
	if addr == nil {
		return ""
	}
	if h, _, err := net.SplitHostPort(addr.String()); err == nil {
		return h
	}
	return addr.String()
}
