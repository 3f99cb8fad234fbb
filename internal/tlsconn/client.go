package tlsconn

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
)

// ClientOptions of a Client. The zero value verifies with the authorities that this machine trusts.
type ClientOptions struct {
	// Files: CA is that of the server's certificate, empty for those that this machine trusts; Cert and Key
	// are what is shown to a server that asks.
	Files Files
	// ServerName is the name that the server's certificate must have; empty for the host dialled.
	ServerName string
	// Insecure takes any certificate.
	Insecure bool
	// Keys is what settings are called in errors: "source.tls.".
	Keys string
	Log  *slog.Logger
}

// Client makes TLS connections to one server. It is safe for concurrent use.
type Client struct {
	o        ClientOptions
	material *material
}

// NewClient reads the files; what is wrong with one is a *FileError.
func NewClient(o ClientOptions) (*Client, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	m, err := newMaterial(o.Files, o.Log)
	if err != nil {
		return nil, err
	}
	return &Client{o: o, material: m}, nil
}

// Handshake speaks TLS on c, which it owns from now on, and returns the connection once the server is known to
// be the right one. host is where c was dialled to. ctx bounds the handshake. The errors say which setting
// helps.
func (t *Client) Handshake(ctx context.Context, c net.Conn, host string) (*Conn, error) {
	h := t.material.current()
	name := t.o.ServerName
	if name == "" {
		name = host
	}
	cfg := &tls.Config{
		MinVersion:                  tls.VersionTLS12,
		ServerName:                  name,
		RootCAs:                     h.ca,
		InsecureSkipVerify:          t.o.Insecure,
		DynamicRecordSizingDisabled: true,
	}
	if h.cert != nil {
		// Not Certificates: of those one is only sent if its issuer is on the server's list, and a server
		// that cannot tell its authorities apart would just say that there is none.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return h.cert, nil }
	}
	explain := func(err error, first bool) error { return t.explainLater(err, name, h.cert != nil, first) }
	s := newSocket(c)
	conn := &Conn{Conn: tls.Client(s, cfg), below: s, explain: explain}
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		if ctx.Err() != nil && !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			return nil, context.Cause(ctx)
		}
		return nil, t.explainHandshake(err, name, h.cert != nil)
	}
	return conn, nil
}
