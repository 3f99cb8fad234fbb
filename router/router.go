// Package router knows the commands: for each its keys, its class and its effect, as data.
//
// It is pure: requests and replies go in as bytes, decisions and effects come out as bytes. It does no
// I/O, keeps no state, and never retains a slice it was given. Nothing on the path of the common commands
// (GET, SET, INCR, ...) allocates.
//
// The way of a command:
//
//	Lookup ──► Command ── Refuse, Deny ──► an error, not passed on
//	   │          │
//	 Learn ──►    │  (what the table does not have)
//	              │
//	           Blocks ─── Try: a form that does not block takes its place
//	              │
//	          AppendKeys ── the stripes that the request needs
//	              │
//	          FollowUps ─── reads that are sent directly behind it
//	              ▼
//	        primary's reply ──► Effect ──► Frames for the secondary ──► its replies ──► Expect.Match
//	                                └────► or a Copy of the keys
//
// The table (table_*.go) is data, one line per command. What a line cannot say is a function: of the keys in
// keys.go, of the effect in effects_*.go, of what can be tried in try.go. Commands that it does not have are
// learned from the server (learn.go, renamed.go). A request, option or reply that is not understood makes a Copy, never a
// guess.
package router

// Class says how a command travels.
type Class uint8

const (
	// Refused: it ends the connection's protocol (SYNC, POST) or would have more than one reply; answered by
	// the proxy with an error that names the command.
	Refused Class = iota
	// Read: to the primary in lane order, owning nothing, with no effect on data. What administers the server
	// is of this class too: it administers the primary.
	Read
	// Write: to the primary once its lane owns its keys' stripes; its reply makes an effect.
	Write
	// Barrier: a write on every key of one or all databases (FLUSHALL, FLUSHDB, SWAPDB).
	Barrier
	// Session: concerns only the connection of this or another client; answered by the proxy, or sent on a
	// lane that is the session's alone (PING to RESET, MONITOR, CLIENT ...).
	Session
	// Transaction: MULTI, EXEC, DISCARD, WATCH, UNWATCH.
	Transaction
	// PubSub: subscribing and unsubscribing; PUBLISH is a Read.
	PubSub
	// Everywhere: changes what is outside of the keyspace and both servers need (SCRIPT LOAD, FUNCTION LOAD,
	// ...). It has no keys; its reply makes an effect. An effect that is dropped, or answered otherwise than
	// expected, makes no key dirty: scripts or functions are not the same on both servers.
	Everywhere
)

// Key is the place of one key in a request.
type Key struct {
	// Arg is the index of the argument that is the key.
	Arg int
	// DB is the database that the key is in, or -1 for the session's own (MOVE and COPY name another).
	DB int
	// Write is false for a key that is only read.
	Write bool
}

// Kind says what to do with a write's effect.
type Kind uint8

const (
	// None: the reply says that nothing changed; nothing is forwarded.
	None Kind = iota
	// Verbatim: the request itself is the effect. Frames is empty; Expects has one element.
	Verbatim
	// Rewritten: Frames holds the effect's commands.
	Rewritten
	// Copy: there is no deterministic form; the written ones of the keys named by Keys become dirty and are
	// copied.
	Copy
)

// Effect is the deterministic form of one write. It is filled by Command.Effect and reused.
type Effect struct {
	Kind Kind
	// Blind: the outcome does not depend on the earlier state of the keys at all. The database that holds
	// only these effects holds the right value.
	Blind bool
	// MayExpire: the keys written may have an expiry (of the key or a field) afterwards that this command
	// gave them, or brought from another key.
	MayExpire bool
	// Keys are indices into what AppendKeys says of the request: those that the effect reads or writes.
	// Empty: all.
	Keys []int
	// Frames are the effect's commands as RESP2 arrays, one behind the other; N of them. They begin with
	// Env.DB selected and leave it selected. Several are one step: in between, a reader of the secondary
	// would see what the primary never had, so they belong into one MULTI block.
	Frames []byte
	N      int
	// Expects has what each command of the effect should be answered.
	Expects []Expect
}

// maxKeptFrames bounds the buffer that an effect keeps: one huge value must not stay in memory for ever.
const maxKeptFrames = 64 << 10

// Reset empties the effect and keeps its buffers, unless they are large.
func (e *Effect) Reset() {
	frames := e.Frames[:0]
	if cap(frames) > maxKeptFrames {
		frames = nil
	}
	*e = Effect{Keys: e.Keys[:0], Frames: frames, Expects: e.Expects[:0]}
}

// Env is what an effect may depend on besides its request and its reply.
type Env struct {
	// DB is the session's database.
	DB int
	// DBs is the number of databases that are migrated: 0 to DBs-1.
	DBs int
	// Flushed are the numbers, on the secondary, of the databases that FLUSHALL empties there, and Number is DB's. Nil: they
	// are DBs, and DB.
	Flushed []int
	Number  int
	// Now is the primary's clock at the reply, Unix ms, as well as it is known.
	Now int64
	// Shift is added to expiries that the client gave as relative: the secondary's clock minus the
	// primary's, in ms (0 when clock correction is off or the offset is below its error).
	Shift int64
	// Extend is added to every expiry of a key, in ms: how much longer keys live on the secondary. Fields are not concerned.
	Extend int64
	// Primary and Secondary are the servers' versions; effects are written in a form Secondary knows.
	Primary, Secondary Server
}
