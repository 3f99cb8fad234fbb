package script

import "errors"

// Library is what a look at a library of functions, as given to FUNCTION LOAD, has shown.
type Library struct {
	// Name is the library's.
	Name string
	// Functions has what each function may do, by its name. It is empty if the names cannot be told.
	Functions map[string]Facts
}

// errNoLibrary: the source has not the header of a library.
var errNoLibrary = errors.New("the source does not begin with #!lua name=...")

// LookLibrary says what the functions of a library may do. The error says that the source is none that a
// server would load under a name that can be told.
func LookLibrary(source []byte) (Library, error) {
	h, body, err := splitHeader(source)
	if err != nil {
		return Library{}, err
	}
	if h.library == "" {
		return Library{}, errNoLibrary
	}
	l := Library{Name: h.library, Functions: map[string]Facts{}}
	p, err := parse(body)
	if err != nil {
		return l, nil // what is not here is not known
	}
	j := &judgement{prog: p}
	j.prepare(len(body))
	for _, c := range j.calls {
		if fn := j.kindOf(c.fn); fn.kind == builtin && fn.name == "redis.register_function" {
			name, noWrites, ok := registration(c.call)
			if !ok {
				l.Functions = map[string]Facts{}
				break
			}
			f := worst("what is registered is not understood")
			if entry := j.callback(c.call); entry != nil {
				f = j.judge(entry)
			}
			f.lookForUnreported(source)
			if noWrites {
				f.forbidWrites()
			}
			l.Functions[name] = f
		}
	}
	return l, nil
}

// registration reads the name and the flags that a function is registered with.
func registration(c *call) (name string, noWrites, ok bool) {
	var x expr
	if len(c.args) == 2 {
		x = c.args[0]
	} else if len(c.args) == 1 {
		if t, isTable := c.args[0].(*table); isTable {
			x = t.field("function_name")
			if flags, listed := t.field("flags").(*table); listed {
				for _, f := range flags.items {
					flag, isLiteral := f.(*literal)
					noWrites = noWrites || isLiteral && flag.text == "no-writes"
				}
			}
		}
	}
	l, ok := x.(*literal)
	if !ok || l.kind != tokenString {
		return "", false, false
	}
	return l.text, noWrites, true
}
