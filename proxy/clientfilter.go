package proxy

import (
	"bytes"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"tandem/internal/resp"
	"tandem/router"
)

// filter chooses among sessions, as the words behind CLIENT LIST and CLIENT KILL say.
type filter struct {
	tests  []func(c *client) bool
	skipMe bool
	user   string // that is named, if one is
	old    bool   // CLIENT KILL addr:port
}

// client is what filters look at.
type client struct {
	*session
	*about
	flags string
}

// matches reports whether the filter chooses s; me is who asks. The lock is held.
func (f *filter) matches(s, me *session) bool {
	if f.skipMe && s == me {
		return false
	}
	c := &client{s, s.about.Load(), s.flags()}
	for _, test := range f.tests {
		if !test(c) {
			return false
		}
	}
	return true
}

// kind is what CLIENT LIST TYPE calls it; replicas and primaries do not connect to a proxy.
func (c *client) kind() string {
	if strings.Contains(c.flags, "P") {
		return "pubsub"
	}
	return "normal"
}

// option is one that chooses clients, and which servers know it.
type option struct {
	name       string
	list, kill release
	not        release // the form that chooses all others, NOT-name
	// test makes the test from the option's value, nil if no server takes such a value.
	test func(value string) func(c *client) bool
}

// release is the first version that has something, of Redis and of Valkey; never, for one of them, if none has.
type release struct{ redis, valkey int }

const never = 1 << 30

func (r release) in(s router.Server) bool {
	since := r.redis
	if s.Valkey {
		since = r.valkey
	}
	return s.Version == 0 && since != never || s.Version >= since
}

var (
	always      = release{}
	nowhere     = release{never, never}
	redis62     = release{redis: 60200}
	redis70     = release{redis: 70000}
	redis72     = release{redis: 70200}
	maxAge      = release{redis: 70400, valkey: 80000}
	valkey81    = release{never, 80100}
	valkey90    = release{never, 90000}
	primaryType = release{never, 80000}
)

// options are all that choose clients. ID and SKIPME have rules of their own, see parseFilter.
var options = []option{
	{"ID", redis62, always, valkey90, nil},
	{"SKIPME", valkey81, always, nowhere, nil},
	{"TYPE", always, always, valkey90, testKind},
	{"USER", valkey81, always, valkey90, func(v string) func(*client) bool {
		return func(c *client) bool { return c.about.user == v }
	}},
	{"ADDR", valkey81, always, valkey90, func(v string) func(*client) bool {
		return func(c *client) bool { return c.conn.RemoteAddr().String() == v }
	}},
	{"LADDR", valkey81, redis62, valkey90, func(v string) func(*client) bool {
		return func(c *client) bool { return c.conn.LocalAddr().String() == v }
	}},
	{"MAXAGE", valkey81, maxAge, nowhere, testSeconds(func(c *client) time.Time { return c.since })},
	{"IDLE", valkey90, valkey90, nowhere, testSeconds(func(c *client) time.Time { return time.Unix(0, c.active.Load()) })},
	{"NAME", valkey90, valkey90, valkey90, func(v string) func(*client) bool {
		return func(c *client) bool { return c.about.name == v }
	}},
	{"LIB-NAME", valkey90, valkey90, valkey90, func(v string) func(*client) bool {
		return func(c *client) bool { return c.about.libName == v }
	}},
	{"LIB-VER", valkey90, valkey90, valkey90, func(v string) func(*client) bool {
		return func(c *client) bool { return c.about.libVer == v }
	}},
	{"IP", valkey90, valkey90, valkey90, func(v string) func(*client) bool {
		return func(c *client) bool {
			host, _, _ := net.SplitHostPort(c.conn.RemoteAddr().String())
			return host == v
		}
	}},
	{"DB", valkey90, valkey90, valkey90, func(v string) func(*client) bool {
		db, err := strconv.Atoi(v)
		if err != nil || db < 0 {
			return nil
		}
		return func(c *client) bool { return c.about.db == db }
	}},
	{"FLAGS", valkey90, valkey90, valkey90, func(v string) func(*client) bool {
		if strings.Trim(v, "NOxbPtSMBreTuAUiIEcd") != "" {
			return nil
		}
		return func(c *client) bool {
			return !strings.ContainsFunc(v, func(flag rune) bool { return !strings.ContainsRune(c.flags, flag) })
		}
	}},
	{"CAPA", valkey90, valkey90, valkey90, func(v string) func(*client) bool {
		if v != "r" {
			return nil
		}
		return func(c *client) bool {
			return c.keeps("CLIENT CAPA")
		}
	}},
}

func testKind(v string) func(c *client) bool {
	kind := strings.ToLower(v)
	switch kind {
	case "normal", "pubsub", "master", "primary", "replica", "slave":
		return func(c *client) bool { return c.kind() == kind }
	}
	return nil
}

// testSeconds chooses those for whom as many seconds have passed since a time.
func testSeconds(since func(c *client) time.Time) func(v string) func(c *client) bool {
	return func(v string) func(c *client) bool {
		seconds, err := strconv.ParseInt(v, 10, 32)
		if err != nil || seconds < 1 {
			return nil
		}
		return func(c *client) bool { return time.Since(since(c)) >= time.Duration(seconds)*time.Second }
	}
}

// optionOf finds an option that the server knows, in its list or its kill form. negated: as NOT-name.
func optionOf(word []byte, kill bool, server router.Server) (o *option, negated bool) {
	name := strings.ToUpper(string(word))
	plain, negated := strings.CutPrefix(name, "NOT-")
	for i := range options {
		o := &options[i]
		since := o.list
		switch {
		case negated:
			since = o.not
		case kill:
			since = o.kill
		}
		if o.name == plain && since.in(server) {
			return o, negated
		}
	}
	return nil, false
}

// parseFilter reads the words behind CLIENT LIST or CLIENT KILL. ok is false for those that the primary would not
// take: it says itself why.
func (s *session) parseFilter(words [][]byte, kill bool) (f *filter, ok bool) {
	server := s.sh.hints.Load().server
	f = &filter{skipMe: kill}
	simple := !kill && !valkey81.in(server) // TYPE, or ID, and nothing else
	for i := 0; i < len(words); {
		o, negated := optionOf(words[i], kill, server)
		if o == nil || i+1 >= len(words) || simple && i > 0 {
			return nil, false
		}
		value := string(words[i+1])
		i += 2
		var test func(c *client) bool
		switch o.name {
		case "ID":
			more := words[i:]
			if !valkey81.in(server) && kill {
				more = nil
			}
			var n int
			if test, n, ok = testIDs(value, more, simple); !ok {
				return nil, false
			}
			i += n
		case "SKIPME":
			f.skipMe = strings.EqualFold(value, "yes")
			if !f.skipMe && !strings.EqualFold(value, "no") {
				return nil, false
			}
			continue
		default:
			if test = o.test(value); test == nil || strings.EqualFold(value, "primary") && o.name == "TYPE" && !primaryType.in(server) {
				return nil, false
			}
		}
		if o.name == "USER" {
			f.user = value
		}
		if chosen := test; negated {
			test = func(c *client) bool { return !chosen(c) }
		}
		f.tests = append(f.tests, test)
	}
	return f, true
}

// testIDs chooses by ids: value and as many of the words behind it as are ids, n. With all, each must be one.
func testIDs(value string, words [][]byte, all bool) (test func(c *client) bool, n int, ok bool) {
	ids := map[int64]bool{}
	for {
		id, err := strconv.ParseInt(value, 10, 64)
		switch {
		case err != nil && (all || len(ids) == 0), err == nil && id < 1 && !all:
			return nil, 0, false
		case err != nil:
			n--
		default:
			ids[id] = true
		}
		if err != nil || n == len(words) {
			return func(c *client) bool { return ids[c.id] }, n, true
		}
		value = string(words[n])
		n++
	}
}

// killFilter is parseFilter for CLIENT KILL, whose old form is an address alone.
func (s *session) killFilter(words [][]byte) (f *filter, ok bool) {
	if len(words) > 1 {
		return s.parseFilter(words, true)
	}
	addr := string(words[0])
	return &filter{old: true, tests: []func(*client) bool{func(c *client) bool { return c.conn.RemoteAddr().String() == addr }}}, true
}

// nobodysAddr is an address from which no client connects.
const nobodysAddr = "0.0.0.0:1"

// killProbe is a CLIENT KILL that the server refuses in the words in which it would refuse args, and that meets nobody
// if it does not: the lanes are clients of its own.
func killProbe(args [][]byte) []byte {
	words := args[2:]
	if len(words) == 1 {
		return frame("CLIENT", "KILL", "ADDR", nobodysAddr)
	}
	nobody := [][]byte{[]byte("ADDR"), []byte(nobodysAddr)}
	last := words[len(words)-1]
	if slices.ContainsFunc(options, func(o option) bool { return bytes.EqualFold(last, []byte(o.name)) }) {
		words = slices.Concat(nobody, words) // behind an option without its value it would be taken for that
	} else {
		words = slices.Concat(words, nobody)
	}
	return resp.AppendArgs(nil, slices.Concat(args[:2], words))
}

// listProbe is a CLIENT LIST that the server refuses if it would refuse that of this filter, which it could only for
// a user that it does not know, or to this user. It lists nobody.
func (f *filter) listProbe() []byte {
	args := []string{"CLIENT", "LIST", "TYPE", "master"}
	if f.user != "" {
		args = append(args, "USER", f.user)
	}
	return frame(args...)
}
