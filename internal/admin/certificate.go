package admin

import (
	"context"
	"net"
	"net/http"

	"tandem/internal/tlsconn"
)

// plainHTTP goes to who speaks plain HTTP where TLS is spoken.
const plainHTTP = "HTTP/1.0 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" +
	`{"error":"this port speaks TLS: use https://"}` + "\n"

type certificateKey struct{}

// withCertificate keeps who a connection's client certificate says that it is of. (http.Server.ConnContext)
func withCertificate(ctx context.Context, c net.Conn) context.Context {
	if p, ok := c.(*placed); ok {
		c = p.Conn
	}
	secure, ok := c.(*tlsconn.Conn)
	if !ok {
		return ctx
	}
	shown := secure.ConnectionState().PeerCertificates // valid, or there would be no connection
	if len(shown) == 0 {
		return ctx
	}
	return context.WithValue(ctx, certificateKey{}, shown[0].Subject.String())
}

// certificateOf is the subject of the certificate that the caller has shown, empty without.
func certificateOf(r *http.Request) string {
	subject, _ := r.Context().Value(certificateKey{}).(string)
	return shown(subject)
}
