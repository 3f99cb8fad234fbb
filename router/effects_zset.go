package router

// The effects of the sorted set and geo commands that do arithmetic or take options.

// zaddOptions are those of ZADD key [NX|XX] [GT|LT] [CH] [INCR] score member ...
type zaddOptions struct{ nx, compares, ch, incr bool }

func parseZadd(args [][]byte) (o zaddOptions) {
	for _, word := range args[min(2, len(args)):] {
		switch {
		case equalFold(word, "NX"):
			o.nx = true
		case equalFold(word, "XX"):
		case equalFold(word, "GT"), equalFold(word, "LT"):
			o.compares = true
		case equalFold(word, "CH"):
			o.ch = true
		case equalFold(word, "INCR"):
			o.incr = true
		default:
			return o
		}
	}
	return o
}

// zaddEffect: the answer counts new members only, unless CH is given; 0 does not say that nothing changed.
func zaddEffect(e *Effect, env *Env, args [][]byte, reply []byte, follow [][]byte) {
	o := parseZadd(args)
	switch n, ok := replyInt(reply); {
	case ok && n == 0 && (o.nx || o.ch):
	case o.compares && !redis62.in(env.Secondary):
		e.copy()
	case o.incr:
		forwardFloat(e, env, args, reply, follow)
	default:
		forwardInt(e, env, args, reply, follow)
	}
}

// zstoreEffect: ZUNIONSTORE and ZINTERSTORE destination n key ... [WEIGHTS w ...] [AGGREGATE how]. Sums are
// made in the order of the sets' sizes. Of two addends the order does not matter; of three or more it
// decides the last digits, and for sets of equal size it is the C library's.
func zstoreEffect(e *Effect, env *Env, args [][]byte, reply []byte, follow [][]byte) {
	n, ok := countedKeys(args, 2, 1)
	if !ok {
		e.copy()
		return
	}
	ordered := n >= 3
	for i := 3 + n; i+1 < len(args); i++ {
		if equalFold(args[i], "AGGREGATE") {
			how := args[i+1]
			ordered = ordered && !equalFold(how, "MIN") && !equalFold(how, "MAX")
		}
	}
	storeFirst(e, env, args, reply, follow)
	if ordered && e.Kind == Verbatim {
		e.copyKey(0)
	}
}

// geoaddEffect: as ZADD; options came with 6.2.
func geoaddEffect(e *Effect, env *Env, args [][]byte, reply []byte, follow [][]byte) {
	option := equalFold(args[2], "NX") || equalFold(args[2], "XX") || equalFold(args[2], "CH")
	if option && !redis62.in(env.Secondary) {
		e.copy()
		return
	}
	forwardInt(e, env, args, reply, follow)
}

// geosearchstoreEffect: distances come from the C library's trigonometry, and with COUNT the order of equal
// ones decides. Where neither can show, the command goes as it is. A member that is named like an option
// makes a needless copy and no harm.
func geosearchstoreEffect(e *Effect, env *Env, args [][]byte, reply []byte, follow [][]byte) {
	storeFirst(e, env, args, reply, follow)
	if e.Kind != Verbatim {
		return
	}
	for _, a := range args[3:] {
		if equalFold(a, "COUNT") || equalFold(a, "STOREDIST") {
			e.copyKey(0)
			return
		}
	}
}

// georadiusOptions are what matters of the options of GEORADIUS and GEORADIUSBYMEMBER.
type georadiusOptions struct {
	store      int  // the argument index of the destination, 0 for none; the last one counts
	unreliable bool // STOREDIST or COUNT, see geosearchstoreEffect
}

func parseGeoradius(args [][]byte) (o georadiusOptions) {
	first := 6 // GEORADIUS key longitude latitude radius unit
	if len(args[0]) > len("GEORADIUS") {
		first = 5 // GEORADIUSBYMEMBER key member radius unit
	}
	for i := first; i+1 < len(args); i++ {
		switch word := args[i]; {
		case equalFold(word, "STORE"):
			i++
			o.store = i
		case equalFold(word, "STOREDIST"):
			i++
			o.store, o.unreliable = i, true
		case equalFold(word, "COUNT"):
			i++
			o.unreliable = true
		}
	}
	return o
}

// georadiusWrites: without a destination they only read.
func georadiusWrites(args [][]byte) bool { return parseGeoradius(args).store > 0 }

// georadiusEffect: before 6.2 a missing source is answered by an empty array and leaves the destination.
func georadiusEffect(e *Effect, env *Env, args [][]byte, reply []byte, follow [][]byte) {
	if isEmpty(reply) {
		return
	}
	o := parseGeoradius(args)
	n, ok := replyInt(reply)
	switch {
	case ok && n == 0:
		e.del(args[o.store])
		e.Keys = append(e.Keys, 1)
	case !ok || o.unreliable:
		e.copyKey(1)
	default:
		forwardInt(e, env, args, reply, follow)
	}
}
