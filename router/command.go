package router

// Command is one line of the command table: what the proxy must know of a command before and after it is
// sent. Commands are immutable and shared; every method is safe for concurrent use.
type Command struct {
	// Name is the full name in upper case, "GET" or "XGROUP CREATE".
	Name string
	// Class says how the command travels.
	Class Class
	// Arity is the server's: n, exactly n arguments; -n, at least n; the name's own words included. Where
	// versions differ it is the laxest.
	Arity int
	// CursorArg is the index of a SCAN-family cursor: 1 for SCAN, 2 for HSCAN, SSCAN and ZSCAN, 0 for none.
	CursorArg int
	// Reason says why the command is refused, as a clause for the error's text; empty for other classes.
	Reason string
	// Unheard: the server has no such command, and Name is what a client has sent.
	Unheard bool

	index     int        // in the table, from 1; 0 for what was learned
	block     *blocking  // nil: never blocks
	stateful  bool       // see Stateful
	unclear   bool       // see Unclear
	apart     bool       // see Apart
	script    bool       // runs a script or a function
	since     release    // the first versions that know the command; zero: known to all that we support
	spec      string     // where its keys are, see keys.go
	keys      []keyRange // the spec, compiled
	findKeys  keyFunc    // for keys that no spec can say; replaces keys
	writes    writeFunc  // nil: a command of class Write always writes
	refuses   refuseFunc // nil: never for its arguments
	follows   followFunc // nil: no follow-up
	effect    effectFunc // of classes Write, Barrier and Everywhere
	errs      bool       // the effect function wants error replies too
	subs      []*Command // of a container, its subcommands
	unknown   *Command   // of a container that was learned, what stands for others
	container bool       // of the table: only its subcommands are commands
}

type (
	keyFunc    func(dst []Key, args [][]byte) ([]Key, bool)
	writeFunc  func(args [][]byte) bool
	refuseFunc func(args [][]byte) string
	followFunc func(dst []byte, args [][]byte, primary Server) ([]byte, int)
	effectFunc func(e *Effect, env *Env, args [][]byte, reply []byte, follow [][]byte)
)

// arityOK reports whether a request of n arguments has the command's form.
func (c *Command) arityOK(n int) bool {
	if c.Arity < 0 {
		return n >= -c.Arity
	}
	return n == c.Arity
}

// IsScript reports whether the command runs a script or a function that may write: EVAL, EVALSHA, FCALL. Of
// those that may not (EVAL_RO, ...) it is false.
func (c *Command) IsScript() bool { return c.script }

// Apart reports whether the command is about what may be running or waiting at that moment, and so must not
// stand behind it on a connection that others share: SCRIPT KILL, FUNCTION STATS, SHUTDOWN, CLIENT UNPAUSE.
func (c *Command) Apart() bool { return c.apart }

// IsWrite reports whether the request may have an effect. It is false for commands of other classes than
// Write, Barrier and Everywhere, and for a command of class Write whose arguments make it a read: SORT without
// STORE, GETEX without an option, BITFIELD with nothing but GET, PFCOUNT of several keys, MIGRATE with COPY.
func (c *Command) IsWrite(args [][]byte) bool {
	switch c.Class {
	case Write:
		return c.writes == nil || c.writes(args)
	case Barrier, Everywhere:
		return true
	}
	return false
}

// Refuse returns the reason for which the proxy does not pass this request on, as a clause for the error's
// text, or "". Commands of class Refused always have one; others when an option asks for what is not
// supported (DEBUG PROTOCOL PUSH). What the configuration denies is not its affair (Deny).
func (c *Command) Refuse(args [][]byte) string {
	if c.Class == Refused {
		return c.Reason
	}
	if c.refuses != nil {
		return c.refuses(args)
	}
	return ""
}

// KnownTo reports whether the server has the command, as far as the table tells: most are taken to be known to all. One
// that does not know it quotes what it was sent.
func (c *Command) KnownTo(s Server) bool { return c.since.in(s) }

// AppendKeys appends the places of the request's keys to dst. A key named twice appears twice; a key that
// is read and written is reported as written, and none is when IsWrite is false.
//
// ok is false when the keys cannot be found: the arguments have not the command's form (arity, a number of
// keys that does not fit), and the server will answer an error; or the command does not name what it changes
// (DEBUG RELOAD, a learned one of which too little is known), and any key may have changed once it answers
// otherwise. Of other commands it is true whenever a supported version executes the request.
//
// It is true, without keys, for commands that have none and for scripts that declare none.
func (c *Command) AppendKeys(dst []Key, args [][]byte) (keys []Key, ok bool) {
	if !c.arityOK(len(args)) {
		return dst, false
	}
	at := len(dst)
	if c.findKeys != nil {
		keys, ok = c.findKeys(dst, args)
	} else {
		keys, ok = appendRanges(dst, c.keys, args)
	}
	if c.writes != nil && !c.writes(args) {
		for i := range keys[at:] {
			keys[at+i].Write = false
		}
	}
	return keys, ok
}

// FollowUps appends to dst, as RESP2 arrays, the reads that must be sent directly behind the request on the
// same lane, because its effect needs facts that its reply does not have: the absolute time of a relative
// expiry, the length of a stream after an approximate trimming. n is their number and mostly 0.
//
// What they answer is the state behind the request only if no other write of these keys runs in between.
// Behind an EXEC they may be used for a command of the block when no later command of the block names one of
// its keys.
func (c *Command) FollowUps(dst []byte, args [][]byte, primary Server) (frames []byte, n int) {
	if c.follows == nil || !c.arityOK(len(args)) {
		return dst, 0
	}
	return c.follows(dst, args, primary)
}

// Effect fills e, which must be Reset, with the effect of a request that was answered reply.
//
// args are the request, args[0] its name in any case. reply is one complete reply, RESP2 or RESP3. follow
// has the replies to the request's FollowUps; nil when there are none, as inside a MULTI block, where an
// effect that needs them becomes a Copy. e.Frames is copied from what it is given; nothing is retained.
//
// A block's commands are given one by one with their element of EXEC's reply. Their time is one snapshot and
// blocking forms do not block there; neither makes a difference to an effect.
//
// A request or reply that the table does not understand makes a Copy: never a guess. A Copy of class
// Everywhere means that the secondary knows no such command.
func (c *Command) Effect(e *Effect, env *Env, args [][]byte, reply []byte, follow [][]byte) {
	if c.effect == nil || !c.IsWrite(args) {
		return
	}
	if isError(reply) && (!c.errs || !c.arityOK(len(args))) {
		return
	}
	if !c.arityOK(len(args)) || len(reply) == 0 {
		e.copy()
	} else {
		c.effect(e, env, args, reply, follow)
	}
	if e.Kind == Verbatim && !c.since.in(env.Secondary) {
		e.copy()
	}
	if e.Kind == Copy {
		c.finishCopy(e, args)
	}
}

// finishCopy names the written keys when some of the request's keys are only read: those need no copy.
func (c *Command) finishCopy(e *Effect, args [][]byte) {
	e.MayExpire = true
	if len(e.Keys) > 0 {
		return
	}
	var room [8]Key
	keys, _ := c.AppendKeys(room[:0], args)
	for i, k := range keys {
		if k.Write {
			e.Keys = append(e.Keys, i)
		}
	}
	if len(e.Keys) == len(keys) {
		e.Keys = e.Keys[:0]
	}
}

// FlushedDBs tells which databases a FLUSHALL or FLUSHDB empties: first to last, both included. ok is false
// for other commands.
func (c *Command) FlushedDBs(env *Env) (first, last int, ok bool) {
	switch c.Name {
	case "FLUSHALL":
		return 0, env.DBs - 1, true
	case "FLUSHDB":
		return env.DB, env.DB, true
	}
	return 0, 0, false
}

// SwapDBs tells which databases a SWAPDB exchanges. ok is false for other commands and when the arguments
// are not numbers.
func (c *Command) SwapDBs(args [][]byte) (a, b int, ok bool) {
	if c.Name != "SWAPDB" || len(args) != 3 {
		return 0, 0, false
	}
	x, okX := parseInt(args[1])
	y, okY := parseInt(args[2])
	return int(x), int(y), okX && okY
}
