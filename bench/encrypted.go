package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"tandem/internal/redisd"
)

// encrypted is passthrough with TLS between the clients and tandem.
func (f *fleet) encrypted(ctx context.Context, source, target *redisd.Server) (*arrangement, error) {
	// It says what it knows, and exits with 1 after that.
	if help, _ := exec.CommandContext(ctx, "redis-benchmark", "--help").CombinedOutput(); !strings.Contains(string(help), "--insecure") {
		return nil, errors.New("this redis-benchmark was built without TLS (leave it out by --only)")
	}
	certificate, key, err := f.certificate()
	if err != nil {
		return nil, err
	}
	p, err := f.serve(ctx, source, target, fmt.Sprintf("tls:\n  cert_file: %s\n  key_file: %s\n", certificate, key))
	if err != nil {
		return nil, err
	}
	return &arrangement{
		name: "tls", addr: p.Listen, proxy: p.Process, behind: source,
		pids: map[string]int{"proxy": p.PID(), "source": source.PID()},
		client: func(ctx context.Context, w workload) (clientRun, error) {
			return runClient(ctx, p.Listen, w, "--tls", "--insecure")
		},
	}, nil
}

// certificate writes one for 127.0.0.1 that signs itself, of the kind that most are: ECDSA on P-256.
func (f *fleet) certificate() (certificate, key string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", fmt.Errorf("key of a certificate: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tandem bench"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return "", "", fmt.Errorf("certificate: %w", err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", fmt.Errorf("key of a certificate: %w", err)
	}
	certificate, key = filepath.Join(f.dir, "tls.crt"), filepath.Join(f.dir, "tls.key")
	err = errors.Join(
		os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	return certificate, key, err
}
