package script

import "strings"

// arguments judges those of one command.
type arguments struct {
	j    *judgement
	name string
	cmd  *command
	line int

	at     int  // the argument's place in the command's letters
	skip   int  // arguments of an option that are still to come
	scores bool // the reply may have scores in it
	loose  bool // options cannot be told from what is behind them
}

// judge looks at what is behind the command's name.
func (a *arguments) judge(args []expr) {
	a.scores = a.cmd.scores && a.cmd.reply == anything && a.cmd.letter(1) != 'O'
	for i := 0; i < len(args); i++ {
		x := args[i]
		if i == len(args)-1 && a.j.spreads(x) {
			a.spread(x)
			return
		}
		switch letter := a.cmd.letter(a.at); letter {
		case 'N':
			i += a.counted(args[i:])
			a.at++
		case 'O':
			a.at++
			i += a.options(args[i:]) - 1
		default:
			a.one(letter, x, a.j.kindOf(x).kind)
			a.at++
		}
	}
}

// one judges an argument that is one value.
func (a *arguments) one(letter byte, x expr, k kind) {
	if a.loose {
		letter = 't'
	}
	switch letter {
	case 'k':
		if k != key && k != none { // what is nil is refused
			a.undeclared()
		}
	case 't':
		if !k.isText() && k != integer {
			a.j.f.NumberText = true
		}
	case 'e':
		a.j.f.Expires = true
	case 'o':
		a.option(x, k)
	}
}

// undeclared notes a key that is not one of KEYS.
func (a *arguments) undeclared() {
	name := strings.ToUpper(a.name)
	a.j.f.Undeclared = a.j.f.Undeclared || a.cmd.write
	a.j.differs(a.line, "%s has a key that is not taken from KEYS", name)
}

// option judges a word that may be an option, or a number behind one.
func (a *arguments) option(x expr, k kind) {
	if a.skip > 0 {
		a.skip--
		return
	}
	if k == integer || k == number {
		return
	}
	words, ok := a.j.wordsOf(x, 4)
	for _, w := range words {
		switch {
		case !a.cmd.takes(w):
			ok = false
		case strings.EqualFold(w, "LIMIT"):
			a.skip = 2
		case strings.EqualFold(w, "EXAT") || strings.EqualFold(w, "PXAT"):
			a.skip = 1
			a.j.f.MayExpire = true
		}
	}
	if len(words) > 1 {
		a.skip = 0 // one of them may have no arguments
	}
	if !ok {
		a.unknownOption()
	}
}

// unknownOption: it may give a time to live, or ask for scores.
func (a *arguments) unknownOption() {
	if a.cmd.write {
		a.j.f.Expires = true
	}
	a.scores = true
}

// options judges those in front of scores and members, and returns how many there are.
func (a *arguments) options(args []expr) int {
	n := 0
	for ; n < len(args); n++ {
		words, ok := a.j.wordsOf(args[n], 4)
		if !ok || len(words) == 0 || !a.cmd.takes(words[0]) {
			break
		}
		a.scores = a.scores || len(words) > 1 || strings.EqualFold(words[0], "INCR")
	}
	if n < len(args) && len(args) > n+2 {
		// More than one pair, or an option that is not in plain sight.
		if k := a.j.kindOf(args[n]).kind; k != integer && k != number {
			a.scores, a.loose = true, true
		}
	}
	return n
}

// counted judges a number of keys and the keys, and returns how many arguments are behind the number.
func (a *arguments) counted(args []expr) int {
	want := -1
	if l, ok := args[0].(*literal); ok && l.kind == tokenNumber && l.num >= 0 && l.num < 1e6 {
		want = int(l.num)
	}
	n := 0
	for i, x := range args[1:] {
		if i == want {
			break
		}
		if i == len(args)-2 && a.j.spreads(x) {
			if a.j.spreadKind(x) != key {
				a.undeclared()
			}
			n++
			break
		}
		if a.j.kindOf(x).kind != key {
			a.undeclared() // or an option: where the keys end is not known
			break
		}
		n++
	}
	return n
}

// spread judges an argument that may be any number of values: it may reach every place from here on.
func (a *arguments) spread(x expr) {
	k := a.j.spreadKind(x)
	end := len(a.cmd.args)
	from := min(a.at, end)
	if a.cmd.cycle > 0 {
		from = min(from, end-a.cmd.cycle)
	}
	for i := from; i < end; i++ {
		switch letter := a.cmd.args[i]; letter {
		case 'N':
			if k != key {
				a.undeclared()
			}
		case 'O':
			a.loose, a.scores = true, true
		case 'o':
			a.unknownOption()
		default:
			a.one(letter, x, k)
		}
	}
}

// spreads reports whether an expression at the end of a list may give another number of values than one.
func (j *judgement) spreads(x expr) bool {
	c, ok := x.(*call)
	if !ok {
		return several(x)
	}
	name := "string." + c.method
	if c.method == "" {
		fn := j.kindOf(c.fn)
		if fn.kind != builtin {
			return true
		}
		name = fn.name
	} else if !j.kindOf(c.fn).kind.isText() {
		return true
	}
	feature, known := builtins[name]
	return !known || feature.many
}

// spreadKind is the kind of all that an expression gives.
func (j *judgement) spreadKind(x expr) kind {
	return join(j.kindOf(x), j.kindOfNth(&nth{of: x, n: 1})).kind
}

// replyKind is the kind of what a command answers.
func (j *judgement) replyKind(c *call) value {
	if j.resp3 || len(c.args) == 0 {
		return value{kind: anything}
	}
	names, ok := j.wordsOf(c.args[0], 4)
	if !ok || len(names) == 0 {
		return value{kind: anything}
	}
	all := value{}
	for _, name := range names {
		cmd := commands[strings.ToUpper(name)]
		if cmd == nil {
			return value{kind: anything}
		}
		kind := cmd.reply
		switch {
		case cmd.pops && len(c.args) == 2 && !j.spreads(c.args[1]):
			kind = text
		case cmd.pops:
			kind = anything
		case cmd.scores && kind == texts:
			trial := &judgement{work: j.work} // what it notes is thrown away
			a := arguments{j: trial, name: name, cmd: cmd}
			if a.judge(c.args[1:]); a.scores {
				kind = anything
			}
			j.work = trial.work
		}
		all = join(all, value{kind: kind})
	}
	return all
}
