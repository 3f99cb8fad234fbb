package instance

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/tlsconn"
	"tandem/internal/tlsconn/tlstest"
)

// startTLS starts a server that speaks TLS at the returned address, beside its plain one.
func startTLS(t *testing.T, ca *tlstest.CA, p tlstest.Pair, auth string) (s *redisd.Server, addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = l.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	l.Close()
	return redisdtest.Start(t, redisd.Options{Args: ca.ServerArgs(p, port, auth)}), addr
}

func tlsInstance(t *testing.T, url string, o tlsconn.ClientOptions) *Instance {
	t.Helper()
	o.Keys = "source.tls."
	c, err := tlsconn.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	i, err := New(Source, url, Options{TLS: c})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestEveryKindOfConnectionSpeaksTLS(t *testing.T) {
	ca := tlstest.NewCA(t, "test")
	p := ca.Issue(t, tlstest.Leaf{})
	_, addr := startTLS(t, ca, p, "yes")
	i := tlsInstance(t, "rediss://"+addr, tlsconn.ClientOptions{Files: tlsconn.Files{Cert: p.Cert, Key: p.Key, CA: ca.File}})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()

	lane, named, err := i.Open(ctx, ConnName("id", "lane", "1"), 3)
	if err != nil || !named {
		t.Fatalf("lane: named %t, %v", named, err)
	}
	defer lane.Close()
	if _, ok := lane.(*tlsconn.Conn); !ok {
		t.Errorf("a lane is a %T", lane)
	}
	client, err := i.Client(ctx, "copier", ClientOptions{DB: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	value := strings.Repeat("x", 1<<20)
	if err := client.Do(ctx, client.B().Set().Key("k").Value(value).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	conn, err := i.Conn(ctx, "control", 3)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	got, err := conn.Do(ctx, "GET", "k")
	if err != nil || string(got.Str) != value {
		t.Errorf("GET: %d bytes, %v", len(got.Str), err)
	}
	if facts, err := i.Facts(ctx); err != nil || facts.KeysTotal() != 1 {
		t.Errorf("facts: %v, %v", facts, err)
	}
	if n, err := i.EnsureDead(ctx, func(name string) bool { return strings.Contains(name, ":lane:") }, time.Second); n != 1 || err != nil {
		t.Errorf("killed %d, %v", n, err)
	}
	_ = lane.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := lane.Read(make([]byte, 1)); err == nil {
		t.Error("the lane lives")
	}
}

func TestTroubleWithTLSIsExplained(t *testing.T) {
	ca, other := tlstest.NewCA(t, "our authority"), tlstest.NewCA(t, "another")
	p := ca.Issue(t, tlstest.Leaf{Names: []string{"127.0.0.1", "redis.internal"}})
	s, addr := startTLS(t, ca, p, "yes")
	mine := tlsconn.Files{Cert: p.Cert, Key: p.Key, CA: ca.File}
	for name, c := range map[string]struct {
		url  string
		tls  tlsconn.ClientOptions
		is   error
		want string
	}{
		"unknown authority":     {"rediss://" + addr, tlsconn.ClientOptions{Files: tlsconn.Files{CA: other.File}}, ErrTLS, "name the file of its authority in source.tls.ca_file"},
		"wrong name":            {"rediss://" + addr, tlsconn.ClientOptions{Files: mine, ServerName: "cache.internal"}, ErrTLS, `is not for "cache.internal" but for redis.internal, 127.0.0.1`},
		"no client certificate": {"rediss://" + addr, tlsconn.ClientOptions{Files: tlsconn.Files{CA: ca.File}}, ErrNoAnswer, "the server wants a client certificate: set source.tls.cert_file and source.tls.key_file"},
		"client certificate of another authority": {"rediss://" + addr, tlsconn.ClientOptions{Files: func() tlsconn.Files {
			q := other.Issue(t, tlstest.Leaf{})
			return tlsconn.Files{Cert: q.Cert, Key: q.Key, CA: ca.File}
		}()}, ErrNoAnswer, "the server does not know the authority of our certificate"},
		"TLS to a plain port": {"rediss://" + s.Addr, tlsconn.ClientOptions{Files: mine}, ErrTLS, "is this a port without TLS? Then write redis:// instead of rediss://"},
		"plain to a TLS port": {"redis://" + addr, tlsconn.ClientOptions{}, ErrNoAnswer, "rediss://"},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{DialTimeout: 10 * time.Second}
			if name == "TLS to a plain port" { // where nobody answers
				o.DialTimeout = 500 * time.Millisecond
			}
			if strings.HasPrefix(c.url, "rediss:") {
				c.tls.Keys = "source.tls."
				var err error
				if o.TLS, err = tlsconn.NewClient(c.tls); err != nil {
					t.Fatal(err)
				}
			}
			i, err := New(Source, c.url, o)
			if err != nil {
				t.Fatal(err)
			}
			_, err = i.Conn(context.Background(), "x", 0)
			if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "source 127.0.0.1:") {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
			if client, err := i.Client(context.Background(), "x", ClientOptions{}); err == nil {
				client.Close()
				t.Error("a client connects")
			} else if !strings.Contains(err.Error(), c.want) {
				t.Errorf("client: got %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestTLSIsAskedForByTheURLAlone(t *testing.T) {
	c, err := tlsconn.NewClient(tlsconn.ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if i, err := New(Target, "redis://a", Options{TLS: c}); err == nil {
		t.Errorf("%v would be spoken to without TLS", i)
	}
	if i, err := New(Target, "REDISS://a", Options{}); err != nil || i.tls == nil {
		t.Errorf("%v: %v", i, err)
	}
}
