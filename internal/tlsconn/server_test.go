package tlsconn

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"tandem/internal/tlsconn/tlstest"
)

func silent(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func (s *server) underWay() int { return len(s.slots) }

func TestSilentClientsHoldUpNobodyAndAreClosed(t *testing.T) {
	ca := tlstest.NewCA(t, "test")
	s := listen(t, ServerOptions{Files: certs(ca.Issue(t, tlstest.Leaf{}), nil), HandshakeTimeout: 1500 * time.Millisecond, MaxHandshakes: 3})
	c := client(t, ClientOptions{Files: Files{CA: ca.File}})
	first, second := silent(t, s.addr), silent(t, s.addr)
	await(t, "two handshakes under way", func() bool { return s.underWay() == 2 })
	if err := echo(t, c, s.addr); err != nil {
		t.Errorf("beside two silent ones: %v", err)
	}
	for _, conn := range []net.Conn{first, second} {
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, err := conn.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("a silent client is not closed: %d, %v", n, err)
		}
	}
	if n := s.logs.Count("the client takes longer than tls.handshake_timeout"); n != 1 {
		t.Errorf("logged %d times, want once for all", n)
	}
}

func TestMoreHandshakesThanAllowedAreClosed(t *testing.T) {
	ca := tlstest.NewCA(t, "test")
	s := listen(t, ServerOptions{Files: certs(ca.Issue(t, tlstest.Leaf{}), nil), MaxHandshakes: 1})
	silent(t, s.addr)
	await(t, "a handshake under way", func() bool { return s.underWay() == 1 })
	third := silent(t, s.addr)
	_ = third.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := third.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("it is not closed: %d, %v", n, err)
	}
	await(t, "a line in the log", func() bool { return s.logs.Count("too many handshakes are under way") == 1 })
}

func TestWhoDoesNotSpeakTLSIsToldSo(t *testing.T) {
	ca := tlstest.NewCA(t, "test")
	s := listen(t, ServerOptions{Files: certs(ca.Issue(t, tlstest.Leaf{}), nil)})
	for range 2 {
		c := silent(t, s.addr)
		if _, err := c.Write([]byte("*1\r\n$4\r\nPING\r\n")); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		answer := make([]byte, len(plainAnswer))
		if _, err := io.ReadFull(c, answer); err != nil || string(answer) != plainAnswer {
			t.Errorf("answered %q, %v", answer, err)
		}
	}
	if n := s.logs.Count("the client does not speak TLS: it has to connect with rediss://"); n != 1 {
		t.Errorf("logged %d times, want once", n)
	}
}

func TestHealthChecksAreNotLogged(t *testing.T) {
	ca := tlstest.NewCA(t, "test")
	s := listen(t, ServerOptions{Files: certs(ca.Issue(t, tlstest.Leaf{}), nil)})
	c := silent(t, s.addr)
	await(t, "a handshake under way", func() bool { return s.underWay() == 1 })
	c.Close()
	await(t, "its end", func() bool { return s.underWay() == 0 })
	if n := s.logs.Count("level=WARN"); n != 0 {
		t.Errorf("%d warnings", n)
	}
}

func TestEachReasonOfRefusedClientsIsLogged(t *testing.T) {
	ca, other := tlstest.NewCA(t, "our authority"), tlstest.NewCA(t, "another authority")
	s := listen(t, ServerOptions{Files: certs(ca.Issue(t, tlstest.Leaf{}), ca), ClientAuth: "required"})
	for want, o := range map[string]ClientOptions{
		"the client shows no certificate, and tls.client_auth is required":                           {Files: Files{CA: ca.File}},
		"the client does not accept our certificate":                                                 {Files: Files{CA: other.File}},
		`is of an authority that tls.client_ca_file does not hold (issuer \"CN=another authority\")`: {Files: certs(other.Issue(t, tlstest.Leaf{}), ca)},
		`the client's certificate is out of date (subject \"CN=old\")`:                               {Files: certs(ca.Issue(t, tlstest.Leaf{CommonName: "old", Ends: -time.Hour}), ca)},
	} {
		for range 2 {
			if err := echo(t, client(t, o), s.addr); err == nil {
				t.Errorf("it got in; want: %s", want)
			}
		}
		want = strings.ReplaceAll(want, `\"`, "")
		await(t, want, func() bool {
			text := strings.NewReplacer(`\"`, "", `\\`, "").Replace(s.logs.String())
			return strings.Count(text, want) == 1
		})
	}
}

func TestTheListenersCertificateIsRenewedWhileClientsAreConnected(t *testing.T) {
	ca := tlstest.NewCA(t, "test")
	p := ca.Issue(t, tlstest.Leaf{CommonName: "first"})
	s := listen(t, ServerOptions{Files: certs(p, nil)})
	c := client(t, ClientOptions{Files: Files{CA: ca.File}})
	before, err := dial(t, c, s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	if got := before.ConnectionState().PeerCertificates[0].Subject.CommonName; got != "first" {
		t.Fatalf("the certificate is that of %s", got)
	}
	ca.IssueInto(t, p, tlstest.Leaf{CommonName: "second"})
	await(t, "the new certificate", func() bool {
		conn, err := dial(t, c, s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].Subject.CommonName == "second"
	})
	if _, err := before.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if _, err := before.Read(make([]byte, 1)); err != nil {
		t.Errorf("the connection from before: %v", err)
	}
}

// pair is both ends of a connection.
func pair(t *testing.T) (ours, theirs *Conn) {
	t.Helper()
	ca := tlstest.NewCA(t, "test")
	below, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := Listen(below, ServerOptions{Files: certs(ca.Issue(t, tlstest.Leaf{}), nil)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	accepted := make(chan net.Conn, 1)
	go func() {
		c, _ := l.Accept()
		accepted <- c
	}()
	if theirs, err = dial(t, client(t, ClientOptions{Files: Files{CA: ca.File}}), below.Addr().String()); err != nil {
		t.Fatal(err)
	}
	ours = (<-accepted).(*Conn)
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return ours, theirs
}

func TestTheEndIsAnEndWithAndWithoutTLSsOwn(t *testing.T) {
	for name, end := range map[string]func(c *Conn){
		"closed": func(c *Conn) { c.Close() },
		"cut":    func(c *Conn) { c.below.Close() },
		"half":   func(c *Conn) { c.CloseWrite() },
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := pair(t)
			if _, err := theirs.Write([]byte("last words")); err != nil {
				t.Fatal(err)
			}
			end(theirs)
			if got, err := io.ReadAll(ours); string(got) != "last words" || err != nil {
				t.Errorf("read %q, %v", got, err)
			}
		})
	}
}

// fill writes until the other side's buffers are full and a write has timed out.
func fill(t *testing.T, c *Conn) {
	t.Helper()
	piece := make([]byte, 256<<10)
	for {
		_ = c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := c.Write(piece); err != nil {
			return
		}
	}
}

func TestCloseDoesNotWaitForAFullConnection(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, c *Conn) (wait func()){
		"full": func(t *testing.T, c *Conn) func() {
			fill(t, c)
			return func() {}
		},
		"being written to": func(t *testing.T, c *Conn) func() {
			done, began := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				close(began)
				for {
					if _, err := c.Write(make([]byte, 1<<20)); err != nil {
						return
					}
				}
			}()
			<-began
			return func() { <-done }
		},
	} {
		t.Run(name, func(t *testing.T) {
			ours, _ := pair(t)
			wait := prepare(t, ours)
			began := time.Now()
			ours.Close()
			wait()
			if took := time.Since(began); took > 4*time.Second { // tls.Conn takes 5 s
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestAWriteGoesOnAsLongAsSomeOfItGetsThrough(t *testing.T) {
	ours, theirs := pair(t)
	// More than the buffers between them hold; the reader takes it in twice the deadline.
	const size, piece, deadline = 16 << 20, 128 << 10, 800 * time.Millisecond
	slow := time.NewTicker(2 * deadline / (size / piece))
	defer slow.Stop()
	read := make(chan int, 1)
	go func() {
		n := 0
		for buf := make([]byte, piece); n < size; <-slow.C {
			k, err := io.ReadFull(theirs, buf)
			n += k
			if err != nil {
				break
			}
		}
		read <- n
	}()
	began := time.Now()
	_ = ours.SetWriteDeadline(began.Add(deadline))
	if n, err := ours.Write(make([]byte, size)); n != size || err != nil {
		ours.Close() // the reader waits for the rest
		t.Errorf("wrote %d: %v after %v", n, err, time.Since(began))
	}
	if n := <-read; n != size {
		t.Errorf("%d of %d bytes came", n, size)
	}
	if took := time.Since(began); took < deadline {
		t.Errorf("it took %v: the deadline of %v was not put to the test", took, deadline)
	}
}

func TestAReaderThatTakesNothingEndsTheWrite(t *testing.T) {
	ours, _ := pair(t)
	began := time.Now()
	fill(t, ours)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	if _, err := ours.Write([]byte("x")); err == nil {
		t.Error("the stream goes on after a failed write")
	}
}
