package proxy

import (
	"strings"
	"testing"

	"tandem/internal/instance"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

// An address that leads to two servers: a lane must not be connected to the one, with the run id of the other.
func TestALaneIsConnectedToTheServerWhoseFactsItHas(t *testing.T) {
	one, other := redisdtest.Start(t, redisd.Options{}), redisdtest.Start(t, redisd.Options{})
	at := func(s *redisd.Server) *instance.Instance {
		i, err := instance.New(instance.Source, s.URL(), instance.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	conn, _, err := at(one).Open(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	refused := 0
	check := func(facts *redisd.Server) error {
		t.Helper()
		f, err := at(facts).Facts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return sameServer(t.Context(), conn, at(facts), f, &refused)
	}
	if err := check(one); err != nil {
		t.Errorf("the same server: %v", err)
	}
	if err := check(other); err == nil || !strings.Contains(err.Error(), "two servers") {
		t.Errorf("another server: %v", err)
	}
	if err := check(one); err != nil || refused != 0 {
		t.Errorf("the same server again: %v, %d refused", err, refused)
	}
	for range elsewhereMax {
		if check(other) == nil {
			t.Error("another server was taken too early")
		}
	}
	if err := check(other); err != nil {
		t.Errorf("an address that always leads to several servers is not served: %v", err)
	}
	dial(t, one.Addr).expect("ACL SETUSER default -info", "+OK")
	refused = 0
	if err := check(other); err != nil {
		t.Errorf("a user without INFO is not served: %v", err)
	}
}
