package script

// kind is what an expression can give, whatever path the script takes. Kinds are about two questions: is this
// surely one of the keys, and is this text the same on every server?
type kind uint8

const (
	none     kind = iota // nil, a boolean, or nothing yet: no command accepts it
	key                  // an element of KEYS
	text                 // a string that is the same on every server
	integer              // a small whole number, whose text is the same on every server
	number               // any number: its text in a command depends on the server's version
	scalar               // a string, number, boolean or nil, and not known to be the same text everywhere
	texts                // a table of texts that nothing changes
	keyTable             // KEYS
	argTable             // ARGV, its elements texts
	library              // a table of the server's functions: string, math, redis, ...
	builtin              // one of those functions
	anything             // the rest
)

// value is a kind, with the name of a library or builtin: "string", "string.format".
type value struct {
	kind kind
	name string
}

func (k kind) isText() bool   { return k == none || k == key || k == text }
func (k kind) isNumber() bool { return k == none || k == integer || k == number }
func (k kind) isScalar() bool { return k <= scalar }

// plainText: concatenation and the like make the same text of it everywhere. (Numbers become text by Lua's
// own rule there, which is one for all.)
func (k kind) plainText() bool { return k.isText() || k.isNumber() }

// guarded: it must not get out of sight, for what holds it can do what it can do.
func (v value) guarded() bool {
	return v.kind == keyTable || v.kind == argTable || v.kind == library || v.kind == builtin && !builtins[v.name].free
}

// join is what a value is that is one of two.
func join(a, b value) value {
	switch {
	case a == b || b.kind == none:
		return a
	case a.kind == none:
		return b
	case a.kind.isText() && b.kind.isText():
		return value{kind: text}
	case a.kind.isNumber() && b.kind.isNumber():
		return value{kind: number}
	case a.kind.isScalar() && b.kind.isScalar():
		return value{kind: scalar}
	}
	return value{kind: anything}
}

// maxPasses is how often the kinds of all variables are worked out anew, each from those before, until none
// changes any more.
const maxPasses = 20

// settle finds the kinds of all variables, beginning with nothing known. False: it took too long.
func (j *judgement) settle() bool {
	for range maxPasses {
		changed := false
		for _, v := range j.prog.variables {
			kind := v.kind
			for _, x := range v.sources {
				kind = join(kind, j.kindOf(x))
			}
			if v.shared && kind.kind == texts {
				kind = value{kind: anything}
			}
			if kind != v.kind {
				v.kind, changed = kind, true
			}
		}
		if !changed {
			return true
		}
	}
	return false
}

// kindOf is the kind of an expression, by the kinds of variables so far.
func (j *judgement) kindOf(x expr) value {
	if j.work--; j.work < 0 {
		return value{kind: anything}
	}
	switch x := x.(type) {
	case *literal:
		return x.value()
	case *local:
		return x.v.kind
	case *global:
		return globalValue(x.name)
	case *given:
		return value{kind: x.kind}
	case *index:
		return j.kindOfIndex(x)
	case *call:
		return j.kindOfCall(x)
	case *nth:
		return j.kindOfNth(x)
	case *element:
		return j.kindOfElement(x)
	case *counter:
		all := value{kind: integer}
		for _, b := range x.bounds {
			if k := j.kindOf(b).kind; k != integer && k != none {
				all = value{kind: number}
			}
		}
		return all
	case *unary:
		return j.kindOfUnary(x)
	case *binary:
		return j.kindOfBinary(x)
	}
	return value{kind: anything} // a table, a function, "..."
}

func (l *literal) value() value {
	switch l.kind {
	case tokenString:
		return value{kind: text}
	case tokenNumber:
		return numberValue(l.num)
	}
	return value{}
}

// numberValue: whole numbers of up to 15 digits have the same text by all rules there are.
func numberValue(f float64) value {
	if f > -1e15 && f < 1e15 && f == float64(int64(f)) {
		return value{kind: integer}
	}
	return value{kind: number}
}

func (j *judgement) kindOfUnary(x *unary) value {
	switch x.op {
	case "(":
		return j.kindOf(x.x)
	case "#":
		return value{kind: integer}
	case "-":
		if l, ok := x.x.(*literal); ok && l.kind == tokenNumber && l.num != 0 {
			return numberValue(l.num)
		}
		return value{kind: number}
	}
	return value{} // not
}

func (j *judgement) kindOfBinary(x *binary) value {
	switch x.op {
	case "and":
		return j.kindOf(x.y) // or a false x
	case "or":
		return join(j.kindOf(x.x), j.kindOf(x.y))
	case "..":
		if j.kindOf(x.x).kind.plainText() && j.kindOf(x.y).kind.plainText() {
			return value{kind: text}
		}
		return value{kind: scalar}
	case "+", "-", "*", "/", "%", "^":
		return value{kind: number}
	}
	return value{} // a comparison
}

func (j *judgement) kindOfIndex(x *index) value {
	switch base := j.kindOf(x.base); base.kind {
	case none: // an error, or not worked out yet
		return value{}
	case keyTable:
		return value{kind: key}
	case argTable, texts:
		return value{kind: text}
	case library:
		if l, ok := x.key.(*literal); ok && l.kind == tokenString {
			return member(base.name, l.text)
		}
	}
	return value{kind: anything}
}

func (j *judgement) kindOfCall(x *call) value {
	if x.method != "" {
		if j.kindOf(x.fn).kind.isText() {
			return j.resultOf("string."+x.method, x.args)
		}
		return value{kind: anything}
	}
	if l, ok := x.fn.(*local); ok && l.v.fn != nil {
		all := value{}
		for _, r := range l.v.fn.returns {
			all = join(all, j.kindOf(r))
		}
		return all
	}
	fn := j.kindOf(x.fn)
	switch {
	case fn.kind == none:
		return value{}
	case fn.kind != builtin:
		return value{kind: anything}
	case isCall(fn.name):
		return j.replyKind(x)
	}
	return j.resultOf(fn.name, x.args)
}

// resultOf is the kind of the first value that a builtin returns.
func (j *judgement) resultOf(name string, args []expr) value {
	switch result := builtins[name].result; result {
	case text:
		for _, a := range args {
			if !j.plainText(a) {
				return value{kind: scalar}
			}
		}
		return value{kind: text}
	case texts: // unpack: the elements of what it is given
		if len(args) > 0 {
			return j.elementKind(j.kindOf(args[0]))
		}
		return value{kind: anything}
	default:
		return value{kind: result}
	}
}

// plainText reports whether a function makes the same text of an argument everywhere.
func (j *judgement) plainText(x expr) bool {
	t, ok := x.(*table)
	if !ok {
		k := j.kindOf(x).kind
		return k.plainText() || k == texts || k == keyTable || k == argTable
	}
	for _, e := range t.items {
		if !j.kindOf(e).kind.plainText() {
			return false
		}
	}
	return len(t.keys) == 0
}

// elementKind is the kind of what a table holds.
func (j *judgement) elementKind(of value) value {
	switch of.kind {
	case none:
		return value{}
	case keyTable:
		return value{kind: key}
	case argTable, texts:
		return value{kind: text}
	}
	return value{kind: anything}
}

func (j *judgement) kindOfNth(x *nth) value {
	c, ok := x.of.(*call)
	if !ok {
		return value{kind: anything}
	}
	if x.n == 0 {
		return j.kindOfCall(c)
	}
	switch fn := j.kindOf(c.fn); {
	case fn.kind == none:
		return fn
	case fn.kind == builtin && fn.name == "unpack" && c.method == "":
		return j.kindOfCall(c)
	}
	return value{kind: anything}
}

func (j *judgement) kindOfElement(x *element) value {
	c, ok := x.of.(*call)
	if !ok || c.method != "" || len(c.args) != 1 {
		return value{kind: anything}
	}
	fn := j.kindOf(c.fn)
	if fn.kind == none {
		return fn
	}
	if fn.kind != builtin || fn.name != "ipairs" && fn.name != "pairs" {
		return value{kind: anything}
	}
	of := j.elementKind(j.kindOf(c.args[0]))
	switch {
	case x.n == 0 && (fn.name == "ipairs" || of.kind != anything):
		return value{kind: integer}
	case x.n == 1:
		return of
	}
	return value{kind: anything}
}
