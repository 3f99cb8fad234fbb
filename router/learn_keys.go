package router

import (
	"slices"
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

// learnSpecs reads the key specs. complete is false when there are keys that they do not find.
func learnSpecs(specs resp.Value, flags map[string]bool) (run []keySpec, complete bool) {
	complete = true
	for _, v := range specs.Elems {
		s, kind, ok := learnSpec(v)
		switch {
		case kind == specNotKeys:
		case ok:
			run = append(run, s)
		default:
			complete = false
		}
	}
	// A module that finds its keys by itself says so by this flag alone; what it gives as specs is a guess.
	if flags["module"] && flags["movablekeys"] && (len(run) == 0 || isPlain(run)) {
		complete = false
	}
	return run, complete
}

// findIn takes over where the keys are. They cannot be found if they are not all known, or if a write names
// none. If a write has none that is written, what it only reads it may change all the same (as XREADGROUP).
func (c *Command) findIn(run []keySpec, complete bool) {
	switch {
	case !complete || len(run) == 0 && c.Class == Write:
		c.findKeys = noKeys
		return
	case c.Class != Write:
		for i := range run {
			run[i].write = false
		}
	case !slices.ContainsFunc(run, func(s keySpec) bool { return s.write }):
		for i := range run {
			run[i].write = true
		}
	}
	write := c.Class == Write
	c.findKeys = func(dst []Key, args [][]byte) ([]Key, bool) {
		at := len(dst)
		dst, ok := appendSpecs(dst, run, args)
		return dst, ok && (len(dst) > at || !write)
	}
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
// not have is none.
func appendSpecs(dst []Key, run []keySpec, args [][]byte) ([]Key, bool) {
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
	return dst, true
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

// positions makes a spec of a first key, a last one (relative to the end if negative) and a step, which is
// all that is known before 7.0; first is 0 without keys.
func positions(first, last, step int) (run []keySpec, complete bool) {
	switch {
	case first == 0:
		return nil, true
	case first < 0 || step <= 0 || last >= 0 && last < first:
		return nil, false
	}
	if last >= 0 {
		last -= first
	}
	return []keySpec{{index: first, last: last, step: step, write: true}}, true
}
