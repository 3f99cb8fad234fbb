package router

import (
	"strings"

	"tandem/internal/resp"
)

// Where the keys of a learned command are. From 7.0 on the server tells it by key specs: each says where a
// run of keys begins and how to find its end, and what the command does with them.

// keySpec is one of them.
type keySpec struct {
	index   int    // where the run begins; or
	keyword string // behind which word, in upper case,
	from    int    // that is looked for from here on, or backwards from the end if negative
	counted bool   // the run has its number of keys in it, else
	last    int    // its last key is so far from the first, or from the end of the request if negative
	limit   int    // and only one limit-th of what follows are keys (2: the other half are ids)
	count   int    // where the number of keys is, from the beginning of the run
	first   int    // where the first key is, from there
	step    int
	write   bool
}

// learnKeys takes over the key specs. If one of them is incomplete, or of a kind that is not known, the keys
// of a write cannot be found.
func (c *Command) learnKeys(specs resp.Value, flags map[string]bool) {
	var run []keySpec
	complete := true
	for _, v := range specs.Elems {
		s, kind, ok := learnSpec(v)
		switch {
		case kind == specNotKeys:
			continue
		case !ok:
			complete = false
			continue
		}
		s.write = s.write && c.Class != Read
		run = append(run, s)
	}
	// A module that finds its keys by itself says so by this flag alone; what it gives as specs is a guess.
	if flags["module"] && flags["movablekeys"] && isPlain(run) {
		complete = false
	}
	if !complete && c.Class == Write || len(run) == 0 && c.Class == Write {
		c.findKeys = noKeys
		return
	}
	c.findKeys = func(dst []Key, args [][]byte) ([]Key, bool) { return appendSpecs(dst, run, args) }
}

// isPlain reports whether the keys are at fixed places.
func isPlain(run []keySpec) bool { return len(run) == 1 && run[0].keyword == "" && !run[0].counted }

type specKind uint8

const (
	specKeys    specKind = iota
	specNotKeys          // such as the channel of SPUBLISH
)

// learnSpec reads one key spec. ok is false when the keys that it is about cannot be found.
func learnSpec(v resp.Value) (s keySpec, kind specKind, ok bool) {
	ok, s.write = true, true
	for _, f := range field(v, "flags").Elems {
		switch strings.ToUpper(string(f.Str)) {
		case "NOT_KEY":
			kind = specNotKeys
		case "RO":
			s.write = false
		case "INCOMPLETE":
			ok = false
		}
	}
	begin, find := field(v, "begin_search"), field(v, "find_keys")
	b, f := field(begin, "spec"), field(find, "spec")
	switch string(field(begin, "type").Str) {
	case "index":
		s.index = int(field(b, "index").Int)
		ok = ok && s.index > 0
	case "keyword":
		s.keyword = strings.ToUpper(string(field(b, "keyword").Str))
		s.from = int(field(b, "startfrom").Int)
		ok = ok && s.keyword != "" && s.from != 0
	default:
		ok = false
	}
	switch string(field(find, "type").Str) {
	case "range":
		s.last, s.limit = int(field(f, "lastkey").Int), int(field(f, "limit").Int)
		s.step = int(field(f, "keystep").Int)
	case "keynum":
		s.counted = true
		s.count, s.first = int(field(f, "keynumidx").Int), int(field(f, "firstkey").Int)
		s.step = int(field(f, "keystep").Int)
		ok = ok && s.count >= 0 && s.first > 0
	default:
		ok = false
	}
	return s, kind, ok && s.step > 0
}

// field is a value of a map, which is a flat array in RESP2.
func field(v resp.Value, name string) resp.Value {
	for i := 0; i+1 < len(v.Elems); i += 2 {
		if string(v.Elems[i].Str) == name {
			return v.Elems[i+1]
		}
	}
	return resp.Value{}
}

// appendSpecs appends the keys that the specs find in a request. A run behind a word that the request does
// not have is none; if a write's request has no keys at all, they cannot be found.
func appendSpecs(dst []Key, run []keySpec, args [][]byte) ([]Key, bool) {
	at := len(dst)
	for i := range run {
		s := &run[i]
		begin, found := s.begin(args)
		if !found {
			continue
		}
		first, last, ok := s.bounds(begin, args)
		if !ok {
			return dst, false
		}
		for arg := first; arg <= last; arg += s.step {
			dst = append(dst, Key{Arg: arg, DB: -1, Write: s.write})
		}
	}
	return dst, len(dst) > at
}

// begin is where the run begins.
func (s *keySpec) begin(args [][]byte) (at int, found bool) {
	if s.keyword == "" {
		return s.index, s.index < len(args)
	}
	if s.from > 0 {
		for i := s.from; i < len(args); i++ {
			if equalFold(args[i], s.keyword) {
				return i + 1, i+1 < len(args)
			}
		}
		return 0, false
	}
	for i := len(args) + s.from; i > 0; i-- {
		if equalFold(args[i], s.keyword) {
			return i + 1, true
		}
	}
	return 0, false
}

// bounds are the run's first and last key.
func (s *keySpec) bounds(begin int, args [][]byte) (first, last int, ok bool) {
	if s.counted {
		at := begin + s.count
		if at >= len(args) {
			return 0, 0, false
		}
		n, isInt := parseInt(args[at])
		if !isInt || n < 0 || n > int64(len(args)) {
			return 0, 0, false
		}
		first = begin + s.first
		last = first + (int(n)-1)*s.step
		return first, last, last < len(args)
	}
	switch {
	case s.last >= 0:
		last = begin + s.last
	case s.limit <= 1:
		last = len(args) + s.last
	default:
		last = begin + (len(args)-begin)/s.limit + s.last
	}
	return begin, last, last < len(args)
}

// positions takes over a first key, a last one (relative to the end if negative) and a step, which is all
// that is known before 7.0. movable says that they are not all.
func (c *Command) positions(first, last, step int, movable bool) {
	switch {
	case first <= 0 && c.Class != Write:
		return
	case first <= 0 || step <= 0 || movable && c.Class == Write || last >= 0 && last < first:
		c.findKeys = noKeys
		return
	}
	s := keySpec{index: first, last: last, step: step, write: c.Class == Write}
	if last >= 0 {
		s.last = last - first
	}
	run := []keySpec{s}
	c.findKeys = func(dst []Key, args [][]byte) ([]Key, bool) { return appendSpecs(dst, run, args) }
}
