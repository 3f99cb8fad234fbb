package router

// The effects that many commands share: the request itself, checked by the reply that the primary gave. They
// go only to keys that are exact on the secondary, so that the replies must be equal.

// forwardInt: whatever the number answered, something may have changed.
func forwardInt(e *Effect, _ *Env, _ [][]byte, reply []byte, _ [][]byte) {
	n, ok := replyInt(reply)
	if !ok {
		e.copy()
		return
	}
	e.forward(ExpectInt(n))
}

// forwardPositive: the number answered counts what changed; 0 and -1 say that nothing did.
func forwardPositive(e *Effect, _ *Env, _ [][]byte, reply []byte, _ [][]byte) {
	n, ok := replyInt(reply)
	switch {
	case !ok:
		e.copy()
	case n > 0:
		e.forward(ExpectInt(n))
	}
}

// forwardOK: the command answers +OK or an error.
func forwardOK(e *Effect, _ *Env, _ [][]byte, reply []byte, _ [][]byte) {
	if !isOK(reply) {
		e.copy()
		return
	}
	e.forward(ExpectOK())
}

// forwardBlindOK is forwardOK for MSET, which does not look at what was there.
func forwardBlindOK(e *Effect, env *Env, args [][]byte, reply []byte, follow [][]byte) {
	forwardOK(e, env, args, reply, follow)
	e.Blind = e.Kind == Verbatim
}

// forwardExpiring is forwardOK for a command that may bring an expiry from one key to another (RENAME).
func forwardExpiring(e *Effect, env *Env, args [][]byte, reply []byte, follow [][]byte) {
	forwardOK(e, env, args, reply, follow)
	e.carryExpiry(env)
}

// forwardPositiveExpiring is forwardPositive for such a command (RENAMENX, MOVE).
func forwardPositiveExpiring(e *Effect, env *Env, args [][]byte, reply []byte, follow [][]byte) {
	forwardPositive(e, env, args, reply, follow)
	e.carryExpiry(env)
}

// carryExpiry is for an effect that may bring an expiry to another key. Where only the primary has one of fields, and so removes
// them from the other key without a word, it is a copy: the copier sees to those that it has copied.
func (e *Effect) carryExpiry(env *Env) {
	e.MayExpire = true
	if e.Kind != None && env.Primary.HasHashFieldTTL() && !env.Secondary.HasHashFieldTTL() {
		e.copy()
	}
}

// forwardSame: the whole reply must be the same.
func forwardSame(e *Effect, _ *Env, _ [][]byte, reply []byte, _ [][]byte) {
	e.forward(ExpectSame(reply))
}

// forwardFound is forwardSame, but null or an empty array say that nothing changed.
func forwardFound(e *Effect, _ *Env, _ [][]byte, reply []byte, _ [][]byte) {
	if !isEmpty(reply) {
		e.forward(ExpectSame(reply))
	}
}

// forwardFloat: the reply is the new number, which versions print differently. Null says that nothing
// changed (ZADD with INCR and a condition).
func forwardFloat(e *Effect, _ *Env, _ [][]byte, reply []byte, _ [][]byte) {
	if isNull(reply) {
		return
	}
	f, ok := replyFloat(reply)
	if !ok {
		e.copy()
		return
	}
	e.forward(ExpectFloat(f))
}

// storeAt is for commands that replace their destination, the key with this argument index and place among
// the keys, by a result whose size they answer: with an empty one the destination is gone.
func storeAt(arg, key int) effectFunc {
	return func(e *Effect, _ *Env, args [][]byte, reply []byte, _ [][]byte) {
		n, ok := replyInt(reply)
		switch {
		case !ok:
			e.copy()
		case n == 0:
			e.del(args[arg])
			e.Keys = append(e.Keys, key)
		default:
			e.forward(ExpectInt(n))
		}
	}
}

// storeFirst is storeAt for a destination that is the first argument.
var storeFirst = storeAt(1, 0)

// copyAlways: no deterministic form is known.
func copyAlways(e *Effect, _ *Env, _ [][]byte, _ []byte, _ [][]byte) { e.copy() }

// copyPositive is copyAlways for a command that answers 0 when nothing changed.
func copyPositive(e *Effect, _ *Env, _ [][]byte, reply []byte, _ [][]byte) {
	if n, ok := replyInt(reply); !ok || n != 0 {
		e.copy()
	}
}

// delPositive: the command deletes its first key if a condition holds, and answers 1 then.
func delPositive(e *Effect, _ *Env, args [][]byte, reply []byte, _ [][]byte) {
	n, ok := replyInt(reply)
	switch {
	case !ok:
		e.copy()
	case n > 0:
		e.del(args[1])
	}
}

// deleteEffect: DEL and UNLINK. How many were there before is the primary's affair.
func deleteEffect(e *Effect, _ *Env, _ [][]byte, reply []byte, _ [][]byte) {
	n, ok := replyInt(reply)
	switch {
	case !ok:
		e.copy()
	case n > 0:
		e.forwardBlind(ExpectAny())
	}
}

// isEmpty reports whether a reply is null or an aggregate without elements.
func isEmpty(reply []byte) bool {
	c := walk(reply)
	v := c.next()
	return c.ok && (v.null() || v.aggregate() && v.n == 0)
}
