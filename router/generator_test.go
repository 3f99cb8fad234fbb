package router

import (
	"slices"
	"strings"
)

// How a replay chooses its next request: from the samples, with keys and ids for which it can do something.

// known are the samples whose command the primary has.
func (p *replay) known(samples []string) (known []string) {
	for _, s := range samples {
		name, _, _ := strings.Cut(s, " ")
		if info := p.a.must("COMMAND", "INFO", name); len(info.Elems) == 1 && info.Elems[0].Elems != nil {
			known = append(known, s)
		}
	}
	return known
}

// next makes a request of one of the samples: every other time of a command that has had few effects so far,
// on keys that are mostly made ready for it.
func (p *replay) next(samples []string) [][]byte {
	sample := p.r.pick(samples...)
	few := p.r.Intn(2) == 0
	if few {
		for range 5 {
			other := p.r.pick(samples...)
			if p.had(other) < p.had(sample) {
				sample = other
			}
		}
	}
	args := p.r.request(sample)
	if few {
		p.prepare(args)
	}
	p.fill(args)
	return args
}

// makers make a key of each type, by its name without the number.
var makers = map[string][]string{
	"l": {"RPUSH", "a", "b", "3.5", "a"}, "e": {"SADD", "a", "b", "m1"}, "z": {"ZADD", "1", "a", "-1.5", "b", "5", "m1"},
	"h": {"HSET", "f1", "1", "f2", "2", "f3", "7"}, "x": {"XADD", "*", "f1", "1"}, "n": {"SET", "17"},
}

// prepare makes keys that are not there, and takes away strings that are, which many conditions ask for.
func (p *replay) prepare(args [][]byte) {
	p.t.Helper()
	keys, ok := Lookup(args).AppendKeys(nil, args)
	for _, k := range keys {
		name := string(args[k.Arg])
		kind := strings.TrimRight(name, "123")
		there := p.a.must("EXISTS", name).Int > 0
		switch maker := makers[kind]; {
		case !ok || p.r.Intn(4) == 0:
		case maker != nil && !there:
			p.step(append(request(maker[0], name), request(maker[1:]...)...))
			if kind == "x" && redis62.in(p.b.server) {
				p.step(request("XGROUP", "CREATE", name, "g1", "0"))
				p.step(request("XREADGROUP", "GROUP", "g1", "c1", "STREAMS", name, ">"))
			}
		case kind == "s" && there:
			p.step(request("DEL", name))
		}
	}
}

// had is how often the sample's command has had an effect.
func (p *replay) had(sample string) int {
	return p.effects[Lookup(request(strings.Fields(sample)...)).Name]
}

// fill replaces the ids in a sample by those of the stream it names.
func (p *replay) fill(args [][]byte) {
	var ids []string
	for i, a := range args {
		if string(a) == "{pend}" {
			args[i] = []byte(p.pending(args))
			continue
		}
		at := slices.Index([]string{"{first}", "{second}", "{last}"}, string(a))
		if at < 0 {
			continue
		}
		if ids == nil {
			ids = p.ids(args)
		}
		args[i] = []byte(ids[at])
	}
}

// pending is the id of a pending entry, perhaps deleted, of the stream and the group that a request names.
func (p *replay) pending(args [][]byte) string {
	list := p.a.parse("XPENDING", string(args[1]), string(args[2]), "-", "+", "20")
	if list.IsError() || len(list.Elems) == 0 {
		return "1-1"
	}
	return string(list.Elems[p.r.Intn(len(list.Elems))].Elems[0].Str)
}

// ids are the first, second and last id of the stream that a request names.
func (p *replay) ids(args [][]byte) []string {
	for _, a := range args[1:] {
		if string(p.a.must("TYPE", string(a)).Str) != "stream" {
			continue
		}
		entries := p.a.must("XRANGE", string(a), "-", "+").Elems
		if len(entries) == 0 {
			break
		}
		id := func(i int) string { return string(entries[min(i, len(entries)-1)].Elems[0].Str) }
		return []string{id(0), id(1), id(len(entries) - 1)}
	}
	return []string{"1-1", "2-1", "3-1"}
}
