package chaos

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/rs/zerolog/log"

	"tandem/test/program"
)

// link is one of the three networks: between clients and the program, the program and the source, the program and
// the target. All connections of it pass through a relay that can be made bad.
type link struct {
	name  string
	addr  string // of the relay
	relay *toxiproxy.Proxy
	meter *meter
	// abrupt: connections end by a reset, with what was in flight lost, and not by an orderly end.
	abrupt bool
	mu     sync.Mutex // one fault at a time
}

// relays is the relays' server, which is used for its state only: its own HTTP API is not opened.
var relays = sync.OnceValue(func() *toxiproxy.ApiServer {
	log.Logger = zerolog.New(&lost) // of its bandwidth limit
	return toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.New(&lost))
})

// lost counts what the relays have dropped out of the middle of a connection that goes on: when a fault ends while
// a peer does not read for five seconds. No network does this, so a run with any of it is void.
var lost lossCounter

type lossCounter struct {
	mu sync.Mutex
	n  int
}

func (l *lossCounter) Write(line []byte) (int, error) {
	if strings.Contains(string(line), "Could not write last packets") {
		l.mu.Lock()
		l.n++
		l.mu.Unlock()
	}
	return len(line), nil
}

func (l *lossCounter) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

// newLink starts a relay to an address, to which nobody needs to listen yet.
func newLink(t testing.TB, name, to string, abrupt bool) *link {
	t.Helper()
	l := &link{name: name, addr: program.FreeAddr(t), abrupt: abrupt}
	l.relay = toxiproxy.NewProxy(relays(), name, l.addr, to)
	id, m := newMeter()
	l.meter = m
	for _, way := range ways {
		if err := l.add("meter", way, fmt.Sprintf(`{"id":%d}`, id), 1); err != nil {
			t.Fatal(err)
		}
		// A connection that begins while this is there ends by a reset. With no toxicity it does nothing else.
		if abrupt {
			if err := l.add("reset_peer", way, `{"timeout":0}`, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.relay.Start(); err != nil {
		t.Fatalf("relay of the %s: %v", name, err)
	}
	t.Cleanup(l.relay.Stop)
	return l
}

// ways are the two directions of a link: towards the server and back.
var ways = [2]string{"upstream", "downstream"}

func (l *link) add(kind, way, attributes string, toxicity float32) error {
	_, err := l.relay.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(
		`{"name":"%s_%s","type":"%s","stream":"%s","toxicity":%g,"attributes":%s}`, kind, way, kind, way, toxicity, attributes)))
	if err != nil {
		return fmt.Errorf("%s of the %s link, %s: %w", kind, l.name, way, err)
	}
	return nil
}

func (l *link) remove(kind, way string) error {
	ctx := log.Logger.WithContext(context.Background())
	if err := l.relay.Toxics.RemoveToxic(ctx, kind+"_"+way); err != nil {
		return fmt.Errorf("end of %s of the %s link, %s: %w", kind, l.name, way, err)
	}
	return nil
}

// suffer makes the link bad for a time, on some of its ways, and returns how much it did, in the unit of the kind.
func (l *link) suffer(f linkFault, attributes string, some []string, toxicity float32, d time.Duration) (hits int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.meter.read()
	for _, way := range some {
		if f.toxic == "reset_peer" && l.abrupt {
			_, err = l.relay.Toxics.UpdateToxicJson("reset_peer_"+way, strings.NewReader(fmt.Sprintf(`{"toxicity":%g}`, toxicity)))
		} else {
			err = l.add(f.toxic, way, attributes, toxicity)
		}
		if err != nil {
			return 0, err
		}
	}
	<-time.After(d)
	for _, way := range some {
		if f.toxic == "reset_peer" && l.abrupt {
			_, err = l.relay.Toxics.UpdateToxicJson("reset_peer_"+way, strings.NewReader(`{"toxicity":0}`))
		} else {
			err = l.remove(f.toxic, way)
		}
		if err != nil {
			return 0, err
		}
	}
	after := l.meter.read()
	if f.unit == "connections" {
		return after.ended - before.ended, nil
	}
	return after.bytes - before.bytes, nil
}

// refuse closes the relay's listener and its connections for a time: nobody is at that address.
func (l *link) refuse(d time.Duration) (hits int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.meter.read()
	l.relay.Stop()
	<-time.After(d)
	if err := l.relay.Start(); err != nil {
		return 0, fmt.Errorf("relay of the %s: %w", l.name, err)
	}
	return l.meter.read().ended - before.ended, nil
}
