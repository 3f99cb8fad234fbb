package admin

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tandem/internal/audit"
	"tandem/internal/tlsconn"
	"tandem/internal/tlsconn/tlstest"
)

// Over TLS, who shows a certificate is recorded by it, and needs a token all the same.
func TestTLSAndCertificates(t *testing.T) {
	ca := tlstest.NewCA(t, "ours")
	server, mine := ca.Issue(t, tlstest.Leaf{}), ca.Issue(t, tlstest.Leaf{CommonName: "bob's laptop"})
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	url, _ := recorded(t, &fake{}, path, func(o *Options) {
		o.TLS = &tlsconn.ServerOptions{Files: tlsconn.Files{Cert: server.Cert, Key: server.Key, CA: ca.File}, ClientAuth: "optional"}
	})
	if response, err := http.Get(url + "/healthz"); err == nil { // the answer may be lost with the connection
		text, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != 400 || !strings.Contains(string(text), "https://") {
			t.Errorf("plain HTTP: %s %s", response.Status, text)
		}
	}
	authority, err := os.ReadFile(ca.File)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	ask := func(token string, certificates ...tls.Certificate) int {
		t.Helper()
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: certificates}}}
		r, err := http.NewRequest("POST", "https"+strings.TrimPrefix(url, "http")+"/api/v1/pause", nil)
		if err != nil {
			t.Fatal(err)
		}
		bearer(token)(r)
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	pair, err := tls.LoadX509KeyPair(mine.Cert, mine.Key)
	if err != nil {
		t.Fatal(err)
	}
	if ask(otherToken, pair) != 200 || ask(otherToken) != 200 || ask("a guess", pair) != 401 {
		t.Error("the token does not decide")
	}
	list := entries(t, path)
	if len(list) != 5 {
		t.Fatalf("%+v", list)
	}
	for i, e := range list {
		if with := i != 2 && i != 3; (e.Who.Certificate == "CN=bob's laptop") != with || !with && e.Who.Certificate != "" {
			t.Errorf("%d: %+v", i, e)
		}
	}
	if e := list[4]; e.Event != audit.Denied || e.Who.Name != "" {
		t.Errorf("%+v", e)
	}
}
