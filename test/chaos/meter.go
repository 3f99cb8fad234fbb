package chaos

import (
	"sync"
	"sync/atomic"

	"github.com/Shopify/toxiproxy/v2/toxics"
)

// meter counts what passes a link, so that a fault can be told from one that nothing met. It stands in front of the
// link's faults on both ways.
type meter struct {
	bytes atomic.Int64
	ended atomic.Int64 // ways that have come to an end; a connection has two
}

// reading is a meter at one moment.
type reading struct{ bytes, ended int64 }

func (m *meter) read() reading { return reading{m.bytes.Load(), m.ended.Load()} }

// meters are all of them by their id: the relay makes its parts from JSON.
var meters struct {
	mu  sync.Mutex
	all []*meter
}

func newMeter() (id int, m *meter) {
	meters.mu.Lock()
	defer meters.mu.Unlock()
	m = &meter{}
	meters.all = append(meters.all, m)
	return len(meters.all) - 1, m
}

// meterToxic is a meter's place in a relay.
type meterToxic struct {
	ID int `json:"id"`
}

func init() { toxics.Register("meter", new(meterToxic)) }

// Pipe passes everything on.
func (t *meterToxic) Pipe(stub *toxics.ToxicStub) {
	meters.mu.Lock()
	m := meters.all[t.ID]
	meters.mu.Unlock()
	for {
		select {
		case <-stub.Interrupt:
			return
		case c := <-stub.Input:
			if c == nil {
				m.ended.Add(1)
				stub.Close()
				return
			}
			m.bytes.Add(int64(len(c.Data)))
			stub.Output <- c
		}
	}
}
