package script

// What a source is made of, as far as the rest needs it: expressions, and for each the place that it stands
// in. Statements are not kept, for nothing depends on their order.

// expr is one of the types below.
type expr interface{}

type (
	// literal is nil, true, false, a number or a string; of the first three only that it is one is kept.
	literal struct {
		kind tokenKind // tokenKeyword, tokenNumber or tokenString
		text string
		num  float64
	}
	// global is a name that no local has.
	global struct {
		name string
		line int
	}
	// local is a mention of a variable.
	local struct {
		v    *variable
		line int
	}
	// rest is "...".
	rest struct{}
	// index is base[key] or base.key.
	index struct {
		base, key expr
		line      int
	}
	// call is fn(args) or fn:method(args).
	call struct {
		fn     expr
		method string
		args   []expr
		line   int
	}
	// unary is an operator with one operand: - # not. Parentheses are one too, "(": they cut several values to
	// one.
	unary struct {
		op string
		x  expr
	}
	// binary is an operator with two.
	binary struct {
		op   string
		x, y expr
	}
	// table is a constructor.
	table struct {
		items  []expr // by position
		keys   []expr // of the fields
		values []expr
	}
	// function is a function's text.
	function struct {
		uses     []*function // those mentioned in it
		params   []*variable
		returns  []expr // the first value of each of its returns
		variadic bool
		loose    bool // it is not known where it is called
		known    bool // all its calls are seen: the sources of params are their arguments
		line     int
	}
	// nth stands for a value of several: of what the call or "..." gives at place n, counted from 0.
	nth struct {
		of expr
		n  int
	}
	// counter stands for the variable of a loop that counts.
	counter struct{ bounds []expr }
	// given stands for what the server calls a library's function with.
	given struct{ kind kind }
	// element stands for what a loop gives its variables: at place 0 the keys, at place 1 the values that
	// ipairs, pairs or another iterator finds.
	element struct {
		of expr // the expression behind "in"
		n  int
	}
)

// variable is a local variable or a parameter.
type variable struct {
	name    string
	owner   *function // that it is local to; nil for the script itself
	sources []expr    // all that is ever assigned to it
	// fromInside: a function assigns to it that is not its owner.
	fromInside bool
	// shared: it stands somewhere where what it refers to might be changed, or get another name.
	shared bool
	// loose: it stands somewhere else than in front of the arguments of a call.
	loose bool
	fn    *function // the one that it always is, if all calls of that are seen
	kind  value     // what it can be
}

// place is where an expression stands, as far as it matters.
type place uint8

const (
	placeUsed      place = iota // its value goes anywhere
	placeLooked                 // its value is only looked at, by a condition or "in"
	placeNumber                 // it is taken as a number
	placeCompared               // it is compared with something other than nil, true and false
	placeAssigned               // it is what a variable is given
	placeReturned               // it is returned by the script itself
	placeStatement              // a call whose values are dropped
)

// root is an expression that is no part of another.
type root struct {
	x     expr
	place place
	to    *variable // of placeAssigned
	in    *function // nil for the script itself
}

// change is a field that is assigned to.
type change struct {
	*index
	in *function
}

// program is a parsed source.
type program struct {
	roots     []root
	variables []*variable
	functions []*function
	changed   []change
}
