package router

import (
	"fmt"
	"strings"
	"testing"

	"tandem/internal/resp"
)

// copyTyped copies a key by reading and writing its type, for servers that do not understand each other's
// DUMP.
func (p *replay) copyTyped(to *conn, key string) {
	p.t.Helper()
	to.must("DEL", key)
	words := func(v resp.Value) (words []string) {
		for _, e := range v.Elems {
			words = append(words, string(e.Str))
		}
		return words
	}
	with := func(name string, more []string) { to.must(append([]string{name, key}, more...)...) }
	switch kind := string(p.a.must("TYPE", key).Str); kind {
	case "none":
		return
	case "string":
		with("SET", []string{string(p.a.must("GET", key).Str)})
	case "list":
		with("RPUSH", words(p.a.must("LRANGE", key, "0", "-1")))
	case "set":
		with("SADD", words(p.a.must("SMEMBERS", key)))
	case "zset":
		all := words(p.a.must("ZRANGE", key, "0", "-1", "WITHSCORES"))
		for i := 0; i < len(all); i += 2 {
			with("ZADD", []string{all[i+1], all[i]})
		}
	case "hash":
		p.copyHash(to, key)
	case "stream":
		p.copyStream(to, key)
	default:
		p.fail("no typed copy of a %s", kind)
	}
	if at := p.a.expiry(key); at >= 0 {
		to.must("PEXPIREAT", key, fmt.Sprint(at))
	}
}

func (p *replay) copyHash(to *conn, key string) {
	p.t.Helper()
	all := p.a.must("HGETALL", key).Elems
	for i := 0; i < len(all); i += 2 {
		field := string(all[i].Str)
		to.must("HSET", key, field, string(all[i+1].Str))
		if p.a.server.HasHashFieldTTL() && to.server.HasHashFieldTTL() {
			if at := p.a.must("HPEXPIRETIME", key, "FIELDS", "1", field).Elems[0].Int; at >= 0 {
				to.must("HPEXPIREAT", key, fmt.Sprint(at), "FIELDS", "1", field)
			}
		}
	}
}

// pairsOf reads an array of names and values.
func pairsOf(v resp.Value) map[string]resp.Value {
	m := map[string]resp.Value{}
	for i := 0; i+1 < len(v.Elems); i += 2 {
		m[string(v.Elems[i].Str)] = v.Elems[i+1]
	}
	return m
}

// copyStream writes entries, groups and pending entries. An entry that is only pending and no more in the
// stream is added, claimed and taken away again.
func (p *replay) copyStream(to *conn, key string) {
	p.t.Helper()
	full := pairsOf(p.a.must("XINFO", "STREAM", key, "FULL", "COUNT", "0"))
	live := map[string][]string{}
	ids := map[string]bool{}
	for _, e := range full["entries"].Elems {
		id := string(e.Elems[0].Str)
		ids[id] = true
		for _, f := range e.Elems[1].Elems {
			live[id] = append(live[id], string(f.Str))
		}
	}
	for _, g := range full["groups"].Elems {
		for _, n := range pairsOf(g)["pending"].Elems {
			ids[string(n.Elems[0].Str)] = true
		}
	}
	to.must("XADD", key, "MAXLEN", "0", "0-1", "x", "y") // the stream, though it may have no entries
	for _, id := range sortedIDs(ids) {
		fields := live[id]
		if fields == nil {
			fields = []string{"x", "y"}
		}
		if id == "0-1" {
			p.fail("an entry with the least id cannot be copied")
		}
		to.must(append([]string{"XADD", key, id}, fields...)...)
	}
	to.must("XDEL", key, "0-1")
	both70 := redis70.in(p.a.server) && redis70.in(to.server)
	p.copyGroups(to, key, full["groups"], both70)
	// Those in front of all that are left were trimmed, which is not remembered as a deletion.
	sorted := sortedIDs(ids)
	for len(sorted) > 0 && live[sorted[0]] == nil {
		sorted = sorted[1:]
	}
	to.must("XTRIM", key, "MAXLEN", fmt.Sprint(len(sorted)))
	for _, id := range sorted {
		if live[id] == nil {
			to.must("XDEL", key, id)
		}
	}
	setid := []string{"XSETID", key, string(full["last-generated-id"].Str)}
	if both70 {
		setid = append(setid, "ENTRIESADDED", fmt.Sprint(full["entries-added"].Int),
			"MAXDELETEDID", string(full["max-deleted-entry-id"].Str))
	}
	to.must(setid...)
}

func (p *replay) copyGroups(to *conn, key string, groups resp.Value, both70 bool) {
	p.t.Helper()
	for _, v := range groups.Elems {
		g := pairsOf(v)
		name := string(g["name"].Str)
		create := []string{"XGROUP", "CREATE", key, name, string(g["last-delivered-id"].Str)}
		if read := g["entries-read"]; both70 && !read.Null {
			create = append(create, "ENTRIESREAD", fmt.Sprint(read.Int))
		}
		to.must(create...)
		for _, v := range g["consumers"].Elems {
			if redis62.in(to.server) {
				to.must("XGROUP", "CREATECONSUMER", key, name, string(pairsOf(v)["name"].Str))
			} else {
				to.must("XREADGROUP", "GROUP", name, string(pairsOf(v)["name"].Str), "STREAMS", key, "0")
			}
		}
		for _, n := range g["pending"].Elems {
			to.must("XCLAIM", key, name, string(n.Elems[1].Str), "0", string(n.Elems[0].Str),
				"TIME", fmt.Sprint(n.Elems[2].Int), "RETRYCOUNT", fmt.Sprint(n.Elems[3].Int), "FORCE", "JUSTID")
		}
	}
}

// sortedIDs are stream ids in order.
func sortedIDs(ids map[string]bool) (sorted []string) {
	parse := func(id string) (ms, seq uint64) {
		fmt.Sscanf(id, "%d-%d", &ms, &seq)
		return ms, seq
	}
	for id := range ids {
		ms, seq := parse(id)
		at := 0
		for at < len(sorted) {
			m, s := parse(sorted[at])
			if m > ms || m == ms && s > seq {
				break
			}
			at++
		}
		sorted = append(sorted[:at], append([]string{id}, sorted[at:]...)...)
	}
	return sorted
}

// TestEffectsForServersThatShareNoDump tries secondaries that are older than the primary or of another
// family: effects must be written in forms that these know, or be copies.
func TestEffectsForServersThatShareNoDump(t *testing.T) {
	for _, pair := range []struct {
		from, to string
		without  []string // what the secondary cannot hold at all
	}{
		{"redis-7.0", "redis-6.0", []string{"RESTORE"}},
		{"redis-8.0", "redis-7.0", []string{"RESTORE", "HEXPIRE", "HPEXPIRE", "HGETEX", "EX {sec} FIELDS", "PX {ms} FIELDS", "PXAT {pat} FIELDS", "EXAT {at} FIELDS"}},
		{"redis-8.0", "valkey-9.1", []string{"RESTORE"}},
		{"valkey-9.1", "redis-8.0", []string{"RESTORE"}},
	} {
		t.Run(pair.from+" to "+pair.to, func(t *testing.T) {
			from, to, ok := pairOf(t, pair.from, pair.to)
			if !ok {
				return
			}
			p := newReplay(t, seedOf(t), from, to)
			p.typed = true
			var left []string
			for _, s := range p.known(samples) {
				holds := true
				for _, w := range pair.without {
					holds = holds && !strings.Contains(s, w)
				}
				if holds && !strings.Contains(s, " DB ") {
					left = append(left, s)
				}
			}
			for range stepsOf(t) {
				p.step(p.next(left))
			}
			p.summary()
		})
	}
}
