package script

import "fmt"

const (
	// maxDepth is how deep statements, functions and expressions may nest, as in Lua itself.
	maxDepth = 200
	// maxChain is how many operators or suffixes may follow one another: they nest too, to the left.
	maxChain = 1000
	// maxScope is how many variables may be visible at one place. Lua allows 200 for each function.
	maxScope = 400
)

// parser is a recursive descent over Lua 5.1. It takes some sources that Lua refuses; the server's refusal
// then has no effect, so that makes no difference.
type parser struct {
	scan  scanner
	tok   token
	ahead token // the one behind tok
	err   error
	prog  *program
	depth int
	scope []*variable
	marks []int     // where the blocks begin in scope
	fn    *function // that is being read; nil for the script itself
}

// parse reads a source.
func parse(src []byte) (*program, error) {
	p := &parser{scan: scanner{src: string(src), line: 1}, prog: &program{}}
	p.advance()
	p.advance()
	p.block()
	if p.err == nil && p.tok.kind != tokenEnd {
		p.fail("%q is not expected", p.tok.text)
	}
	return p.prog, p.err
}

func (p *parser) advance() {
	p.tok = p.ahead
	if p.err != nil {
		p.tok = token{line: p.tok.line}
		return
	}
	var err error
	if p.ahead, err = p.scan.next(); err != nil {
		// The words before it are read still, which does no harm.
		p.err = err
		p.tok, p.ahead = token{}, token{}
	}
}

// fail notes the first error and has everything end.
func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("line %d: %s", p.tok.line, fmt.Sprintf(format, args...))
	}
	p.tok, p.ahead = token{}, token{}
}

func (p *parser) is(text string) bool {
	return (p.tok.kind == tokenKeyword || p.tok.kind == tokenOperator) && p.tok.text == text
}

// take moves on if the word is this one.
func (p *parser) take(text string) bool {
	if !p.is(text) {
		return false
	}
	p.advance()
	return true
}

func (p *parser) want(text string) {
	if !p.take(text) {
		p.fail("%q is expected instead of %q", text, p.tok.text)
	}
}

func (p *parser) wantName() string {
	name := p.tok.text
	if p.tok.kind != tokenName {
		p.fail("a name is expected instead of %q", name)
		return ""
	}
	p.advance()
	return name
}

// enter guards against nesting without bound; each enter has its leave.
func (p *parser) enter() bool {
	if p.depth++; p.depth > maxDepth {
		p.fail("nested too deep")
		return false
	}
	return true
}

func (p *parser) leave() { p.depth-- }

func (p *parser) open() { p.marks = append(p.marks, len(p.scope)) }

func (p *parser) close() {
	n := len(p.marks) - 1
	p.scope, p.marks = p.scope[:p.marks[n]], p.marks[:n]
}

// declare makes a variable, not yet in scope.
func (p *parser) declare(name string) *variable {
	v := &variable{name: name, owner: p.fn}
	p.prog.variables = append(p.prog.variables, v)
	return v
}

// enscope makes variables visible to what follows.
func (p *parser) enscope(vars ...*variable) {
	p.scope = append(p.scope, vars...)
	if len(p.scope) > maxScope {
		p.fail("more than %d variables", maxScope)
	}
}

// assign notes that a variable is given a value.
func (p *parser) assign(v *variable, x expr) {
	v.sources = append(v.sources, x)
	v.fromInside = v.fromInside || p.fn != v.owner
	p.prog.roots = append(p.prog.roots, root{x: x, place: placeAssigned, to: v, in: p.fn})
}

func (p *parser) root(x expr, at place) {
	if x != nil {
		p.prog.roots = append(p.prog.roots, root{x: x, place: at, in: p.fn})
	}
}

// block reads statements up to a word that ends a block, in a scope of its own.
func (p *parser) block() {
	p.open()
	p.statements()
	p.close()
}

func (p *parser) statements() {
	if !p.enter() {
		return
	}
	defer p.leave()
	for p.err == nil {
		switch {
		case p.tok.kind == tokenEnd || p.is("end") || p.is("else") || p.is("elseif") || p.is("until"):
			return
		case p.take(";"):
		case p.take("local"):
			p.local()
		case p.take("if"):
			p.condition("then")
			p.block()
			for p.take("elseif") {
				p.condition("then")
				p.block()
			}
			if p.take("else") {
				p.block()
			}
			p.want("end")
		case p.take("while"):
			p.condition("do")
			p.block()
			p.want("end")
		case p.take("do"):
			p.block()
			p.want("end")
		case p.take("for"):
			p.loop()
		case p.take("repeat"):
			p.open() // the condition sees the variables of the block
			p.statements()
			p.want("until")
			p.root(p.expression(), placeLooked)
			p.close()
		case p.take("function"):
			p.methodDeclaration()
		case p.take("return"):
			p.returned()
		case p.take("break"):
		default:
			p.simple()
		}
	}
}

// condition reads an expression of which only the truth counts, and the word behind it.
func (p *parser) condition(then string) {
	p.root(p.expression(), placeLooked)
	p.want(then)
}

// local reads what is behind "local".
func (p *parser) local() {
	if p.take("function") {
		v := p.declare(p.wantName())
		p.enscope(v) // it may call itself
		f := p.function(false)
		p.assign(v, f)
		return
	}
	var vars []*variable
	for {
		vars = append(vars, p.declare(p.wantName()))
		if !p.take(",") {
			break
		}
	}
	var values []expr
	if p.take("=") {
		values = p.list()
	}
	p.distribute(values, len(vars), func(i int, x expr) { p.assign(vars[i], x) })
	p.enscope(vars...)
}

// distribute gives n places the values of a list, by Lua's rule: the last expression may give several, and
// what is missing is nil.
func (p *parser) distribute(values []expr, n int, give func(i int, x expr)) {
	for i := range max(n, len(values)) {
		x := valueAt(values, i)
		if i < n {
			give(i, x)
		} else {
			p.root(x, placeUsed)
		}
	}
}

// valueAt is what the i-th place gets of a list of values.
func valueAt(values []expr, i int) expr {
	last := len(values) - 1
	switch {
	case i < last || i == last && !several(values[i]):
		return values[i]
	case last >= 0 && several(values[last]):
		return &nth{of: values[last], n: i - last}
	}
	return &literal{kind: tokenKeyword}
}

// several reports whether an expression at the end of a list gives as many values as it has.
func several(x expr) bool {
	switch x.(type) {
	case *call, *rest:
		return true
	}
	return false
}

// loop reads what is behind "for".
func (p *parser) loop() {
	names := []string{p.wantName()}
	var vars []*variable
	if p.take("=") {
		v := p.declare(names[0])
		vars = append(vars, v)
		bounds := p.list()
		if len(bounds) < 2 || len(bounds) > 3 {
			p.fail("a loop has two or three bounds")
			return
		}
		for _, b := range bounds {
			p.root(b, placeLooked)
		}
		v.sources = append(v.sources, &counter{bounds})
	} else {
		for p.take(",") {
			names = append(names, p.wantName())
		}
		p.want("in")
		in := p.list()
		for i, name := range names {
			v := p.declare(name)
			vars = append(vars, v)
			if len(in) == 1 {
				v.sources = append(v.sources, &element{of: in[0], n: i})
			} else {
				v.sources = append(v.sources, &nth{of: &rest{}, n: i}) // an iterator spelled out
			}
		}
		for _, x := range in {
			p.root(x, placeLooked)
		}
	}
	p.want("do")
	p.open()
	p.enscope(vars...)
	p.statements()
	p.close()
	p.want("end")
}

// methodDeclaration reads what is behind "function" at a statement's beginning.
func (p *parser) methodDeclaration() {
	target := p.variable(p.wantName())
	method := false
	for p.err == nil && (p.is(".") || p.is(":")) {
		method = p.is(":")
		line := p.tok.line
		p.advance()
		target = &index{base: target, key: &literal{kind: tokenString, text: p.wantName()}, line: line}
	}
	p.assignTo(target, p.function(method))
}

// returned reads what is behind "return".
func (p *parser) returned() {
	at := placeUsed
	if p.fn == nil {
		at = placeReturned
	}
	var values []expr
	if p.tok.kind != tokenEnd && !p.is("end") && !p.is("else") && !p.is("elseif") && !p.is("until") && !p.is(";") {
		values = p.list()
	}
	for _, x := range values {
		p.root(x, at)
	}
	if p.fn != nil {
		p.fn.returns = append(p.fn.returns, valueAt(values, 0))
	}
}

// simple reads an assignment or a call.
func (p *parser) simple() {
	x := p.suffixed()
	if !p.is("=") && !p.is(",") {
		if _, ok := x.(*call); !ok {
			p.fail("a statement is expected")
		}
		p.root(x, placeStatement)
		return
	}
	targets := []expr{x}
	for p.take(",") {
		targets = append(targets, p.suffixed())
	}
	p.want("=")
	p.distribute(p.list(), len(targets), func(i int, x expr) { p.assignTo(targets[i], x) })
}

func (p *parser) assignTo(target, x expr) {
	switch t := target.(type) {
	case *local:
		p.assign(t.v, x)
	case *index:
		p.prog.changed = append(p.prog.changed, change{t, p.fn})
		p.root(x, placeUsed)
	case *global:
		p.fail("the global variable %s is assigned to", t.name)
	default:
		p.fail("what is assigned to is no variable")
	}
}

// list reads expressions with commas between.
func (p *parser) list() []expr {
	xs := []expr{p.expression()}
	for p.take(",") {
		xs = append(xs, p.expression())
	}
	return xs
}

// variable is the mention of a name.
func (p *parser) variable(name string) expr {
	for i := len(p.scope) - 1; i >= 0; i-- {
		if p.scope[i].name == name {
			return &local{v: p.scope[i], line: p.tok.line}
		}
	}
	return &global{name: name, line: p.tok.line}
}

// function reads parameters and body.
func (p *parser) function(method bool) *function {
	f := &function{line: p.tok.line}
	p.prog.functions = append(p.prog.functions, f)
	if !p.enter() {
		return f
	}
	defer p.leave()
	if method {
		f.params = append(f.params, p.declare("self"))
	}
	p.want("(")
	for p.err == nil && !p.is(")") {
		if p.take("...") {
			f.variadic = true
			break
		}
		f.params = append(f.params, p.declare(p.wantName()))
		if !p.take(",") {
			break
		}
	}
	p.want(")")
	for _, v := range f.params {
		v.owner = f
	}
	outer := p.fn
	p.fn = f
	p.open()
	p.enscope(f.params...)
	p.statements()
	p.close()
	p.fn = outer
	p.want("end")
	return f
}
