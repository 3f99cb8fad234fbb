package router

import (
	"strconv"
	"testing"
)

// TestEffectsOnLargeKeys has keys outgrow their compact encodings, where servers walk and choose otherwise.
func TestEffectsOnLargeKeys(t *testing.T) {
	for _, pair := range []struct{ from, to string }{{"redis-7.0", "redis-8.0"}, {"redis-6.0", "redis-7.0"}, {"valkey-9.1", "valkey-9.1"}} {
		t.Run(pair.from+" to "+pair.to, func(t *testing.T) {
			from, to, ok := pairOf(t, pair.from, pair.to)
			if !ok {
				return
			}
			p := newReplay(t, seedOf(t), from, to)
			p.seedDumps()
			p.r.wide = true
			known := p.known(samples)
			for range stepsOf(t) {
				p.step(p.next(known))
			}
			p.compareAll()
			p.summary()
		})
	}
}

// TestApproximateTrimming: a server trims whole nodes of 100 entries when it is asked for about so many; the
// secondary must end with the same entries, whatever its own nodes are.
func TestApproximateTrimming(t *testing.T) {
	for _, pair := range []struct{ from, to string }{{"redis-7.0", "redis-7.0"}, {"redis-6.0", "redis-7.0"}, {"redis-8.0", "redis-7.0"}, {"redis-7.0", "valkey-9.1"}} {
		t.Run(pair.from+" to "+pair.to, func(t *testing.T) {
			from, to, ok := pairOf(t, pair.from, pair.to)
			if !ok {
				return
			}
			p := newReplay(t, seedOf(t), from, to)
			p.typed = true
			p.a.must("CONFIG", "SET", "stream-node-max-entries", "20")
			p.b.must("CONFIG", "SET", "stream-node-max-entries", "7")
			known := p.known([]string{
				"XADD x1 * {fv}", "XADD x1 * {fv*}", "XADD x1 MAXLEN ~ {bound} * {fv}", "XADD x1 MAXLEN ~ {bound} LIMIT 25 * {fv}",
				"XADD x1 MINID ~ {old} * {fv}", "XTRIM x1 MAXLEN ~ {bound}", "XTRIM x1 MINID ~ {any}", "XTRIM x1 MAXLEN ~ 0 LIMIT 30",
				"XADD x1 MAXLEN 150 * {fv}", "XDEL x1 {any} {any} {any}", "XDEL x1 {any}", "XREADGROUP GROUP g1 c1 COUNT 9 STREAMS x1 >",
			})
			p.step(request("XGROUP", "CREATE", "x1", "g1", "0", "MKSTREAM"))
			trimmed := 0
			for i := range stepsOf(t) {
				sample := known[0]
				if i%4 == 0 {
					sample = p.r.pick(known...)
				}
				before := p.a.must("XLEN", "x1").Int
				p.step(p.anyIDs(p.r.request(sample)))
				if p.a.must("XLEN", "x1").Int < before-1 {
					trimmed++
				}
			}
			p.summary()
			if trimmed < 3 {
				t.Errorf("only %d requests trimmed anything", trimmed)
			}
			for _, name := range []string{"XADD", "XTRIM", "XDEL"} {
				if p.copies[name] > 0 {
					t.Errorf("%s needed %d copies", name, p.copies[name])
				}
			}
		})
	}
}

// anyIDs fills in bounds on the length, and ids from anywhere in the stream.
func (p *replay) anyIDs(args [][]byte) [][]byte {
	entries := p.a.must("XRANGE", "x1", "-", "+").Elems
	for i, a := range args {
		switch string(a) {
		case "{bound}":
			args[i] = strconv.AppendInt(nil, int64(p.r.Intn(200)), 10)
		case "{any}", "{first}", "{second}", "{last}":
			args[i] = []byte("5-5")
			if len(entries) > 0 {
				args[i] = entries[p.r.Intn(len(entries))].Elems[0].Str
			}
		}
	}
	return args
}
