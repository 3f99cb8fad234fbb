package router

// The effects of HEXPIRE and its family: fields that expire by themselves (Redis 7.4, Valkey 9.0). The
// commands answer field by field; only the fields that changed are in the effect, with an absolute time.

// What HEXPIRE, its family and HPERSIST answer for a field that they changed; 0 and less mean no change.
const (
	fieldSet     = 1 // its expiry was set, or removed
	fieldDeleted = 2 // it was deleted, for its time was past
)

// hexpireKind is the unit of a HEXPIRE command's time.
type hexpireKind uint8

const (
	hexpireRelative hexpireKind = iota
	hexpireSeconds
	hexpireMillis
)

// parseHexpire reads HEXPIRE key time [NX|XX|GT|LT] FIELDS n field ...
func parseHexpire(args [][]byte) (f fieldList, ok bool) {
	i := 3
	for i < len(args) && !equalFold(args[i], "FIELDS") {
		i++
	}
	f, end, ok := parseFields(args, i, 1)
	return f, ok && (end == len(args) || i == 3)
}

// hexpireWith makes the effect of HEXPIRE and its family: fields answered 1 have the time, fields answered 2
// were deleted for it was past, 0 and -2 say that nothing changed.
func hexpireWith(kind hexpireKind) effectFunc {
	return func(e *Effect, env *Env, args [][]byte, reply []byte, follow [][]byte) {
		f, ok := parseHexpire(args)
		if !ok {
			e.copy()
			return
		}
		codes, ok := f.codes(reply)
		if !ok {
			if !isEmpty(reply) {
				e.copy()
			}
			return
		}
		var w when
		switch kind {
		case hexpireRelative:
			w = f.followed(env, codes, follow)
		case hexpireSeconds:
			w = absolute(env.ofFields(), args[2], 1000)
		case hexpireMillis:
			w = absolute(env.ofFields(), args[2], 1)
		}
		e.hpexpireat(env, args[1], f, codes, w)
		if e.Kind != Copy {
			e.hdel(args[1], f, codes, fieldDeleted)
		}
	}
}

// followed reads the answer to appendFieldExpiryRead: the time of the fields that were given one, which is
// the same for all of them. Fields that have expired since do not tell it.
func (f *fieldList) followed(env *Env, codes cursor, follow [][]byte) when {
	if len(follow) != 1 {
		return when{}
	}
	times, ok := f.codes(follow[0])
	if !ok {
		return when{}
	}
	w := when{state: whenGone}
	for range f.len() {
		got, _ := parseInt(codes.next().text)
		t, ok := parseInt(times.next().text)
		switch {
		case got != fieldSet || !ok || t == -2:
		case t < 0:
			return when{}
		default:
			return when{state: whenAt, at: t + env.Shift}
		}
	}
	return w
}

// appendFieldExpiryRead appends the read that tells when each field expires.
func appendFieldExpiryRead(dst []byte, key []byte, f fieldList) []byte {
	e := Effect{Frames: dst}
	e.begin(4+f.len(), "HPEXPIRETIME", ExpectAny())
	e.arg(key)
	e.argText("FIELDS")
	e.argInt(int64(f.len()))
	for i := 0; i < len(f.fields); i += f.width {
		e.arg(f.fields[i])
	}
	return e.Frames
}

func hexpireFollows(dst []byte, args [][]byte, _ Server) ([]byte, int) {
	f, ok := parseHexpire(args)
	if !ok {
		return dst, 0
	}
	return appendFieldExpiryRead(dst, args[1], f), 1
}

// hpexpireat appends HPEXPIREAT for the fields that were given an expiry, or what it comes to.
func (e *Effect) hpexpireat(env *Env, key []byte, f fieldList, codes cursor, w when) {
	n := f.count(codes, fieldSet)
	switch {
	case n == 0:
		return
	case w.state == whenGone:
		e.hdel(key, f, codes, fieldSet)
		return
	case w.state != whenAt || !env.Secondary.HasHashFieldTTL():
		e.copy()
		return
	}
	e.begin(5+n, "HPEXPIREAT", ExpectAtLeast(1))
	e.arg(key)
	e.argInt(w.at)
	e.argText("FIELDS")
	e.argInt(int64(n))
	e.argFields(f, codes, fieldSet)
	e.MayExpire = true
}

// hdel appends HDEL for the fields that were answered this code. A field named twice is answered that once.
func (e *Effect) hdel(key []byte, f fieldList, codes cursor, code int64) {
	n := f.count(codes, code)
	if n == 0 {
		return
	}
	e.begin(2+n, "HDEL", ExpectAny())
	e.arg(key)
	e.argFields(f, codes, code)
}

// hpersistEffect: HPERSIST key FIELDS n field ...; 1 for each field whose expiry it removed.
func hpersistEffect(e *Effect, _ *Env, args [][]byte, reply []byte, _ [][]byte) {
	f, _, ok := parseFields(args, 2, 1)
	if !ok {
		e.copy()
		return
	}
	codes, ok := f.codes(reply)
	switch {
	case !ok && !isEmpty(reply):
		e.copy()
	case ok && f.count(codes, fieldSet) > 0:
		e.forward(ExpectSame(reply))
	}
}

// ofFields is the environment for expiries of fields, which live no longer on the secondary.
func (env *Env) ofFields() *Env {
	if env.Extend == 0 {
		return env
	}
	own := *env
	own.Extend = 0
	return &own
}
