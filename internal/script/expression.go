package script

// The expressions of Lua 5.1, by precedence.

// bindings are the left and right binding powers of the operators with two operands.
var bindings = map[string][2]int{
	"or": {1, 1}, "and": {2, 2},
	"<": {3, 3}, ">": {3, 3}, "<=": {3, 3}, ">=": {3, 3}, "~=": {3, 3}, "==": {3, 3},
	"..": {5, 4}, "+": {6, 6}, "-": {6, 6}, "*": {7, 7}, "/": {7, 7}, "%": {7, 7}, "^": {10, 9},
}

const unaryBinding = 8

func (p *parser) expression() expr { return p.operation(0) }

// operation reads operands and the operators between them that bind stronger than limit.
func (p *parser) operation(limit int) expr {
	if !p.enter() {
		return &literal{kind: tokenKeyword}
	}
	defer p.leave()
	var x expr
	if p.is("not") || p.is("-") || p.is("#") {
		op := p.tok.text
		p.advance()
		x = &unary{op: op, x: p.operation(unaryBinding)}
	} else {
		x = p.operand()
	}
	for n := 0; p.tok.kind == tokenOperator || p.tok.kind == tokenKeyword; n++ {
		op := p.tok.text
		power, ok := bindings[op]
		if !ok || power[0] <= limit {
			break
		}
		if n > maxChain {
			p.fail("nested too deep")
			break
		}
		p.advance()
		x = &binary{op: op, x: x, y: p.operation(power[1])}
	}
	return x
}

// operand reads a literal, a constructor, a function, or what suffixed reads.
func (p *parser) operand() expr {
	t := p.tok
	switch {
	case t.kind == tokenString || t.kind == tokenNumber:
		p.advance()
		return &literal{kind: t.kind, text: t.text, num: t.num}
	case p.is("nil") || p.is("true") || p.is("false"):
		p.advance()
		return &literal{kind: tokenKeyword}
	case p.take("..."):
		return &rest{}
	case p.is("{"):
		return p.constructor()
	case p.take("function"):
		return p.function(false)
	}
	return p.suffixed()
}

// suffixed reads a name or an expression in parentheses, with the indices and calls behind it.
func (p *parser) suffixed() expr {
	var x expr
	switch {
	case p.tok.kind == tokenName:
		x = p.variable(p.tok.text)
		p.advance()
	case p.take("("):
		x = &unary{op: "(", x: p.expression()}
		p.want(")")
	default:
		p.fail("%q is not expected", p.tok.text)
		return &literal{kind: tokenKeyword}
	}
	for n := 0; p.err == nil; n++ {
		line := p.tok.line
		switch {
		case n > maxChain:
			p.fail("nested too deep")
		case p.take("."):
			x = &index{base: x, key: &literal{kind: tokenString, text: p.wantName()}, line: line}
		case p.take("["):
			x = &index{base: x, key: p.expression(), line: line}
			p.want("]")
		case p.take(":"):
			name := p.wantName()
			x = &call{fn: x, method: name, args: p.arguments(), line: line}
		case p.is("(") || p.is("{") || p.tok.kind == tokenString:
			x = &call{fn: x, args: p.arguments(), line: line}
		default:
			return x
		}
	}
	return x
}

// arguments reads those of a call: a list, a constructor or a string.
func (p *parser) arguments() []expr {
	switch {
	case p.tok.kind == tokenString || p.is("{"):
		return []expr{p.operand()}
	case p.take("("):
		var args []expr
		if !p.is(")") {
			args = p.list()
		}
		p.want(")")
		return args
	}
	p.fail("arguments are expected instead of %q", p.tok.text)
	return nil
}

// constructor reads a table.
func (p *parser) constructor() expr {
	t := &table{}
	p.want("{")
	for p.err == nil && !p.is("}") {
		switch {
		case p.take("["):
			t.keys = append(t.keys, p.expression())
			p.want("]")
			p.want("=")
			t.values = append(t.values, p.expression())
		case p.tok.kind == tokenName && p.ahead.kind == tokenOperator && p.ahead.text == "=":
			t.keys = append(t.keys, &literal{kind: tokenString, text: p.tok.text})
			p.advance()
			p.advance()
			t.values = append(t.values, p.expression())
		default:
			t.items = append(t.items, p.expression())
		}
		if !p.take(",") && !p.take(";") {
			break
		}
	}
	p.want("}")
	return t
}
