package chaos

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/toxics"
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

// Kinds of the relay's parts: blackHole takes what comes and passes nothing on, and a connection that has lost something by it ends
// with it. resetPeer ends connections when something comes, and makes every connection that began with it end by a reset;
// orderlyEnd lets them end in order.
const (
	blackHole  = "timeout"
	resetPeer  = "reset_peer"
	orderlyEnd = "orderly_end"
)

type orderlyEndToxic struct{ toxics.ResetToxic }

func init() { toxics.Register(orderlyEnd, new(orderlyEndToxic)) }

// part is the kind of the relay's part that makes a fault.
func (l *link) part(f linkFault) string {
	if f.toxic == resetPeer && !l.abrupt {
		return orderlyEnd
	}
	return f.toxic
}

// relays is the relays' server, which is used for its state only: its own HTTP API is not opened.
var relays = sync.OnceValue(func() *toxiproxy.ApiServer {
	log.Logger = zerolog.New(&lost)
	return toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.New(&lost))
})

// lost is what the relays have dropped out of the middle of a connection that goes on. No network does this, so a run with any
// of it would say nothing; they are built here so that they have no occasion.
var lost losses

type losses struct {
	mu    sync.Mutex
	lines []string // what the relays say of each, since take
}

func (l *losses) Write(line []byte) (int, error) {
	if strings.Contains(string(line), "Could not write last packets") {
		l.mu.Lock()
		l.lines = append(l.lines, string(line))
		l.mu.Unlock()
	}
	return len(line), nil
}

// take returns them and forgets them.
func (l *losses) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.lines
	l.lines = nil
	return lines
}

// newLink starts a relay to an address, to which nobody needs to listen yet.
func newLink(t testing.TB, name, to string, abrupt bool) *link {
	t.Helper()
	l := &link{name: name, addr: program.FreeAddr(t), abrupt: abrupt}
	l.relay = toxiproxy.NewProxy(relays(), name, l.addr, to)
	id, m := newMeter()
	l.meter = m
	for _, way := range ways {
		if err := l.add("meter", "meter", way, fmt.Sprintf(`{"id":%d}`, id), 1); err != nil {
			t.Fatal(err)
		}
		for _, f := range linkFaults {
			// A part that can be taken away without loss is there from the beginning, and switched: to take it away, the relay
			// waits for a peer that does not read for five seconds at most, and then drops what it has.
			if f.toxic == blackHole {
				continue
			}
			if err := l.add(l.part(f), f.name, way, `{}`, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.relay.Start(); err != nil {
		t.Fatalf("relay of the %s: %v", name, err)
	}
	t.Cleanup(func() { _ = within(l.stop) })
	return l
}

// errVoid: a relay has not done what it was told to do to itself. That says nothing of the program.
var errVoid = errors.New("the run is void: a relay does not answer")

// relayTime is how long a relay may take to change its connections: some seconds where somebody does not read.
const relayTime = 30 * time.Second

// within has a relay do something to itself, and does not wait for ever.
func within(do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	limit := time.NewTimer(relayTime)
	defer limit.Stop()
	select {
	case err := <-done:
		return err
	case <-limit.C:
		return errVoid
	}
}

// ways are the two directions of a link: towards the server and back.
var ways = [2]string{"upstream", "downstream"}

func (l *link) stop() error {
	l.relay.Stop()
	return nil
}

func (l *link) add(part, name, way, attributes string, toxicity float32) error {
	_, err := l.relay.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(
		`{"name":"%s %s","type":"%s","stream":"%s","toxicity":%g,"attributes":%s}`, name, way, part, way, toxicity, attributes)))
	if err != nil {
		return fmt.Errorf("%s of the %s link, %s: %w", name, l.name, way, err)
	}
	return nil
}

// begin makes a way bad: as many of its connections as toxicity says, from 0 to 1.
func (l *link) begin(f linkFault, way, attributes string, toxicity float32) error {
	if f.toxic == blackHole {
		return l.add(f.toxic, f.name, way, attributes, toxicity)
	}
	return l.change(f, way, fmt.Sprintf(`{"attributes":%s,"toxicity":%g}`, attributes, toxicity))
}

// end makes a way good again.
func (l *link) end(f linkFault, way string) error {
	if f.toxic != blackHole {
		return l.change(f, way, `{"toxicity":0}`)
	}
	if err := l.relay.Toxics.RemoveToxic(log.Logger.WithContext(context.Background()), f.name+" "+way); err != nil {
		return fmt.Errorf("end of %s of the %s link, %s: %w", f.name, l.name, way, err)
	}
	return nil
}

func (l *link) change(f linkFault, way, to string) error {
	if _, err := l.relay.Toxics.UpdateToxicJson(f.name+" "+way, strings.NewReader(to)); err != nil {
		return fmt.Errorf("%s of the %s link, %s: %w", f.name, l.name, way, err)
	}
	return nil
}

// suffer makes the link bad for a time, on some of its ways, and returns how much it did, in the unit of the kind.
func (l *link) suffer(f linkFault, attributes string, some []string, toxicity float32, d time.Duration) (hits int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.meter.read()
	for _, bad := range []bool{true, false} {
		for _, way := range some {
			err := within(func() error {
				if bad {
					return l.begin(f, way, attributes, toxicity)
				}
				return l.end(f, way)
			})
			if err != nil {
				return 0, err
			}
		}
		if bad {
			<-time.After(d)
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
	if err := within(l.stop); err != nil {
		return 0, err
	}
	<-time.After(d)
	if err := within(l.relay.Start); err != nil {
		return 0, fmt.Errorf("relay of the %s: %w", l.name, err)
	}
	return l.meter.read().ended - before.ended, nil
}
