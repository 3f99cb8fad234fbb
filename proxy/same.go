package proxy

import (
	"bytes"
	"context"
	"fmt"
	"net"

	"tandem/internal/instance"
)

// elsewhereMax is how often in a row a connection may be refused because it leads to another server than that which has told its
// facts; then the address has several, or a proxy, behind it, and the connection is taken as it is.
const elsewhereMax = 3

var infoFrame = frame("INFO", "server")

// sameServer makes sure that a new connection leads to the server whose facts were asked on another one. In the
// middle of a failover behind the same address they may be two, and that the old one's last writes are lost with it would
// never be noticed: the connections to the new one would meet no run id but the one that is known already. refused counts
// the connections that were not the same. Whoever may not ask for INFO is not asked.
func sameServer(ctx context.Context, conn net.Conn, i *instance.Instance, f instance.Facts, refused *int) error {
	if f.RunID == "" || *refused >= elsewhereMax {
		return nil
	}
	reply, err := ask(ctx, conn, infoFrame)
	if err != nil {
		return fmt.Errorf("%s: INFO: %w", i, err)
	}
	_, rest, ok := bytes.Cut(reply, []byte("run_id:"))
	if !ok || bytes.HasPrefix(rest, []byte(f.RunID)) {
		*refused = 0
		return nil
	}
	*refused++
	return fmt.Errorf("%s: two servers answer at this address: connecting anew", i)
}
