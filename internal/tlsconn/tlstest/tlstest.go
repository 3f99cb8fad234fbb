// Package tlstest makes certificates for tests.
package tlstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// CA is an authority. Its certificate is in File.
type CA struct {
	// File is the PEM file of the authority's certificate.
	File string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Pair is the PEM files of a certificate and its key.
type Pair struct{ Cert, Key string }

// Leaf says what certificate to make. The zero value is for 127.0.0.1 and localhost, valid for a day, for both
// sides of a connection.
type Leaf struct {
	// Names are DNS names and addresses; nil is 127.0.0.1, ::1 and localhost, empty is none.
	Names []string
	// CommonName is the subject's; default "tandem test".
	CommonName string
	// Ends is when it ends, from now; default a day. A negative one makes a certificate that has ended.
	Ends time.Duration
}

// NewCA makes an authority.
func NewCA(t testing.TB, name string) *CA {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: serial(t), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	ca := &CA{File: filepath.Join(t.TempDir(), "ca.pem"), cert: cert, key: key}
	writePEM(t, ca.File, "CERTIFICATE", der)
	return ca
}

// Issue makes a certificate and its key, in files of their own.
func (ca *CA) Issue(t testing.TB, leaf Leaf) Pair {
	t.Helper()
	dir := t.TempDir()
	p := Pair{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	ca.IssueInto(t, p, leaf)
	return p
}

// IssueInto makes a certificate and its key and replaces the files of p with them, the key first: for a moment
// the two do not belong together, as with any tool that renews certificates.
func (ca *CA) IssueInto(t testing.TB, p Pair, leaf Leaf) {
	t.Helper()
	if leaf.Names == nil {
		leaf.Names = []string{"127.0.0.1", "::1", "localhost"}
	}
	if leaf.CommonName == "" {
		leaf.CommonName = "tandem test"
	}
	if leaf.Ends == 0 {
		leaf.Ends = 24 * time.Hour
	}
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: serial(t), Subject: pkix.Name{CommonName: leaf.CommonName},
		NotBefore: time.Now().Add(-25 * time.Hour), NotAfter: time.Now().Add(leaf.Ends),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, name := range leaf.Names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, p.Key, "PRIVATE KEY", secret)
	writePEM(t, p.Cert, "CERTIFICATE", der)
}

// ServerArgs are the arguments with which redis-server speaks TLS on port, beside its plain one; auth is its
// tls-auth-clients: yes, no or optional.
func (ca *CA) ServerArgs(p Pair, port, auth string) []string {
	return []string{"--tls-port", port, "--tls-cert-file", p.Cert, "--tls-key-file", p.Key,
		"--tls-ca-cert-file", ca.File, "--tls-auth-clients", auth}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func serial(t testing.TB) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// writePEM replaces a file as a whole.
func writePEM(t testing.TB, path, kind string, der []byte) {
	t.Helper()
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}
