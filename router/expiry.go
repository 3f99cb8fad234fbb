package router

import "math"

// Expiry times. A relative one ("in 10 s") becomes on the primary the absolute time of its execution plus 10
// s, which no reply tells; a follow-up asks for it. Absolute times go as they are.

// expiryKind is how a command's options say what becomes of an expiry.
type expiryKind uint8

const (
	expiryNone     expiryKind = iota // no option
	expiryRelative                   // EX, PX
	expirySeconds                    // EXAT
	expiryMillis                     // PXAT
	expiryKeep                       // KEEPTTL
	expiryPersist                    // PERSIST
)

// expiry is a parsed expiry option with its argument.
type expiry struct {
	kind expiryKind
	arg  []byte
}

// parse reads an expiry option at args[i] and returns how many arguments it takes: 0 when there is none.
func (x *expiry) parse(args [][]byte, i int) int {
	kind := expiryNone
	switch word := args[i]; len(word) {
	case 2:
		if equalFold(word, "EX") || equalFold(word, "PX") {
			kind = expiryRelative
		}
	case 4:
		if equalFold(word, "EXAT") {
			kind = expirySeconds
		} else if equalFold(word, "PXAT") {
			kind = expiryMillis
		}
	case 7:
		if equalFold(word, "KEEPTTL") {
			x.kind = expiryKeep
			return 1
		}
		if equalFold(word, "PERSIST") {
			x.kind = expiryPersist
			return 1
		}
	}
	if kind == expiryNone || i+1 >= len(args) {
		return 0
	}
	x.kind, x.arg = kind, args[i+1]
	return 2
}

// when is what a key's or a field's expiry is after a command.
type when struct {
	state whenState
	at    int64 // Unix ms, for whenAt
}

type whenState uint8

const (
	whenUnknown whenState = iota // cannot be told: copy
	whenNever                    // it does not expire
	whenGone                     // it has expired already, or was in the past: the key is gone
	whenAt                       // at a time
)

// surelyPast is how far an absolute time must lie behind the primary's clock, as well as it is known, in ms,
// before it is taken to have been in the past when the command ran.
const surelyPast = 1000

// absolute is the time that EXAT (unit 1000) or PXAT (unit 1) give.
func absolute(env *Env, arg []byte, unit int64) when {
	n, ok := parseInt(arg)
	if !ok || n > math.MaxInt64/unit || n < math.MinInt64/unit {
		return when{}
	}
	if n *= unit; n <= 0 || n <= env.Now-surelyPast {
		return when{state: whenGone}
	}
	if n > math.MaxInt64-env.Extend {
		return when{}
	}
	return when{state: whenAt, at: n + env.Extend}
}

// after tells the expiry of a key after a command with this option. follow are the replies to
// appendExpiryRead, asked for if the option is relative.
func (x expiry) after(env *Env, follow [][]byte) when {
	switch x.kind {
	case expiryNone, expiryPersist:
		return when{state: whenNever}
	case expiryRelative:
		return followed(env, follow)
	case expirySeconds:
		return absolute(env, x.arg, 1000)
	case expiryMillis:
		return absolute(env, x.arg, 1)
	}
	return when{}
}

// appendExpiryRead appends the reads that tell when a key expires: PEXPIRETIME, or before 7.0 PTTL and, for
// the server's own clock, TIME.
func appendExpiryRead(dst []byte, key []byte, primary Server) ([]byte, int) {
	if primary.HasPExpireTime() {
		return appendRead(dst, "PEXPIRETIME", key), 1
	}
	dst = appendRead(dst, "PTTL", key)
	return append(dst, "*1\r\n$4\r\nTIME\r\n"...), 2
}

// followed reads the replies to appendExpiryRead for an expiry that was given as relative.
func followed(env *Env, follow [][]byte) when {
	if len(follow) == 0 {
		return when{}
	}
	t, ok := replyInt(follow[0])
	switch {
	case !ok:
		return when{}
	case t == -1:
		return when{state: whenNever}
	case t < 0:
		return when{state: whenGone}
	}
	ahead := env.Shift + env.Extend
	if len(follow) == 2 {
		ahead += serverTime(follow[1], env.Now)
	}
	if t > math.MaxInt64-max(0, ahead) {
		return when{} // Redis 6.0 takes what overflows its clock, and other versions do not
	}
	return when{state: whenAt, at: t + ahead}
}

// serverTime reads a reply to TIME as Unix ms, or returns the clock that is known without it.
func serverTime(reply []byte, fallback int64) int64 {
	c := walk(reply)
	if v := c.next(); v.n != 2 {
		return fallback
	}
	s, okS := parseInt(c.next().text)
	us, okUs := parseInt(c.next().text)
	if !c.ok || !okS || !okUs {
		return fallback
	}
	return s*1000 + us/1000
}

// pexpireat makes the effect that a key which stays as it is expires, or is gone.
func (e *Effect) pexpireat(key []byte, w when) {
	switch w.state {
	case whenAt:
		e.begin(3, "PEXPIREAT", ExpectInt(1))
		e.arg(key)
		e.argInt(w.at)
		e.MayExpire = true
	case whenGone:
		e.del(key)
	default:
		e.copy()
	}
}

// setUntil makes the effect that a key is this string and expires then.
func (e *Effect) setUntil(env *Env, key, value []byte, w when) {
	switch w.state {
	case whenNever:
		e.begin(3, "SET", ExpectOK())
		e.arg(key)
		e.arg(value)
	case whenAt:
		if env.Secondary.HasPXAT() {
			e.begin(5, "SET", ExpectOK())
			e.arg(key)
			e.arg(value)
			e.argText("PXAT")
			e.argInt(w.at)
		} else {
			e.begin(3, "SET", ExpectOK())
			e.arg(key)
			e.arg(value)
			e.pexpireat(key, w)
		}
		e.MayExpire = true
	case whenGone:
		e.del(key)
	default:
		e.copy()
		return
	}
	e.Blind = true
}
