package router

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tandem/internal/resp"
)

// Commands that the table does not know, of modules, of a provider, of newer versions: what COMMAND INFO
// says of them is enough to find their keys and to tell whether they write. Their effect is always a copy.
//
// Where Lookup knows no command, COMMAND INFO is asked for the first word, its answer learned and kept by
// that word, and Resolve gives the command of each request. That holds for a new subcommand too: the answer
// for its container has all of them. Where the answer is ErrNotKnown, Unknown is sent, for the server's own
// error; where it cannot be asked, only what the configuration names can be passed on (FromConfig).

// ErrNotKnown: the server does not know the command either. Unknown is what to make of it.
var ErrNotKnown = errors.New("the server does not know the command")

// Learn makes a Command of one element of a reply to COMMAND INFO, in the form of any version and in either
// protocol. Nothing of info is retained.
//
// A command with the flag "readonly" is a Read, one with "write" is a Write, and so is one with neither that
// names keys which it does not merely read (as EVAL). Other commands with "pubsub" are refused, for they may
// change what the replies of their connection mean; what is left is a Read, and perhaps Stateful. A command
// with "blocking" blocks for a time that is not known.
//
// A container has its subcommands (Resolve). Before 7.0 servers tell nothing of them: it is one command.
func Learn(info []byte) (*Command, error) {
	v, n, err := resp.Parse(info)
	switch {
	case err != nil:
		return nil, fmt.Errorf("COMMAND INFO: %w", err)
	case n != len(info):
		return nil, errors.New("COMMAND INFO: more than one reply")
	case v.Null:
		return nil, ErrNotKnown
	}
	return learn(v)
}

// The places of what COMMAND INFO tells of a command; before 7.0 it ends behind the categories.
const (
	infoName = iota
	infoArity
	infoFlags
	infoFirst
	infoLast
	infoStep
	infoCategories
	infoTips
	infoKeySpecs
	infoSubcommands
)

func learn(v resp.Value) (*Command, error) {
	e := v.Elems
	if len(e) <= infoStep || len(e[infoName].Str) == 0 {
		return nil, fmt.Errorf("COMMAND INFO: a command of %d facts", len(e))
	}
	name := strings.ReplaceAll(strings.ToUpper(string(e[infoName].Str)), "|", " ")
	c := &Command{Name: name, Arity: int(e[infoArity].Int), effect: learnedEffect, errs: true}
	flags := map[string]bool{}
	for _, f := range e[infoFlags].Elems {
		flags[string(f.Str)] = true
	}
	if flags["blocking"] {
		c.block = &blocking{unknown: true}
	}
	var run []keySpec
	complete := true
	if len(e) > infoKeySpecs {
		run, complete = learnSpecs(e[infoKeySpecs], flags)
	} else {
		run, complete = positions(int(e[infoFirst].Int), int(e[infoLast].Int), int(e[infoStep].Int))
		complete = complete && !flags["movablekeys"]
	}
	c.classify(flags, run, complete)
	c.findIn(run, complete)
	if len(e) <= infoSubcommands {
		return c, nil
	}
	for _, s := range e[infoSubcommands].Elems {
		sub, err := learn(s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if !strings.HasPrefix(sub.Name, name+" ") {
			return nil, fmt.Errorf("COMMAND INFO: %s has a subcommand %s", name, sub.Name)
		}
		c.subs = append(c.subs, sub)
	}
	if len(c.subs) > 0 {
		c.unknown = Unknown(name)
	}
	return c, nil
}

// classify chooses the class from the flags and the keys.
func (c *Command) classify(flags map[string]bool, run []keySpec, complete bool) {
	switch {
	case flags["write"]:
		c.Class = Write
	case flags["readonly"]:
		c.Class = Read
	case !complete, slices.ContainsFunc(run, func(s keySpec) bool { return s.write }):
		c.Class = Write
	case c.Name == "PUBSUB" || strings.HasPrefix(c.Name, "PUBSUB "):
		c.Class = Read // whatever is asked by it, it only tells
	case flags["pubsub"]:
		c.Class, c.Reason = Refused, reasonLearnedPubSub
	default:
		c.Class = Read
		c.stateful = !flags["admin"]
	}
	c.unclear = !flags["write"] && !flags["readonly"] && !flags["module"]
}

// Stateful reports whether a learned command neither reads nor writes data as far as the server tells, so
// that it may be about the connection that it comes on.
func (c *Command) Stateful() bool { return c.stateful }

// FromConfig makes a write whose effect is a copy, of a command of which nobody tells more than the
// configuration: first, last and step are as in COMMAND INFO, args[first] the first key, last relative to
// the end if it is negative. With first 0 its keys cannot be found.
func FromConfig(name string, first, last, step int) *Command {
	c := Unknown(name)
	c.findIn(positions(first, last, step))
	return c
}

// maxUnknown is how much of a name is kept that no server has: clients make them up.
const maxUnknown = 256

// Unknown makes what stands for a command of which nothing is known: a write whose keys cannot be found. If
// the server does not know it either, it will answer so.
func Unknown(name string) *Command {
	name = strings.Join(strings.Fields(strings.ToUpper(name[:min(len(name), maxUnknown)])), " ")
	return &Command{Name: name, Class: Write, Arity: -1, findKeys: noKeys, effect: learnedEffect, errs: true}
}

// Resolve returns the command of a request whose first word is c's name: c itself, or if c was learned and
// is a container, its subcommand, which is Unknown if it has no such.
func (c *Command) Resolve(args [][]byte) *Command {
	if len(c.subs) == 0 || len(args) < 2 {
		return c
	}
	return c.sub(args[1])
}

// noKeys is for writes that change keys which they do not name, or in a way that is not known.
func noKeys(dst []Key, _ [][]byte) ([]Key, bool) { return dst, false }

// learnedEffect is a copy, also after an error: what a module does before one, only it knows. But some
// errors the server gives before any command.
func learnedEffect(e *Effect, _ *Env, args [][]byte, reply []byte, _ [][]byte) {
	if !isError(reply) || mayHaveRun(args, reply) {
		e.copy()
	}
}

// MayHaveRun reports whether a request whose keys cannot be found may have changed something, now that it is answered:
// when the answer is no error or, of a command that is not of the table, one that it may have given itself after it
// had written. (A command of the table whose keys cannot be found is refused as it is, or does all or nothing.)
func (c *Command) MayHaveRun(args [][]byte, reply []byte) bool {
	return !isError(reply) || c.index == 0 && c.arityOK(len(args)) && mayHaveRun(args, reply)
}

// mayHaveRun reports whether an error may be one that a command gave itself.
func mayHaveRun(args [][]byte, reply []byte) bool {
	if len(args) > 1 && bytes.HasPrefix(reply, []byte("-ERR unknown subcommand ")) && quotes(reply, args[1]) {
		return false
	}
	return !refusedUnseen(args, reply) && !refusedFirst(reply)
}
