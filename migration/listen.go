package migration

import (
	"fmt"
	"log/slog"
	"net"

	"tandem/config"
	"tandem/internal/tlsconn"
)

// listen opens the address that clients connect to, for TLS if there is a certificate for it.
func listen(cfg *config.Config, log *slog.Logger) (net.Listener, error) {
	l, err := net.Listen("tcp", cfg.Listen)
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
		MaxHandshakes:    cfg.Clients.Max,
		KeepAlive:        cfg.Clients.TCPKeepalive,
		Log:              log,
	})
	if err != nil {
		return nil, fmt.Errorf("listen for clients: %w", err)
	}
	return secured, nil
}
