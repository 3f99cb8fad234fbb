package precheck

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"

	"tandem/internal/instance"
)

// user is one that a server knows, as its line of ACL LIST says. The hashes of its passwords are compared and
// never shown.
type user struct {
	on bool
	// passwords are hashes, "nopass" among them; rules are what it may do, in the order that the server keeps.
	passwords, rules []string
}

// shownUsers bounds the names in a finding.
const shownUsers = 12

// users compares the users that clients may log in as on the source with those of the target. The user of the
// source's URL need not be there: who comes with its credentials acts as the proxy, on either side.
func users(ctx context.Context, r *run, _ *side) finding {
	if r.OwnUsers {
		return finding{}
	}
	var lists [2]map[string]user
	for k, s := range []*side{r.source, r.target} {
		list, err := s.listUsers(ctx)
		switch {
		case errors.Is(err, instance.ErrCommandRefused):
			return warning("compare the users of the two servers by hand, or "+s.allow(err, "acl|list"),
				"ACL LIST is refused: %v", err)
		case err != nil:
			return broken(err)
		}
		lists[k] = list
	}
	missing, problems := compareUsers(lists[0], lists[1], r.source.user())
	if len(missing) == 0 {
		return success("all users of the source that clients can log in as are there, with their passwords and rules")
	}
	return warning(r.usersRemedy(missing), "%s", problems)
}

// listUsers asks for them all.
func (s *side) listUsers(ctx context.Context) (map[string]user, error) {
	v, err := s.conn.Do(ctx, "ACL", "LIST")
	if err != nil {
		return nil, err
	}
	all := map[string]user{}
	for _, line := range v.Elems {
		name, u := parseUser(string(line.Str))
		if !s.info.Server.HasPXAT() {
			u.rules = append(u.rules, "&*") // before 6.2 every user has every channel
		}
		all[name] = u
	}
	return all, nil
}

// parseUser reads "user app on #hash ~app:* &* -@all +get (selector ...)".
func parseUser(line string) (name string, u user) {
	words := strings.Fields(line)
	inSelector := false
	for i, w := range words {
		switch {
		case i == 0:
		case inSelector:
			u.rules[len(u.rules)-1] += " " + w
			inSelector = !strings.HasSuffix(w, ")")
		case i == 1:
			name = w
		case w == "on":
			u.on = true
		case w == "off", w == "sanitize-payload", w == "skip-sanitize-payload": // not every version has these
		case w == "nopass", strings.HasPrefix(w, "#"):
			u.passwords = append(u.passwords, w)
		default:
			u.rules = append(u.rules, w)
			inSelector = w[0] == '(' && !strings.HasSuffix(w, ")")
		}
	}
	slices.Sort(u.passwords)
	return name, u
}

// may are the rules as a set of key and channel patterns and of selectors, and the commands in their order: of patterns the order
// says nothing, of commands and categories the later wins. Servers name a command once, and those before 7.0 in an
// order of chance, so between two categories the commands are sorted.
func (u user) may() (patterns []string, commands []string) {
	for _, rule := range u.rules {
		switch rule[0] {
		case '~', '%', '&', '(':
			patterns = append(patterns, rule)
		default:
			if rule != "resetchannels" {
				commands = append(commands, rule)
			}
		}
	}
	slices.Sort(patterns)
	for begin, end := 0, 0; begin < len(commands); begin = end + 1 {
		for end = begin; end < len(commands) && !strings.Contains(commands[end], "@"); end++ {
		}
		slices.Sort(commands[begin:end])
	}
	return slices.Compact(patterns), commands
}

func (u user) mayAs(other user) bool {
	p, c := u.may()
	q, d := other.may()
	return slices.Equal(p, q) && slices.Equal(c, d)
}

// compareUsers names the users of the source that clients would not find on the target as they are used to, and
// says why; own is not among them.
func compareUsers(source, target map[string]user, own string) (names []string, problems string) {
	const absent, off, passwords, rules = "not on the target", "off there", "with other passwords there", "with other rules there"
	by := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(source)) {
		u := source[name]
		if !u.on || name == own {
			continue
		}
		t, there := target[name]
		problem := ""
		switch {
		case !there:
			problem = absent
		case !t.on:
			problem = off
		case !slices.Equal(u.passwords, t.passwords):
			problem = passwords
		case !u.mayAs(t):
			problem = rules
		default:
			continue
		}
		names = append(names, name)
		by[problem] = append(by[problem], name)
	}
	var parts []string
	for _, problem := range []string{absent, off, passwords, rules} {
		list := by[problem]
		if n := len(list) - shownUsers; n > 0 {
			list = append(slices.Clone(list[:shownUsers]), fmt.Sprintf("and %d more", n))
		}
		if len(list) > 0 {
			parts = append(parts, problem+": "+strings.Join(list, ", "))
		}
	}
	return names, strings.Join(parts, "; ")
}

// plainName is a name that needs no quotes in a shell, in an expression or in a line for redis-cli.
var plainName = regexp.MustCompile(`^[A-Za-z0-9_@-]+$`)

// usersRemedy names the command that carries users over. What it carries, hashes of passwords among it, goes
// from server to server and is seen by nobody.
func (r *run) usersRemedy(names []string) string {
	const lasts = "; and have the target keep them (ACL SAVE, or CONFIG REWRITE)"
	reset := "reset"
	if !r.source.info.Server.HasPXAT() && r.target.info.Server.HasPXAT() {
		reset = "reset allchannels"
	}
	if len(names) > shownUsers || slices.ContainsFunc(names, func(n string) bool { return !plainName.MatchString(n) }) {
		return fmt.Sprintf("give the target the users as they are on the source: ACL LIST there prints a line for each, and ACL SETUSER, "+
			"with the name, %s and the rest of that line, makes it; the hashes in these lines are to be kept secret%s", reset, lasts)
	}
	return fmt.Sprintf("carry them over (with --user and --askpass for users that may run ACL, and --tls where it is needed): %s ACL LIST | sed -nE 's/^user (%s) /ACL SETUSER \\1 %s /p' | %s%s",
		cli(r.source), strings.Join(names, "|"), reset, cli(r.target), lasts)
}

// cli is how redis-cli reaches a server, without what it needs to log in.
func cli(s *side) string {
	host, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		host, port = s.Addr, "6379"
	}
	return fmt.Sprintf("redis-cli -h %s -p %s", host, port)
}
