// Package script reads the Lua source of scripts and function libraries, and says what running it may do:
// whether it writes, whether only to the keys it is called with, and whether a second server in the same state
// would end in the same state.
//
// It runs nothing, knows no server and keeps no state. What it does not understand counts as the worst that
// it could be, so a wrong answer is always a needless copy and never a lost difference:
//
//	source ──► tokens ──► expressions, with the names resolved ──► kinds of variables ──► every call judged
//	         (scan.go)             (parse.go)                         (kinds.go)           (judge.go)
//
// The order in which statements run is not looked at: what is said of a script holds for each path through it.
// The time that Look takes is linear in the source, which is bounded by MaxSource.
package script

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
)

// MaxSource is the size of the largest source that is looked at, in bytes. Of a larger one the worst is said.
const MaxSource = 256 << 10

// Facts is what a look at a source has shown.
type Facts struct {
	// Writes: it may change data. False only when every command that it can call is known not to, or when it
	// declares "no-writes", which the server then sees to.
	Writes bool
	// Undeclared: it may write keys that it was not called with.
	Undeclared bool
	// Unreported: among those may be changes that a server does not report to who tracks keys, or not so that the
	// database can be told. Of a source that is Computed it is said if the name of such a command is a text in it.
	Unreported bool
	// Computed: which commands it calls is not known. Their names may come from its arguments (see NamesUnreported). One
	// that it puts together from pieces, or has from its data, is not found out.
	Computed bool
	// Repeats: two servers that hold the same under the keys it is called with end up with the same there,
	// except for expiries given as relative (Expires), and unless it raises an error. What differs otherwise
	// shows in the reply: no error of a command is swallowed.
	Repeats bool
	// NumberText: Repeats holds only between servers that make the same text of a number. Up to 7.0 a script
	// that stores 0.1 stores 0.10000000000000001, and ZSCORE answers so.
	NumberText bool
	// TableOrder: Repeats holds only between servers of one product and version, because the order of a
	// table's fields, which is another in Redis and in Valkey, may become data, or an unknown command's error.
	TableOrder bool
	// Expires: it may give its keys a time to live relative to the server's clock, so after a repetition that
	// of every declared key must be set to what it is on the first server.
	Expires bool
	// MayExpire: a key may have a time to live afterwards that it had not before, of whatever form, or from
	// another key. It holds whenever Expires does.
	MayExpire bool
	// Renames: it may give a key to another name, with fields that expire.
	Renames bool
	// Why says, for a person, what stands against Repeats, with its line. Empty if nothing does.
	Why string
}

// Server says what a server is; see router.Server.
type Server struct {
	Valkey  bool
	Version int // major*10000 + minor*100 + patch
}

// RepeatsOn reports whether Repeats holds between these two servers.
func (f *Facts) RepeatsOn(a, b Server) bool {
	switch {
	case !f.Repeats:
		return false
	case a.Valkey == b.Valkey && a.Version/100 == b.Version/100:
		return true
	}
	return !f.TableOrder && (!f.NumberText || a.longNumbers() == b.longNumbers() && a.longNumbers() != unclear)
}

type answer uint8

const (
	unclear answer = iota
	yes
	no
)

// longNumbers: it writes all 17 digits of a double, as 6.0 and 7.0 do, and Redis 8.0 and Valkey 8.1 do not.
// The versions between were not tried.
func (s Server) longNumbers() answer {
	switch {
	case !s.Valkey && s.Version < 70100:
		return yes
	case s.Version >= 80100 || !s.Valkey && s.Version >= 80000:
		return no
	}
	return unclear
}

// worst is what is said of a source that is not understood.
func worst(why string) Facts {
	return Facts{Writes: true, Undeclared: true, Computed: true, MayExpire: true, Renames: true, Why: why}
}

// Look says what running a script, as given to EVAL or SCRIPT LOAD, may do.
func Look(source []byte) Facts {
	h, body, err := splitHeader(source)
	if err != nil {
		f := worst(err.Error())
		f.lookForUnreported(source)
		return f
	}
	f := lookBody(body)
	f.lookForUnreported(source)
	if h.noWrites {
		f.forbidWrites()
	}
	return f
}

// forbidWrites: the server sees to it that nothing is written.
func (f *Facts) forbidWrites() { f.Writes, f.Undeclared, f.Unreported = false, false, false }

// unreportedNames are commands that lead to another database, exchange two, or change a stream's groups or last id
// only. (Tried: a tracking client hears nothing of the last two kinds, and of the others the key's name.)
const unreportedNames = `(?:SELECT|SWAPDB|MOVE|COPY|XGROUP|XSETID|XACK|XACKDEL|XCLAIM|XAUTOCLAIM|XREADGROUP)`

var (
	unreportedName = regexp.MustCompile(`(?i)^` + unreportedNames + `$`)
	unreportedText = regexp.MustCompile(`(?i)(?:"|'|\[=*\[)` + unreportedNames + `(?:"|'|\]=*\])`)
)

// lookForUnreported completes the facts of a source of which only the names of commands are known, if those are.
func (f *Facts) lookForUnreported(source []byte) {
	f.Unreported = f.Undeclared && (f.Unreported || f.Computed && unreportedText.Match(source))
}

// NamesUnreported reports whether one of the arguments that a script is run with is the name of a command that is not
// reported, which a script may call whose names of commands are Computed.
func NamesUnreported(args [][]byte) bool {
	return slices.ContainsFunc(args, unreportedName.Match)
}

func lookBody(body []byte) Facts {
	p, err := parse(body)
	if err != nil {
		return worst(err.Error())
	}
	j := judgement{prog: p}
	j.prepare(len(body))
	return j.judge(nil)
}

// SHA1 is the name under which a server keeps a script: the lower-case hexadecimal SHA-1 of its source, the
// header included.
func SHA1(source []byte) string {
	sum := sha1.Sum(source)
	return hex.EncodeToString(sum[:])
}

// header is the first line of a script that begins with "#!" (Redis 7.0 and later).
type header struct {
	library  string // name=
	noWrites bool   // flags=no-writes
}

// splitHeader takes the header off. A script without one is its own body. The body keeps the header's line
// break, so that lines are counted as the server does.
func splitHeader(source []byte) (h header, body []byte, err error) {
	if len(source) > MaxSource {
		return h, nil, fmt.Errorf("the source is larger than %d bytes", MaxSource)
	}
	if !bytes.HasPrefix(source, []byte("#!")) {
		return h, source, nil
	}
	line, _, _ := bytes.Cut(source, []byte("\n"))
	words := bytes.Fields(line[2:])
	if len(words) == 0 || !bytes.EqualFold(words[0], []byte("lua")) {
		return h, nil, fmt.Errorf("line 1: an engine other than lua")
	}
	for _, w := range words[1:] {
		name, value, _ := bytes.Cut(w, []byte("="))
		switch string(name) {
		case "name":
			h.library = string(value)
		case "flags":
			for _, flag := range bytes.Split(value, []byte(",")) {
				h.noWrites = h.noWrites || string(flag) == "no-writes"
			}
		default:
			return h, nil, fmt.Errorf("line 1: %s is not known", name)
		}
	}
	return h, source[len(line):], nil
}
