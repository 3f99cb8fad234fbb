package script

// mentions is every place in a program that must be judged once the kinds of variables are known.
type mentions struct {
	calls   []calling
	bare    []bareMention // names and members that are neither called nor indexed
	indices []indexing
	globals []naming
	powers  []*function // where the operator ^ stands

	in   *function   // the one that is being looked at; nil for the script itself
	uses []*function // what the script itself mentions
}

// calling is a call, the place of its value, and the function that it stands in.
type calling struct {
	*call
	place place
	in    *function
}

type bareMention struct {
	x     expr
	place place
	to    *variable // of placeAssigned
	in    *function
}

type indexing struct {
	*index
	in *function
}

type naming struct {
	*global
	in *function
}

// use notes that a function is mentioned.
func (m *mentions) use(f *function) {
	if m.in == nil {
		m.uses = append(m.uses, f)
	} else {
		m.in.uses = append(m.in.uses, f)
	}
}

// useVariable notes that a variable is mentioned, which may be a function.
func (m *mentions) useVariable(v *variable) {
	for _, x := range v.sources {
		if f, ok := x.(*function); ok {
			m.use(f)
		}
	}
}

// resolve looks once at every expression. It finds the variables whose tables may be changed under another
// name, and the functions of which every call is seen; those calls then give the parameters their values.
func (j *judgement) resolve() {
	for _, r := range j.prog.roots {
		j.in = r.in
		j.mention(r.x, r.place, r.to)
	}
	for _, t := range j.prog.changed {
		j.in = t.in
		j.indexed(t.index)
		if l, ok := t.base.(*local); ok {
			l.v.shared = true
		}
	}
	for _, v := range j.prog.variables {
		for _, x := range v.sources {
			if f, ok := x.(*function); ok {
				f.loose = f.loose || v.loose || len(v.sources) > 1
				if !f.loose {
					v.fn, f.known = f, true
				}
			}
		}
	}
	for _, c := range j.calls {
		if l, ok := c.fn.(*local); ok && c.method == "" && l.v.fn != nil {
			for i, p := range l.v.fn.params {
				p.sources = append(p.sources, valueAt(c.args, i))
			}
		}
	}
	for _, f := range j.prog.functions {
		if f.known && !f.loose {
			continue
		}
		for _, p := range f.params {
			p.sources = append(p.sources, &rest{})
		}
	}
}

// mention goes through an expression that stands at a place.
func (j *judgement) mention(x expr, at place, to *variable) {
	switch x := x.(type) {
	case *local:
		j.bare = append(j.bare, bareMention{x, at, to, j.in})
		j.useVariable(x.v)
		x.v.loose = true
		if at == placeUsed || at == placeAssigned {
			x.v.shared = true
		}
	case *global:
		j.bare = append(j.bare, bareMention{x, at, to, j.in})
		j.globals = append(j.globals, naming{x, j.in})
	case *index:
		j.bare = append(j.bare, bareMention{x, at, to, j.in})
		j.indexed(x)
	case *function:
		if to == nil {
			j.use(x) // else it is used where the variable is
		}
	case *call:
		j.calls = append(j.calls, calling{x, at, j.in})
		j.called(x)
	case *nth:
		if x.n == 0 { // the others are of the same call
			j.mention(x.of, placeUsed, nil)
		}
	case *unary:
		switch x.op {
		case "(":
			j.mention(x.x, at, to)
		case "-":
			j.mention(x.x, placeNumber, nil)
		default:
			j.mention(x.x, placeLooked, nil)
		}
	case *binary:
		j.operands(x, at, to)
	case *table:
		for _, list := range [][]expr{x.items, x.keys, x.values} {
			for _, e := range list {
				j.mention(e, placeUsed, nil)
			}
		}
	}
}

// operands is mention of what an operator stands between.
func (j *judgement) operands(x *binary, at place, to *variable) {
	switch x.op {
	case "or":
		j.mention(x.x, at, to)
	case "and":
		j.mention(x.x, placeLooked, nil) // only a false one is passed on
	case "^":
		j.powers = append(j.powers, j.in)
		fallthrough
	case "+", "-", "*", "/", "%":
		at, to = placeNumber, nil
		j.mention(x.x, at, to)
	case "==", "~=":
		at, to = placeCompared, nil
		if isConstant(x.x) || isConstant(x.y) {
			at = placeLooked
		}
		j.mention(x.x, at, to)
	default:
		at, to = placeCompared, nil
		j.mention(x.x, at, to)
	}
	j.mention(x.y, at, to)
}

// isConstant reports whether an expression is nil, true or false.
func isConstant(x expr) bool {
	l, ok := x.(*literal)
	return ok && l.kind == tokenKeyword
}

func (j *judgement) indexed(x *index) {
	j.indices = append(j.indices, indexing{x, j.in})
	if l, ok := x.key.(*literal); ok && l.text == "setresp" {
		j.resp3 = true
	}
	j.base(x.base)
	j.mention(x.key, placeUsed, nil)
}

// base is mention of what is indexed, or what has the method that is called.
func (j *judgement) base(x expr) {
	switch x := x.(type) {
	case *local:
		j.useVariable(x.v)
		x.v.loose = true
	case *global:
		j.globals = append(j.globals, naming{x, j.in})
	case *index:
		j.indexed(x)
	default:
		j.mention(x, placeLooked, nil)
	}
}

// called is mention of a call's function and arguments.
func (j *judgement) called(c *call) {
	at := placeUsed
	switch fn := c.fn.(type) {
	case *local:
		j.useVariable(fn.v)
		fn.v.loose = fn.v.loose || c.method != ""
	case *global:
		j.globals = append(j.globals, naming{fn, j.in})
		switch fn.name {
		case "ipairs", "pairs", "next", "unpack", "type":
			at = placeLooked
		case "tonumber":
			at = placeNumber
		}
	case *index:
		j.indexed(fn)
		if base, ok := fn.base.(*global); ok {
			switch globalMember(base, fn.key) {
			case "table.concat", "table.getn", "cjson.encode":
				at = placeLooked
			case "redis.register_function":
				j.registered(c)
				return
			}
		}
	default:
		j.mention(fn, placeLooked, nil)
	}
	for _, a := range c.args {
		j.mention(a, at, nil)
	}
}

// globalMember is the full name of a library's member, or "".
func globalMember(base *global, key expr) string {
	l, ok := key.(*literal)
	if lib := libraries[base.name]; ok && lib != "" {
		return lib + "." + l.text
	}
	return ""
}

// registered notes a function of a library, which the server calls with the keys and the arguments.
func (j *judgement) registered(c *call) {
	callback := callbackOf(c)
	for _, a := range c.args {
		t, isTable := a.(*table)
		switch {
		case a == callback:
		case isTable && len(c.args) == 1:
			for _, list := range [][]expr{t.items, t.keys, t.values} {
				for _, e := range list {
					if e != callback {
						j.mention(e, placeUsed, nil)
					}
				}
			}
		default:
			j.mention(a, placeUsed, nil)
		}
	}
	f := j.callback(c)
	if f == nil {
		j.lost(c.line, "what is registered is not a function in plain sight")
		return
	}
	f.known = true
	for i, p := range f.params {
		switch i {
		case 0:
			p.sources = append(p.sources, &given{keyTable})
		case 1:
			p.sources = append(p.sources, &given{argTable})
		}
	}
}

// callback is the text of the function that a call registers, nil if it is not in plain sight.
func (j *judgement) callback(c *call) *function {
	x := callbackOf(c)
	if l, ok := x.(*local); ok && len(l.v.sources) == 1 {
		x = l.v.sources[0]
	}
	f, _ := x.(*function)
	return f
}

// callbackOf is the function that a call registers, nil if that cannot be told.
func callbackOf(c *call) expr {
	if len(c.args) == 2 {
		return c.args[1]
	}
	if len(c.args) == 1 {
		if t, ok := c.args[0].(*table); ok {
			return t.field("callback")
		}
	}
	return nil
}

// field is the value of a constructor's field with a literal name, nil if there is none.
func (t *table) field(name string) expr {
	for i, k := range t.keys {
		if l, ok := k.(*literal); ok && l.kind == tokenString && l.text == name {
			return t.values[i]
		}
	}
	return nil
}
