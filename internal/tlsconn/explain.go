package tlsconn

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

// explained is an error whose text says what to do; what it is remains to be asked by errors.Is and As.
type explained struct {
	text  string
	cause error
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.cause }

// Explained is the text of an error of this package that says what to do, and whether err is one.
func Explained(err error) (text string, ok bool) {
	var e *explained
	if errors.As(err, &e) {
		return e.text, true
	}
	return "", false
}

// looksLikeTLS tells a record of TLS, of whatever version, from the bytes of another protocol.
func looksLikeTLS(header [5]byte) bool {
	return header[0] >= 20 && header[0] <= 24 && header[1] == 3
}

// alertOf is the other side's complaint that ended the connection, "" if it is none. crypto/tls has a type for
// it that it keeps to itself; the words are those of its alert.go.
func alertOf(err error) string {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" || op.Err == nil {
		return ""
	}
	return strings.TrimPrefix(op.Err.Error(), "tls: ")
}

// explain says what went wrong between us and a server, and which setting helps. name is what its certificate
// was held against. A server with TLS 1.3 refuses our certificate only after the handshake, so errors of reads
// come here too. It returns nil for an error that TLS has no part in.
func (t *Client) explain(err error, name string, shown bool) error {
	because := func(format string, args ...any) error { return &explained{fmt.Sprintf(format, args...), err} }
	cert, key, ca := t.o.Keys+"cert_file", t.o.Keys+"key_file", t.o.Keys+"ca_file"

	var plain tls.RecordHeaderError
	var unknown x509.UnknownAuthorityError
	var wrongName x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verify *tls.CertificateVerificationError
	switch alert := alertOf(err); {
	case alert == "certificate required", !shown && (alert == "bad certificate" || alert == "handshake failure"):
		return because("the server wants a client certificate: set %s and %s (%s)", cert, key, alert)
	case alert == "expired certificate":
		return because("the server says that our certificate has ended: renew %s", cert)
	case alert == "unknown certificate authority":
		return because("the server does not know the authority of our certificate: have %s signed by one that its tls-ca-cert-file holds", cert)
	case alert == "protocol version not supported":
		return because("the server speaks no TLS version that is safe to use: enable TLS 1.2 or 1.3 there (tls-protocols)")
	case alert == "unrecognized name":
		return because("the server knows no %q: set %sserver_name to a name that it goes by", name, t.o.Keys)
	case alert != "":
		return because("the server refuses the connection: %s (its log may say more; our certificate is %s)", alert, shownAs(shown, cert))
	case errors.As(err, &plain) && !looksLikeTLS(plain.RecordHeader):
		return because("it does not speak TLS on this port: write redis:// instead of rediss://, or name its TLS port")
	case errors.As(err, &wrongName):
		return because("%s", t.wrongName(wrongName, name))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return because("%s", outOfDate(invalid.Cert, time.Now()))
	case errors.As(err, &unknown):
		return because("its certificate is of an authority that is not known here (%s): name the file of its authority in %s", issuerOf(unknown.Cert, err), ca)
	case errors.As(err, &verify), errors.As(err, &invalid):
		return because("its certificate cannot be verified: %v", err)
	}
	return nil
}

func shownAs(shown bool, key string) string {
	if shown {
		return "that of " + key
	}
	return "none, as " + key + " is not set"
}

// wrongName says which names the certificate has.
func (t *Client) wrongName(e x509.HostnameError, name string) string {
	var has []string
	if e.Certificate != nil {
		has = append(has, e.Certificate.DNSNames...)
		for _, ip := range e.Certificate.IPAddresses {
			has = append(has, ip.String())
		}
	}
	if len(has) == 0 {
		return fmt.Sprintf("its certificate has no names at all (subjectAltName), so it cannot be for %q: it needs a new one", name)
	}
	const most = 10
	if len(has) > most {
		has = append(has[:most], "...")
	}
	return fmt.Sprintf("its certificate is not for %q but for %s: if it is the right server, set %sserver_name to one of these",
		name, strings.Join(has, ", "), t.o.Keys)
}

func outOfDate(c *x509.Certificate, now time.Time) string {
	const clock = "renew it, or set this machine's clock right"
	if now.Before(c.NotBefore) {
		return fmt.Sprintf("a certificate of it (%s) is valid only from %s on: %s", subjectOf(c), c.NotBefore.UTC().Format(time.DateTime), clock)
	}
	return fmt.Sprintf("a certificate of it (%s) has ended on %s UTC: %s", subjectOf(c), c.NotAfter.UTC().Format(time.DateTime), clock)
}

func subjectOf(c *x509.Certificate) string { return fmt.Sprintf("subject %q", c.Subject.String()) }

func issuerOf(c *x509.Certificate, err error) string {
	if c == nil {
		return err.Error()
	}
	if c.Issuer.String() == c.Subject.String() {
		return fmt.Sprintf("it is signed by itself, %q", c.Subject.String())
	}
	return fmt.Sprintf("issuer %q", c.Issuer.String())
}

// explainHandshake adds to explain what only a handshake can mean.
func (t *Client) explainHandshake(err error, name string, shown bool) error {
	because := func(text string) error { return &explained{text, err} }
	var ne net.Error
	switch known := t.explain(err, name, shown); {
	case known != nil:
		return known
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &ne) && ne.Timeout():
		// Redis without TLS takes a TLS greeting for the beginning of a command and waits for the rest.
		return because("no answer in time: is this a port without TLS? Then write redis:// instead of rediss://")
	case gone(err), errors.Is(err, io.ErrUnexpectedEOF):
		return because("it closed the connection: is this a port without TLS? Then write redis:// instead of rediss://")
	}
	return err
}

// explainLater adds to explain what the end of a connection means before its first byte.
func (t *Client) explainLater(err error, name string, shown, first bool) error {
	known := t.explain(err, name, shown)
	switch {
	case known != nil:
		return known
	case !first || !gone(err):
		return err
	case shown:
		return &explained{"it closed the connection after the TLS handshake: does it refuse the certificate of " + t.o.Keys + "cert_file? Its log says", err}
	}
	return &explained{"it closed the connection after the TLS handshake: does it want a client certificate? Then set " +
		t.o.Keys + "cert_file and " + t.o.Keys + "key_file", err}
}

// explainClient says what went wrong between a client and us, for the log.
func explainClient(err error) string {
	var plain tls.RecordHeaderError
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch alert := alertOf(err); {
	case alert == "bad certificate", alert == "unknown certificate", alert == "unknown certificate authority":
		return "the client does not accept our certificate (" + alert + "): does it know the authority, and the name or address it connects to?"
	case alert == "expired certificate":
		return "the client says that our certificate has ended: renew tls.cert_file"
	case alert != "":
		return "the client refuses the connection: " + alert
	case errors.As(err, &plain) && !looksLikeTLS(plain.RecordHeader):
		return "the client does not speak TLS: it has to connect with rediss:// (redis-cli --tls)"
	case strings.Contains(err.Error(), "client didn't provide a certificate"):
		return "the client shows no certificate, and tls.client_auth is required"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the client's certificate is out of date (" + subjectOf(invalid.Cert) + ")"
	case errors.As(err, &unknown):
		return "the client's certificate is of an authority that tls.client_ca_file does not hold (" + issuerOf(unknown.Cert, err) + ")"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "the client takes longer than tls.handshake_timeout"
	}
	return strings.TrimPrefix(err.Error(), "tls: ")
}
