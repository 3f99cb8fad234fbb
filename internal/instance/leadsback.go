package instance

import (
	"fmt"
	"net"
)

// NotAt has connections refused that lead to an address at which this process itself listens. A name that clients use may be
// pointed at Tandem while Tandem uses it, too: it would then wait for itself, and all clients with it. Call it before the first
// connection. Addresses that are no TCP addresses are left out.
//
// Behind an address of somebody else that leads here, a load balancer's say, the loop is not seen.
func (i *Instance) NotAt(listens net.Addr) {
	if a, ok := listens.(*net.TCPAddr); ok {
		i.listens = append(i.listens, *a)
	}
}

// leadsBack tells whether the other end of a connection is this process.
func (i *Instance) leadsBack(c net.Conn) error {
	here, _ := c.LocalAddr().(*net.TCPAddr)
	there, _ := c.RemoteAddr().(*net.TCPAddr)
	if here == nil || there == nil {
		return nil
	}
	for _, a := range i.listens {
		if a.Port != there.Port {
			continue
		}
		// Who listens at every address of a machine has its loopback ones, and those from which it connects to itself.
		if every := a.IP == nil || a.IP.IsUnspecified(); a.IP.Equal(there.IP) || every && (there.IP.IsLoopback() || there.IP.Equal(here.IP)) {
			return fmt.Errorf("%s %w: this address leads to Tandem itself, which listens at %s: give the server one that clients do not use, "+
				"and that stays its own when theirs is pointed at Tandem", i, ErrUnreachable, there)
		}
	}
	return nil
}
