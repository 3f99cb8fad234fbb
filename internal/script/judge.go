package script

import (
	"fmt"
	"strings"
)

// judgement is what is found out about one program.
type judgement struct {
	prog *program
	mentions
	resp3 bool // redis.setresp is called: replies have other types
	work  int  // how many more expressions may be looked at

	f       Facts
	escaped string             // why nothing is known, empty if something is
	always  string             // the same, whatever function is called
	reached map[*function]bool // of a library: what may run; nil: everything
}

// workPerByte bounds the time of a look. An ordinary script needs less than one expression per byte.
const workPerByte = 40

// prepare works out the kinds of all variables of a program with a source of size bytes.
func (j *judgement) prepare(size int) {
	j.work = 1000 + workPerByte*size
	j.resolve()
	if !j.settle() {
		j.lost(0, "it is too intricate")
	}
	j.always = j.escaped
}

// judge looks at all that may run: at everything of a script; of a library, at what one function may come to.
func (j *judgement) judge(entry *function) Facts {
	j.f, j.escaped, j.reached = Facts{Repeats: true}, j.always, nil
	if entry != nil && j.keepsState() == "" {
		j.reach(entry)
	}
	j.checkNames()
	for _, c := range j.calls {
		if j.runs(c.in) {
			j.judgeCall(c)
		}
	}
	if entry != nil {
		if name := j.keepsState(); name != "" {
			j.differs(0, "the library keeps state in %s", name)
		}
	}
	if j.work < 0 {
		j.lost(0, "it is too intricate")
	}
	if j.escaped != "" {
		return worst(j.escaped)
	}
	j.f.MayExpire = j.f.MayExpire || j.f.Expires
	return j.f
}

// reach finds the functions that may run when one of a library is called.
func (j *judgement) reach(entry *function) {
	j.reached = map[*function]bool{}
	todo := append([]*function{entry}, j.uses...)
	for len(todo) > 0 {
		f := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if !j.reached[f] {
			j.reached[f] = true
			todo = append(todo, f.uses...)
		}
	}
}

// runs reports whether what stands in a function may run.
func (j *judgement) runs(in *function) bool { return in == nil || j.reached == nil || j.reached[in] }

// lost notes that the script may do what nobody sees.
func (j *judgement) lost(line int, format string, args ...any) {
	if j.escaped == "" {
		j.escaped = at(line, format, args...)
	}
}

// differs notes that two servers may end up with different data.
func (j *judgement) differs(line int, format string, args ...any) {
	if j.f.Repeats {
		j.f.Repeats, j.f.Why = false, at(line, format, args...)
	}
}

func at(line int, format string, args ...any) string {
	s := fmt.Sprintf(format, args...)
	if line > 0 {
		s = fmt.Sprintf("line %d: %s", line, s)
	}
	return s
}

// checkNames sees to it that what gives access to the server or to the keys is only used in ways that are
// followed: called, indexed, or given another name by a local variable that never means something else.
func (j *judgement) checkNames() {
	for _, in := range j.powers {
		if j.runs(in) {
			j.differs(0, "the operator ^ is left to the C library")
		}
	}
	for _, g := range j.globals {
		switch {
		case !j.runs(g.in):
		case globalValue(g.name).kind != anything:
		case erratic[g.name]:
			j.differs(g.line, "%s is not the same everywhere", g.name)
		default:
			j.lost(g.line, "the global %s is not understood", g.name)
		}
	}
	for _, x := range j.indices {
		if j.runs(x.in) {
			j.checkIndex(x.index)
		}
	}
	for _, t := range j.prog.changed {
		if j.runs(t.in) && j.kindOf(t.base).guarded() {
			j.lost(t.line, "KEYS, ARGV or a library is changed")
		}
	}
	for _, b := range j.bare {
		v := j.kindOf(b.x)
		switch {
		case !v.guarded() || !j.runs(b.in):
		case b.place == placeAssigned && b.to != nil && b.to.kind == v:
		case (v.kind == keyTable || v.kind == argTable) && b.place != placeUsed && b.place != placeAssigned:
		default:
			j.lost(lineOf(b.x), "%s is passed on", nameOf(b.x))
		}
	}
}

// checkIndex: every member of a library that is named must be one that is known.
func (j *judgement) checkIndex(x *index) {
	base := j.kindOf(x.base)
	if base.kind != library {
		return
	}
	l, ok := x.key.(*literal)
	switch {
	case ok && l.kind == tokenString && (member(base.name, l.text).kind != anything):
	case ok && l.kind == tokenString && base.name != "redis":
		j.differs(x.line, "%s.%s is not the same everywhere", base.name, l.text)
	default:
		j.lost(x.line, "a member of %s is not understood", base.name)
	}
}

func lineOf(x expr) int {
	switch x := x.(type) {
	case *local:
		return x.line
	case *global:
		return x.line
	case *index:
		return x.line
	}
	return 0
}

func nameOf(x expr) string {
	switch x := x.(type) {
	case *local:
		return x.v.name
	case *global:
		return x.name
	case *index:
		if l, ok := x.key.(*literal); ok {
			return l.text
		}
	}
	return "a function of the server"
}

// keepsState names a variable of a library in which something may stay from one call of a function to the next:
// those are not all repeated. What stays may be a function, so any may run then.
func (j *judgement) keepsState() string {
	for _, v := range j.prog.variables {
		if v.owner != nil {
			continue
		}
		for _, x := range v.sources {
			if _, isFunction := x.(*function); !isFunction && j.kindOf(x).kind == anything || v.fromInside {
				return v.name
			}
		}
	}
	return ""
}

// judgeCall looks at one call.
func (j *judgement) judgeCall(c calling) {
	if c.method != "" {
		if j.kindOf(c.fn).guarded() {
			j.lost(c.line, "a method of KEYS, ARGV or a library is called")
		}
		return
	}
	fn := j.kindOf(c.fn)
	if fn.kind != builtin {
		return // of the script's own text, which is looked at wherever it stands
	}
	var arg value
	if len(c.args) > 0 {
		arg = j.kindOf(c.args[0])
	}
	switch fn.name {
	case "redis.call", "redis.pcall":
		j.judgeCommand(c, fn.name == "redis.pcall")
	case "pcall", "xpcall":
		j.differs(c.line, "%s may hide an error that one server has and the other has not", fn.name)
	case "tostring":
		if !arg.kind.isScalar() {
			j.differs(c.line, "tostring may be given a table, whose text is an address")
		}
	case "pairs":
		if !arg.listed() {
			j.differs(c.line, "the order of pairs is not the same everywhere")
		}
	case "next":
		if c.place != placeLooked {
			j.differs(c.line, "the order of next is not the same everywhere")
		}
	case "cjson.encode", "cmsgpack.pack":
		if len(c.args) != 1 || !j.plain(c.args[0]) {
			j.f.TableOrder = true
		}
	}
}

// listed: a table whose order is that of its numbers.
func (v value) listed() bool { return v.kind == keyTable || v.kind == argTable || v.kind == texts }

// plain reports whether an expression is surely no table with named fields.
func (j *judgement) plain(x expr) bool {
	if t, ok := x.(*table); ok {
		for _, e := range t.items {
			if !j.plain(e) || several(e) {
				return false
			}
		}
		return len(t.keys) == 0
	}
	k := j.kindOf(x)
	return k.kind.isScalar() || k.listed()
}

// judgeCommand looks at a call of redis.call or redis.pcall.
func (j *judgement) judgeCommand(c calling, caught bool) {
	if len(c.args) == 0 {
		return
	}
	names, ok := j.wordsOf(c.args[0], 4)
	if !ok || len(names) == 0 {
		j.lost(c.line, "the name of a command is computed")
		return
	}
	for _, name := range names {
		cmd := commands[strings.ToUpper(name)]
		if cmd == nil {
			j.lost(c.line, "what %s does in a script is not known", strings.ToUpper(name))
			return
		}
		j.f.Writes = j.f.Writes || cmd.write
		j.f.Unreported = j.f.Unreported || unreportedName.MatchString(name)
		j.f.MayExpire = j.f.MayExpire || cmd.timed
		j.f.Renames = j.f.Renames || strings.EqualFold(name, "RENAME") || strings.EqualFold(name, "RENAMENX")
		switch {
		case cmd.open || cmd.heard && c.place != placeStatement:
			j.differs(c.line, "%s is not the same everywhere", strings.ToUpper(name))
		case caught && cmd.write:
			j.differs(c.line, "redis.pcall may hide an error that one server has and the other has not")
		case caught:
			j.f.TableOrder = true
		}
		a := arguments{j: j, name: name, cmd: cmd, line: c.line}
		a.judge(c.args[1:])
		if cmd.scores && a.scores && (c.place == placeUsed || c.place == placeAssigned || c.place == placeCompared) {
			j.f.NumberText = true
		}
	}
}

// wordsOf lists the strings that an expression can be. ok is false if it can be something else.
func (j *judgement) wordsOf(x expr, depth int) (words []string, ok bool) {
	if j.work--; j.work < 0 || depth == 0 {
		return nil, false
	}
	switch x := x.(type) {
	case *literal:
		if x.kind == tokenString {
			return []string{x.text}, true
		}
		return nil, x.kind == tokenKeyword // refused by the server
	case *unary:
		if x.op == "(" {
			return j.wordsOf(x.x, depth)
		}
	case *binary:
		y, okY := j.wordsOf(x.y, depth)
		switch x.op {
		case "and":
			return y, okY
		case "or":
			w, okX := j.wordsOf(x.x, depth)
			return append(w, y...), okX && okY && len(w)+len(y) <= 8
		}
	case *local:
		for _, source := range x.v.sources {
			w, okW := j.wordsOf(source, depth-1)
			if words = append(words, w...); !okW || len(words) > 8 {
				return nil, false
			}
		}
		return words, true
	}
	return nil, false
}
