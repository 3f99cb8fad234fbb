package instance

import (
	"errors"
	"net"
	"strings"
	"testing"
)

// Behind a name that was pointed at Tandem itself there is nobody but Tandem.
func TestAnAddressThatLeadsBackIsRefused(t *testing.T) {
	for listen, leadsBack := range map[string]bool{"127.0.0.1:0": true, "0.0.0.0:0": true, "127.0.0.2:0": false} {
		t.Run(listen, func(t *testing.T) {
			l, err := net.Listen("tcp", listen)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			addr := l.Addr().(*net.TCPAddr)
			i, err := New(Source, "redis://"+net.JoinHostPort("127.0.0.1", portOf(addr)), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if !leadsBack { // another process has the port at 127.0.0.1
				other, err := net.Listen("tcp", i.Addr)
				if err != nil {
					t.Fatal(err)
				}
				defer other.Close()
			}
			i.NotAt(addr)
			c, err := i.Dial(t.Context())
			if err == nil {
				defer c.Close()
			}
			if got := errors.Is(err, ErrUnreachable) && strings.Contains(err.Error(), "leads to Tandem itself"); got != leadsBack {
				t.Errorf("%v", err)
			}
		})
	}
}

func portOf(a *net.TCPAddr) string {
	_, port, _ := net.SplitHostPort(a.String())
	return port
}
