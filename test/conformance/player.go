package conformance

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Player plays scenarios against one address, one after the other.
type Player struct {
	// Addr is where the clients connect to.
	Addr string
	// Server is a connection to the server that executes their commands: it tells how many are blocked.
	Server *Control
	// Protocol is of the sessions that do not pin theirs: 2 or 3.
	Protocol int
	// Pipelined writes commands of one session that follow each other at once, as far as nothing between them
	// must be waited for.
	Pipelined bool
	// Switch has the other server answer; nil: the steps of that name do nothing.
	Switch func() error
}

// Transcript is what was received in a scenario: per step its replies. It is shorter than the scenario if that
// could not be played to its end, and Err says why.
type Transcript struct {
	Replies [][]Reply
	Err     error
}

// pipelineLimit bounds what is written before replies are read, so that neither side fills both sockets.
const pipelineLimit = 100

// Play plays a scenario in a database.
func (p *Player) Play(s *Scenario, db int) Transcript {
	g := p.begin(db)
	defer g.end()
	g.play(s.Steps)
	return g.transcript()
}

// Given plays only the steps above a scenario's "--".
func (p *Player) Given(s *Scenario, db int) *Performance {
	g := p.begin(db)
	defer g.end()
	g.play(s.Steps[:s.Given])
	return g
}

// Resume plays what comes behind, on this player.
func (p *Player) Resume(before *Performance, s *Scenario) Transcript {
	g := p.begin(before.db)
	defer g.end()
	g.replies, g.captured, g.err = before.replies, before.captured, before.err
	g.play(s.Steps[s.Given:])
	return g.transcript()
}

// PlayAtOnce plays the steps of each session in their order, and the sessions at the same time; steps of no session
// are played by the caller. Its transcript has no replies, for they depend on who comes first; an error is that of any session.
func (p *Player) PlayAtOnce(steps []Step) Transcript {
	by := map[string][]Step{}
	for _, step := range steps {
		by[step.Session] = append(by[step.Session], step)
	}
	errs := make(chan error, len(by)+1)
	play := func(own []Step) {
		g := p.begin(0)
		defer g.end()
		g.play(own)
		errs <- g.err
	}
	for name, own := range by {
		if name != "" {
			go play(own)
		}
	}
	play(by[""])
	first := <-errs
	for name := range by {
		if name != "" {
			first = cmp.Or(<-errs, first)
		}
	}
	return Transcript{Err: first}
}

// Performance is a scenario that is being played.
type Performance struct {
	p        *Player
	db       int
	sessions map[string]*session
	captured []capture
	replies  [][]Reply
	err      error
}

// capture is a reply that has a name. One that is not compared is not looked for in others: it may be as small as 3.
type capture struct {
	name, value string
	hidden      bool
}

func (p *Player) begin(db int) *Performance {
	return &Performance{p: p, db: db, sessions: map[string]*session{}}
}

// end closes the sessions, and lets those that waited leave the server, so that the next scenario is not served to them.
func (g *Performance) end() {
	var waited []string
	for _, s := range g.sessions {
		s.conn.Close()
		if s.waitsAs != "" {
			waited = append(waited, s.waitsAs)
		}
	}
	for deadline := time.Now().Add(leaving); len(waited) > 0 && time.Now().Before(deadline); {
		blocked, err := g.p.Server.blocked()
		if err != nil {
			return
		}
		waited = slices.DeleteFunc(waited, func(id string) bool { return blocked[id] == "" })
	}
}

// leaving bounds how long those that waited may stay: one who waits for all readers of a group does for a while.
const leaving = 500 * time.Millisecond

// longestShown bounds what is shown of bytes that nobody asked for.
const longestShown = 200

// transcript also looks for replies that nobody asked for. MONITOR shows what the proxy asks, too.
func (g *Performance) transcript() Transcript {
	if g.err == nil {
		for name, s := range g.sessions {
			if n := s.r.Buffered(); n > 0 && !s.monitors {
				more, _ := s.r.Peek(min(n, longestShown))
				g.err = fmt.Errorf("%d bytes more than the replies in session %q: %q", n, name, more)
			}
		}
	}
	return Transcript{g.replies, g.err}
}

func (g *Performance) play(steps []Step) {
	for i := 0; i < len(steps) && g.err == nil; {
		n := 1
		if g.p.Pipelined {
			n = g.together(steps[i:])
		}
		if err := g.steps(steps[i : i+n]); err != nil {
			g.err = fmt.Errorf("%s: %w", steps[i].Line, err)
		}
		i += n
	}
}

// together is how many of the steps may be written at once.
func (g *Performance) together(steps []Step) int {
	n, commands := 0, 0
	for _, s := range steps {
		if s.Action != Ask || s.Capture != "" || s.Session != steps[0].Session || commands > pipelineLimit || s.logsIn() {
			break
		}
		commands += len(s.Commands)
		n++
	}
	return max(n, 1)
}

// logsIn: some versions leave out a reply of a pipeline in which a login fails.
func (s Step) logsIn() bool {
	return slices.ContainsFunc(s.Commands, func(c []string) bool { return c[0] == "AUTH" || c[0] == "HELLO" })
}

// steps plays steps of one session, all of them Ask if they are several.
func (g *Performance) steps(steps []Step) error {
	first := steps[0]
	if first.Action == Switch {
		g.replies = append(g.replies, nil)
		if g.p.Switch == nil {
			return nil
		}
		return g.p.Switch()
	}
	s, err := g.session(first)
	if err != nil {
		return err
	}
	switch first.Action {
	case Closed:
		g.replies = append(g.replies, nil)
		return s.closed()
	case Close:
		g.replies = append(g.replies, nil)
		delete(g.sessions, first.Session)
		return g.close(s)
	case Raw:
		g.replies = append(g.replies, nil)
		return s.write([]byte(first.Text))
	case Block:
		g.replies = append(g.replies, nil)
		return g.block(s, g.filled(first.Commands[0]))
	case Until:
		reply, err := g.until(s, first)
		g.replies = append(g.replies, []Reply{g.named(reply)})
		return err
	case Receive:
		s.waitsAs = ""
		reply, err := s.receive()
		for err == nil && !strings.Contains(reply.String(), first.Text) {
			reply, err = s.receive()
		}
		if err != nil {
			return err
		}
		g.capture(first, reply)
		g.replies = append(g.replies, []Reply{g.named(reply)})
		return nil
	}
	var commands [][]string
	for _, step := range steps {
		for _, c := range step.Commands {
			commands = append(commands, g.filled(c))
		}
	}
	s.monitors = s.monitors || commands[0][0] == "MONITOR"
	if err := s.send(commands...); err != nil {
		return err
	}
	for _, step := range steps {
		var replies []Reply
		for range step.Commands {
			reply, err := s.receive()
			if err != nil {
				g.replies = append(g.replies, replies)
				return fmt.Errorf("%s: %w", step.Line, err)
			}
			g.capture(step, reply)
			replies = append(replies, g.named(reply))
		}
		g.replies = append(g.replies, replies)
	}
	return nil
}

// session is the step's, opened at its first.
func (g *Performance) session(step Step) (*session, error) {
	if s := g.sessions[step.Session]; s != nil {
		return s, nil
	}
	protocol := step.Protocol
	if protocol == 0 {
		protocol = g.p.Protocol
	}
	s, err := dial(g.p.Addr, protocol, g.db)
	if err != nil {
		return nil, err
	}
	g.sessions[step.Session] = s
	return s, nil
}

// waitsLike are the commands by which the proxy waits for those that ask by another.
var waitsLike = map[string]string{"XREADGROUP": "XREAD", "BRPOPLPUSH": "BLMOVE"}

// block sends a command and returns once a client is blocked on the server that was not before.
func (g *Performance) block(s *session, command []string) error {
	before, err := g.p.Server.blocked()
	if err != nil {
		return err
	}
	if err := s.send(command); err != nil {
		return err
	}
	for deadline := time.Now().Add(patience); ; {
		blocked, err := g.p.Server.blocked()
		if err != nil {
			return err
		}
		for id, name := range blocked {
			if before[id] == "" && (name == command[0] || name == waitsLike[command[0]]) {
				s.waitsAs = id
				return nil
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("does not block: %d clients are blocked as before", len(blocked))
		}
	}
}

// close ends a session's connection. One that waits is seen to have left: what comes next is not for it.
func (g *Performance) close(s *session) error {
	if err := s.conn.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	for deadline := time.Now().Add(patience); s.waitsAs != ""; {
		blocked, err := g.p.Server.blocked()
		if err != nil {
			return err
		}
		if blocked[s.waitsAs] == "" {
			break
		}
		if time.Now().After(deadline) {
			return errors.New("it waits still")
		}
	}
	return nil
}

// until asks until the reply begins as it should.
func (g *Performance) until(s *session, step Step) (Reply, error) {
	command := g.filled(step.Commands[0])
	for deadline := time.Now().Add(patience); ; {
		reply, err := s.do(command...)
		if err != nil || strings.HasPrefix(reply.String(), step.Text) {
			return reply, err
		}
		if time.Now().After(deadline) {
			return reply, fmt.Errorf("still %s", reply)
		}
	}
}

// capture gives a reply the step's name.
func (g *Performance) capture(step Step, r Reply) {
	if step.Capture != "" {
		g.captured = append(g.captured, capture{step.Capture, r.leaf(), step.Mark == Type})
	}
}

var capturedName = regexp.MustCompile(`\$[a-z][a-z0-9]*`)

// filled is a command with names replaced by what they stand for.
func (g *Performance) filled(command []string) []string {
	if len(g.captured) == 0 {
		return command
	}
	command = slices.Clone(command)
	for i, arg := range command {
		command[i] = capturedName.ReplaceAllStringFunc(arg, func(name string) string {
			for _, c := range g.captured {
				if c.name == name[1:] {
					return c.value
				}
			}
			return name
		})
	}
	return command
}

// longEnough is the length from which a captured value is recognised within a longer text.
const longEnough = 8

// named is a reply with captured values replaced by their names.
func (g *Performance) named(r Reply) Reply {
	if len(g.captured) == 0 {
		return r
	}
	r.each(func(text string) string {
		for _, c := range g.captured {
			if c.hidden {
				continue
			} else if text == c.value {
				text = "$" + c.name
			} else if len(c.value) >= longEnough {
				text = strings.ReplaceAll(text, c.value, "$"+c.name)
			}
		}
		return text
	})
	return r
}

// Difference is a step that was answered differently.
type Difference struct {
	// Step is what was asked, Of the whole line that it stands in.
	Step, Of  string
	Want, Got string
}

func (d Difference) String() string {
	return fmt.Sprintf("%s\n      server: %s\n      proxy:  %s", d.Step, cut(d.Want), cut(d.Got))
}

func cut(s string) string {
	if len(s) > 600 {
		return s[:600] + "..."
	}
	return s
}

// Diff compares what a server and the proxy answered.
func Diff(s *Scenario, want, got Transcript) (all []Difference) {
	for i, step := range s.Steps {
		if i >= len(want.Replies) || i >= len(got.Replies) {
			break
		}
		for k := range max(len(want.Replies[i]), len(got.Replies[i])) {
			w, g := Reply{Kind: '(', Text: "nothing"}, Reply{Kind: '(', Text: "nothing"}
			if k < len(want.Replies[i]) {
				w = want.Replies[i][k]
			}
			if k < len(got.Replies[i]) {
				g = got.Replies[i][k]
			}
			if !step.Mark.equal(w, g) {
				line := step.Line
				if len(step.Commands) > 1 && k < len(step.Commands) {
					line = join(step.Commands[k]) + " (of " + line[:min(len(line), 60)] + "...)"
				}
				all = append(all, Difference{line, step.Line, w.String(), g.String()})
			}
		}
	}
	if (want.Err == nil) != (got.Err == nil) { // their texts hold ports
		all = append(all, Difference{"(played to the end?)", "", fmt.Sprint(want.Err), fmt.Sprint(got.Err)})
	}
	return all
}
