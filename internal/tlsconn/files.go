// Package tlsconn makes TLS connections: of clients to us, and of us to a server.
//
// It owns the certificates, keys and authorities, which come from files and are read again when those change
// (Material), the handshakes, and the words for what goes wrong in one (Explain). A connection that it returns
// has its handshake behind it. It never takes a certificate unverified unless ClientOptions.Insecure says so,
// and never speaks a version before TLS 1.2.
package tlsconn

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// lookEvery is how long what was read last counts as what the files hold. A handshake costs far more than the
// look, but thousands of clients may reconnect in the same second.
const lookEvery = time.Second

// maxFileBytes is far above any certificate file; the authorities of a whole operating system are some 300 KB.
const maxFileBytes = 4 << 20

// Files are the paths of PEM files. Those that are empty are not used; Cert and Key go together.
type Files struct {
	// Cert is our certificate, with intermediates behind it.
	Cert string
	// Key is the private key of Cert.
	Key string
	// CA is the authorities that the other side's certificate may be of.
	CA string
}

// FileError says which of the files is no good.
type FileError struct {
	// Role is "certificate", "key" or "CA".
	Role string
	Path string
	Err  error
}

func (e *FileError) Error() string { return fmt.Sprintf("%s file %s: %v", e.Role, e.Path, e.Err) }
func (e *FileError) Unwrap() error { return e.Err }

// material is what the files hold, kept up to date. It is safe for concurrent use.
type material struct {
	files Files
	log   *slog.Logger
	now   func() time.Time

	held atomic.Pointer[held]

	looking sync.Mutex   // held by the one who looks at the files; guards what follows
	refused [][]byte     // contents that were no good, so that they are logged once
	looked  atomic.Int64 // when, Unix ns
}

// held is one state of the files.
type held struct {
	raw  [][]byte         // contents of Cert, Key, CA
	cert *tls.Certificate // nil without Cert
	ca   *x509.CertPool   // nil without CA
}

func newMaterial(files Files, log *slog.Logger) (*material, error) {
	m := &material{files: files, log: log, now: time.Now}
	raw, err := files.read()
	if err != nil {
		return nil, err
	}
	h, err := files.parse(raw)
	if err != nil {
		return nil, err
	}
	m.held.Store(h)
	m.looked.Store(m.now().UnixNano())
	if h.cert != nil {
		m.warnOfEnd(h)
	}
	return m, nil
}

// current is what to use for a handshake. The files are compared by content, not by time: a mounted secret
// changes by its directory being exchanged, with times of any kind. What cannot be used is logged, and what was
// there before goes on being used.
func (m *material) current() *held {
	now := m.now()
	if now.UnixNano()-m.looked.Load() < int64(lookEvery) || !m.looking.TryLock() {
		return m.held.Load()
	}
	defer m.looking.Unlock()
	defer func() { m.looked.Store(m.now().UnixNano()) }()
	raw, err := m.files.read()
	if err == nil && same(raw, m.held.Load().raw) {
		m.refused = nil
		return m.held.Load()
	}
	var h *held
	if err == nil {
		h, err = m.files.parse(raw)
	}
	if err != nil {
		if m.refused == nil || !same(raw, m.refused) {
			m.refused = raw
			m.log.Warn("changed TLS files cannot be used; the old ones go on being used", "error", err)
		}
		return m.held.Load()
	}
	m.refused = nil
	m.held.Store(h)
	attrs := []any{"cert_file", m.files.Cert, "ca_file", m.files.CA}
	if h.cert != nil {
		attrs = append(attrs, "expires", h.cert.Leaf.NotAfter)
	}
	m.log.Info("TLS files read again", attrs...)
	if h.cert != nil {
		m.warnOfEnd(h)
	}
	return h
}

// warnOfEnd says that our certificate is not valid any more, or ends soon: in the last tenth of its life, for
// some live for years and some for hours.
func (m *material) warnOfEnd(h *held) {
	leaf := h.cert.Leaf
	if left := leaf.NotAfter.Sub(m.now()); left < leaf.NotAfter.Sub(leaf.NotBefore)/10 {
		m.log.Warn("the certificate ends soon, or has ended", "cert_file", m.files.Cert, "expires", leaf.NotAfter)
	}
}

func same(a, b [][]byte) bool {
	for i := range a {
		if i >= len(b) || !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return len(a) == len(b)
}

// Check reads the files and says what is wrong with them, as a *FileError.
func (f Files) Check() error {
	raw, err := f.read()
	if err == nil {
		_, err = f.parse(raw)
	}
	return err
}

// read returns the contents of Cert, Key and CA, nil for those not used. With an error, it returns what could
// be read.
func (f Files) read() ([][]byte, error) {
	raw := make([][]byte, 3)
	var first error
	for i, file := range []struct{ role, path string }{{"certificate", f.Cert}, {"key", f.Key}, {"CA", f.CA}} {
		if file.path == "" {
			continue
		}
		text, err := readFile(file.path)
		if err != nil {
			if first == nil {
				first = &FileError{Role: file.role, Path: file.path, Err: err}
			}
			continue
		}
		raw[i] = text
	}
	return raw, first
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err == nil {
		defer f.Close()
		var text []byte
		text, err = io.ReadAll(io.LimitReader(f, maxFileBytes+1))
		switch {
		case err != nil:
		case len(text) > maxFileBytes:
			return nil, fmt.Errorf("is larger than %d bytes: is it the right file?", maxFileBytes)
		default:
			return text, nil
		}
	}
	var p *os.PathError
	if errors.As(err, &p) {
		err = p.Err // the path is named already
	}
	return nil, fmt.Errorf("cannot be read: %w", err)
}

// parse makes sense of the contents. Errors are *FileError and hold nothing of them.
func (f Files) parse(raw [][]byte) (*held, error) {
	h := &held{raw: raw}
	if f.Cert != "" {
		cert, err := tls.X509KeyPair(raw[0], raw[1])
		if err != nil {
			return nil, f.pairError(raw, err)
		}
		h.cert = &cert
	}
	if f.CA != "" {
		h.ca = x509.NewCertPool()
		if !h.ca.AppendCertsFromPEM(raw[2]) {
			return nil, &FileError{Role: "CA", Path: f.CA, Err: errors.New("has no certificate in PEM (-----BEGIN CERTIFICATE-----)")}
		}
	}
	return h, nil
}

// pairError says which of the two is wrong, or that they do not belong together.
func (f Files) pairError(raw [][]byte, err error) error {
	switch {
	case !bytes.Contains(raw[0], []byte("-----BEGIN CERTIFICATE-----")):
		return &FileError{Role: "certificate", Path: f.Cert, Err: errors.New("has no certificate in PEM (-----BEGIN CERTIFICATE-----)")}
	case bytes.Contains(raw[1], []byte("ENCRYPTED")):
		return &FileError{Role: "key", Path: f.Key, Err: errors.New("is encrypted: write it without a passphrase (openssl pkey -in KEY -out PLAIN)")}
	case !bytes.Contains(raw[1], []byte("PRIVATE KEY-----")):
		return &FileError{Role: "key", Path: f.Key, Err: errors.New("has no private key in PEM (-----BEGIN PRIVATE KEY-----)")}
	}
	return &FileError{Role: "key", Path: f.Key, Err: fmt.Errorf("cannot be used with the certificate of %s: %w", f.Cert, err)}
}
