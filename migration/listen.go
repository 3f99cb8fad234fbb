package migration

import (
	"fmt"
	"log/slog"
	"net"
	"sync"

	"tandem/config"
	"tandem/internal/tlsconn"
)

// listen opens an address that clients connect to, for TLS if there is a certificate for it. Without an address nobody can
// connect.
func listen(addr string, cfg *config.Config, log *slog.Logger) (net.Listener, error) {
	if addr == "" {
		return &nobody{closed: make(chan struct{})}, nil
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for clients: %w", err)
	}
	if !cfg.TLS.Enabled() {
		return l, nil
	}
	secured, err := tlsconn.Listen(l, tlsconn.ServerOptions{
		Files:            cfg.TLS.Files(),
		ClientAuth:       cfg.TLS.ClientAuth,
		HandshakeTimeout: cfg.TLS.HandshakeTimeout,
		MaxHandshakes:    handshakes(cfg),
		KeepAlive:        cfg.Clients.TCPKeepalive,
		Log:              log,
	})
	if err != nil {
		return nil, fmt.Errorf("listen for clients: %w", err)
	}
	return secured, nil
}

// nobody is the listener of a migration without clients.
type nobody struct {
	closed chan struct{}
	once   sync.Once
}

// Accept waits for the end. (net.Listener)
func (n *nobody) Accept() (net.Conn, error) {
	<-n.closed
	return nil, net.ErrClosed
}

// Close ends the waiting. (net.Listener)
func (n *nobody) Close() error {
	n.once.Do(func() { close(n.closed) })
	return nil
}

// Addr is no address. (net.Listener)
func (n *nobody) Addr() net.Addr { return noAddr{} }

type noAddr struct{}

func (noAddr) Network() string { return "none" }
func (noAddr) String() string  { return "nowhere" }
