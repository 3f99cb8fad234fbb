package conformance

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/redcon"

	"tandem/router"
)

// Effects says of each command that writes what its requests in the scenarios come to on the secondary: "the
// same", "a copy", "nothing", or the names of the commands that it becomes. They are executed one by one on a
// server, as the primary, with the reads that follow them; the secondary is of the same version.
func Effects(c *Control, version string, scenarios []*Scenario) (map[string][]string, error) {
	server, err := routerServer(version)
	if err != nil {
		return nil, err
	}
	effects := map[string][]string{}
	for _, s := range scenarios {
		if s.Slow || s.File == "derived" || slices.ContainsFunc(s.Steps, func(step Step) bool {
			return step.Action != Ask || step.Session != ""
		}) {
			continue
		}
		if _, err := c.Must("FLUSHALL"); err != nil {
			return nil, err
		}
		var names Performance // of what is captured
		for _, step := range s.Steps {
			for _, command := range step.Commands {
				name, effect, reply, err := effectOf(c, server, names.filled(command))
				if err != nil {
					return nil, fmt.Errorf("%s: %s: %w", s.ID(), join(command), err)
				}
				names.capture(step, reply)
				if effect != "" && !slices.Contains(effects[name], effect) {
					effects[name] = append(effects[name], effect)
				}
			}
		}
		if _, err := c.Must("RESET"); err != nil { // whatever a scenario made of the connection
			return nil, err
		}
	}
	return effects, nil
}

// routerServer is a version as the table knows it.
func routerServer(version string) (router.Server, error) {
	product, number, _ := strings.Cut(version, "-")
	major, minor, _ := strings.Cut(number, ".")
	x, errX := strconv.Atoi(major)
	y, errY := strconv.Atoi(minor)
	if errX != nil || errY != nil {
		return router.Server{}, fmt.Errorf("%q is no version", version)
	}
	return router.Server{Valkey: product == "valkey", Version: x*10000 + y*100}, nil
}

// effectOf executes one command; effect is "" for what does not write, or was answered with an error.
func effectOf(c *Control, server router.Server, command []string) (name, effect string, reply Reply, err error) {
	if reply, err = c.do(command...); err != nil {
		return "", "", reply, err
	}
	args := make([][]byte, len(command))
	for i, a := range command {
		args[i] = []byte(a)
	}
	row := router.Lookup(args)
	if row == nil || !row.IsWrite(args) && row.Class != router.Everywhere || reply.IsError() || reply.String() == "+QUEUED" {
		return "", "", reply, nil
	}
	frames, n := row.FollowUps(nil, args, server)
	if err := c.write(frames); err != nil {
		return "", "", reply, err
	}
	var follow [][]byte
	for range n {
		r, err := c.receive()
		if err != nil {
			return "", "", reply, err
		}
		follow = append(follow, r.appendTo(nil))
	}
	var e router.Effect
	env := router.Env{DBs: 1024, Primary: server, Secondary: server}
	row.Effect(&e, &env, args, reply.appendTo(nil), follow)
	effect, err = describe(&e)
	return row.Name, effect, reply, err
}

// describe names an effect.
func describe(e *router.Effect) (string, error) {
	switch e.Kind {
	case router.None:
		return "nothing", nil
	case router.Verbatim:
		return "the same", nil
	case router.Copy:
		return "a copy", nil
	}
	var names []string
	for frames := e.Frames; len(frames) > 0; {
		complete, args, _, left, err := redcon.ReadNextCommand(frames, nil)
		if !complete || err != nil {
			return "", fmt.Errorf("%q is no request: %v", frames, err)
		}
		command := make([]string, len(args))
		for i, a := range args {
			command[i] = string(bytes.Clone(a))
		}
		if name := Row(command); len(names) == 0 || names[len(names)-1] != name {
			names = append(names, name)
		}
		frames = left
	}
	return strings.Join(names, " + "), nil
}

// appendTo writes the reply as it came over the wire.
func (r Reply) appendTo(b []byte) []byte {
	b = append(b, r.Kind)
	switch {
	case r.Null && r.Kind != '_':
		return append(b, "-1\r\n"...)
	case r.Kind == '$' || r.Kind == '=' || r.Kind == '!':
		b = strconv.AppendInt(b, int64(len(r.Text)), 10)
		b = append(b, "\r\n"...)
		return append(append(b, r.Text...), "\r\n"...)
	case r.aggregate():
		n := len(r.Elems)
		if r.Kind == '%' || r.Kind == '|' {
			n /= 2
		}
		b = append(strconv.AppendInt(b, int64(n), 10), "\r\n"...)
		for _, e := range r.Elems {
			b = e.appendTo(b)
		}
		return b
	}
	return append(append(b, r.Text...), "\r\n"...)
}
