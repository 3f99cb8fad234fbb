package tlsconn

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tandem/internal/printed"
	"tandem/internal/tlsconn/tlstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func logger(text *printed.Text) *slog.Logger { return slog.New(slog.NewTextHandler(text, nil)) }

// await waits for what another goroutine does.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// server is a Listener whose connections are answered with what they send.
type server struct {
	*Listener
	logs printed.Text
	addr string
}

func listen(t *testing.T, o ServerOptions) *server {
	t.Helper()
	s := &server{}
	o.Log = logger(&s.logs)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if s.Listener, err = Listen(l, o); err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	var work sync.WaitGroup
	work.Go(func() {
		for {
			c, err := s.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			})
		}
	})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		work.Wait()
		if t.Failed() {
			t.Logf("log:\n%s", s.logs.String())
		}
	})
	return s
}

// echo connects with c, sends a line and wants it back.
func echo(t *testing.T, c *Client, addr string) error {
	t.Helper()
	conn, err := dial(t, c, addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write([]byte("hello\n")); err != nil {
		return err
	}
	got := make([]byte, 6)
	if _, err := io.ReadFull(conn, got); err != nil {
		return err
	}
	if string(got) != "hello\n" {
		t.Errorf("echoed %q", got)
	}
	return nil
}

func dial(t *testing.T, c *Client, addr string) (*Conn, error) {
	t.Helper()
	tcp, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	host, _, _ := net.SplitHostPort(addr)
	return c.Handshake(ctx, tcp, host)
}

func client(t *testing.T, o ClientOptions) *Client {
	t.Helper()
	o.Keys = "source.tls."
	c, err := NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func certs(p tlstest.Pair, ca *tlstest.CA) Files {
	f := Files{Cert: p.Cert, Key: p.Key}
	if ca != nil {
		f.CA = ca.File
	}
	return f
}

func TestErrorsOfServersSayWhichSettingHelps(t *testing.T) {
	ca, other := tlstest.NewCA(t, "our authority"), tlstest.NewCA(t, "another authority")
	good := ca.Issue(t, tlstest.Leaf{})
	plain := func(answer string) string { // a server without TLS
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = c.Read(make([]byte, 1000))
				_, _ = c.Write([]byte(answer))
				c.Close()
			}
		}()
		return l.Addr().String()
	}
	for name, c := range map[string]struct {
		server ServerOptions
		client ClientOptions
		addr   string // instead of the server
		want   string // "" is success
	}{
		"all is well":   {server: ServerOptions{Files: certs(good, nil)}, client: ClientOptions{Files: Files{CA: ca.File}}},
		"not verified":  {server: ServerOptions{Files: certs(good, nil)}, client: ClientOptions{Insecure: true, ServerName: "x"}},
		"a name of its": {server: ServerOptions{Files: certs(good, nil)}, client: ClientOptions{Files: Files{CA: ca.File}, ServerName: "localhost"}},
		"unknown authority": {server: ServerOptions{Files: certs(good, nil)}, client: ClientOptions{Files: Files{CA: other.File}},
			want: `of an authority that is not known here (issuer "CN=our authority"): name the file of its authority in source.tls.ca_file`},
		"authorities of the machine": {server: ServerOptions{Files: certs(good, nil)}, want: "name the file of its authority in source.tls.ca_file"},
		"wrong name": {server: ServerOptions{Files: certs(good, nil)}, client: ClientOptions{Files: Files{CA: ca.File}, ServerName: "redis.example"},
			want: `its certificate is not for "redis.example" but for localhost, 127.0.0.1, ::1: if it is the right server, set source.tls.server_name`},
		"no name": {server: ServerOptions{Files: certs(ca.Issue(t, tlstest.Leaf{Names: []string{}, CommonName: "127.0.0.1"}), nil)}, client: ClientOptions{Files: Files{CA: ca.File}},
			want: `its certificate has no names at all (subjectAltName)`},
		"expired": {server: ServerOptions{Files: certs(ca.Issue(t, tlstest.Leaf{Ends: -time.Hour}), nil)}, client: ClientOptions{Files: Files{CA: ca.File}},
			want: `(subject "CN=tandem test") has ended on `},
		"client certificate": {server: ServerOptions{Files: certs(good, ca), ClientAuth: "required"}, client: ClientOptions{Files: certs(good, ca)}},
		"no client certificate": {server: ServerOptions{Files: certs(good, ca), ClientAuth: "required"}, client: ClientOptions{Files: Files{CA: ca.File}},
			want: "the server wants a client certificate: set source.tls.cert_file and source.tls.key_file"},
		"client certificate not needed": {server: ServerOptions{Files: certs(good, ca), ClientAuth: "optional"}, client: ClientOptions{Files: Files{CA: ca.File}}},
		"client certificate of another authority": {server: ServerOptions{Files: certs(good, ca), ClientAuth: "optional"}, client: ClientOptions{Files: certs(other.Issue(t, tlstest.Leaf{}), ca)},
			want: "the server does not know the authority of our certificate: have source.tls.cert_file signed"},
		"client certificate that has ended": {server: ServerOptions{Files: certs(good, ca), ClientAuth: "required"}, client: ClientOptions{Files: certs(ca.Issue(t, tlstest.Leaf{Ends: -time.Hour}), ca)},
			want: "the server says that our certificate has ended: renew source.tls.cert_file"},
		"no TLS, an answer": {addr: plain("-ERR Protocol error: what is this\r\n"), want: "it does not speak TLS on this port: write redis:// instead of rediss://"},
		"no TLS, none":      {addr: plain(""), want: "it closed the connection: is this a port without TLS?"},
	} {
		t.Run(name, func(t *testing.T) {
			addr := c.addr
			if addr == "" {
				addr = listen(t, c.server).addr
			}
			err := echo(t, client(t, c.client), addr)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestASilentServerIsNotWaitedForLongerThanAsked(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tcp, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := client(t, ClientOptions{Insecure: true}).Handshake(ctx, tcp, "127.0.0.1"); err == nil || !strings.Contains(err.Error(), "no answer in time: is this a port without TLS?") {
		t.Errorf("got %v", err)
	}
}

func TestVersionsBefore12AreRefused(t *testing.T) {
	ca := tlstest.NewCA(t, "test")
	s := listen(t, ServerOptions{Files: certs(ca.Issue(t, tlstest.Leaf{}), nil)})
	for version, works := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		c, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: version})
		if (err == nil) != works {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err == nil {
			c.Close()
		}
	}
}
