package tlsconn

import (
	"errors"
	"os"
	"strings"
	"testing"

	"tandem/internal/tlsconn/tlstest"
)

// FuzzFiles: whatever stands in the files, what is no good is a *FileError that holds nothing of them.
func FuzzFiles(f *testing.F) {
	pair := tlstest.NewCA(f, "ca").Issue(f, tlstest.Leaf{})
	cert, err := os.ReadFile(pair.Cert)
	if err != nil {
		f.Fatal(err)
	}
	key, err := os.ReadFile(pair.Key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(cert, key, cert)
	f.Add(key, cert, key)
	f.Add(cert, append([]byte("-----BEGIN PRIVATE KEY-----\n"), key...), []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Add(append(cert, cert...), []byte(strings.Replace(string(key), "PRIVATE", "ENCRYPTED PRIVATE", 1)), []byte{})
	f.Add(cert[:len(cert)/2], key[:len(key)/2], cert[:len(cert)/2])
	f.Add([]byte("-----BEGIN CERTIFICATE-----"), []byte("-----BEGIN EC PRIVATE KEY-----"), []byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"))
	f.Fuzz(func(t *testing.T, cert, key, ca []byte) {
		for _, files := range []Files{{Cert: "a", Key: "b"}, {CA: "c"}, {Cert: "a", Key: "b", CA: "c"}} {
			h, err := files.parse([][]byte{cert, key, ca})
			var wrong *FileError
			switch {
			case err == nil && (files.Cert != "" && h.cert == nil || files.CA != "" && h.ca == nil):
				t.Fatal("neither taken nor refused")
			case err != nil && !errors.As(err, &wrong):
				t.Fatalf("%v", err)
			case err != nil && len(key) > 40 && strings.Contains(err.Error(), string(key)):
				t.Fatalf("the key is in %q", err)
			}
		}
	})
}
