package test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/tlsconn/tlstest"
	"tandem/test/keyspace"
	"tandem/test/load"
	"tandem/test/program"
)

// tlsServer is a server that speaks TLS at url, and without it at its Addr, which is for the test to look at.
func tlsServer(t *testing.T, ca *tlstest.CA, p tlstest.Pair, auth string) (s *redisd.Server, url string) {
	t.Helper()
	addr := program.FreeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	return redisdtest.Start(t, redisd.Options{Args: ca.ServerArgs(p, port, auth)}), "rediss://" + addr
}

// tunnel lets clients that speak no TLS reach addr: it speaks it for them.
func tunnel(t *testing.T, addr string, cfg *tls.Config) (entrance string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				defer in.Close()
				out, err := tls.Dial("tcp", addr, cfg)
				if err != nil {
					return
				}
				defer out.Close()
				var back sync.WaitGroup
				back.Go(func() {
					_, _ = io.Copy(in, out)
					_ = in.Close()
				})
				_, _ = io.Copy(out, in)
				_ = out.Close()
				back.Wait()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		work.Wait()
	})
	return l.Addr().String()
}

func clientConfig(t *testing.T, ca *tlstest.CA, p tlstest.Pair) *tls.Config {
	t.Helper()
	text, err := os.ReadFile(ca.File)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	cert, err := tls.LoadX509KeyPair(p.Cert, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{RootCAs: pool, ServerName: "localhost", Certificates: []tls.Certificate{cert}}
}

// TestTLSEverywhere is a migration under load in which all that is on the network is encrypted and everybody
// shows a certificate, which is renewed on the way.
func TestTLSEverywhere(t *testing.T) {
	t.Parallel()
	ca := tlstest.NewCA(t, "authority of the test")
	servers, proxyCert, client := ca.Issue(t, tlstest.Leaf{}), ca.Issue(t, tlstest.Leaf{CommonName: "first"}), ca.Issue(t, tlstest.Leaf{})
	w := &world{t: t, clients: 4, layout: keyspace.Layout{Keys: 20000, Seed: seed, LargeBytes: 4 << 20}}
	var urls [2]string
	w.source, urls[0] = tlsServer(t, ca, servers, "yes")
	w.target, urls[1] = tlsServer(t, ca, servers, "yes")
	if err := w.layout.Fill(w.source.Addr); err != nil {
		t.Fatal(err)
	}
	if err := load.Prepare(w.source.Addr, w.clients); err != nil {
		t.Fatal(err)
	}
	side := func(name string) string {
		return fmt.Sprintf("%s: {tls: {ca_file: %s, cert_file: %s, key_file: %s, server_name: localhost}}", name, ca.File, proxyCert.Cert, proxyCert.Key)
	}
	w.td = program.Prepare(t, urls[0], urls[1], "start: manual", side("source"), side("target"),
		fmt.Sprintf("tls: {cert_file: %s, key_file: %s, client_ca_file: %s, client_auth: required}", proxyCert.Cert, proxyCert.Key, ca.File))
	cfg := clientConfig(t, ca, client)
	// The clients of the suite speak no TLS: they come through a tunnel that does.
	secured := w.td.Addr
	w.td.Addr = tunnel(t, secured, cfg)
	w.td.Start()
	w.watcher = load.Watch(w.target.Addr, w.clients)
	t.Cleanup(func() { w.watcher.Stop() })

	w.startLoad(nil)
	w.td.Step("start")
	ca.IssueInto(t, proxyCert, tlstest.Leaf{CommonName: "second"})
	w.td.Until("the new certificate", 20*time.Second, func() bool {
		c, err := tls.Dial("tcp", secured, cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].Subject.CommonName == "second"
	})
	w.td.WaitSynced()
	w.commands(2000)
	w.td.SwitchOver("cutover")
	w.commands(2000)
	w.td.SwitchOver("rollback")
	w.commands(2000)
	w.stopLoad()
	w.mustBeTruthful()
	w.mustBeEqual()
	if report := redisCLI(t, secured, "--tls", "--cacert", ca.File, "--cert", client.Cert, "--key", client.Key, "PING"); report != "PONG\n" {
		t.Errorf("redis-cli: %q", report)
	}
	// Nobody else gets in.
	for _, args := range [][]string{{"PING"}, {"--tls", "--cacert", ca.File, "PING"}} {
		if report := redisCLI(t, secured, args...); strings.Contains(report, "PONG") {
			t.Errorf("redis-cli %q got in: %q", args, report)
		}
	}
	w.td.Until("what was wrong with them in the log", 10*time.Second, func() bool {
		log := w.td.Logged()
		return strings.Contains(log, "the client does not speak TLS") && strings.Contains(log, "the client shows no certificate")
	})
}

func redisCLI(t *testing.T, addr string, args ...string) string {
	t.Helper()
	host, port, _ := net.SplitHostPort(addr)
	out, _ := exec.Command("redis-cli", append([]string{"-h", host, "-p", port}, args...)...).CombinedOutput()
	return string(out)
}

// TestPrecheckExplainsTLS: whoever gets TLS wrong learns which setting to mend, from the command meant for it.
func TestPrecheckExplainsTLS(t *testing.T) {
	t.Parallel()
	ca, other := tlstest.NewCA(t, "authority of the test"), tlstest.NewCA(t, "another")
	good := ca.Issue(t, tlstest.Leaf{})
	source, url := tlsServer(t, ca, good, "yes")
	_, expired := tlsServer(t, ca, ca.Issue(t, tlstest.Leaf{Ends: -time.Hour}), "no")
	target := redisdtest.Start(t, redisd.Options{})
	shown := fmt.Sprintf("cert_file: %s, key_file: %s, ", good.Cert, good.Key)
	for name, c := range map[string]struct{ url, settings, want string }{
		"all is well":           {url, shown + "ca_file: " + ca.File, ""},
		"unverified":            {url, shown + "insecure_skip_verify: true", ""},
		"unknown authority":     {url, shown + "ca_file: " + other.File, "name the file of its authority in source.tls.ca_file"},
		"wrong name":            {url, shown + "server_name: cache.example, ca_file: " + ca.File, "set source.tls.server_name to one of these"},
		"no client certificate": {url, "ca_file: " + ca.File, "set source.tls.cert_file and source.tls.key_file"},
		"expired":               {expired, "ca_file: " + ca.File, "has ended on"},
		"no TLS there":          {"rediss://" + source.Addr, "ca_file: " + ca.File, "write redis:// instead of rediss://"},
		"TLS there":             {strings.Replace(url, "rediss:", "redis:", 1), "", "rediss://"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "tandem.yaml")
			if err := os.WriteFile(file, []byte("source: {tls: {"+c.settings+"}}\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			code, out, log := program.Command(t, nil, "precheck", "--json", "-c", file, "--source", c.url, "--target", target.URL())
			switch {
			case c.want == "" && code != 0:
				t.Errorf("exit status %d:\n%s", code, out)
			case c.want != "" && code != 3:
				t.Errorf("exit status %d, want 3:\n%s", code, out)
			case !strings.Contains(out, c.want):
				t.Errorf("%q is not in:\n%s", c.want, out)
			}
			if warned := strings.Contains(log, "any certificate of this server is taken"); warned != (name == "unverified") {
				t.Errorf("warned: %t\n%s", warned, log)
			}
		})
	}
}
