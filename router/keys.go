package router

import (
	"fmt"
	"strings"
)

// Where a command's keys are is written in its table line as a spec: items separated by spaces, each a
// letter, R for keys that are only read and W for others, and a place:
//
//	W1        the key is args[1]
//	R1:-1     args[1] to the last argument (-2: the last but one)
//	W1:-1:2   every second of these (MSET); the arguments must come out even
//	R#2       args[2] is the number of keys, which follow it
//	W#1:2     args[1] is the number of keys, which follow it, each with a value (MSETEX)
//
// What no item can say (a key behind a keyword, a key in another database) is a keyFunc: "*".
type keyRange struct {
	first, last, step int
	counted           bool // first is the place of the number of keys
	write             bool
}

// compileSpec reads a spec. It panics on a mistake in the table, which is part of the program.
func compileSpec(spec string) []keyRange {
	var keys []keyRange
	for item := range strings.FieldsSeq(spec) {
		r := keyRange{write: item[0] == 'W', step: 1}
		if item[0] != 'R' && item[0] != 'W' {
			panic("router: bad key spec " + spec)
		}
		place, counted := strings.CutPrefix(item[1:], "#")
		r.counted = counted
		parts := strings.Split(place, ":")
		numbers := make([]int, len(parts))
		for i, part := range parts {
			if _, err := fmt.Sscanf(part, "%d", &numbers[i]); err != nil {
				panic("router: bad key spec " + spec)
			}
		}
		r.first, r.last = numbers[0], numbers[0]
		switch {
		case counted && len(numbers) == 2:
			r.step = numbers[1]
		case len(numbers) == 3:
			r.step = numbers[2]
			fallthrough
		case len(numbers) == 2:
			r.last = numbers[1]
		}
		keys = append(keys, r)
	}
	return keys
}

// appendRanges appends the keys of a request whose arity is right.
func appendRanges(dst []Key, ranges []keyRange, args [][]byte) ([]Key, bool) {
	for i := range ranges {
		r := &ranges[i]
		if !r.counted && r.first == r.last {
			if r.first >= len(args) {
				return dst, false
			}
			dst = append(dst, Key{Arg: r.first, DB: -1, Write: r.write})
			continue
		}
		first, last := r.first, r.last
		switch {
		case r.counted:
			n, ok := countedKeys(args, r.first, r.step)
			if !ok {
				return dst, false
			}
			first, last = r.first+1, r.first+n*r.step
		case last < 0:
			last += len(args)
		}
		if r.step > 1 && (last-first+1)%r.step != 0 {
			return dst, false
		}
		for at := first; at <= last; at += r.step {
			dst = append(dst, Key{Arg: at, DB: -1, Write: r.write})
		}
	}
	return dst, true
}

// countedKeys reads the number of keys at args[at], which must be there with step arguments each.
func countedKeys(args [][]byte, at, step int) (int, bool) {
	if at >= len(args) {
		return 0, false
	}
	n, ok := parseInt(args[at])
	if !ok || n < 1 || n > int64((len(args)-at-1)/step) {
		return 0, false
	}
	return int(n), true
}

// sortKeys: SORT key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC|DESC] [ALPHA] [STORE dst].
// The keys that BY and GET patterns reach are not among them.
func sortKeys(dst []Key, args [][]byte) ([]Key, bool) {
	dst = append(dst, Key{Arg: 1, DB: -1})
	o, ok := parseSort(args)
	if ok && o.store > 0 {
		dst = append(dst, Key{Arg: o.store, DB: -1, Write: true})
	}
	return dst, ok
}

// georadiusKeys: GEORADIUS and GEORADIUSBYMEMBER, whose last STORE or STOREDIST names what they write.
func georadiusKeys(dst []Key, args [][]byte) ([]Key, bool) {
	dst = append(dst, Key{Arg: 1, DB: -1})
	if o := parseGeoradius(args); o.store > 0 {
		dst = append(dst, Key{Arg: o.store, DB: -1, Write: true})
	}
	return dst, true
}

// copyKeys: COPY source destination [DB n] [REPLACE].
func copyKeys(dst []Key, args [][]byte) ([]Key, bool) {
	db, ok := parseCopy(args)
	return append(dst, Key{Arg: 1, DB: -1}, Key{Arg: 2, DB: db, Write: true}), ok
}

// moveKeys: MOVE key db, which writes the key in both databases.
func moveKeys(dst []Key, args [][]byte) ([]Key, bool) {
	db, ok := parseInt(args[2])
	if !ok || db < 0 || db > 1<<30 {
		return dst, false
	}
	return append(dst, Key{Arg: 1, DB: -1, Write: true}, Key{Arg: 1, DB: int(db), Write: true}), true
}

// xreadKeys: the first half of what follows STREAMS.
func xreadKeys(dst []Key, args [][]byte) ([]Key, bool) { return streamKeys(dst, args, 1, false) }

// xreadgroupKeys: as xreadKeys, behind GROUP group consumer; reading for a group changes it.
func xreadgroupKeys(dst []Key, args [][]byte) ([]Key, bool) { return streamKeys(dst, args, 4, true) }

func streamKeys(dst []Key, args [][]byte, options int, write bool) ([]Key, bool) {
	o, ok := parseXRead(args, options)
	if !ok {
		return dst, false
	}
	for i := range o.count {
		dst = append(dst, Key{Arg: o.first + i, DB: -1, Write: write})
	}
	return dst, true
}
