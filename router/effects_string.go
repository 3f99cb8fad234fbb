package router

import (
	"bytes"
	"math"
)

// The effects of the string commands. SET in all its forms becomes a SET without conditions and with an
// absolute expiry; what only counts (INCR, APPEND) goes as it is.

// setCondition is the condition that SET's options put.
type setCondition uint8

const (
	setAlways     setCondition = iota
	setNX                      // if the key is not there
	setXX                      // if it is
	setIfEqual                 // if it holds this value
	setIfNotEqual              // if it does not
	setIfDigest                // if the digest of its value is, or is not, this one
)

// setOptions are the options of SET key value [...].
type setOptions struct {
	condition setCondition
	compare   []byte // of setIfEqual and setIfNotEqual
	get       bool
	expiry    expiry
}

// parseSet reads SET's options; ok is false when there is one that it does not know.
func parseSet(args [][]byte) (o setOptions, ok bool) {
	for i := 3; i < len(args); {
		word := args[i]
		if n := o.expiry.parse(args, i); n > 0 {
			i += n
			continue
		}
		condition, compares := setAlways, false
		switch {
		case equalFold(word, "NX"):
			condition = setNX
		case equalFold(word, "XX"):
			condition = setXX
		case equalFold(word, "GET"):
			o.get = true
			i++
			continue
		case equalFold(word, "IFEQ"):
			condition, compares = setIfEqual, true
		case equalFold(word, "IFNE"):
			condition, compares = setIfNotEqual, true
		case equalFold(word, "IFDEQ"), equalFold(word, "IFDNE"):
			condition, compares = setIfDigest, true
		default:
			return o, false
		}
		o.condition = condition
		i++
		if compares {
			if i == len(args) {
				return o, false
			}
			o.compare = args[i]
			i++
		}
	}
	return o, true
}

// applied tells from the reply whether the value was set; known is false when it does not tell. With GET the
// reply is the old value, else it is OK or, if the condition did not hold, null.
func (o *setOptions) applied(reply []byte) (yes, known bool) {
	if !o.get {
		return isOK(reply), isOK(reply) || isNull(reply)
	}
	old, null, ok := replyText(reply)
	if !ok {
		return false, false
	}
	switch o.condition {
	case setAlways:
		return true, true
	case setNX:
		return null, true
	case setXX:
		return !null, true
	case setIfEqual:
		return !null && bytes.Equal(old, o.compare), true
	case setIfNotEqual:
		return null || !bytes.Equal(old, o.compare), true
	}
	return false, false
}

func setEffect(e *Effect, env *Env, args [][]byte, reply []byte, follow [][]byte) {
	if len(args) == 3 && isOK(reply) {
		e.forwardBlind(ExpectOK())
		return
	}
	o, ok := parseSet(args)
	yes, known := o.applied(reply)
	if !ok || !known {
		e.copy()
		return
	}
	if !yes {
		return
	}
	if o.expiry.kind == expiryKeep && o.condition != setNX {
		setKeepTTL(e, env, args[1], args[2])
		return
	}
	w := when{state: whenNever} // with NX and KEEPTTL there was no expiry to keep
	if o.expiry.kind != expiryKeep {
		w = o.expiry.after(env, follow)
	}
	e.setUntil(env, args[1], args[2], w)
}

// setFollows asks for the expiry that EX or PX has given the key.
func setFollows(dst []byte, args [][]byte, primary Server) ([]byte, int) {
	if len(args) < 5 {
		return dst, 0
	}
	if o, ok := parseSet(args); !ok || o.expiry.kind != expiryRelative {
		return dst, 0
	}
	return appendExpiryRead(dst, args[1], primary)
}

// setKeepTTL makes the effect that a key is this string and expires when it did before.
func setKeepTTL(e *Effect, env *Env, key, value []byte) {
	if !env.Secondary.HasKeepTTL() {
		e.copy()
		return
	}
	e.begin(4, "SET", ExpectOK())
	e.arg(key)
	e.arg(value)
	e.argText("KEEPTTL")
}

// setexEffect: SETEX and PSETEX key time value.
func setexEffect(e *Effect, env *Env, args [][]byte, reply []byte, follow [][]byte) {
	if !isOK(reply) {
		e.copy()
		return
	}
	e.setUntil(env, args[1], args[3], followed(env, follow))
}

// firstKeyFollows asks for the expiry of the first key.
func firstKeyFollows(dst []byte, args [][]byte, primary Server) ([]byte, int) {
	return appendExpiryRead(dst, args[1], primary)
}

// setnxEffect: answered 1, the key was not there and is set without an expiry.
func setnxEffect(e *Effect, env *Env, args [][]byte, reply []byte, _ [][]byte) {
	n, ok := replyInt(reply)
	switch {
	case !ok:
		e.copy()
	case n > 0:
		e.setUntil(env, args[1], args[2], when{state: whenNever})
	}
}

// getsetEffect: GETSET sets the value whatever was there, and drops the expiry.
func getsetEffect(e *Effect, env *Env, args [][]byte, reply []byte, _ [][]byte) {
	if _, _, ok := replyText(reply); !ok {
		e.copy()
		return
	}
	e.setUntil(env, args[1], args[2], when{state: whenNever})
}

// decrbyEffect: DECRBY. Redis 6.0 takes the least number, of which there is no negative; other versions refuse it.
func decrbyEffect(e *Effect, env *Env, args [][]byte, reply []byte, follow [][]byte) {
	if by, ok := parseInt(args[2]); !ok || by == math.MinInt64 {
		e.copy()
		return
	}
	forwardInt(e, env, args, reply, follow)
}

// getdelEffect: GETDEL answers what it has deleted.
func getdelEffect(e *Effect, _ *Env, args [][]byte, reply []byte, _ [][]byte) {
	_, null, ok := replyText(reply)
	switch {
	case !ok:
		e.copy()
	case !null:
		e.del(args[1])
	}
}

// parseGetex reads the option of GETEX key [option].
func parseGetex(args [][]byte) (x expiry, ok bool) {
	for i := 2; i < len(args); {
		n := x.parse(args, i)
		if n == 0 || x.kind == expiryKeep {
			return x, false
		}
		i += n
	}
	return x, true
}

// getexWrites: without an option GETEX only reads.
func getexWrites(args [][]byte) bool { return len(args) > 2 }

func getexEffect(e *Effect, env *Env, args [][]byte, reply []byte, follow [][]byte) {
	if _, null, ok := replyText(reply); ok && null {
		return
	}
	switch x, ok := parseGetex(args); {
	case !ok:
		e.copy()
	case x.kind == expiryPersist:
		e.begin(2, "PERSIST", ExpectAny()) // whether there was an expiry the reply does not tell
		e.arg(args[1])
	default:
		e.pexpireat(args[1], x.after(env, follow))
	}
}

func getexFollows(dst []byte, args [][]byte, primary Server) ([]byte, int) {
	if x, ok := parseGetex(args); !ok || x.kind != expiryRelative {
		return dst, 0
	}
	return appendExpiryRead(dst, args[1], primary)
}

// incrbyfloatEffect sets the result: a sum of long doubles differs from one processor to another.
func incrbyfloatEffect(e *Effect, env *Env, args [][]byte, reply []byte, _ [][]byte) {
	sum, null, ok := replyText(reply)
	if !ok || null {
		e.copy()
		return
	}
	setKeepTTL(e, env, args[1], sum)
}

// setrangeEffect: an empty value changes nothing, not even to create the key.
func setrangeEffect(e *Effect, env *Env, args [][]byte, reply []byte, follow [][]byte) {
	if len(args[3]) > 0 {
		forwardInt(e, env, args, reply, follow)
	}
}

// msetnxEffect: answered 1, none of the keys was there.
func msetnxEffect(e *Effect, _ *Env, args [][]byte, reply []byte, _ [][]byte) {
	n, ok := replyInt(reply)
	switch {
	case !ok:
		e.copy()
	case n > 0:
		e.begin(len(args), "MSET", ExpectOK())
		e.argAll(args[1:])
		e.Blind = true
	}
}

// parseMsetex reads MSETEX n key value ... [NX|XX] [expiry] and returns its pairs.
func parseMsetex(args [][]byte) (pairs [][]byte, x expiry, nx, ok bool) {
	n, ok := countedKeys(args, 1, 2)
	if !ok {
		return nil, x, false, false
	}
	for i := 2 + 2*n; i < len(args); {
		if taken := x.parse(args, i); taken > 0 {
			i += taken
			continue
		}
		if equalFold(args[i], "NX") {
			nx = true
		} else if !equalFold(args[i], "XX") {
			return nil, x, false, false
		}
		i++
	}
	return args[2 : 2+2*n], x, nx, true
}

// msetexEffect sets each key alone, in a form that every server knows; all have one expiry.
func msetexEffect(e *Effect, env *Env, args [][]byte, reply []byte, follow [][]byte) {
	n, isInt := replyInt(reply)
	pairs, x, nx, ok := parseMsetex(args)
	if !ok || !isInt {
		e.copy()
		return
	}
	if n == 0 {
		return
	}
	keep := x.kind == expiryKeep && !nx
	w := when{state: whenNever}
	if x.kind != expiryKeep {
		w = x.after(env, follow)
	}
	for i := 0; i < len(pairs); i += 2 {
		if keep {
			setKeepTTL(e, env, pairs[i], pairs[i+1])
		} else {
			e.setUntil(env, pairs[i], pairs[i+1], w)
		}
		if e.Kind == Copy {
			return
		}
	}
	e.Blind = !keep
}

// msetexFollows asks for the expiry of the first key; the others have the same.
func msetexFollows(dst []byte, args [][]byte, primary Server) ([]byte, int) {
	if pairs, x, _, ok := parseMsetex(args); ok && x.kind == expiryRelative {
		return appendExpiryRead(dst, pairs[0], primary)
	}
	return dst, 0
}

// increxEffect takes over the key as it is afterwards: INCREX's reply does not tell what became of the
// expiry, and not always whether the number was changed.
func increxEffect(e *Effect, env *Env, args [][]byte, _ []byte, follow [][]byte) {
	if len(follow) < 2 {
		e.copy()
		return
	}
	number, null, ok := replyText(follow[0])
	w := followed(env, follow[1:])
	switch {
	case !ok:
		e.copy()
	case null:
		e.del(args[1])
	default:
		e.setUntil(env, args[1], number, w)
	}
}

func increxFollows(dst []byte, args [][]byte, primary Server) ([]byte, int) {
	dst = appendRead(dst, "GET", args[1])
	dst, n := appendExpiryRead(dst, args[1], primary)
	return dst, n + 1
}

// bitfieldWrites: a BITFIELD that has only GET operations reads.
func bitfieldWrites(args [][]byte) bool {
	for _, a := range args[min(2, len(args)):] {
		if equalFold(a, "SET") || equalFold(a, "INCRBY") {
			return true
		}
	}
	return false
}

// bitopEffect: like other stores, but with operators that came late.
func bitopEffect(e *Effect, env *Env, args [][]byte, reply []byte, follow [][]byte) {
	switch op := args[1]; {
	case equalFold(op, "AND"), equalFold(op, "OR"), equalFold(op, "XOR"), equalFold(op, "NOT"):
	case !redis82.in(env.Secondary):
		e.copyKey(0)
		return
	}
	bitopStore(e, env, args, reply, follow)
}

var bitopStore = storeAt(2, 0)

// PFCOUNT of one key may store the count that it has computed inside the value: no command changes what the
// key means, but its bytes change. So it is a write that is repeated. Of several keys it only reads.
func pfcountWrites(args [][]byte) bool { return len(args) == 2 }
