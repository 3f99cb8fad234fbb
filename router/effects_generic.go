package router

// The effects of commands on keys of any type: expiry, restore, copy, sort, and those on whole databases.

// expireTimed makes the effect of EXPIRE and its family from the answer and the expiry it led to. The
// conditions NX, XX, GT and LT have done their work on the primary.
func expireTimed(e *Effect, args [][]byte, reply []byte, w when) {
	n, ok := replyInt(reply)
	switch {
	case !ok:
		e.copy()
	case n > 0:
		e.pexpireat(args[1], w)
	}
}

// expireEffect: EXPIRE and PEXPIRE. A time of 0 or less has deleted the key, as the follow-up shows.
func expireEffect(e *Effect, env *Env, args [][]byte, reply []byte, follow [][]byte) {
	expireTimed(e, args, reply, followed(env, follow))
}

func expireatEffect(e *Effect, env *Env, args [][]byte, reply []byte, _ [][]byte) {
	expireTimed(e, args, reply, absolute(env, args[2], 1000))
}

func pexpireatEffect(e *Effect, env *Env, args [][]byte, reply []byte, _ [][]byte) {
	expireTimed(e, args, reply, absolute(env, args[2], 1))
}

// restoreOptions are those of RESTORE key ttl payload [...].
type restoreOptions struct {
	absttl bool
	// idle and freq are the arguments of IDLETIME and FREQ, or nil.
	idle, freq []byte
}

func parseRestore(args [][]byte) (o restoreOptions, ok bool) {
	for i := 4; i < len(args); i++ {
		more := i+1 < len(args)
		switch word := args[i]; {
		case equalFold(word, "REPLACE"):
		case equalFold(word, "ABSTTL"):
			o.absttl = true
		case equalFold(word, "IDLETIME") && more:
			i++
			o.idle = args[i]
		case equalFold(word, "FREQ") && more:
			i++
			o.freq = args[i]
		default:
			return o, false
		}
	}
	return o, true
}

// restoreEffect replaces whatever the secondary has: the primary's key was not there, or REPLACE was given.
func restoreEffect(e *Effect, env *Env, args [][]byte, reply []byte, follow [][]byte) {
	o, ok := parseRestore(args)
	if !ok || !isOK(reply) {
		e.copy()
		return
	}
	w := when{state: whenNever}
	switch {
	case string(args[2]) == "0":
	case o.absttl:
		w = absolute(env, args[2], 1)
	default:
		w = followed(env, follow)
	}
	switch w.state {
	case whenUnknown:
		e.copy()
		return
	case whenGone:
		e.del(args[1])
		return
	}
	n := 6
	if o.idle != nil {
		n += 2
	}
	if o.freq != nil {
		n += 2
	}
	e.begin(n, "RESTORE", ExpectOK())
	e.arg(args[1])
	e.argInt(w.at)
	e.arg(args[3])
	e.argText("REPLACE")
	e.argText("ABSTTL")
	if o.idle != nil {
		e.argText("IDLETIME")
		e.arg(o.idle)
	}
	if o.freq != nil {
		e.argText("FREQ")
		e.arg(o.freq)
	}
	e.Blind = true
	e.MayExpire = true // the key, or fields in the payload
}

func restoreFollows(dst []byte, args [][]byte, primary Server) ([]byte, int) {
	if o, ok := parseRestore(args); !ok || o.absttl || string(args[2]) == "0" {
		return dst, 0
	}
	return appendExpiryRead(dst, args[1], primary)
}

// parseCopy reads the options of COPY source destination [DB n] [REPLACE]; db is -1 without DB.
func parseCopy(args [][]byte) (db int, ok bool) {
	db = -1
	for i := 3; i < len(args); i++ {
		switch word := args[i]; {
		case equalFold(word, "REPLACE"):
		case equalFold(word, "DB") && i+1 < len(args):
			i++
			n, isInt := parseInt(args[i])
			if !isInt || n < 0 || n > 1<<30 {
				return -1, false
			}
			db = int(n)
		default:
			return -1, false
		}
	}
	return db, true
}

// sortOptions are what matters of SORT's.
type sortOptions struct {
	store    int  // the argument index of the destination, 0 for none
	patterns bool // BY or GET reach keys that the request does not name
}

func parseSort(args [][]byte) (o sortOptions, ok bool) {
	for i := 2; i < len(args); i++ {
		left := len(args) - i - 1
		switch word := args[i]; {
		case equalFold(word, "ASC"), equalFold(word, "DESC"), equalFold(word, "ALPHA"):
		case equalFold(word, "LIMIT") && left >= 2:
			i += 2
		case equalFold(word, "STORE") && left >= 1:
			i++
			o.store = i
		case equalFold(word, "BY") && left >= 1:
			i++
			o.patterns = o.patterns || hasStar(args[i])
		case equalFold(word, "GET") && left >= 1:
			i++
			o.patterns = o.patterns || string(args[i]) != "#"
		default:
			return o, false
		}
	}
	return o, true
}

// hasStar reports whether a BY pattern names keys; without a star it only says "do not sort".
func hasStar(pattern []byte) bool {
	for _, b := range pattern {
		if b == '*' {
			return true
		}
	}
	return false
}

// sortWrites: without STORE, SORT only reads. A request that cannot be parsed fails on the server.
func sortWrites(args [][]byte) bool {
	o, ok := parseSort(args)
	return !ok || o.store > 0
}

// sortEffect: with patterns the result comes from keys that are not known to be exact.
func sortEffect(e *Effect, env *Env, args [][]byte, reply []byte, follow [][]byte) {
	o, ok := parseSort(args)
	n, isInt := replyInt(reply)
	switch {
	case !ok || !isInt:
		e.copy()
	case n == 0:
		e.del(args[o.store])
		e.Keys = append(e.Keys, 1)
	case o.patterns:
		e.copyKey(1)
	default:
		forwardInt(e, env, args, reply, follow)
	}
}

// flushallEffect empties each migrated database, and leaves the others of the secondary alone.
func flushallEffect(e *Effect, env *Env, args [][]byte, _ []byte, _ [][]byte) {
	flush := func(number int) {
		e.begin(2, "SELECT", ExpectOK())
		e.argInt(int64(number))
		flushdb(e, args)
	}
	present := env.DB
	if env.Flushed != nil {
		present = env.Number
		for _, number := range env.Flushed {
			flush(number)
		}
	} else {
		for db := range env.DBs {
			flush(db)
		}
	}
	e.begin(2, "SELECT", ExpectOK())
	e.argInt(int64(present))
	e.Blind = true
}

func flushdbEffect(e *Effect, _ *Env, args [][]byte, _ []byte, _ [][]byte) {
	flushdb(e, args)
	e.Blind = true
}

// flushdb appends a FLUSHDB, in the background if the client asked for that. SYNC is left out: it is what an
// older server does anyway, and does not know.
func flushdb(e *Effect, args [][]byte) {
	if len(args) > 1 && equalFold(args[1], "ASYNC") {
		e.begin(2, "FLUSHDB", ExpectOK())
		e.argText("ASYNC")
		return
	}
	e.begin(1, "FLUSHDB", ExpectOK())
}
